#include "rights.h"

#include <stdlib.h>

#include "change.h"
#include "reactor.h"
#include "recheck.h"

enum {
    QUOTED = 256 /* bytes of a name in a log line */
};

struct nd_changes {
    struct nd_changes *next; /* an older one */
    uint64_t until_ms;       /* remembered so long */
    uint32_t count;
    struct nd_regrant items[]; /* by grant; one reference to each permits */
};

/* ---- texts ---- */

/* Moves as much of *text as fits to *to*, on one line and ready for double quotes; what
 * is beyond ASCII stays as it is. Returns how many bytes it wrote. */
static size_t escape(char *to, size_t cap, struct nd_slice *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0, i = 0;
    for (; i < text->len && at + 4 <= cap; i++) {
        uint8_t c = text->ptr[i];
        if (c < 0x20 || c == 0x7f) {
            to[at++] = '\\';
            to[at++] = 'x';
            to[at++] = digits[c >> 4];
            to[at++] = digits[c & 15];
        } else {
            if (c == '"' || c == '\\') {
                to[at++] = '\\';
            }
            to[at++] = (char)c;
        }
    }
    *text = nd_slice(text->ptr + i, text->len - i);
    return at;
}

struct quoted { /* for a log line; what is too long is cut */
    char text[QUOTED];
};

static struct quoted quoted(struct nd_slice text)
{
    struct quoted result;
    size_t len = escape(result.text + 1, sizeof(result.text) - 3, &text);
    result.text[0] = result.text[len + 1] = '"';
    result.text[len + 2] = '\0';
    return result;
}

static void reply_quoted(struct nd_conn *conn, struct nd_slice text)
{
    char piece[QUOTED];
    nd_conn_reply(conn, ND_LIT("\""));
    while (text.len > 0) {
        size_t len = escape(piece, sizeof(piece), &text);
        nd_conn_reply(conn, nd_slice(piece, len));
    }
    nd_conn_reply(conn, ND_LIT("\""));
}

/* ---- checks ---- */

static struct quoted user_of(const struct nd_conn *conn)
{
    return quoted(nd_permits_name(conn->rights.permits));
}

void nd_rights_refuse_publish(struct nd_conn *conn, struct nd_slice subject)
{
    nd_conn_log(conn, ND_LEVEL_ERROR, "Publish Violation - User %s, Subject %s",
                user_of(conn).text, quoted(subject).text);
    nd_conn_reply(conn, ND_LIT("-ERR 'Permissions Violation for Publish to "));
    reply_quoted(conn, subject);
    nd_conn_reply(conn, ND_LIT("'\r\n"));
}

static void refuse_subscribe(struct nd_conn *conn, struct nd_slice subject,
                             struct nd_slice queue, struct nd_slice sid)
{
    bool is_member = queue.len > 0;
    nd_conn_log(conn, ND_LEVEL_ERROR,
                "Subscription Violation - User %s, Subject %s%s%s, SID %.*s",
                user_of(conn).text, quoted(subject).text, is_member ? ", Queue: " : "",
                is_member ? quoted(queue).text : "", (int)ND_MIN(sid.len, (size_t)64),
                (const char *)sid.ptr);
    nd_conn_reply(conn, ND_LIT("-ERR 'Permissions Violation for Subscription to "));
    reply_quoted(conn, subject);
    if (is_member) {
        nd_conn_reply(conn, ND_LIT(" using queue "));
        reply_quoted(conn, queue);
    }
    nd_conn_reply(conn, ND_LIT("'\r\n"));
}

bool nd_rights_may_subscribe(struct nd_conn *conn, struct nd_slice subject,
                             struct nd_slice queue, struct nd_slice sid)
{
    if (nd_permits_may_subscribe(conn->rights.permits, subject, queue)) {
        return true;
    }
    refuse_subscribe(conn, subject, queue, sid);
    return false;
}

struct nd_permits *nd_rights_filter(const struct nd_conn *conn, struct nd_slice subject,
                                    struct nd_slice queue)
{
    struct nd_permits *permits = conn->rights.permits;
    return nd_permits_must_filter(permits, subject, queue) ? permits : NULL;
}

/* ---- changes ---- */

static void take_permits(struct nd_conn *conn, struct nd_permits *permits)
{
    struct nd_permits *old = conn->rights.permits;
    nd_permits_retain(permits);
    conn->rights.permits = permits;
    if (!nd_permits_subscribe_alike(old, permits)) {
        nd_recheck_begin(conn);
    }
    nd_permits_release(old);
}

static int compare_grants(const void *left, const void *right)
{
    const struct nd_regrant *a = left, *b = right;
    return (a->grant > b->grant) - (a->grant < b->grant);
}

struct nd_changes *nd_changes_new(const struct nd_regrant *items, uint32_t count)
{
    struct nd_changes *changes = malloc(sizeof(*changes) + count * sizeof(*items));
    if (changes == NULL) {
        return NULL;
    }
    *changes = (struct nd_changes){.count = count};
    for (uint32_t i = 0; i < count; i++) {
        changes->items[i] = items[i];
        nd_permits_retain(items[i].permits);
    }
    qsort(changes->items, count, sizeof(*items), compare_grants);
    return changes;
}

void nd_changes_free(struct nd_changes *changes)
{
    while (changes != NULL) {
        struct nd_changes *next = changes->next;
        for (uint32_t i = 0; i < changes->count; i++) {
            nd_permits_release(changes->items[i].permits);
        }
        free(changes);
        changes = next;
    }
}

static const struct nd_regrant *find_in(const struct nd_changes *changes,
                                        uint64_t grant)
{
    struct nd_regrant wanted = {.grant = grant};
    return bsearch(&wanted, changes->items, changes->count, sizeof(wanted),
                   compare_grants);
}

static void forget_old(struct nd_reactor *reactor)
{
    struct nd_changes **at = &reactor->changes;
    while (*at != NULL && (*at)->until_ms > reactor->now_ms) {
        at = &(*at)->next;
    }
    nd_changes_free(*at);
    *at = NULL;
}

/* The last word on *grant*, among what is remembered; NULL = none. */
static const struct nd_regrant *find_change(struct nd_reactor *reactor, uint64_t grant)
{
    const struct nd_regrant *found = NULL;
    forget_old(reactor);
    for (const struct nd_changes *changes = reactor->changes;
         changes != NULL && found == NULL; changes = changes->next) {
        found = find_in(changes, grant);
    }
    return found;
}

static void send_away(struct nd_conn *conn)
{
    nd_conn_log(conn, ND_LEVEL_ERROR, "Authorization Error");
    nd_conn_fail(conn, ND_LIT("Authorization Violation"));
}

bool nd_rights_take(struct nd_conn *conn, struct nd_rights *rights)
{
    const struct nd_regrant *change = find_change(conn->owner, rights->grant);
    if (change != NULL && change->is_revoked) {
        send_away(conn);
        return false;
    }
    if (change != NULL) {
        rights->permits = change->permits;
    }
    conn->rights.grant = rights->grant;
    take_permits(conn, rights->permits);
    return nd_conn_is_alive(conn);
}

void nd_rights_renew(struct nd_conn *conn)
{
    const struct nd_regrant *change = NULL;
    if (conn->is_known) {
        change = find_change(conn->owner, conn->rights.grant);
    }
    if (change != NULL && change->is_revoked) {
        send_away(conn);
    } else if (change != NULL) {
        take_permits(conn, change->permits);
    }
}

void nd_rights_change(struct nd_reactor *reactor, struct nd_changes *changes)
{
    forget_old(reactor);
    changes->until_ms = reactor->now_ms + ND_REGRANT_MS;
    changes->next = reactor->changes;
    reactor->changes = changes;
    nd_memo_fini(&reactor->memo); /* it would admit as before */
    nd_change_begin_round(reactor);
}
