"""The protocol parser: one control line, right before unreadable memory."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LINE, CONNECT = 1024, 4096  # the limits, bytes of argument
HUGE = 2**63
FIELDS = {  # what an operation of each kind must have filled in
    "PUB": ("subject", "reply", "size", "header_size", "tail"),
    "HPUB": ("subject", "reply", "size", "header_size", "tail"),
    "SUB": ("subject", "queue", "sid"),
    "UNSUB": ("sid", "max"),
}


@dataclass(frozen=True, slots=True)
class Op:
    """A complete line."""

    kind: str
    arg: bytes
    used: int = 0
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Error:
    """A refused line; *at* is the offset of the byte that shows it."""

    name: str
    at: int
    kind: str = field(default="", compare=False)
    arg: bytes = field(default=b"", compare=False)


@dataclass(frozen=True, slots=True)
class More:
    """Not complete yet."""


Result = Op | Error | More
Parse = Callable[..., Result]


@pytest.fixture(scope="module")
def parse(internals: tuple[Any, Any], edge: Any) -> Parse:
    ffi, lib = internals
    kinds = ffi.typeof("enum nd_op_kind").elements
    errors = ffi.typeof("enum nd_parse_error").elements
    op = ffi.new("struct nd_op *")
    poison = b"\xa5" * ffi.sizeof("struct nd_op")

    def take(data: bytes, base: Any, found: Any) -> bytes:
        if not found.len:
            return b""
        start = found.ptr - base
        assert 0 <= start <= start + found.len <= len(data)
        return data[start : start + found.len]

    def call(data: bytes, line: int = LINE, connect: int = CONNECT) -> Result:
        base = edge.place(data)
        ffi.memmove(op, poison, len(poison))
        limits = ffi.new("struct nd_parse_limits *", (line, connect))
        used = lib.nd_parse(base, len(data), limits, op)
        if used == 0:
            return More()
        kind = kinds[op.kind].removeprefix("ND_OP_")
        if used < 0:
            name = errors[used].removeprefix("ND_PARSE_")
            return Error(name, op.error_at, kind, take(data, base, op.arg))
        fields: dict[str, Any] = {}
        for name in FIELDS.get(kind, ()):
            value = getattr(op, name)
            fields[name] = value if isinstance(value, int) else take(data, base, value)
        return Op(kind, take(data, base, op.arg), used, fields)

    return call


def pub(arg: bytes, subject: bytes, size: int, tail: bytes, reply: bytes = b"") -> Op:
    fields = {
        "subject": subject,
        "reply": reply,
        "size": size,
        "header_size": 0,
        "tail": tail,
    }
    return Op("PUB", arg, fields=fields)


def hpub(
    arg: bytes, subject: bytes, sizes: tuple[int, int], tail: bytes, reply: bytes = b""
) -> Op:
    fields = {
        "subject": subject,
        "reply": reply,
        "header_size": sizes[0],
        "size": sizes[1],
        "tail": tail,
    }
    return Op("HPUB", arg, fields=fields)


def sub(arg: bytes, subject: bytes, sid: bytes, queue: bytes = b"") -> Op:
    return Op("SUB", arg, fields={"subject": subject, "queue": queue, "sid": sid})


def unsub(arg: bytes, sid: bytes, limit: int = 0) -> Op:
    return Op("UNSUB", arg, fields={"sid": sid, "max": limit})


ZEROS = b"0" * 300
ALL_BYTES = bytes(b for b in range(256) if b not in b" \t\r\n")

ACCEPTED: list[tuple[bytes, Op]] = [
    # section 2.1, the verbs
    (b'CONNECT {"a":1}\r\n', Op("CONNECT", b'{"a":1}')),
    (b'CONNECT{"a":1}\r\n', Op("CONNECT", b'{"a":1}')),
    (b"cOnNeCt {}\r\n", Op("CONNECT", b"{}")),
    (b"PUB foo 2\r\n", pub(b"foo 2", b"foo", 2, b" 2\r\n")),
    (b"PUB foo bar 2\r\n", pub(b"foo bar 2", b"foo", 2, b" bar 2\r\n", b"bar")),
    (b"pUb foo 2\r\n", pub(b"foo 2", b"foo", 2, b" 2\r\n")),
    (b"SUB foo 1\r\n", sub(b"foo 1", b"foo", b"1")),
    (b"sub foo g 1\r\n", sub(b"foo g 1", b"foo", b"1", b"g")),
    (b"UNSUB 1\r\n", unsub(b"1", b"1")),
    (b"unsub 1 5\r\n", unsub(b"1 5", b"1", 5)),
    (b"PING\r\n", Op("PING", b"")),
    (b"ping\r\n", Op("PING", b"")),
    (b"PONG\r\n", Op("PONG", b"")),
    (b"pOnG\r\n", Op("PONG", b"")),
    (b"+OK\r\n", Op("OK", b"")),
    (b"+ok\r\n", Op("OK", b"")),
    (b"-ERR 'some text'\r\n", Op("ERR", b"'some text'")),
    (b"-err\tx\r\n", Op("ERR", b"x")),
    (b"-ERR \r\n", Op("ERR", b"")),
    (b"INFO {}\r\n", Op("INFO", b"{}")),
    (b"info{}\r\n", Op("INFO", b"{}")),
    # blanks
    (b"SUB   foo   1  \r\n", sub(b"foo   1  ", b"foo", b"1")),
    (b"PUB\tfoo\tbar\t2\r\n", pub(b"foo\tbar\t2", b"foo", 2, b"", b"bar")),
    (b"SUB foo  1\r\n", sub(b"foo  1", b"foo", b"1")),
    (b"PUB foo  2\r\n", pub(b"foo  2", b"foo", 2, b"")),
    (b"PUB  foo 2\r\n", pub(b"foo 2", b"foo", 2, b" 2\r\n")),
    (b"PUB foo 2 \r\n", pub(b"foo 2 ", b"foo", 2, b"")),
    (b"PUB foo\t2\r\n", pub(b"foo\t2", b"foo", 2, b"")),
    (b"PUB foo 2\t\n", pub(b"foo 2\t", b"foo", 2, b"")),
    (b"PUB foo bar\t2\r\n", pub(b"foo bar\t2", b"foo", 2, b"", b"bar")),
    (b"UNSUB 1 \r\n", unsub(b"1 ", b"1")),
    (b"PINGxyz \r\n", Op("PING", b"xyz ")),
    (b"PING hello\r\n", Op("PING", b"hello")),
    (b"PONG hello\r\n", Op("PONG", b"hello")),
    (b"+OKjunk\r\n", Op("OK", b"junk")),
    (b"SUB foo my-sid:7\r\n", sub(b"foo my-sid:7", b"foo", b"my-sid:7")),
    (b"SUB " + ALL_BYTES + b" 1\r\n", sub(ALL_BYTES + b" 1", ALL_BYTES, b"1")),
    (b"PUB a\0\xff 1\r\n", pub(b"a\0\xff 1", b"a\0\xff", 1, b" 1\r\n")),
    # section 2.2, the line ends
    (b"PUB foo 2\n", pub(b"foo 2", b"foo", 2, b"")),
    (b"SUB foo 1\n", sub(b"foo 1", b"foo", b"1")),
    (b"UNSUB 1\n", unsub(b"1", b"1")),
    (b"PING\n", Op("PING", b"")),
    (b"PONG\n", Op("PONG", b"")),
    (b"+OK\n", Op("OK", b"")),
    (b"-ERR x\n", Op("ERR", b"x")),
    (b"CONNECT {}\n", Op("CONNECT", b"{}")),
    (b"INFO {}\n", Op("INFO", b"{}")),
    (b"HPUB foo 12 12\n", hpub(b"foo 12 12", b"foo", (12, 12), b"")),
    (b"PUB foo 2\r\r\n", pub(b"foo 2\r", b"foo", 2, b"")),
    (b"PING\r\r\n", Op("PING", b"")),
    (b"SUB foo 1\rX\n", sub(b"foo 1\rX", b"foo", b"X", b"1")),
    (b"PUB foo\r2\r\n", pub(b"foo\r2", b"foo", 2, b"")),
    (b"PUB \rfoo 2\r\n", pub(b"foo 2", b"foo", 2, b" 2\r\n")),
    (b"CONNECT\r\n", Op("CONNECT", b"")),  # whose lack of JSON Python refuses
    (b"CONNECT \n", Op("CONNECT", b"")),
    # section 4.1 and decision 18, sizes
    (b"PUB foo 0\r\n", pub(b"foo 0", b"foo", 0, b" 0\r\n")),
    (b"PUB foo 002\r\n", pub(b"foo 002", b"foo", 2, b"")),
    (b"PUB foo 00\r\n", pub(b"foo 00", b"foo", 0, b"")),
    (b"PUB foo " + ZEROS + b"5\r\n", pub(b"foo " + ZEROS + b"5", b"foo", 5, b"")),
    (b"PUB f 2147483648\r\n", pub(b"f 2147483648", b"f", 2**31, b" 2147483648\r\n")),
    (
        b"PUB f 9223372036854775807\r\n",
        pub(b"f 9223372036854775807", b"f", HUGE - 1, b" 9223372036854775807\r\n"),
    ),
    # section 5.2: no subject is refused here
    (b"PUB foo.*.> 5\r\n", pub(b"foo.*.> 5", b"foo.*.>", 5, b" 5\r\n")),
    (b"PUB .. 5\r\n", pub(b".. 5", b"..", 5, b" 5\r\n")),
    # section 6.3 and P-10
    (b"UNSUB 1 0\r\n", unsub(b"1 0", b"1")),
    (b"UNSUB 1 x\r\n", unsub(b"1 x", b"1")),
    (b"UNSUB 1 -5\r\n", unsub(b"1 -5", b"1")),
    (b"UNSUB 1 007\r\n", unsub(b"1 007", b"1", 7)),
    (b"UNSUB 1 1" + b"0" * 22 + b"\r\n", unsub(b"1 1" + b"0" * 22, b"1", HUGE - 1)),
    (b"UNSUB 1 1" + b"0" * 22 + b"x\n", unsub(b"1 1" + b"0" * 22 + b"x", b"1")),
    (
        b"UNSUB 1 18446744073709551617\n",
        unsub(b"1 18446744073709551617", b"1", HUGE - 1),
    ),
    (b"UNSUB 1 9223372036854775806\n", unsub(b"1 9223372036854775806", b"1", HUGE - 2)),
    # modern clients, section 3
    (
        b"HPUB foo 18 20\r\n",
        hpub(b"foo 18 20", b"foo", (18, 20), b" 18 20\r\n"),
    ),
    (
        b"HPUB foo r.1 18 20\r\n",
        hpub(b"foo r.1 18 20", b"foo", (18, 20), b" r.1 18 20\r\n", b"r.1"),
    ),
    (b"hpub foo 12 12\r\n", hpub(b"foo 12 12", b"foo", (12, 12), b" 12 12\r\n")),
    (b"HPUB foo 0 2\r\n", hpub(b"foo 0 2", b"foo", (0, 2), b" 0 2\r\n")),
    (b"HPUB foo  18 19\r\n", hpub(b"foo  18 19", b"foo", (18, 19), b"")),
    (b"HPUB\tfoo 18 19\r\n", hpub(b"foo 18 19", b"foo", (18, 19), b" 18 19\r\n")),
    (b"HPUB foo 018 19\r\n", hpub(b"foo 018 19", b"foo", (18, 19), b"")),
    (b"HPUB foo 18 019\r\n", hpub(b"foo 18 019", b"foo", (18, 19), b"")),
    (b"HPUB foo 18\t19\r\n", hpub(b"foo 18\t19", b"foo", (18, 19), b"")),
]

REFUSED: list[tuple[bytes, Error]] = [
    # section 2.1: a wrong byte is an error at once
    (b"MSG foo 1 2\r\n", Error("VERB", 0)),
    (b"msg", Error("VERB", 0)),
    (b"FOO\r\n", Error("VERB", 0)),
    (b"GET / HTTP/1.1\r\n", Error("VERB", 0)),
    (b"\x16\x03\x01\x02\x00", Error("VERB", 0)),
    (b"COx", Error("VERB", 2)),
    (b"CONNECx {}\r\n", Error("VERB", 6)),
    (b"PAB", Error("VERB", 1)),
    (b"PUx", Error("VERB", 2)),
    (b"PIx", Error("VERB", 2)),
    (b"POx", Error("VERB", 2)),
    (b"PINx", Error("VERB", 3)),
    (b"HPUx", Error("VERB", 3)),
    (b"INx", Error("VERB", 2)),
    (b"+Ox", Error("VERB", 2)),
    (b"-ERx", Error("VERB", 3)),
    (b"UNSUx", Error("VERB", 4)),
    (b"\0", Error("VERB", 0)),
    (b"\x0bOK\r\n", Error("VERB", 0)),  # '+' but for the bit that tells cases apart
    (b"\rERR x\r\n", Error("VERB", 0)),  # '-' likewise
    (b"P\x15B", Error("VERB", 1)),
    (b"PUB\0foo 2\r\n", Error("VERB", 3)),
    (b" PING\r\n", Error("VERB", 0)),
    (b"\tPING\r\n", Error("VERB", 0)),
    (b"\r\n", Error("VERB", 0)),
    (b"\n", Error("VERB", 0)),
    (b"PUBx foo 2\r\n", Error("VERB", 3)),
    (b"PUB\r\n", Error("VERB", 3)),
    (b"PUB\n", Error("VERB", 3)),
    (b"HPUB\r\n", Error("VERB", 4)),
    (b"SUB\r\n", Error("VERB", 3)),
    (b"SUBfoo 1\r\n", Error("VERB", 3)),
    (b"UNSUB\r\n", Error("VERB", 5)),
    (b"-ERR\r\n", Error("VERB", 4)),
    (b"-ERRx\r\n", Error("VERB", 4)),
    # section 2.2: reported at the first LF
    (b"PUB \r\n", Error("ARGS", 5)),
    (b"PUB \n", Error("ARGS", 4)),
    (b"PUB \t \r\r\n", Error("ARGS", 8)),
    (b"SUB \r\n", Error("ARGS", 5)),
    (b"UNSUB \r\n", Error("ARGS", 7)),
    (b"HPUB \r\n", Error("ARGS", 6)),
    # section 4.2, 6.1, 6.3: the number of arguments
    (b"PUB foo\r\n", Error("ARGS", 8)),
    (b"PUB 5\n", Error("ARGS", 5)),
    (b"PUB a b c 5\r\n", Error("ARGS", 12)),
    (b"PUB a b c d e f 5\r\n", Error("ARGS", 18)),
    (b"HPUB foo 2\r\n", Error("ARGS", 11)),
    (b"HPUB a b c 2 2\r\n", Error("ARGS", 15)),
    (b"SUB foo\r\n", Error("ARGS", 8)),
    (b"SUB a b c d\r\n", Error("ARGS", 12)),
    (b"UNSUB 1 2 3\r\n", Error("ARGS", 12)),
    # section 4.2, P-2, P-3: what is not a size
    (b"PUB foo abc\r\n", Error("SIZE", 12)),
    (b"PUB foo -1\r\n", Error("SIZE", 11)),
    (b"PUB foo +2\r\n", Error("SIZE", 11)),
    (b"PUB foo 0x5\r\n", Error("SIZE", 12)),
    (b"PUB foo 5\0\n", Error("SIZE", 10)),
    (b"PUB foo 5\0\r\n", Error("SIZE", 11)),
    (b"PUB foo 5.0\r\n", Error("SIZE", 12)),
    (b"PUB foo 5a\r\n", Error("SIZE", 11)),
    (b"PUB foo /\r\n", Error("SIZE", 10)),
    (b"PUB foo :\r\n", Error("SIZE", 10)),
    (b"PUB foo 9223372036854775808\r\n", Error("SIZE", 28)),
    (b"PUB foo 9999999999999999999\r\n", Error("SIZE", 28)),
    (b"PUB foo 18446744073709551616\r\n", Error("SIZE", 29)),
    (b"PUB foo 18446744073709551618\r\n", Error("SIZE", 29)),
    (b"PUB foo 18446744073709551621\r\n", Error("SIZE", 29)),
    (b"PUB foo bar -1\r\n", Error("SIZE", 15)),
    # modern clients, section 3
    (b"HPUB foo 21 20\r\n", Error("SIZE", 15)),
    (b"HPUB foo bar 20\r\n", Error("SIZE", 16)),
    (b"HPUB foo -1 20\r\n", Error("SIZE", 15)),
    (b"HPUB foo 18 -1\r\n", Error("SIZE", 15)),
    (b"HPUB foo 18446744073709551617 20\r\n", Error("SIZE", 33)),
    (b"HPUB foo 9223372036854775808 9223372036854775808\n", Error("SIZE", 48)),
    # section 2.3, decision 19: too long, seen at the first byte over the limit
    (b"SUB " + b"a" * (LINE + 1), Error("LINE", 4 + LINE)),
    (b"PUB " + b"a" * LINE + b"\rb", Error("LINE", 5 + LINE)),
    (b"PUB " + b" " * (LINE + 1), Error("LINE", 4 + LINE)),
    (b"PUB " + b"a." * 500_000, Error("LINE", 4 + LINE)),
    (b"PING" + b"x" * (LINE + 1), Error("LINE", 4 + LINE)),
    (b"PONG " + b"x" * (LINE + 1) + b"\r\n", Error("LINE", 5 + LINE)),
    (b"+OK" + b"x" * (LINE + 1) + b"\r\n", Error("LINE", 3 + LINE)),
    (b"-ERR " + b"x" * (LINE + 1) + b"\n", Error("LINE", 5 + LINE)),
    (b"CONNECT " + b"{" * (CONNECT + 1), Error("LINE", 8 + CONNECT)),
    (b"INFO{" + b" " * CONNECT, Error("LINE", 4 + CONNECT)),
]


def short(value: Any) -> str:
    return repr(value[:30]) if isinstance(value, bytes) else ""


def naive(data: bytes, line: int = LINE, connect: int = CONNECT) -> Result:
    """The same by other means: what the C is compared with."""
    needs = {b"PUB": (2, 3), b"HPUB": (3, 4), b"SUB": (2, 3), b"UNSUB": (1, 2)}
    verbs = [*needs, b"PING", b"PONG", b"CONNECT", b"INFO", b"+OK", b"-ERR"]
    size = 0
    while (verb := data[:size].upper()) not in verbs:
        if not any(v.startswith(verb) for v in verbs):
            return Error("VERB", size - 1)
        if size == len(data):
            return More()
        size += 1
    if size == len(data):
        return More()
    blank = data[size] in b" \t"
    if not blank and (verb in needs or verb == b"-ERR"):
        return Error("VERB", size)
    start = size + blank
    limit = connect if verb in (b"CONNECT", b"INFO") else line
    whole = re.match(rb"[^\n]*\n", data[start:])
    text = re.sub(rb"\r?\n\Z|\r\Z", b"", whole[0] if whole else data[start:])
    if len(text) > limit:
        return Error("LINE", start + limit + (text[limit] in b"\r"))
    if not whole:
        return More()
    arg = text.lstrip(b" \t\r")
    words = arg.replace(b"\t", b" ").replace(b"\r", b" ").split(b" ")
    words = [word for word in words if word]
    end = start + len(whole[0])
    op = Op(verb.decode().lstrip("+-"), arg, end)
    if verb not in needs:
        return op
    least, most = needs[verb]
    if not least <= len(words) <= most:
        return Error("ARGS", end - 1)
    if verb == b"SUB":
        queue = words[1] if len(words) == 3 else b""
        fields = {"subject": words[0], "queue": queue, "sid": words[-1]}
        return replace(op, fields=fields)
    if verb == b"UNSUB":
        limit = (
            int(words[1]) if re.fullmatch(rb"[0-9]+", words[-1]) and words[1:] else 0
        )
        return replace(op, fields={"sid": words[0], "max": min(limit, HUGE - 1)})
    numbers = words[1 - least :]
    if not all(re.fullmatch(rb"[0-9]+", n) and int(n) < HUGE for n in numbers):
        return Error("SIZE", end - 1)
    values = [int(n) for n in numbers]
    if values != sorted(values):
        return Error("SIZE", end - 1)
    reply = words[1 : 1 - least]
    wished = b" ".join([b"", *reply, *(b"%d" % v for v in values)]) + b"\r\n"
    tail = data[end - len(whole[0]) + len(text) - len(arg) + len(words[0]) : end]
    filled: dict[str, Any] = {
        "subject": words[0],
        "reply": b"".join(reply),
        "size": values[-1],
        "header_size": values[0] if verb == b"HPUB" else 0,
        "tail": tail if tail == wished else b"",
    }
    return replace(op, fields=filled)


@pytest.mark.parametrize(("line", "wanted"), ACCEPTED, ids=short)
def test_accepted(parse: Parse, line: bytes, wanted: Op) -> None:
    wanted = replace(wanted, used=len(line))
    assert parse(line) == wanted
    # Bytes behind the line, up to more than one wide scan, change nothing.
    for extra in (*range(1, 80), 200):
        assert parse(line + b"7" * extra) == wanted
        assert parse(line + b"\n" * extra) == wanted
        assert parse(line + b"\r\n " * extra) == wanted


@pytest.mark.parametrize(("line", "wanted"), ACCEPTED, ids=short)
def test_accepted_only_when_complete(parse: Parse, line: bytes, wanted: Op) -> None:
    for length in range(len(line)):
        assert parse(line[:length]) == More(), line[:length]


@pytest.mark.parametrize(("line", "wanted"), REFUSED, ids=short)
def test_refused(parse: Parse, line: bytes, wanted: Error) -> None:
    for extra in (*range(80), 200):
        assert parse(line + b" " * extra) == wanted
        assert parse(line + b"\n" * extra) == wanted


@pytest.mark.parametrize(("line", "wanted"), REFUSED, ids=short)
def test_refused_at_the_first_byte_that_shows_it(
    parse: Parse, line: bytes, wanted: Error
) -> None:
    for length in range(min(len(line), wanted.at + 100)):
        expected = More() if length <= wanted.at else wanted
        assert parse(line[:length]) == expected, line[:length]


def test_the_naive_parser_agrees_with_the_tables() -> None:
    for line, op in ACCEPTED:
        assert naive(line) == replace(op, used=len(line))
    for line, error in REFUSED:
        assert naive(line) == error


@pytest.mark.parametrize(
    ("line", "kind", "arg"),
    [
        (b"MSG foo\r\n", "PUB", b""),  # no kind can be told
        (b"HPUB\r\n", "HPUB", b""),
        (b"PUB  foo -1 \r\n", "PUB", b"foo -1 "),
        (b"SUB a b c d\n", "SUB", b"a b c d"),
        (b"UNSUB \r\n", "UNSUB", b""),
        (b"PING  " + b"x" * 2000, "PING", b"x" * (LINE - 1)),
        (b"PONG " + b" " * 2000, "PONG", b""),
        (b"-ERR " + b"x" * LINE + b"\rx", "ERR", b"x" * LINE),
        (b"CONNECT {" + b"x" * 5000, "CONNECT", b"{" + b"x" * (CONNECT - 1)),
    ],
    ids=short,
)
def test_errors_tell_what_was_read(
    parse: Parse, line: bytes, kind: str, arg: bytes
) -> None:
    for extra in (b"", b"x" * 100):
        error = parse(line + extra)
        assert isinstance(error, Error)
        assert (error.kind, error.arg) == (kind, arg)


def test_nothing_is_no_line(parse: Parse) -> None:
    assert parse(b"") == More()


@pytest.mark.parametrize("verb", [b"pub", b"hpub", b"sub", b"unsub", b"ping", b"pong"])
def test_every_case_of_every_letter(parse: Parse, verb: bytes) -> None:
    rest = {b"hpub": b" foo 1 2\r\n", b"unsub": b" 1\r\n"}.get(verb, b" foo 1\r\n")
    for mask in range(1 << len(verb)):
        mixed = bytes(c ^ 0x20 * (mask >> i & 1) for i, c in enumerate(verb))
        for extra in (b"", b"x" * 100):
            result = parse(mixed + rest + extra)
            assert isinstance(result, Op)
            assert result.kind == verb.decode().upper()


@pytest.mark.parametrize("verb", [b"PUB ", b"HPUB ", b"SUB ", b"UNSUB ", b"-ERR "])
def test_every_byte_in_every_place_of_the_verb(parse: Parse, verb: bytes) -> None:
    for place in range(len(verb)):
        for byte in range(256):
            line = verb[:place] + bytes([byte]) + verb[place + 1 :] + b"foo 1 2\r\n"
            for data in (line, line + b"x" * 100):
                assert parse(data) == naive(data), data


LIMITED = [
    (b"PUB ", b" 5"),
    (b"HPUB ", b" 5 5"),
    (b"SUB ", b" 1"),
    (b"UNSUB ", b" 1"),
    (b"PING", b""),
    (b"PONG ", b""),
    (b"+OK", b""),
    (b"-ERR ", b""),
    (b"CONNECT ", b"}"),
    (b"CONNECT", b"}"),
    (b"INFO ", b"}"),
]


@pytest.mark.parametrize(("verb", "last"), LIMITED, ids=short)
@pytest.mark.parametrize("limit", [8, 13, 40, 59, 60, 63, 64, 65, 1024])
def test_limit(parse: Parse, verb: bytes, last: bytes, limit: int) -> None:
    is_long = verb.startswith((b"CONNECT", b"INFO"))
    limits = (0, limit) if is_long else (limit, 0)
    right = b"x" * (limit - len(last)) + last
    for extra in (b"", b"x" * 100):
        for end in (b"\n", b"\r\n"):
            result = parse(verb + right + end + extra, *limits)
            assert isinstance(result, Op)
            assert result.arg == right
            assert result.used == len(verb + right + end)
            over = parse(verb + b"x" + right + end + extra, *limits)
            assert over == Error("LINE", len(verb) + limit)
    assert parse(verb + right, *limits) == More()
    assert parse(verb + right + b"\r", *limits) == More()
    assert parse(verb + right + b"x", *limits) == Error("LINE", len(verb) + limit)
    late = Error("LINE", len(verb) + limit + 1)
    assert parse(verb + right + b"\r\r", *limits) == late
    assert parse(verb + right + b"\rx\r\n", *limits) == late


def test_words_of_every_length(parse: Parse) -> None:
    """Around the ends of the wide scan, with every number of bytes behind it."""
    for subject in range(1, 70):
        for reply in (0, 1, 7, 30):
            words = (
                [b"s" * subject, b"r" * reply, b"128"] if reply else [b"s" * subject]
            )
            line = b"PUB " + b" ".join(words if reply else [*words, b"128"]) + b"\r\n"
            tail = line[4 + subject :]
            wanted = pub(line[4:-2], b"s" * subject, 128, tail, b"r" * reply)
            for behind in (0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130):
                result = parse(line + b"x" * behind)
                assert result == replace(wanted, used=len(line))


def test_random_sizes(parse: Parse) -> None:
    """P-2: a size is digits that stand for less than 2^63; 10,000 strings."""
    rng = random.Random(18)
    edges = [2**31, 2**32, 10**9, 10**10, 10**18, 10**19, HUGE, 2**64, 10**20]
    makers: list[Callable[[], bytes]] = [
        lambda: b"%d" % rng.randrange(10 ** rng.randrange(1, 25)),
        lambda: b"%d" % (rng.choice(edges) + rng.randrange(-3, 4)),
        lambda: b"0" * rng.randrange(1, 40) + b"%d" % rng.randrange(HUGE),
        lambda: bytes(rng.choices(b"0123456789+-.xXeE_", k=rng.randrange(1, 24))),
        lambda: bytes(rng.choices(ALL_BYTES, k=rng.randrange(1, 24))),
    ]
    taken = 0
    for _ in range(10_000):
        text = rng.choice(makers)()
        is_size = re.fullmatch(rb"[0-9]+", text) is not None and int(text) < HUGE
        line = b"PUB foo " + text + b"\r\n"
        for data in (line, line + b"x" * 100):
            result = parse(data)
            if is_size:
                assert isinstance(result, Op)
                assert result.fields["size"] == int(text)
                plain = text == b"%d" % int(text)
                assert result.fields["tail"] == (line[7:] if plain else b"")
            else:
                assert result == Error("SIZE", len(line) - 1)
        taken += is_size
    assert 2_000 < taken < 8_000  # both sides were tried


VERBS = [b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"PONG", b"+OK", b"-ERR"]
gaps = st.sampled_from([b" "] * 6 + [b"  ", b"\t", b"\r", b" \t ", b""])
words = st.one_of(
    st.sampled_from([b"foo", b"foo.bar", b"a..b", b"_INBOX.abc.1", b"*", b">"]),
    st.sampled_from([b"0", b"5", b"05", b"128", b"12", b"-1", b"9" * 19, b"9" * 18]),
    st.integers(0, 2000).map(lambda n: b"%d" % n),
    st.binary(min_size=1, max_size=40),
)
lines = st.builds(
    lambda verb, parts, end, behind: (
        verb + b"".join(gap + word for gap, word in parts) + end + behind
    ),
    st.sampled_from([*VERBS, b"pub", b"hpub", b"CONNECT", b"INFO", b"MSG", b"PUBx"]),
    st.lists(st.tuples(gaps, words), max_size=5),
    st.sampled_from([b"\r\n"] * 4 + [b"\n", b" \r\n", b"\r\r\n", b"\r", b""]),
    st.one_of(st.just(b""), st.binary(max_size=90), st.just(b"x" * 90)),
)
many = settings(
    max_examples=1500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@many
@given(data=lines, limit=st.sampled_from([0, 1, 9, 20, 40, 1024]))
def test_agrees_with_the_naive_parser(parse: Parse, data: bytes, limit: int) -> None:
    assert parse(data, limit, 2 * limit) == naive(data, limit, 2 * limit)


@many
@given(data=lines)
def test_every_split_gives_the_same(parse: Parse, data: bytes) -> None:
    """Offered byte by byte, a line ends as it does when offered whole."""
    whole = parse(data)
    first = next(
        (result for n in range(len(data)) if (result := parse(data[:n])) != More()),
        whole,
    )
    assert first == whole


@many
@given(data=st.binary(max_size=200))
def test_any_bytes(parse: Parse, data: bytes) -> None:
    assert parse(data) == naive(data)


def test_scan(internals: tuple[Any, Any], edge: Any) -> None:
    _, lib = internals

    def check(data: bytes) -> None:
        base = edge.place(data)
        wanted = sum(1 << i for i, byte in enumerate(data) if byte <= 0x20)
        assert lib.nd_scan(base) == wanted
        assert lib.nd_scan_portable(base) == wanted

    rng = random.Random(64)
    for byte in range(256):
        for other in (0x00, 0x20, 0x21, 0x7F, 0x80, 0xFF):
            place = rng.randrange(64)
            check(
                bytes([other]) * place + bytes([byte]) + bytes([other]) * (63 - place)
            )
    for place in range(64):
        check(b"a" * place + b" " + b"a" * (63 - place))
    for _ in range(500):
        check(rng.randbytes(64))
