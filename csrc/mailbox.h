/* mailbox -- how reactors, and Python's threads, talk to a reactor.
 *
 * Anyone may post; only the owner collects. Parcels are written into pages that the
 * sender fills alone; a post moves all pages of a batch under one short lock and rings
 * the bell only if the owner may be asleep, so a busy reactor is not woken for work
 * that it is about to find anyway. Batches from one sender keep their order. The owner
 * also collects before it acts on PING, SUB, UNSUB or a close: a client that was told
 * of a publish by its PONG may count on finding it delivered.
 *
 * Pages go back to the reactor that filled them and are filled again: a steady flow
 * between reactors allocates nothing. Bytes that are to go on as they are lie beside the
 * pages, in chunks that the parcels hold; a chunk takes no more once it is posted.
 *
 *   outbox (one for each pair)            inbox (one for each reactor)
 *   [page: parcel parcel parcel] -+-post-> [page][page][page] -take-> the owner
 *   [page: parcel ...          ] -+
 */
#ifndef ND_MAILBOX_H
#define ND_MAILBOX_H

#include <stdatomic.h>

#include "mem.h"
#include "nd.h"
#include "sub.h"
#include "sys.h"

struct nd_parcel { /* the head of each; what follows depends on the kind */
    uint32_t size; /* bytes to the next one, this head included; a multiple of 8 */
    uint32_t kind; /* enum nd_mail, of the layer above */
};

/* Pages of one size that a reactor has to fill. The list is its own thread's; anyone
 * may put a page back. */
struct nd_page_pool {
    struct nd_page *free;
    uint32_t count; /* in it */
    _Alignas(64) _Atomic(struct nd_page *) returned;
};

struct nd_page {
    struct nd_page *next;
    struct nd_page_pool *home; /* NULL = the heap */
    uint32_t used, cap;        /* bytes of data */
    uint64_t weight;           /* bytes, with what its parcels hold by reference */
    uint64_t data[];           /* so that parcels are aligned */
};

struct nd_outbox {
    struct nd_page *first, *last;
    uint64_t weight;           /* bytes since the last post, as of pages */
    struct nd_page_pool *pool; /* of its sender; NULL = all pages from the heap */
    struct nd_blob *chunk;     /* the one being filled for parcels to hold, or NULL */
    uint32_t fill;             /* bytes used of it */
};

struct nd_inbox {
    nd_mutex mutex;
    struct nd_page *first, *last; /* under the mutex */
    _Atomic bool has_mail;        /* one look tells */
    _Atomic bool is_asleep;       /* the owner is, or is about to be, in its poller */
    _Atomic uint64_t weight;      /* bytes posted and not yet taken */
    struct nd_gate *gate;         /* heavy when too much lies here */
    struct nd_bell bell;
};

int nd_inbox_init(struct nd_inbox *inbox);
void nd_inbox_fini(struct nd_inbox *inbox); /* empty by now */

/* Room for a parcel of *size* bytes, head included and filled; NULL = no memory. */
void *nd_outbox_push(struct nd_outbox *outbox, uint32_t kind, size_t size);

/* The parcel just pushed also holds *bytes* by reference. */
static inline void nd_outbox_weigh(struct nd_outbox *outbox, uint64_t bytes)
{
    outbox->last->weight += bytes;
    outbox->weight += bytes;
}

/* Where *len* bytes, at most a chunk, may be written; NULL = no memory. The parcel that
 * is pushed then takes those it wrote, with a reference to their blob. */
uint8_t *nd_outbox_room(struct nd_outbox *outbox, struct nd_pool *pool, size_t len);
struct nd_blob *nd_outbox_take_room(struct nd_outbox *outbox, size_t len);
void nd_outbox_close_room(struct nd_outbox *outbox); /* a post does that, too */

void nd_page_pool_fini(struct nd_page_pool *pool); /* no page is out any more */

/* Moves everything; the outbox is empty afterwards. */
void nd_outbox_post(struct nd_outbox *outbox, struct nd_inbox *inbox);

static inline bool nd_inbox_has_mail(const struct nd_inbox *inbox)
{
    return atomic_load_explicit(&inbox->has_mail, memory_order_acquire);
}

/* Takes all pages, oldest first; the caller frees each with nd_page_free. */
struct nd_page *nd_inbox_take(struct nd_inbox *inbox);
void nd_page_free(struct nd_page *page); /* or back to the pool that it is from */

/* The owner is about to wait; false: mail has come meanwhile, do not. */
bool nd_inbox_doze(struct nd_inbox *inbox);
void nd_inbox_wake(struct nd_inbox *inbox); /* the owner is back */

/* for (parcel = first(page); parcel != NULL; parcel = next(page, parcel)) */
static inline struct nd_parcel *nd_page_at(struct nd_page *page, size_t at)
{
    return at < page->used ? (struct nd_parcel *)(void *)((char *)page->data + at)
                           : NULL;
}

static inline struct nd_parcel *nd_page_next(struct nd_page *page,
                                             struct nd_parcel *parcel)
{
    return nd_page_at(page,
                      (size_t)((char *)parcel - (char *)page->data) + parcel->size);
}

#endif
