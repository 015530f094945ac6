#include "mailbox.h"

#include <stdlib.h>

enum { FIRST_PAGE = 2 * ND_KIB, NEXT_PAGE = 32 * ND_KIB }; /* bytes */

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

void *nd_outbox_push(struct nd_outbox *outbox, uint32_t kind, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    struct nd_page *page = outbox->last;
    if (page == NULL || page->cap - page->used < size) {
        /* The first page of a batch is small: a lone parcel is the common case. */
        size_t room = page == NULL ? FIRST_PAGE : NEXT_PAGE;
        size_t cap = ND_MAX(size, room - sizeof(*page));
        page = malloc(sizeof(*page) + cap);
        if (page == NULL) {
            return NULL;
        }
        *page = (struct nd_page){.cap = (uint32_t)cap};
        *(outbox->last != NULL ? &outbox->last->next : &outbox->first) = page;
        outbox->last = page;
    }
    struct nd_parcel *parcel = (void *)((char *)page->data + page->used);
    parcel->size = (uint32_t)size;
    parcel->kind = kind;
    page->used += (uint32_t)size;
    page->weight += size;
    return parcel;
}

void nd_outbox_post(struct nd_outbox *outbox, struct nd_inbox *inbox)
{
    uint64_t weight = 0;
    for (struct nd_page *page = outbox->first; page != NULL; page = page->next) {
        weight += page->weight;
    }
    if (outbox->first == NULL) {
        return;
    }
    atomic_fetch_add_explicit(&inbox->weight, weight, memory_order_relaxed);
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
    *outbox = (struct nd_outbox){0};
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

void nd_page_free(struct nd_page *page)
{
    free(page);
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
