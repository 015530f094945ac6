/* trie -- see trie.h. */
#include "trie.h"

#include <stdlib.h>

#include "subject.h"

static struct nd_node *node_new(struct nd_slice token, uint64_t hash)
{
    size_t size = offsetof(struct nd_node, token) + token.len;
    struct nd_node *node = malloc(ND_MAX(size, sizeof *node));
    if (node == NULL)
        return NULL;
    memset(node, 0, sizeof *node);
    node->link.hash = hash;
    node->token_len = (uint32_t)token.len;
    if (token.len > 0)
        memcpy(node->token, token.ptr, token.len);
    return node;
}

static bool is_star(const struct nd_node *node)
{
    return node->token_len == 1 && node->token[0] == '*';
}

int nd_trie_init(struct nd_trie *trie, const struct nd_hash_key *key)
{
    nd_hash_init(&trie->edges);
    trie->key = *key;
    trie->root = node_new(nd_slice(NULL, 0), 0);
    trie->nodes = 0;
    atomic_init(&trie->patterns, 0);
    return trie->root == NULL ? ND_ENOMEM : 0;
}

void nd_trie_fini(struct nd_trie *trie)
{
    nd_hash_fini(&trie->edges);
    free(trie->root);
}

/* ---- insertion ---- */

int nd_trie_spares(const struct nd_trie *trie, struct nd_slice pattern,
                   struct nd_hash_link **spares, bool *is_rest)
{
    struct nd_hash_link **end = spares;
    struct nd_slice token;
    bool more = true;
    *spares = NULL;
    *is_rest = false;
    while (nd_subject_next(&pattern, &more, &token)) {
        *is_rest = !more && nd_slice_is_equal(token, ND_LIT(">"));
        if (*is_rest)
            break;
        struct nd_node *node = node_new(token, nd_hash_bytes(&trie->key, token));
        if (node == NULL) {
            nd_trash_free(*spares);
            *spares = NULL;
            return ND_ENOMEM;
        }
        *end = &node->link;
        end = &node->link.next;
    }
    return 0;
}

struct nd_node *nd_trie_child(const struct nd_trie *trie, const struct nd_node *parent,
                              const struct nd_token *token)
{
    uint64_t hash = nd_hash_join(token->hash, (uintptr_t)parent);
    struct nd_hash_link *link = NULL;
    while ((link = nd_hash_find(&trie->edges, hash, link)) != NULL) {
        struct nd_node *node = nd_container(link, struct nd_node, link);
        if (node->parent == parent &&
            nd_slice_is_equal(nd_node_token(node), token->text))
            return node;
    }
    return NULL;
}

static void join(struct nd_trie *trie, struct nd_node *parent, struct nd_node *node)
{
    node->parent = parent;
    trie->nodes++;
    if (is_star(node)) {
        parent->star = node;
        return;
    }
    parent->children++;
    node->link.hash = nd_hash_join(node->link.hash, (uintptr_t)parent);
    nd_hash_insert(&trie->edges, &node->link);
}

static struct nd_node *child_like(const struct nd_trie *trie,
                                  const struct nd_node *parent,
                                  const struct nd_node *spare)
{
    if (is_star(spare))
        return parent->star;
    struct nd_token token = {nd_node_token(spare), spare->link.hash};
    return nd_trie_child(trie, parent, &token);
}

struct nd_node *nd_trie_reach(struct nd_trie *trie, struct nd_hash_link **spares)
{
    struct nd_node *node = trie->root;
    while (*spares != NULL) {
        struct nd_node *spare = nd_container(*spares, struct nd_node, link);
        struct nd_node *child = child_like(trie, node, spare);
        if (child == NULL) {
            *spares = spare->link.next;
            join(trie, node, spare);
            child = spare;
        } else {
            spares = &spare->link.next;
        }
        node = child;
    }
    return node;
}

/* ---- removal ---- */

void nd_trie_prune(struct nd_trie *trie, struct nd_node *node)
{
    while (node->parent != NULL && nd_node_is_empty(node)) {
        struct nd_node *parent = node->parent;
        if (parent->star == node) {
            parent->star = NULL;
        } else {
            parent->children--;
            nd_hash_remove(&trie->edges, &node->link);
        }
        trie->nodes--;
        nd_pantry_drop(trie->edges.pantry, node);
        node = parent;
    }
}

/* ---- the walk ---- */

static void push(struct nd_walk *walk, const struct nd_node *node, uint32_t taken)
{
    if (node != NULL)
        walk->steps[walk->height++] = (struct nd_step){node, taken};
}

void nd_walk_begin(struct nd_walk *walk)
{
    walk->height = 0;
    push(walk, walk->trie->root, 0);
}

bool nd_walk_next(struct nd_walk *walk, struct nd_place **place)
{
    if (walk->height == 0)
        return false;
    struct nd_step step = walk->steps[--walk->height];
    if (step.taken == walk->count) {
        *place = step.node->here;
        return true;
    }
    *place = step.node->rest;
    push(walk, step.node->star, step.taken + 1);
    if (step.node->children > 0) {
        const struct nd_token *token = &walk->tokens[step.taken];
        push(walk, nd_trie_child(walk->trie, step.node, token), step.taken + 1);
    }
    return true;
}
