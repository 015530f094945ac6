/* What the files of burst share. */
#ifndef ND_BURST_OWN_H
#define ND_BURST_OWN_H

#include "burst.h"
#include "deliver_own.h"

enum { ND_HEAD_SHORT = 64 }; /* bytes of "MSG subject sid" that are copied at one go */

struct nd_burst_head { /* "MSG subject sid" */
    size_t len;
    bool is_short;
    uint8_t few[ND_HEAD_SHORT]; /* all of it, if it is short */
};

void nd_burst__render_head(struct nd_burst_head *head, const struct nd_match *match,
                           const struct nd_sub *sub);

/* Copies items from *i on to *at*, each behind the short *head*, for as long as there is
 * *room*; returns the bytes, and in *i where it stopped. The head is written whole,
 * beyond its end: the rest comes over that. */
size_t nd_burst__fill(uint8_t *at, size_t room, const struct nd_burst *burst,
                      uint32_t *i, const struct nd_burst_head *head);

/* Nothing that has to be looked at between two messages, and room for *bytes*? */
bool nd_burst__is_plain(const struct nd_burst *burst, const struct nd_sub *sub,
                        uint64_t bytes);

/* *sub* was given all of it. */
void nd_burst__account(struct nd_reactor *reactor, const struct nd_burst *burst,
                       struct nd_sub *sub);
void nd_burst__refuse(struct nd_conn *to); /* no memory to give it any */

/* To everyone on this reactor; returns the deliveries. */
uint32_t nd_burst__serve_slice(struct nd_reactor *reactor,
                               const struct nd_burst *burst);

/* To the others, by mail; returns the parcels. */
uint32_t nd_burst__send_slices(struct nd_reactor *reactor,
                               const struct nd_burst *burst);

#endif
