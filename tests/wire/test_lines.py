"""What the log says of a connection: one table of causes and lines."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest
from target import Target
from wire import MODERN, PING, PONG, QUIET, connect_line, pub, wait_until

TRACE = 5
ERROR, INFO, DEBUG = logging.ERROR, logging.INFO, logging.DEBUG
BEFORE = r"127\.0\.0\.1:\d+ - cid:1 - "
READING = "Error reading from client: "


def line(sent: bytes, level: int, text: str) -> object:
    return pytest.param(sent, level, text, id=f"{text[:40]}-{len(sent)}")


ERRORS = (
    line(b"FOO\r\n", ERROR, READING + r"Client Parser ERROR, .*proto='\"FOO.*"),
    line(b"PUB foo 2\r\nhiXX", ERROR, READING + r"Client Parser ERROR, .*"),
    line(b"PUB foo\r\n", ERROR, READING + "processPub Parse Error: 'foo'"),
    line(
        b"PUB foo -1\r\n", ERROR, READING + "processPub Bad or Missing Size: 'foo -1'"
    ),
    line(b"SUB foo\r\n", ERROR, READING + "processSub Parse Error: 'foo'"),
    line(b"UNSUB 1 2 3\r\n", ERROR, READING + "processUnsub Parse Error: '1 2 3'"),
    line(b"CONNECT {]\r\n", ERROR, READING + ".+"),
    line(b"INFO {]\r\n", ERROR, READING + ".+"),
    line(b"PUB foo 2000000\r\n", ERROR, "Maximum Payload Exceeded: 2000000 vs 1048576"),
    line(b"SUB " + b"x" * 2000, ERROR, READING + "maximum control line exceeded"),
    line(b"-ERR 'bad'\r\n", ERROR, "Client Error 'bad'"),
)
DEBUGS = (
    line(b"", DEBUG, "Client connection created"),
    line(b"FOO\r\n", DEBUG, "Client connection closed"),
    line(
        b"SUB a a\r\nUNSUB a 1\r\n",
        DEBUG,
        r"Deferring actual UNSUB\(a\): 1 max, 0 received",
    ),
    line(
        b"SUB a 1\r\nUNSUB 1 1\r\n" + pub(b"a", b""),
        DEBUG,
        "Auto-unsubscribe limit of 1 reached for sid '1'",
    ),
)
TRACES = (
    line(PING, TRACE, r"->> \[PING\]"),
    line(PONG, TRACE, r"->> \[PONG\]"),
    line(b"SUB foo 1\r\n", TRACE, r"->> \[SUB foo 1\]"),
    line(b"SUB foo 1\r\nUNSUB 1\r\n", TRACE, r"->> \[UNSUB 1\]"),
    line(b"SUB foo 1\r\nUNSUB 1\r\n", TRACE, r"<-> \[DELSUB 1\]"),
    line(pub(b"foo", b"hi"), TRACE, r"->> \[PUB foo 2\]"),
    line(pub(b"foo", b"hi"), TRACE, r"->> MSG_PAYLOAD: \[hi\]"),
    line(b"SUB foo 1\r\n" + pub(b"foo", b"hi"), TRACE, r"<<- \[MSG foo 1 2\]"),
    line(PING, TRACE, r"<<- \[PONG\]"),
    line(connect_line(QUIET), TRACE, r"->> \[CONNECT \{.*\}\]"),
    line(
        b"SUB foo 1\r\nHPUB foo 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        TRACE,
        r"<<- \[HMSG foo 1 12 12\]",
    ),
)


@pytest.mark.parametrize(("sent", "level", "text"), [*ERRORS, *DEBUGS, *TRACES])
def test_lines(
    serve: Callable[..., Target],
    caplog: pytest.LogCaptureFixture,
    sent: bytes,
    level: int,
    text: str,
) -> None:
    caplog.set_level(1)
    target = serve(threads=1, debug=True, trace=True)
    target.client(MODERN).send(sent)
    pattern = re.compile(BEFORE + text)

    def is_logged() -> bool:
        records = list(caplog.records)
        return any(
            record.levelno == level and pattern.fullmatch(record.getMessage())
            for record in records
        )

    try:
        wait_until(is_logged, text)
    except AssertionError:
        raise AssertionError(f"no such line: {text}\n{caplog.text}") from None


@pytest.mark.parametrize(
    "sent",
    [
        b"SUB foo..bar 1\r\n",
        pub(b"a.*", b""),
        b"SUB a 1\r\nSUB a 1\r\n",
        b"UNSUB 9\r\n",
    ],
    ids=["invalid-sub", "invalid-pub", "same-sid", "unknown-sid"],
)
def test_no_line(
    serve: Callable[..., Target], caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """What keeps the connection open is no error."""
    caplog.set_level(logging.INFO)
    target = serve(threads=1)
    peer = target.client()
    before = len(caplog.records)
    peer.send(sent + PING)
    while peer.line() != PONG:
        pass
    target.handle.stop()
    assert [record.getMessage() for record in caplog.records[before:]] == []


def test_secrets_are_not_traced(
    serve: Callable[..., Target], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    target = serve(threads=1, debug=True, trace=True)
    secret = "s3cr3t-w0rd"
    options = QUIET | {"user": "u", "pass": secret, "auth_token": secret, "jwt": secret}
    target.client(options)
    target.client(QUIET | {"PASS": secret, "sig": secret})
    target.handle.stop()
    assert "CONNECT" in caplog.text
    assert secret not in caplog.text
