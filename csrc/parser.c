/* parser -- see parser.h.
 *
 * Two ways through: publish_fast takes the PUB and HPUB that real clients send, with
 * one wide look at the line; parse_line takes every line. What the first one accepts,
 * the second accepts with the same result; what the first one declines, for whatever
 * reason, goes to the second, so that only one place knows about errors.
 */
#include "parser.h"

#include "scan.h"

enum { PARTS_MAX = 4 };

/* Results of read_number beside the plain numbers, which are below NUMBER_HUGE. */
#define NUMBER_HUGE ((uint64_t)1 << 63) /* this or more: digits for 2^63 or more */
#define NUMBER_NONE UINT64_MAX          /* not digits */

struct verb {
    char name[8]; /* lower case, with its NUL */
    enum nd_op_kind kind;
    bool needs_blank;
    bool is_long;   /* limits->connect applies */
    unsigned least; /* arguments */
    unsigned most;  /* 0 = the line is not split */
};

static const struct verb verbs[] = {
    {"pub", ND_OP_PUB, true, false, 2, 3},
    {"hpub", ND_OP_HPUB, true, false, 3, 4},
    {"sub", ND_OP_SUB, true, false, 2, 3},
    {"unsub", ND_OP_UNSUB, true, false, 1, 2},
    {"ping", ND_OP_PING, false, false, 0, 0},
    {"pong", ND_OP_PONG, false, false, 0, 0},
    {"connect", ND_OP_CONNECT, false, true, 0, 0},
    {"info", ND_OP_INFO, false, true, 0, 0},
    {"+ok", ND_OP_OK, false, false, 0, 0},
    {"-err", ND_OP_ERR, true, false, 0, 0},
};

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static uint8_t to_lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static inline uint64_t read_number(struct nd_slice text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = text.ptr[i] - (unsigned)'0';
        if (digit > 9)
            return NUMBER_NONE;
        if (number <= NUMBER_HUGE / 10)
            number = number * 10 + digit;
        else
            number = NUMBER_HUGE;
    }
    return number;
}

static inline bool has_leading_zero(struct nd_slice text)
{
    return text.ptr[0] == '0' && text.len > 1;
}

/* What a PUB or HPUB says, word by word. */
struct publish {
    struct nd_slice subject;
    struct nd_slice reply;  /* empty = none */
    struct nd_slice header; /* the size of the header; HPUB alone */
    struct nd_slice size;
    struct nd_slice tail; /* the rest of the line, if its blanks are as they must be */
};

static inline int take_publish(struct nd_op *op, const struct publish *said)
{
    bool has_header = said->header.len > 0;
    uint64_t size = read_number(said->size);
    uint64_t header_size = has_header ? read_number(said->header) : 0;
    if (size >= NUMBER_HUGE || header_size > size)
        return ND_PARSE_SIZE;
    bool is_plain = !has_leading_zero(said->size) &&
                    !(has_header && has_leading_zero(said->header));
    op->subject = said->subject;
    op->reply = said->reply;
    op->size = size;
    op->header_size = header_size;
    op->tail = is_plain ? said->tail : nd_slice(NULL, 0);
    return ND_OK;
}

/* ---- the fast way ---- */

struct cursor {
    const uint8_t *line;
    uint64_t ends; /* of words not taken yet: a bit for each */
    size_t from;   /* where the next word begins */
};

/* False if the word is empty or has no end within the scan. */
static inline bool take_word(struct cursor *cursor, struct nd_slice *word)
{
    if (cursor->ends == 0)
        return false;
    size_t end = (size_t)__builtin_ctzll(cursor->ends);
    cursor->ends &= cursor->ends - 1;
    *word = nd_slice(cursor->line + cursor->from, end - cursor->from);
    cursor->from = end + 1;
    return word->len > 0;
}

static inline bool is_after(const struct cursor *cursor, uint8_t byte)
{
    return cursor->line[cursor->from - 1] == byte;
}

/* One line whose words stand within a single scan, parted by one space each, behind a
 * verb of *start* bytes (its blank included). 0 = declined. Always inlined, because as
 * a call it costs a third more with clang. */
static inline __attribute__((always_inline)) int
publish_words(const uint8_t *input, size_t start, enum nd_op_kind kind, uint32_t limit,
              struct nd_op *op)
{
    const uint8_t *line = input + start;
    struct cursor cursor = {line, nd_scan(line), 0};
    struct publish said = {0};
    if (!take_word(&cursor, &said.subject) || !is_after(&cursor, ' ') ||
        !take_word(&cursor, &said.size))
        return 0;
    if (kind == ND_OP_HPUB) {
        said.header = said.size;
        if (!is_after(&cursor, ' ') || !take_word(&cursor, &said.size))
            return 0;
    }
    if (is_after(&cursor, ' ')) {
        said.reply = kind == ND_OP_HPUB ? said.header : said.size;
        said.header = kind == ND_OP_HPUB ? said.size : said.header;
        if (!take_word(&cursor, &said.size))
            return 0;
    }
    size_t end = cursor.from;
    if (line[end - 1] != '\r' || line[end] != '\n' || end - 1 > limit)
        return 0;
    said.tail = nd_slice(line + said.subject.len, end + 1 - said.subject.len);
    op->kind = kind;
    op->arg = nd_slice(line, end - 1);
    return take_publish(op, &said) ? 0 : (int)(start + end + 1);
}

static inline uint32_t load_four(const void *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline int publish_fast(const uint8_t *input, size_t len, uint32_t limit,
                               struct nd_op *op)
{
    enum { VERB_MAX = 5 };
    if (len <= VERB_MAX + ND_SCAN_SIZE)
        return 0;
    uint32_t word = load_four(input);
    if ((word | load_four("\x20\x20\x20")) == load_four("pub "))
        return publish_words(input, 4, ND_OP_PUB, limit, op);
    if ((word | load_four("\x20\x20\x20\x20")) == load_four("hpub") && input[4] == ' ')
        return publish_words(input, 5, ND_OP_HPUB, limit, op);
    return 0;
}

/* ---- the general way ---- */

/* The verb at the start of the input, or NULL; *seen: how many bytes fit some verb. */
static const struct verb *find_verb(const uint8_t *input, size_t len, size_t *seen)
{
    *seen = 0;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        const char *name = verbs[i].name;
        size_t same = 0;
        while (name[same] && same < len && to_lower(input[same]) == name[same])
            same++;
        *seen = ND_MAX(*seen, same);
        if (!name[same])
            return &verbs[i];
    }
    return NULL;
}

static int fail(struct nd_op *op, enum nd_parse_error error, size_t at)
{
    op->error_at = at;
    return error;
}

/* Looks for the LF of a line whose argument bytes begin at *start*. Returns 1 and its
 * place in *at; 0 = not yet here; or ND_PARSE_LINE and the first byte too many in *at.
 */
static int find_line_end(const uint8_t *input, size_t len, size_t start, size_t limit,
                         size_t *at)
{
    size_t room = ND_MIN(len - start, limit + 2);
    const uint8_t *found = memchr(input + start, '\n', room);
    size_t past = found ? (size_t)(found - input) : start + room;
    *at = start + limit;
    if (past > *at && input[*at] == '\r') /* that one may belong to the line's end */
        ++*at;
    if (past > *at)
        return ND_PARSE_LINE;
    *at = past;
    return found != NULL;
}

/* Splits at blanks, into *room* parts at most; returns how many there are. */
static unsigned split(struct nd_slice text, struct nd_slice *parts, unsigned room)
{
    unsigned count = 0;
    size_t i = 0;
    while (count < room) {
        while (i < text.len && is_blank(text.ptr[i]))
            i++;
        if (i == text.len)
            break;
        size_t from = i;
        while (i < text.len && !is_blank(text.ptr[i]))
            i++;
        parts[count++] = nd_slice(text.ptr + from, i - from);
    }
    return count;
}

/* The rest of the line after its first part; empty unless single spaces part the words
 * and CR LF follows the last one. */
static struct nd_slice find_tail(const struct nd_slice *parts, unsigned count)
{
    const uint8_t *from = parts[0].ptr + parts[0].len;
    const uint8_t *end = from;
    for (unsigned i = 1; i < count; i++) {
        if (*end != ' ' || parts[i].ptr != end + 1)
            return nd_slice(NULL, 0);
        end = parts[i].ptr + parts[i].len;
    }
    if (end[0] != '\r' || end[1] != '\n')
        return nd_slice(NULL, 0);
    return nd_slice(from, (size_t)(end + 2 - from));
}

static int take_publish_parts(struct nd_op *op, const struct nd_slice *parts,
                              unsigned count)
{
    unsigned numbers = op->kind == ND_OP_HPUB ? 2 : 1;
    struct publish said = {
        .subject = parts[0],
        .size = parts[count - 1],
        .tail = find_tail(parts, count),
    };
    if (numbers == 2)
        said.header = parts[count - 2];
    if (count > numbers + 1)
        said.reply = parts[1];
    return take_publish(op, &said);
}

static int take_parts(const struct verb *verb, struct nd_op *op)
{
    struct nd_slice parts[PARTS_MAX + 1] = {{0}};
    unsigned count = split(op->arg, parts, verb->most + 1);
    if (count < verb->least || count > verb->most)
        return ND_PARSE_ARGS;
    switch (verb->kind) {
    case ND_OP_SUB:
        op->subject = parts[0];
        op->sid = parts[count - 1];
        op->queue = count == 3 ? parts[1] : nd_slice(NULL, 0);
        return ND_OK;
    case ND_OP_UNSUB:
        op->sid = parts[0];
        op->max = count == 2 ? read_number(parts[1]) : 0;
        if (op->max == NUMBER_NONE)
            op->max = 0;
        op->max = ND_MIN(op->max, UINT64_MAX / 2);
        return ND_OK;
    default:
        return take_publish_parts(op, parts, count);
    }
}

static int parse_line(const uint8_t *input, size_t len,
                      const struct nd_parse_limits *limits, struct nd_op *op)
{
    *op = (struct nd_op){0};
    size_t at;
    const struct verb *verb = find_verb(input, len, &at);
    if (at == len)
        return 0;
    if (!verb)
        return fail(op, ND_PARSE_VERB, at);
    op->kind = verb->kind;
    bool has_blank = input[at] == ' ' || input[at] == '\t';
    if (verb->needs_blank && !has_blank)
        return fail(op, ND_PARSE_VERB, at);

    size_t start = at + has_blank;
    size_t limit = verb->is_long ? limits->connect : limits->line;
    int rc = find_line_end(input, len, start, limit, &at);
    if (rc == 0)
        return 0;
    size_t end = input[at - 1] == '\r' ? at - 1 : at; /* none stands before start */
    while (start < end && is_blank(input[start]))
        start++;
    op->arg = nd_slice(input + start, end - start);
    if (rc < 0)
        return fail(op, ND_PARSE_LINE, at);
    rc = verb->most ? take_parts(verb, op) : ND_OK;
    return rc ? fail(op, rc, at) : (int)(at + 1);
}

int nd_parse(const uint8_t *input, size_t len, const struct nd_parse_limits *limits,
             struct nd_op *op)
{
    int used = publish_fast(input, len, limits->line, op);
    return used ? used : parse_line(input, len, limits, op);
}
