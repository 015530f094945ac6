"""What today's clients add: echo, headers, and word that nobody listens."""

from __future__ import annotations

from typing import Any

import pytest
from tables import BLOCK, MSG, PUB, SUB, check, row, table
from target import Target
from wire import HEADERS, MODERN, NO_ECHO, OK, QUIET, msg


@pytest.mark.parametrize(
    "hello", [NO_ECHO, NO_ECHO | {"protocol": 1}], ids=["protocol-0", "protocol-1"]
)
def test_no_echo(target: Target, hello: dict[str, Any]) -> None:
    silent, other = target.client(hello), target.client()
    silent.send(SUB + b"SUB foo group 2\r\n")
    silent.expect_silence_until_pong()
    other.send(SUB)
    other.expect_silence_until_pong()
    silent.send(PUB)
    silent.expect_silence_until_pong()
    other.expect(MSG)
    other.send(PUB)
    other.expect(MSG)
    got = {silent.read(len(MSG)) for _ in range(2)}
    assert got == {MSG, msg(b"foo", b"2", b"hi")}
    silent.expect_silence_until_pong()


def hpub(text: bytes, body: bytes) -> bytes:
    return b"HPUB " + text + b"\r\n" + body + b"\r\n"


@table(
    row(
        "header-and-payload",
        SUB + hpub(b"foo 18 20", BLOCK + b"hi"),
        b"HMSG foo 1 18 20\r\n" + BLOCK + b"hi\r\n",
        HEADERS,
    ),
    row(
        "reply",
        SUB + hpub(b"foo r.1 18 20", BLOCK + b"hi"),
        b"HMSG foo 1 r.1 18 20\r\n" + BLOCK + b"hi\r\n",
        HEADERS,
    ),
    row(
        "no-field-no-payload",
        SUB + hpub(b"foo 12 12", b"NATS/1.0\r\n\r\n"),
        b"HMSG foo 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        HEADERS,
    ),
    row(
        "header-only",
        SUB + hpub(b"foo 18 18", BLOCK),
        b"HMSG foo 1 18 18\r\n" + BLOCK + b"\r\n",
        HEADERS,
    ),
    row("header-size-0", SUB + hpub(b"foo 0 2", b"hi"), MSG, HEADERS),
    row(
        "header-size-0-with-reply",
        SUB + hpub(b"foo bar 0 2", b"hi"),
        b"MSG foo 1 bar 2\r\nhi\r\n",
        HEADERS,
    ),
    row("both-sizes-0", SUB + hpub(b"foo 0 0", b""), b"MSG foo 1 0\r\n\r\n", HEADERS),
    row(
        "block-is-not-looked-at",
        SUB + hpub(b"foo 4 6", b"junkhi"),
        b"HMSG foo 1 4 6\r\njunkhi\r\n",
        HEADERS,
    ),
    row(
        "leading-zeros",
        SUB + hpub(b"foo 018 0020", BLOCK + b"hi"),
        b"HMSG foo 1 18 20\r\n" + BLOCK + b"hi\r\n",
        HEADERS,
        ours="it echoes the spelling",
    ),
    row("plain-pub-stays-plain", SUB + PUB, MSG, HEADERS),
)
def test_headers(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


def test_headers_are_left_out_for_those_who_cannot_read_them(target: Target) -> None:
    old, modern, publisher = (
        target.client(),
        target.client(HEADERS),
        target.client(HEADERS),
    )
    for peer in (old, modern):
        peer.send(b"SUB foo 9\r\n")
        peer.expect_silence_until_pong()
    publisher.send(hpub(b"foo bar 18 20", BLOCK + b"hi"))
    old.expect(b"MSG foo 9 bar 2\r\nhi\r\n")
    modern.expect(b"HMSG foo 9 bar 18 20\r\n" + BLOCK + b"hi\r\n")
    publisher.send(hpub(b"foo 18 18", BLOCK))
    old.expect(b"MSG foo 9 0\r\n\r\n")
    modern.expect(b"HMSG foo 9 18 18\r\n" + BLOCK + b"\r\n")


INBOX = b"SUB _INBOX.x.* 1\r\n"
ASK = b"PUB nobody _INBOX.x.7 2\r\nhi\r\n"
STATUS = b"HMSG _INBOX.x.7 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"


@table(
    row("wildcard-inbox", INBOX + ASK, STATUS, MODERN),
    row(
        "literal-inbox",
        b"SUB _INBOX.x.7 5\r\n" + ASK,
        b"HMSG _INBOX.x.7 5 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
        MODERN,
    ),
    row(
        "hpub", INBOX + hpub(b"nobody _INBOX.x.7 18 20", BLOCK + b"hi"), STATUS, MODERN
    ),
    row("after-ok", INBOX + ASK, OK + OK + STATUS, MODERN | {"verbose": True}),
    row("no-matching-subscription", b"SUB elsewhere 1\r\n" + ASK, b"", MODERN),
    row("no-reply", INBOX + b"PUB nobody 2\r\nhi\r\n", b"", MODERN),
    row(
        "own-subscriber",
        INBOX + b"SUB nobody 2\r\n" + ASK,
        msg(b"nobody", b"2", b"hi", b"_INBOX.x.7"),
        MODERN,
    ),
    row(
        "own-queue-subscriber",
        INBOX + b"SUB nobody q 2\r\n" + ASK,
        msg(b"nobody", b"2", b"hi", b"_INBOX.x.7"),
        MODERN,
    ),
    row(
        "own-subscriber-without-echo",
        INBOX + b"SUB nobody 2\r\n" + ASK,
        STATUS,
        MODERN | {"echo": False},
    ),
    row(
        "subscriber-has-left",
        INBOX + b"SUB nobody 2\r\nUNSUB 2\r\n" + ASK,
        STATUS,
        MODERN,
    ),
    row(
        "subscriber-at-its-limit",
        INBOX + b"SUB nobody 2\r\nUNSUB 2 1\r\nPUB nobody 0\r\n\r\n" + ASK,
        b"MSG nobody 2 0\r\n\r\n" + STATUS,
        MODERN,
    ),
    row("headers-alone", INBOX + ASK, b"", HEADERS),
    row("not-asked-for", INBOX + ASK, b"", QUIET),
    row("every-time", INBOX + ASK * 3, STATUS * 3, MODERN),
    row(
        "needs-headers",
        b'CONNECT {"verbose":false,"no_responders":true}\r\n',
        b"",
        None,
        closed=True,
        ours="it says why",
    ),
    row("needs-headers-merged", b'CONNECT {"no_responders":true}\r\n', b"", HEADERS),
)
def test_no_responders(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


@pytest.mark.parametrize("queue", [b"", b"group "], ids=["plain", "queue"])
def test_no_status_when_another_answers(target: Target, queue: bytes) -> None:
    asker, *others = target.client(MODERN), *target.clients(4)
    asker.send(INBOX)
    asker.expect_silence_until_pong()
    for other in others:
        other.send(b"SUB nobody " + queue + b"3\r\n")
        other.expect_silence_until_pong()
        asker.send(ASK)
        asker.expect_silence_until_pong()
        other.expect(msg(b"nobody", b"3", b"hi", b"_INBOX.x.7"))
        other.send(b"UNSUB 3\r\n")
        other.expect_silence_until_pong()
        asker.send(ASK)
        asker.expect(STATUS)


def test_status_goes_to_the_asker_alone(target: Target) -> None:
    asker, other = target.client(MODERN), target.client(MODERN)
    for peer in (asker, other):
        peer.send(INBOX)
        peer.expect_silence_until_pong()
    asker.send(ASK)
    asker.expect(STATUS)
    other.expect_silence_until_pong()


def test_subscriptions_end_with_their_connection(target: Target) -> None:
    leaving, asker = target.client(), target.client(MODERN)
    leaving.send(b"SUB nobody 1\r\n")
    leaving.expect_silence_until_pong()
    leaving.finish()
    leaving.expect_closed()
    asker.send(INBOX + ASK)
    asker.expect(STATUS)
