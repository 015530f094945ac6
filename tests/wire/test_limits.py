"""Limits, exactly at them and one beyond."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from target import Target
from wire import (
    CONNECTIONS,
    HEADERS,
    LINE,
    MIB,
    OK,
    PAYLOAD,
    PING,
    PONG,
    QUIET,
    SLOW,
    msg,
    pub,
    wait_until,
)

Serve = Callable[..., Target]
SUB = b"SUB foo 1\r\n"


def test_payload_of_exactly_the_limit(serve: Serve, threads: int) -> None:
    target = serve(threads=threads, max_payload=100)
    body = b"x" * 100
    target.talk(SUB + pub(b"foo", body), msg(b"foo", b"1", body))
    target.talk(
        SUB + b"HPUB foo 12 100\r\nNATS/1.0\r\n\r\n" + b"x" * 88 + b"\r\n",
        b"HMSG foo 1 12 100\r\nNATS/1.0\r\n\r\n" + b"x" * 88 + b"\r\n",
        hello=HEADERS,
    )


@pytest.mark.parametrize(
    "line",
    [b"PUB foo 101\r\n", b"PUB foo bar 101\r\n", b"HPUB foo 12 101\r\n"],
    ids=["pub", "pub-reply", "hpub"],
)
def test_payload_beyond_the_limit(serve: Serve, threads: int, line: bytes) -> None:
    """Refused at the control line: header and payload together are what counts."""
    target = serve(threads=threads, max_payload=100)
    target.talk(SUB + line, PAYLOAD, hello=HEADERS, closed=True)
    target.talk(SUB + line + b"x" * 101 + b"\r\n", PAYLOAD, hello=HEADERS, closed=True)


def test_default_payload_limit(target: Target) -> None:
    body = b"x" * 1048576
    peer = target.client()
    peer.send(SUB + pub(b"foo", body))
    peer.expect(msg(b"foo", b"1", body))
    peer.push(pub(b"foo", body + b"x"))
    peer.expect(PAYLOAD)
    peer.expect_closed()


def test_negative_payload_limit_is_none(serve: Serve) -> None:
    target = serve(max_payload=-1)
    body = b"x" * (3 * MIB)
    peer = target.client()
    peer.send(SUB)
    peer.push(pub(b"foo", body))
    peer.expect(msg(b"foo", b"1", body))
    target.talk(b"PUB foo 1073741825\r\n", PAYLOAD, closed=True)


def argument(verb: bytes, length: int) -> bytes:
    """A control line of *verb* whose argument has *length* bytes."""
    rest = {b"SUB": b" 1", b"PUB": b" 0", b"UNSUB": b" 1", b"HPUB": b" 0 0"}[verb]
    return verb + b" " + b"x" * (length - len(rest)) + rest + b"\r\n"


VERBS = pytest.mark.parametrize(
    ("verb", "tail", "answer"),
    [
        pytest.param(b"SUB", b"", OK, id="sub"),
        pytest.param(b"UNSUB", b"", OK, id="unsub"),
        pytest.param(b"PUB", b"\r\n", OK, id="pub"),
        pytest.param(b"HPUB", b"\r\n", OK, id="hpub"),
    ],
)
VERBOSE = HEADERS | {"verbose": True}


@VERBS
@pytest.mark.parametrize("limit", [512, 1024, 4000])
def test_control_line(
    serve: Serve, threads: int, verb: bytes, tail: bytes, answer: bytes, limit: int
) -> None:
    """The limit counts the argument: not the verb, not the line end."""
    options = {} if limit == 1024 else {"max_control_line": limit}
    target = serve(threads=threads, **options)
    target.talk(argument(verb, limit) + tail, answer, hello=VERBOSE)
    line = argument(verb, limit + 1)
    target.talk(line, LINE, hello=VERBOSE, closed=True)
    # Nor does it wait for the end of a line that is too long already.
    target.talk(line[:-2] + b"x", LINE, hello=VERBOSE, closed=True)


def test_600_byte_sub(serve: Serve) -> None:
    target = serve(max_control_line=512)
    target.talk(b"SUB " + b"x" * 600 + b" 1\r\n", LINE, closed=True)


@pytest.mark.parametrize(
    ("configured", "limit"), [(0, 4096), (100, 4096), (5000, 5000)]
)
def test_connect_line(serve: Serve, threads: int, configured: int, limit: int) -> None:
    """CONNECT may always have 4,096 bytes, or what the others may if that is more."""
    options = {"max_control_line": configured} if configured else {}
    target = serve(threads=threads, **options)
    empty = b'{"verbose":true,"name":""}'
    for more, answer in ((0, OK), (1, LINE)):
        name = b"n" * (limit + more - len(empty))
        line = b'CONNECT {"verbose":true,"name":"' + name + b'"}\r\n'
        target.talk(line, answer, hello=None, closed=more == 1)


@pytest.mark.parametrize(
    "start",
    [b"CONNECT ", b'CONNECT {"name":"', b"SUB ", b"PUB ", b"UNSUB ", b"INFO {"],
    ids=lambda start: start.split(b" ")[0].decode() + str(len(start)),
)
@pytest.mark.parametrize("quiet", [False, True], ids=["stranger", "client"])
def test_endless_line_is_cut(target: Target, start: bytes, quiet: bool) -> None:
    """Megabytes that never see a line end: cut at the limit, not when memory ends."""
    peer = target.client() if quiet else target.peer()
    sent = peer.push(start + b"A" * (8 * MIB))
    assert sent < 8 * MIB
    peer.expect(LINE)
    peer.expect_closed()


@pytest.mark.ours("it counts the argument alone")
def test_endless_blanks_are_cut(target: Target) -> None:
    peer = target.client()
    assert peer.push(b"SUB" + b" " * (8 * MIB)) < 8 * MIB
    peer.expect(LINE)
    peer.expect_closed()


@pytest.mark.ours("it ignores them without end")
@pytest.mark.parametrize("verb", [b"PING", b"PONG", b"+OK"], ids=bytes.decode)
def test_endless_rest_of_a_line_is_cut(target: Target, verb: bytes) -> None:
    """What follows these verbs is ignored, but it must end."""
    peer = target.client()
    assert peer.push(verb + b"x" * (8 * MIB)) < 8 * MIB
    peer.expect(LINE)
    peer.expect_closed()


def test_deep_subject_is_cut(target: Target) -> None:
    peer = target.client()
    peer.push(b"SUB " + b"a." * 500_000 + b"a 1\r\n")
    peer.expect(LINE)
    peer.expect_closed()
    peer = target.client()
    peer.push(b"SUB " + b"a" * 60_000 + b" 1\r\n")
    peer.expect(LINE)
    peer.expect_closed()


def test_max_connections(serve: Serve, threads: int) -> None:
    target = serve(threads=threads, max_connections=10)
    peers = target.clients(10)
    for _ in range(10):
        refused = target.peer()
        refused.expect(CONNECTIONS)
        refused.expect_closed()
    for peer in peers:
        peer.expect_silence_until_pong()


def test_slot_is_free_again_after_a_close(serve: Serve, threads: int) -> None:
    """Within ten milliseconds; ten times that here, for the machine is shared."""
    target = serve(threads=threads, max_connections=3)
    peers = target.clients(3)
    refused = target.peer()
    refused.expect(CONNECTIONS)
    refused.expect_closed()

    for leaving in peers:
        leaving.close()
        start = time.monotonic()

        def is_free() -> bool:
            peer = target.peer()
            peer.push(PING)
            return peer.line() == PONG

        wait_until(is_free, "a free slot")
        assert time.monotonic() - start < 0.1 * SLOW


def test_refused_connections_leave_nothing(serve: Serve) -> None:
    """Refusing more often than there are slots must not use any of them up."""
    target = serve(max_connections=2)
    first = target.client()
    second = target.client()
    for _ in range(20):
        refused = target.peer()
        refused.expect(CONNECTIONS)
        refused.expect_closed()
    second.close()
    wait_until(lambda: target.handle.stats().connections == 1, "the close")
    third = target.client(QUIET)
    for peer in (first, third):
        peer.expect_silence_until_pong()


def test_memory_of_a_thousand_strangers(
    spawn: Callable[..., Target], threads: int
) -> None:
    """Each holds back the end of a CONNECT: at most 8 KB for each."""
    target = spawn(threads=threads)
    target.client()
    before = target.handle.rss()
    for _ in range(1000):
        target.peer().send(b'CONNECT {"name":"' + b"A" * 4000)
    target.fence(target.clients(threads))
    grown = target.handle.rss() - before
    assert grown < 1000 * 8192 + 2 * MIB, f"{grown} bytes for 1,000 strangers"


def test_memory_of_hostile_lines_and_payloads(spawn: Callable[..., Target]) -> None:
    """Whatever never ends is cut within one read, and nothing of it is kept."""
    target = spawn()
    target.client()
    before = target.handle.rss()
    for start in (b"CONNECT {", b"SUB ", b"PUB ", b"PUB foo 5\r\n", b"PING "):
        assert target.client().push(start + b"A" * (16 * MIB)) < 16 * MIB
    for _ in range(50):
        target.client().send(b"PUB foo 1048576\r\nonly this")
    target.client()
    assert target.handle.rss() - before < 3 * MIB
