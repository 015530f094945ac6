/* parser -- from bytes to operations.
 *
 * Pure: no I/O, no allocation, no state between calls, no knowledge of connections.
 * It reads one control line at the start of the input. Results point into the input.
 * The payload of PUB and HPUB is not its business: the caller has op->size and
 * op->header_size and looks after the bytes behind the line.
 *
 * A line that is not complete gives 0 and is offered again, from its first byte, when
 * more has come; a wrong verb and a line that is too long give an error at the first
 * byte that shows it, without waiting for the line to end. Wrong arguments show at the
 * LF.
 */
#ifndef ND_PARSER_H
#define ND_PARSER_H

#include "nd.h"

enum nd_op_kind {
    ND_OP_PUB,
    ND_OP_HPUB,
    ND_OP_SUB,
    ND_OP_UNSUB,
    ND_OP_PING,
    ND_OP_PONG,
    ND_OP_CONNECT,
    ND_OP_INFO,
    ND_OP_OK,  /* "+OK" from a peer: ignored */
    ND_OP_ERR, /* "-ERR text" from a peer */
};

struct nd_op {
    enum nd_op_kind kind;
    struct nd_slice arg;     /* the raw argument: after verb and blanks, before CR LF */
    struct nd_slice subject; /* PUB HPUB SUB */
    struct nd_slice reply;   /* PUB HPUB; empty = none */
    struct nd_slice queue;   /* SUB; empty = plain */
    struct nd_slice sid;     /* SUB UNSUB */
    uint64_t size;           /* PUB: payload. HPUB: header and payload. Below 2^63 */
    uint64_t header_size;    /* HPUB: header block, at most size */
    uint64_t max;            /* UNSUB: 0 = at once */
    /* PUB HPUB: the rest of the line after the subject, CR LF included, if it is
     * spelled just as it must be sent on (" [reply ][header_size ]size\r\n", one blank
     * each, no leading zeros); otherwise empty. Lets deliver.c copy it instead of
     * printing it. */
    struct nd_slice tail;
    size_t error_at; /* where in the input an error was seen */
};

enum nd_parse_error {
    ND_PARSE_VERB = -1, /* no such verb: 'Unknown Protocol Operation' */
    ND_PARSE_ARGS = -2, /* wrong number of arguments: 'Parser Error' */
    ND_PARSE_SIZE = -3, /* not a size: 'Parser Error' */
    ND_PARSE_LINE = -4, /* too long: 'maximum control line exceeded' */
};

struct nd_parse_limits {
    uint32_t line;    /* bytes of argument, for all but CONNECT and INFO */
    uint32_t connect; /* bytes of argument, for CONNECT and INFO */
};

/* Returns the length of the control line, LF included; 0 if more bytes are needed; or
 * an nd_parse_error. *op* is whole only in the first case; on an error kind, arg (as
 * far as it was read) and error_at are set. Reads no byte at or past input + len. */
int nd_parse(const uint8_t *input, size_t len, const struct nd_parse_limits *limits,
             struct nd_op *op);

#endif
