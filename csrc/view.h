/* view -- the bytes of one message as one kind of subscriber gets them.
 *
 *   MSG subject  sid   reply size\r\npayload\r\n
 *   |- prefix -|-sid-|------- rest (line, body) -----|
 *
 * A message has a full view and, if it has a header block, a bare one for those who do
 * not know of headers. Putting a view into an output buffer is the copy that nearly
 * every delivery consists of: three runs of bytes.
 */
#ifndef ND_VIEW_H
#define ND_VIEW_H

#include "deliver.h"
#include "match.h"
#include "nd.h"
#include "outbuf.h"
#include "sub.h"

struct nd_view {
    struct nd_slice prefix; /* "MSG subject " */
    struct nd_slice line, body;
    struct nd_slice rest; /* line and body in one piece, if they are and are small */
    struct nd_blob *blob; /* what body lies in, if it is large; borrowed */
    uint64_t size;        /* of the payload, header block included */
    bool is_headed;       /* HMSG */
};

/* Points into *msg* and *match*. */
void nd_view_full(struct nd_view *view, const struct nd_msg *msg,
                  const struct nd_match *match);

/* The same without the header block; the control line is printed to *line*. */
void nd_view_bare(struct nd_view *view, const struct nd_view *full,
                  const struct nd_msg *msg, uint8_t *line);

int nd_view_put(const struct nd_view *view, struct nd_outbuf *out, struct nd_pool *pool,
                const struct nd_sub *sub);

#endif
