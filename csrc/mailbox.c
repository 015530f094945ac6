#include "mailbox.h"

#include <stdlib.h>

enum {
    FIRST_PAGE = 2 * ND_KIB,  /* bytes */
    NEXT_PAGE = 144 * ND_KIB, /* of those that are used again: any burst fits */
    POOL_PAGES = 16           /* kept for a time without mail */
};

int nd_inbox_init(struct nd_inbox *inbox)
{
    memset(inbox, 0, sizeof(*inbox));
    inbox->gate = nd_gate_new(0);
    if (inbox->gate == NULL) {
        return ND_ENOMEM;
    }
    if (nd_mutex_init(&inbox->mutex) != 0) {
        nd_gate_release(inbox->gate);
        return ND_ESYS;
    }
    if (nd_bell_init(&inbox->bell) != 0) {
        nd_mutex_fini(&inbox->mutex);
        nd_gate_release(inbox->gate);
        return ND_ESYS;
    }
    return ND_OK;
}

void nd_inbox_fini(struct nd_inbox *inbox)
{
    assert(inbox->first == NULL);
    nd_bell_fini(&inbox->bell);
    nd_mutex_fini(&inbox->mutex);
    nd_gate_release(inbox->gate);
}

/* ---- pages ---- */

static struct nd_page *page_new(size_t cap, struct nd_page_pool *home)
{
    struct nd_page *page = malloc(sizeof(*page) + cap);
    if (page != NULL) {
        *page = (struct nd_page){.cap = (uint32_t)cap, .home = home};
    }
    return page;
}

static void free_pages(struct nd_page *page)
{
    while (page != NULL) {
        struct nd_page *next = page->next;
        free(page);
        page = next;
    }
}

/* Takes back what has been returned, all at once; so nobody sees a page come and go. */
static void restock(struct nd_page_pool *pool)
{
    struct nd_page *page =
        atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    while (page != NULL && pool->count < POOL_PAGES) {
        struct nd_page *next = page->next;
        page->next = pool->free;
        pool->free = page;
        pool->count++;
        page = next;
    }
    free_pages(page);
}

static struct nd_page *pool_take(struct nd_page_pool *pool)
{
    if (pool->free == NULL) {
        restock(pool);
    }
    struct nd_page *page = pool->free;
    if (page == NULL) {
        return page_new(NEXT_PAGE - sizeof(*page), pool);
    }
    pool->free = page->next;
    pool->count--;
    *page = (struct nd_page){.cap = page->cap, .home = pool};
    return page;
}

void nd_page_pool_fini(struct nd_page_pool *pool)
{
    free_pages(pool->free);
    free_pages(atomic_load(&pool->returned));
}

void nd_page_free(struct nd_page *page)
{
    struct nd_page_pool *home = page->home;
    if (home == NULL) {
        free(page);
        return;
    }
    page->next = atomic_load_explicit(&home->returned, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&home->returned, &page->next, page,
                                                  memory_order_release,
                                                  memory_order_relaxed)) {
    }
}

/* The first page of a batch is small, for a lone parcel is the common case; a large one
 * is used again, unless the parcel is larger still. */
static struct nd_page *page_for(const struct nd_outbox *outbox, size_t size)
{
    size_t head = sizeof(struct nd_page);
    if (outbox->last == NULL && size <= FIRST_PAGE - head) {
        return page_new(FIRST_PAGE - head, NULL);
    }
    if (outbox->pool != NULL && size <= NEXT_PAGE - head) {
        return pool_take(outbox->pool);
    }
    return page_new(ND_MAX(size, NEXT_PAGE - head), NULL);
}

/* ---- parcels ---- */

void *nd_outbox_push(struct nd_outbox *outbox, uint32_t kind, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    struct nd_page *page = outbox->last;
    if (page == NULL || page->cap - page->used < size) {
        page = page_for(outbox, size);
        if (page == NULL) {
            return NULL;
        }
        *(outbox->last != NULL ? &outbox->last->next : &outbox->first) = page;
        outbox->last = page;
    }
    struct nd_parcel *parcel = (void *)((char *)page->data + page->used);
    parcel->size = (uint32_t)size;
    parcel->kind = kind;
    page->used += (uint32_t)size;
    page->weight += size;
    outbox->weight += size;
    return parcel;
}

void nd_outbox_close_room(struct nd_outbox *outbox)
{
    if (outbox->chunk != NULL) {
        nd_blob_release(outbox->chunk);
        outbox->chunk = NULL;
    }
}

uint8_t *nd_outbox_room(struct nd_outbox *outbox, struct nd_pool *pool, size_t len)
{
    if (outbox->chunk == NULL || outbox->chunk->cap - outbox->fill < len) {
        nd_outbox_close_room(outbox);
        outbox->chunk = nd_pool_take(pool, false);
        outbox->fill = 0;
    }
    return outbox->chunk != NULL ? outbox->chunk->data + outbox->fill : NULL;
}

struct nd_blob *nd_outbox_take_room(struct nd_outbox *outbox, size_t len)
{
    outbox->fill += (uint32_t)len;
    nd_outbox_weigh(outbox, len);
    nd_blob_retain(outbox->chunk);
    return outbox->chunk;
}

void nd_outbox_post(struct nd_outbox *outbox, struct nd_inbox *inbox)
{
    if (outbox->first == NULL) {
        return;
    }
    nd_outbox_close_room(outbox);
    atomic_fetch_add_explicit(&inbox->weight, outbox->weight, memory_order_relaxed);
    nd_mutex_lock(&inbox->mutex);
    *(inbox->last != NULL ? &inbox->last->next : &inbox->first) = outbox->first;
    inbox->last = outbox->last;
    /* Sequentially consistent against nd_inbox_doze: either we see it asleep, or it
     * sees our mail. */
    atomic_store(&inbox->has_mail, true);
    nd_mutex_unlock(&inbox->mutex);
    if (atomic_load(&inbox->is_asleep) && atomic_exchange(&inbox->is_asleep, false)) {
        nd_bell_ring(&inbox->bell);
    }
    outbox->first = outbox->last = NULL;
    outbox->weight = 0;
}

struct nd_page *nd_inbox_take(struct nd_inbox *inbox)
{
    nd_mutex_lock(&inbox->mutex);
    struct nd_page *pages = inbox->first;
    inbox->first = inbox->last = NULL;
    atomic_store_explicit(&inbox->has_mail, false, memory_order_relaxed);
    nd_mutex_unlock(&inbox->mutex);
    uint64_t weight = 0;
    for (struct nd_page *page = pages; page != NULL; page = page->next) {
        weight += page->weight;
    }
    atomic_fetch_sub_explicit(&inbox->weight, weight, memory_order_relaxed);
    return pages;
}

bool nd_inbox_doze(struct nd_inbox *inbox)
{
    atomic_store(&inbox->is_asleep, true);
    if (!atomic_load(&inbox->has_mail)) {
        return true;
    }
    nd_inbox_wake(inbox);
    return false;
}

void nd_inbox_wake(struct nd_inbox *inbox)
{
    atomic_store_explicit(&inbox->is_asleep, false, memory_order_relaxed);
}
