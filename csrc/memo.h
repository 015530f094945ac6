/* memo -- what Python has decided about a CONNECT, for those who say the same.
 *
 * The clients of one program send the same CONNECT to the letter. Where Python says that
 * its decision hangs on nothing but that text, the reactor admits the next one by
 * itself: no event, no interpreter lock, no mail back. Few entries, of bounded size, the
 * oldest of which makes room; so a stranger can fill it, and gains nothing. Belongs to a
 * reactor; its thread only.
 */
#ifndef ND_MEMO_H
#define ND_MEMO_H

#include "hash.h"
#include "mem.h"
#include "nd.h"
#include "rights.h"

enum {
    ND_MEMO_ENTRIES = 16,      /* count */
    ND_MEMO_TEXT = 1 * ND_KIB, /* bytes of a CONNECT that is remembered, at most */
};

struct nd_memo_entry {
    uint64_t hash;           /* of the text */
    struct nd_blob *text;    /* the argument of CONNECT; NULL = empty */
    struct nd_blob *note;    /* what Python leaves with such a client */
    uint32_t options;        /* bits of enum nd_connect_option */
    struct nd_rights rights; /* one reference to its permits */
};

struct nd_memo {
    struct nd_memo_entry entries[ND_MEMO_ENTRIES];
    uint32_t next; /* to be replaced */
};

/* Borrowed until the next put; NULL = not known. */
const struct nd_memo_entry *nd_memo_find(const struct nd_memo *memo,
                                         const struct nd_hash_key *key,
                                         struct nd_slice text);

/* Retains *note* and the permits. Without memory, or if the text is long, nothing is
 * remembered. */
void nd_memo_put(struct nd_memo *memo, const struct nd_hash_key *key,
                 struct nd_slice text, struct nd_blob *note, uint32_t options,
                 struct nd_rights rights);
void nd_memo_fini(struct nd_memo *memo); /* empty afterwards, and as good as new */

#endif
