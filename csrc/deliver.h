/* deliver -- one message to everyone who wants it.
 *
 * The publisher's reactor serves its own slice of the match at once, and sends every
 * other reactor with subscribers one parcel: the match retained, the bytes once. A
 * queue group has one member picked here, at random; an owner that finds its member
 * gone meanwhile picks again.
 *
 * What a subscriber gets is  prefix sid rest  where
 *
 *   prefix  "MSG subject "                    from the match
 *   rest    " [reply ]size\r\npayload\r\n"    nearly always just as it was received:
 *                                             one copy out of the read buffer
 */
#ifndef ND_DELIVER_H
#define ND_DELIVER_H

#include "mem.h"
#include "nd.h"

struct nd_conn;
struct nd_match;
struct nd_parcel;
struct nd_reactor;

struct nd_msg {
    struct nd_slice line; /* " [reply ][header_size ]size\r\n" */
    struct nd_slice body; /* header block, payload, CR LF */
    struct nd_blob *blob; /* what body lies in, if that can be held; borrowed */
    uint32_t reply_len;   /* the reply begins one byte into line */
    uint32_t header_size; /* HPUB: bytes of the header block, may be 0 */
    bool has_header;      /* HPUB */
    bool is_joined;       /* body follows line in memory */
    bool is_echoed;       /* the publisher wants its own */
};

/* To everyone in *match*, which this reactor's cache has just lent. Returns how many
 * subscriptions (a queue group counts once) it went to, or ND_ENOMEM, which is the
 * publisher's misfortune. *from* is the publisher, of this reactor. */
int64_t nd_deliver(struct nd_reactor *reactor, struct nd_conn *from,
                   const struct nd_msg *msg, struct nd_match *match);

/* Tells the publisher, on its subscription to *reply*, that nobody is there. */
void nd_deliver_no_responders(struct nd_reactor *reactor, struct nd_conn *from,
                              struct nd_slice reply);

/* A parcel from another reactor: serves our slice, or our member of the group. */
void nd_deliver_mail(struct nd_reactor *reactor, struct nd_parcel *parcel);

void nd_deliver_dispose(struct nd_parcel *parcel); /* a parcel that is not served */

#endif
