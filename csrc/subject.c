/* subject -- see subject.h. */
#include "subject.h"

static bool is_char(struct nd_slice token, uint8_t byte)
{
    return token.len == 1 && token.ptr[0] == byte;
}

static bool is_wildcard(struct nd_slice token)
{
    return is_char(token, '*') || is_char(token, '>');
}

bool nd_subject_next(struct nd_slice *rest, bool *more, struct nd_slice *token)
{
    if (!*more)
        return false;
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != '.')
        len++;
    *more = len < rest->len;
    *token = nd_slice(rest->ptr, len);
    if (*more)
        *rest = nd_slice(rest->ptr + len + 1, rest->len - len - 1);
    else
        rest->len = 0;
    return true;
}

bool nd_subject_is_subscribable(struct nd_slice subject)
{
    struct nd_slice token;
    bool more = true;
    while (nd_subject_next(&subject, &more, &token)) {
        if (token.len == 0 || (more && is_char(token, '>')))
            return false;
    }
    return true;
}

bool nd_subject_is_publishable(struct nd_slice subject)
{
    struct nd_slice token;
    bool more = true;
    while (nd_subject_next(&subject, &more, &token)) {
        if (token.len == 0 || is_wildcard(token))
            return false;
    }
    return true;
}

bool nd_subject_has_wildcard(struct nd_slice subject)
{
    struct nd_slice token;
    bool more = true;
    while (nd_subject_next(&subject, &more, &token)) {
        if (is_wildcard(token))
            return true;
    }
    return false;
}
