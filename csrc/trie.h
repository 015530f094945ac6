/* trie -- the patterns of the index, token by token.
 *
 *   root --"foo"--> node --*--> node      foo.*   ends at the second one: here
 *                    '--> rest            foo.>   rest of the first one
 *
 * The edges with a literal token live in one keyed hash for the whole trie: parent and
 * token -> node. A token "*" of a published subject is no edge; it goes where any token
 * goes. Nothing here calls itself: paths are loops, and a walk keeps its own stack,
 * which is never higher than the subject has tokens, plus one.
 *
 * Everything here is under the lock of the index, spares and tokens excepted.
 */
#ifndef ND_TRIE_H
#define ND_TRIE_H

#include <stdatomic.h>

#include "hash.h"
#include "nd.h"
#include "place.h"

struct nd_node {
    struct nd_hash_link link; /* hash: parent and token; of a spare: the token */
    struct nd_node *parent;   /* NULL = the root */
    struct nd_node *star;     /* where "*" leads */
    struct nd_place *here;    /* of the pattern that ends here */
    struct nd_place *rest;    /* of the pattern that ends here with ">" */
    uint32_t children;        /* literal edges from here */
    uint32_t token_len;
    uint8_t token[]; /* that leads here, "*" included */
};

struct nd_trie {
    struct nd_hash edges;
    struct nd_hash_key key;
    struct nd_node *root;
    uint64_t nodes; /* without the root */
    _Atomic uint64_t
        patterns; /* how many end in it; a hint to those without the lock */
};

struct nd_token {
    struct nd_slice text;
    uint64_t hash;
};

/* One stop of a walk: a node, and how many tokens it took. */
struct nd_step {
    const struct nd_node *node;
    uint32_t taken;
};

struct nd_walk {
    const struct nd_trie *trie;
    const struct nd_token *tokens;
    uint32_t count;        /* of tokens */
    uint32_t height;       /* of the stack; 0 = the walk is over */
    struct nd_step *steps; /* count + 1 of them */
};

int nd_trie_init(struct nd_trie *trie, const struct nd_hash_key *key);
void nd_trie_fini(struct nd_trie *trie); /* of an empty trie */

/* A node for each token of *pattern* but a last ">", in order, not in the trie yet;
 * *is_rest tells whether there is one. Linked by link.next; ND_ENOMEM: none is left. */
int nd_trie_spares(const struct nd_trie *trie, struct nd_slice pattern,
                   struct nd_hash_link **spares, bool *is_rest);

/* The node at the end of the pattern for which *spares were made. Uses those that are
 * missing in the trie and leaves the others in *spares, in their order. */
struct nd_node *nd_trie_reach(struct nd_trie *trie, struct nd_hash_link **spares);

/* Takes out *node* and its parents, as far as nothing needs them, and drops them into
 * the pantry of the edges. */
void nd_trie_prune(struct nd_trie *trie, struct nd_node *node);

struct nd_node *nd_trie_child(const struct nd_trie *trie, const struct nd_node *parent,
                              const struct nd_token *token);

void nd_walk_begin(struct nd_walk *walk);

/* One stop; *place is what it yields, or NULL. False: the walk was over. */
bool nd_walk_next(struct nd_walk *walk, struct nd_place **place);

static inline struct nd_slice nd_node_token(const struct nd_node *node)
{
    return nd_slice(node->token, node->token_len);
}

static inline bool nd_node_is_empty(const struct nd_node *node)
{
    return node->children == 0 && !node->star && !node->here && !node->rest;
}

#endif
