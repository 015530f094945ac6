/* The parser and the subjects, as the tests see them. */

enum nd_op_kind {
    ND_OP_PUB,
    ND_OP_HPUB,
    ND_OP_SUB,
    ND_OP_UNSUB,
    ND_OP_PING,
    ND_OP_PONG,
    ND_OP_CONNECT,
    ND_OP_INFO,
    ND_OP_OK,
    ND_OP_ERR,
};

struct nd_op {
    enum nd_op_kind kind;
    struct nd_slice arg;
    struct nd_slice subject;
    struct nd_slice reply;
    struct nd_slice queue;
    struct nd_slice sid;
    uint64_t size;
    uint64_t header_size;
    uint64_t max;
    struct nd_slice tail;
    size_t error_at;
};

enum nd_parse_error {
    ND_PARSE_VERB = -1,
    ND_PARSE_ARGS = -2,
    ND_PARSE_SIZE = -3,
    ND_PARSE_LINE = -4,
};

struct nd_parse_limits {
    uint32_t line;
    uint32_t connect;
};

int nd_parse(const uint8_t *input, size_t len, const struct nd_parse_limits *limits,
             struct nd_op *op);

bool nd_subject_is_subscribable(struct nd_slice subject);
bool nd_subject_is_publishable(struct nd_slice subject);
bool nd_subject_has_wildcard(struct nd_slice subject);
bool nd_subject_next(struct nd_slice *rest, bool *more, struct nd_slice *token);

uint64_t nd_scan(const uint8_t *bytes);
uint64_t nd_scan_portable(const uint8_t *bytes);
