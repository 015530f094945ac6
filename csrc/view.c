#include "view.h"

#include "copy.h"
#include "digits.h"

void nd_view_full(struct nd_view *view, const struct nd_msg *msg,
                  const struct nd_match *match)
{
    bool is_large = msg->body.len >= ND_SHARE_MIN && msg->blob != NULL;
    size_t rest = msg->is_joined && !is_large ? msg->line.len + msg->body.len : 0;
    *view = (struct nd_view){
        .prefix = match->prefix,
        .line = msg->line,
        .body = msg->body,
        .rest = nd_slice(msg->line.ptr, rest),
        .blob = is_large ? msg->blob : NULL,
        .size = msg->body.len - 2,
        .is_headed = msg->has_header && msg->header_size > 0,
    };
}

void nd_view_bare(struct nd_view *view, const struct nd_view *full,
                  const struct nd_msg *msg, uint8_t *line)
{
    uint64_t size = full->size - msg->header_size;
    size_t reply = msg->reply_len > 0 ? msg->reply_len + 1 : 0;
    memcpy(line, msg->line.ptr, reply);
    uint8_t *at = line + reply;
    *at++ = ' ';
    at = nd_digits_put(at, size);
    *at++ = '\r';
    *at++ = '\n';
    *view = *full;
    view->is_headed = false;
    view->line = nd_slice(line, (size_t)(at - line));
    view->body.ptr += msg->header_size;
    view->body.len -= msg->header_size;
    view->rest.len = 0;
    view->size = size;
    if (view->body.len < full->body.len / 2) {
        view->blob = NULL; /* copied: what is held is about what is counted as owed */
    }
}

static int put_pieces(const struct nd_view *view, struct nd_outbuf *out,
                      struct nd_pool *pool, const struct nd_sub *sub)
{
    struct nd_slice head = nd_slice("H", view->is_headed ? 1 : 0);
    struct nd_slice pieces[] = {head, view->prefix, nd_sub_sid(sub), view->line};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        int rc = nd_outbuf_append(out, pool, pieces[i]);
        if (rc != ND_OK) {
            return rc;
        }
    }
    return view->blob != NULL ? nd_outbuf_append_ref(out, view->blob, view->body)
                              : nd_outbuf_append(out, pool, view->body);
}

static inline void copy_sid(uint8_t *to, const struct nd_sub *sub)
{
    if (sub->sid_len == 1) {
        *to = sub->text[0];
    } else {
        memcpy(to, sub->text, sub->sid_len);
    }
}

int nd_view_put(const struct nd_view *view, struct nd_outbuf *out, struct nd_pool *pool,
                const struct nd_sub *sub)
{
    size_t len = view->prefix.len + sub->sid_len + view->rest.len + view->is_headed;
    uint8_t *at = nd_outbuf_room(out, len);
    if (nd_unlikely(at == NULL || view->rest.len == 0)) {
        return put_pieces(view, out, pool, sub);
    }
    *at = 'H';
    at += view->is_headed;
    nd_copy(at, view->prefix.ptr, view->prefix.len);
    at += view->prefix.len;
    copy_sid(at, sub);
    nd_copy(at + sub->sid_len, view->rest.ptr, view->rest.len);
    nd_outbuf_commit(out, len);
    return ND_OK;
}
