"""The client protocol on a healthy connection, section by section."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tables import BLOCK, MSG, PUB, SUB, check, row, table
from target import Target
from wire import (
    HEADERS,
    NO_ECHO,
    OK,
    PARSER,
    PEDANTIC,
    PONG,
    QUIET,
    SUBJECT,
    connect_line,
    msg,
    pub,
)


@table(
    row("connect", b'CONNECT {"verbose":true}\r\n', OK),
    row("connect-without-blank", b'CONNECT{"verbose":true}\r\n', OK),
    row("connect-any-case", b'cOnNeCt {"verbose":true}\r\n', OK),
    row("pub", SUB + PUB, MSG),
    row("pub-any-case", SUB + b"pUb foo 2\r\nhi\r\n", MSG),
    row("pub-lower-case", SUB + b"pub foo 2\r\nhi\r\n", MSG),
    row("sub-any-case", b"sUb foo 1\r\n" + PUB, MSG),
    row("sub-lower-case", b"sub foo 1\r\n" + PUB, MSG),
    row("unsub", SUB + b"UNSUB 1\r\n" + PUB, b""),
    row("unsub-any-case", SUB + b"unSub 1\r\n" + PUB, b""),
    row("ping", b"PING\r\n", PONG),
    row("ping-any-case", b"pInG\r\n", PONG),
    row("ping-lower-case", b"ping\r\n", PONG),
    row("pong", b"PONG\r\n", b""),
    row("pong-any-case", b"pOnG\r\n", b""),
    row("ok-ignored", b"+OK\r\n", b""),
    row("ok-any-case", b"+oK\r\n", b""),
    row("err-closes", b"-ERR 'bad'\r\n", b"", closed=True),
    row("err-any-case", b"-eRr\t'bad'\r\n", b"", closed=True),
    row("info-ignored", b'INFO {"server_id":"x"}\r\n', b""),
    row("info-without-blank", b'INFO{"server_id":"x"}\r\n', b""),
    row("info-changes-nothing", SUB + b"INFO {}\r\n" + PUB, MSG),
    row("info-keeps-verbose", b"INFO {}\r\n" + SUB, OK, None),
    row("info-keeps-merging", b"INFO {}\r\nCONNECT {}\r\n" + SUB + PUB, MSG),
    row("info-any-case", b'iNfO {"server_id":"x"}\r\n', b""),
    row("hpub-any-case", SUB + b"hPuB foo 0 2\r\nhi\r\n", MSG, HEADERS),
)
def test_verbs(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


@table(
    row("spaces", b"SUB   foo   1  \r\n" + PUB, MSG),
    row(
        "tabs",
        b"SUB foo 1\r\nPUB\tfoo\tbar\t2\r\nhi\r\n",
        msg(b"foo", b"1", b"hi", b"bar"),
    ),
    row("doubled-in-sub", b"SUB foo  1\r\n" + PUB, MSG),
    row("doubled-in-pub", SUB + b"PUB foo  2\r\nhi\r\n", MSG),
    row("trailing-in-unsub", SUB + b"UNSUB 1 \r\n" + PUB, b""),
    row("trailing-in-pub", SUB + b"PUB foo 2 \t \r\nhi\r\n", MSG),
    row("tab-after-unsub", SUB + b"UNSUB\t1\r\n" + PUB, b""),
    row("tab-after-connect", b'CONNECT\t{"verbose":true}\r\n', OK),
    row(
        "doubled-in-hpub",
        SUB + b"HPUB foo  18 20\r\n" + BLOCK + b"hi\r\n",
        b"HMSG foo 1 18 20\r\n" + BLOCK + b"hi\r\n",
        HEADERS,
    ),
    row("ping-ignores-rest", b"PINGxyz \r\n", PONG),
    row("ping-ignores-words", b"PING hello\r\n", PONG),
    row("pong-ignores-rest", b"PONGxyz\r\n", b""),
    row("ok-ignores-rest", b"+OKjunk\r\n", b""),
    row(
        "sid-is-no-number",
        b"SUB foo my-sid:7\r\n" + PUB,
        msg(b"foo", b"my-sid:7", b"hi"),
    ),
    row(
        "bytes-of-any-value",
        b"SUB \x00\x01\x7f\xff q\xfe s\x00\r\nPUB \x00\x01\x7f\xff r\xc3 1\r\n\x00\r\n",
        b"MSG \x00\x01\x7f\xff s\x00 r\xc3 1\r\n\x00\r\n",
    ),
)
def test_blanks(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


@table(
    row("lf-connect", b'CONNECT {"verbose":true}\n', OK),
    row("lf-sub", b"SUB foo 1\n" + PUB, MSG),
    row("lf-pub", SUB + b"PUB foo 2\nhi\r\n", MSG),
    row("lf-hpub", SUB + b"HPUB foo 0 2\nhi\r\n", MSG, HEADERS),
    row("lf-unsub", SUB + b"UNSUB 1\n" + PUB, b""),
    row("lf-ping", b"PING\n", PONG),
    row("lf-pong", b"PONG\n", b""),
    row("lf-ok", b"+OK\n", b""),
    row("lf-err", b"-ERR x\n", b"", closed=True),
    row("lf-info", b"INFO {}\n", b""),
    row("crcrlf-ping", b"PING\r\r\n", PONG),
    row("crcrlf-sub", b"SUB foo 1\r\r\n" + PUB, MSG),
    row("crcrlf-pub", SUB + b"PUB foo 2\r\r\nhi\r\n", MSG, ours="it refuses"),
    row("crcrlf-unsub", SUB + b"UNSUB 1\r\r\n" + PUB, b""),
    row(
        "payload-has-crlf",
        SUB + b"PUB foo 6\r\na\r\nb\r\n\r\n",
        b"MSG foo 1 6\r\na\r\nb\r\n\r\n",
    ),
    row(
        "payload-shorter-than-said",
        SUB + b"PUB foo 10\r\nhi\r\nPING\r\n\r\n",
        b"MSG foo 1 10\r\nhi\r\nPING\r\n\r\n",
    ),
    row(
        "bare-cr-is-blank",
        b"SUB foo 1\rX\n" + PUB,
        msg(b"foo", b"X", b"hi"),
        ours="it drops the CR or the byte before LF",
    ),
    row("bare-cr-in-pub", SUB + b"PUB foo\r2\r\nhi\r\n", MSG, ours="it refuses"),
)
def test_line_ends(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


def said(json: bytes) -> bytes:
    return b"CONNECT " + json + b"\r\n"


@table(
    row("defaults-are-verbose", b"SUB foo 1\r\n", OK, None),
    row(
        "defaults-are-pedantic",
        b"PUB foo.* 0\r\n\r\n",
        SUBJECT + OK,
        None,
        ours="it says Invalid Publish Subject",
    ),
    row("empty-object-keeps-defaults", said(b"{}"), OK, None),
    row("verbose-off", said(b'{"verbose":false}') + SUB, b"", None),
    row(
        "verbose-off-keeps-pedantic",
        said(b'{"verbose":false}') + b"PUB foo.* 0\r\n\r\n",
        SUBJECT,
        None,
        ours="it says Invalid Publish Subject",
    ),
    row(
        "pedantic-off",
        said(b'{"pedantic":false}') + b"PUB foo.* 0\r\n\r\n",
        OK + OK,
        None,
    ),
    row(
        "texts-are-taken",
        said(
            b'{"verbose":false,"name":"n","lang":"py","version":"9","ssl_required":true,'
            b'"auth_token":"t","user":"u","pass":"p"}'
        ),
        b"",
        None,
    ),
    row(
        "unknown-keys-ignored",
        said(
            b'{"verbose":false,"tls_required":true,"jwt":"j","nkey":"k","sig":"s",'
            b'"account":"a","bogus":[{}]}'
        ),
        b"",
        None,
        ours="it wants a valid jwt",
    ),
    row("protocol-0", said(b'{"verbose":false,"protocol":0}'), b"", None),
    row("protocol-1", said(b'{"verbose":false,"protocol":1}'), b"", None),
    row(
        "protocol-2",
        said(b'{"verbose":false,"protocol":2}'),
        b"",
        None,
        ours="it refuses",
    ),
    row("case-of-keys", said(b'{"VERBOSE":false}'), b"", None),
    row("last-duplicate-wins", said(b'{"verbose":true,"verbose":false}'), b"", None),
    row("last-duplicate-wins-on", said(b'{"verbose":false,"verbose":true}'), OK, None),
    row("null-leaves-option", said(b'{"verbose":null}'), OK, None),
    row("null-document", said(b"null"), OK, None),
    row("blanks-in-json", said(b' { "verbose" :\tfalse }  '), b"", None),
    row(
        "escapes-in-json",
        said(b'{"\\u0076erbose":false,"name":"\\"\\u00e9\\n"}'),
        b"",
        None,
    ),
    row("utf8-in-json", said('{"verbose":false,"name":"é漢😀"}'.encode()), b"", None),
    row("merged-verbose", said(b'{"verbose":false}') + said(b"{}") + SUB, b"", None),
    row("merged-null", said(b'{"verbose":false}') + said(b"null") + SUB, b"", None),
    row(
        "merged-pedantic",
        said(b'{"pedantic":false,"verbose":false}')
        + said(b'{"name":"x"}')
        + b"PUB foo.* 0\r\n\r\n",
        b"",
        None,
    ),
    row(
        "merged-echo",
        said(b'{"echo":false,"verbose":false}') + said(b"{}") + SUB + PUB,
        b"",
        None,
    ),
    row(
        "merged-headers",
        said(b'{"headers":true,"verbose":false}')
        + said(b"{}")
        + SUB
        + b"HPUB foo 0 2\r\nhi\r\n",
        MSG,
        None,
    ),
    row(
        "switched-on-again",
        said(b'{"verbose":false}') + SUB + said(b'{"verbose":true}') + SUB,
        OK + OK,
        None,
    ),
    row("second-takes-echo-back", said(b'{"echo":true}') + SUB + PUB, MSG, NO_ECHO),
    row(
        "pipelined-behind-connect",
        said(b'{"verbose":false}') + SUB + PUB + b"PING\r\n",
        MSG + PONG,
        None,
    ),
)
def test_connect(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


VERBOSE = {"verbose": True, "pedantic": False}


@table(
    row("connect", connect_line(VERBOSE), OK, VERBOSE),
    row("sub", SUB, OK, VERBOSE),
    row("duplicate-sid", SUB + SUB, OK + OK, VERBOSE),
    row("unsub", SUB + b"UNSUB 1\r\n", OK + OK, VERBOSE),
    row("unsub-with-limit", SUB + b"UNSUB 1 5\r\n", OK + OK, VERBOSE),
    row("unsub-unknown-sid", b"UNSUB 1\r\n", OK, VERBOSE),
    row("pub", PUB, OK, VERBOSE),
    row("hpub", b"HPUB foo 18 20\r\n" + BLOCK + b"hi\r\n", OK, HEADERS | VERBOSE),
    row("not-ping", b"PING\r\n", PONG, VERBOSE),
    row("not-pong", b"PONG\r\n", b"", VERBOSE),
    row("not-info", b"INFO {}\r\n", b"", VERBOSE),
    row("not-ok", b"+OK\r\n", b"", VERBOSE),
    row("not-invalid-sub", b"SUB foo..bar 1\r\n", SUBJECT, VERBOSE),
    row("before-own-message", SUB + PUB + b"PING\r\n", OK + OK + MSG + PONG, VERBOSE),
)
def test_verbose(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


def test_verbose_pub_answered_when_payload_is_complete(target: Target) -> None:
    peer = target.client(VERBOSE)
    peer.send(b"PUB foo 2\r\nh")
    other = target.client()
    other.expect_silence_until_pong()
    peer.send(b"i\r\nPING\r\n")
    peer.expect(OK + PONG)


@table(
    row("plain", SUB + PUB, MSG),
    row("reply", SUB + b"PUB foo bar 2\r\nhi\r\n", b"MSG foo 1 bar 2\r\nhi\r\n"),
    row("empty-payload", SUB + b"PUB foo 0\r\n\r\n", b"MSG foo 1 0\r\n\r\n"),
    row(
        "leading-zeros",
        SUB + b"PUB foo 002\r\nhi\r\n",
        MSG,
        ours="it echoes the spelling",
    ),
    row(
        "300-leading-zeros",
        SUB + b"PUB foo " + b"0" * 300 + b"5\r\nhello\r\n",
        b"MSG foo 1 5\r\nhello\r\n",
        ours="it refuses",
    ),
    row(
        "zeros-only",
        SUB + b"PUB foo 000\r\n\r\n",
        b"MSG foo 1 0\r\n\r\n",
        ours="it echoes the spelling",
    ),
    row(
        "doubled-blanks-not-forwarded",
        SUB + b"PUB  foo \t bar   2  \r\nhi\r\n",
        b"MSG foo 1 bar 2\r\nhi\r\n",
    ),
    row("nobody-listens", PUB, b""),
    row("own-messages-come-back", SUB + PUB + PUB, MSG + MSG),
)
def test_publish(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


@table(
    row("star", b"PUB foo.* 5\r\nhello\r\n", SUBJECT, PEDANTIC),
    row(
        "answered-ok-too",
        b"PUB foo.* 5\r\nhello\r\n",
        SUBJECT + OK,
        {"verbose": True, "pedantic": True},
    ),
    row(
        "delivered-anyway",
        b"SUB foo.* 1\r\nPUB foo.* 5\r\nhello\r\n",
        SUBJECT + b"MSG foo.* 1 5\r\nhello\r\n",
        PEDANTIC,
    ),
    row(
        "reply-not-checked",
        SUB + b"PUB foo a..* 2\r\nhi\r\n",
        b"MSG foo 1 a..* 2\r\nhi\r\n",
        PEDANTIC,
    ),
    row(
        "not-pedantic",
        b"SUB foo.* 1\r\nPUB foo.* 5\r\nhello\r\n",
        b"MSG foo.* 1 5\r\nhello\r\n",
    ),
)
@pytest.mark.ours("it says Invalid Publish Subject")
def test_pedantic(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


@pytest.mark.ours("it says Invalid Publish Subject")
def test_pedantic_error_precedes_payload(target: Target) -> None:
    peer = target.client(PEDANTIC | {"verbose": True})
    peer.send(b"PUB foo.* 5\r\n")
    peer.expect(SUBJECT)
    peer.send(b"hello\r\n")
    peer.expect(OK)
    peer.expect_silence_until_pong()


def test_one_message_for_each_subscription(target: Target) -> None:
    peer, other = target.clients(2)
    peer.send(b"SUB foo 1\r\nSUB foo 2\r\nSUB * 3\r\nSUB > 4\r\n")
    peer.expect_silence_until_pong()
    other.send(PUB)
    got = {peer.read(len(MSG)) for _ in range(4)}
    assert got == {msg(b"foo", sid, b"hi") for sid in (b"1", b"2", b"3", b"4")}
    peer.expect_silence_until_pong()


@table(
    row(
        "order-of-causes",
        b"SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\nPUB a 1\r\ny\r\nPING\r\nSUB a..b 2\r\n",
        msg(b"a", b"1", b"x") + PONG + msg(b"a", b"1", b"y") + PONG + SUBJECT,
    ),
    row("one-pong-for-each-ping", b"PING\r\n" * 5, PONG * 5),
    row("ping-before-connect", b"PING\r\n", PONG, None),
    row(
        "ok-keeps-its-place",
        SUB + b"PING\r\n" + SUB + PUB + b"PING\r\n",
        OK + PONG + OK + OK + MSG + PONG,
        None,
    ),
)
def test_order(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


@table(
    row("duplicate-sid-ignored", SUB + b"SUB bar 1\r\nPUB bar 1\r\nx\r\n" + PUB, MSG),
    row("duplicate-sid-one-message", SUB + SUB + PUB, MSG),
    row("duplicate-sid-and-limit", SUB + SUB + b"UNSUB 1 2\r\n" + PUB * 4, MSG * 2),
    row("sid-free-after-invalid", b"SUB foo..bar 1\r\n" + SUB + PUB, SUBJECT + MSG),
    row("sid-free-after-unsub", b"SUB bar 1\r\nUNSUB 1\r\n" + SUB + PUB, MSG),
    row("unsub-at-once", SUB + PUB + b"UNSUB 1\r\n" + PUB, MSG),
    row("unsub-unknown", b"UNSUB nope\r\n" + SUB + PUB, MSG),
    row("unsub-twice", SUB + b"UNSUB 1\r\nUNSUB 1\r\n" + PUB, b""),
    row("limit-0", SUB + b"UNSUB 1 0\r\n" + PUB, b""),
    row("limit-negative", SUB + b"UNSUB 1 -5\r\n" + PUB, b""),
    row("limit-no-number", SUB + b"UNSUB 1 abc\r\n" + PUB, b""),
    row("limit-then-3", SUB + b"UNSUB 1 2\r\n" + PUB * 3, MSG * 2),
    row("limit-counts-from-sub", SUB + PUB + b"UNSUB 1 2\r\n" + PUB * 2, MSG * 2),
    row("limit-already-passed", SUB + PUB * 3 + b"UNSUB 1 2\r\n" + PUB, MSG * 3),
    row("limit-just-reached", SUB + PUB * 2 + b"UNSUB 1 2\r\n" + PUB, MSG * 2),
    row("last-limit-wins", SUB + b"UNSUB 1 1\r\nUNSUB 1 2\r\n" + PUB * 3, MSG * 2),
    row("limit-lowered", SUB + b"UNSUB 1 3\r\nUNSUB 1 1\r\n" + PUB * 3, MSG),
    row("limit-then-plain-unsub", SUB + b"UNSUB 1 5\r\nUNSUB 1\r\n" + PUB, b""),
    row(
        "sid-again-after-limit",
        SUB + b"UNSUB 1 1\r\n" + PUB * 2 + SUB + PUB * 2,
        MSG * 3,
    ),
    row(
        "redundant-unsub-after-limit",
        SUB + b"UNSUB 1 1\r\n" + PUB + b"UNSUB 1\r\nUNSUB 1\r\n" + PUB,
        MSG,
    ),
    row("leading-zeros-of-limit", SUB + b"UNSUB 1 002\r\n" + PUB * 3, MSG * 2),
)
def test_subscriptions(
    target: Target, sent: bytes, want: bytes, hello: Any, closed: bool
) -> None:
    check(target, sent, want, hello, closed)


def test_limit_beyond_any_count_does_not_wrap(target: Target) -> None:
    """10^22 is 1864712049423024128 modulo 2^64; 2^64 + 2 is 2."""
    peer = target.client()
    peer.send(SUB + b"UNSUB 1 18446744073709551618\r\n" + PUB * 4 + b"PING\r\n")
    got = peer.line()
    assert got in (MSG[:-4], PONG)
    if got != PONG:
        peer.expect(b"hi\r\n" + MSG * 3 + PONG)
    peer.expect_silence_until_pong()


def test_sid_is_private_to_its_connection(target: Target) -> None:
    one, two = target.clients(2)
    for peer in (one, two):
        peer.send(SUB)
        peer.expect_silence_until_pong()
    two.send(b"UNSUB 1\r\n")
    two.expect_silence_until_pong()
    two.send(PUB)
    one.expect(MSG)
    two.expect_silence_until_pong()


def test_limit_across_reactors(target: Target) -> None:
    """The limit holds whichever reactors publisher and subscriber live on."""
    peers = target.clients(5)
    for subscriber, publisher in itertools.pairwise(peers):
        subscriber.send(SUB + b"UNSUB 1 2\r\n")
        subscriber.expect_silence_until_pong()
        publisher.send(PUB * 5)
        publisher.expect_silence_until_pong()
        subscriber.expect(MSG * 2)
        subscriber.expect_silence_until_pong()


def test_half_close_is_answered_first(target: Target) -> None:
    """What came before FIN is processed and answered, then the server closes."""
    peer, other = target.clients(2)
    other.send(SUB)
    other.expect_silence_until_pong()
    peer.send(SUB + PUB + b"PING\r\n" + PUB)
    peer.finish()
    peer.expect(MSG + PONG + MSG)
    peer.expect_closed()
    other.expect(MSG * 2)


def test_half_close_behind_connect(target: Target) -> None:
    """A FIN that comes while CONNECT is being decided is not forgotten."""
    peer = target.peer()
    peer.send(connect_line(QUIET) + SUB + PUB + b"PING\r\n")
    peer.finish()
    peer.expect(MSG + PONG)
    peer.expect_closed()


@pytest.mark.parametrize(
    "tail",
    [b"PUB foo 5\r\nhe", b"PUB foo 5\r\nhello", b"PUB foo 5\r\nhello\r", b"PUB foo 5"],
)
def test_unfinished_message_is_dropped(target: Target, tail: bytes) -> None:
    leaving, other = target.clients(2)
    other.send(SUB)
    other.expect_silence_until_pong()
    leaving.send(PUB + tail)
    leaving.finish()
    leaving.expect_closed()
    other.expect(MSG)
    other.expect_silence_until_pong()


def test_bad_second_connect_closes(target: Target) -> None:
    """A connection that was let in once is looked at again."""
    target.talk(SUB + b'CONNECT {"verbose":1}\r\n' + PUB, PARSER, closed=True)


def test_pub_of_one_to_many(target: Target) -> None:
    """One message reaches subscribers on every reactor, several on each."""
    peers = target.clients(12)
    for peer in peers:
        peer.send(SUB)
        peer.expect_silence_until_pong()
    peers[0].send(pub(b"foo", b"x" * 5000, b"r"))
    for peer in peers:
        peer.expect(msg(b"foo", b"1", b"x" * 5000, b"r"))
