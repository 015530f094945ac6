"""Every error that a client can cause, in exact bytes, and what it does to others."""

from __future__ import annotations

import random
from typing import Any

import pytest
from target import Target
from wire import (
    HEADERS,
    LINE,
    OK,
    PAIR,
    PARSER,
    PAYLOAD,
    PEDANTIC,
    PING,
    PONG,
    QUIET,
    SUBJECT,
    msg,
)

SUB = b"SUB foo 1\r\n"
PUB = b"PUB foo 2\r\nhi\r\n"
MSG = b"MSG foo 1 2\r\nhi\r\n"
NEST = b"[" * 1900 + b"]" * 1900
VERBOSE = {"verbose": True, "pedantic": True}


def fatal(name: str, sent: bytes, want: bytes, *, ours: str = "") -> Any:
    marks = [pytest.mark.ours(ours)] if ours else []
    return pytest.param(sent, want, id=name, marks=marks)


def table(*rows: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("sent", "want"), rows)


@table(
    fatal("word", b"FOO\r\n", PAIR),
    fatal("msg", b"MSG foo 1 2\r\nhi\r\n", PAIR),
    fatal("hmsg", b"HMSG foo 1 0 2\r\nhi\r\n", PAIR),
    fatal("leading-blank", b" PING\r\n", PAIR),
    fatal("leading-tab", b"\tPING\r\n", PAIR),
    fatal("empty-line", b"\r\n", PAIR),
    fatal("lone-lf", b"\n", PAIR),
    fatal("lone-cr", b"\r", PAIR),
    fatal("nul", b"\0", PAIR),
    fatal("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", PAIR),
    fatal("http-request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", PAIR),
    fatal("pub-without-blank", b"PUBfoo 2\r\nhi\r\n", PAIR),
    fatal("pub-at-line-end", b"PUB\r\n", PAIR),
    fatal("sub-without-blank", b"SUBfoo 1\r\n", PAIR),
    fatal("sub-at-line-end", b"SUB\r\n", PAIR),
    fatal("unsub-without-blank", b"UNSUBfoo\r\n", PAIR),
    fatal("unsub-at-line-end", b"UNSUB\r\n", PAIR),
    fatal("err-without-blank", b"-ERRx\r\n", PAIR),
    fatal("err-at-line-end", b"-ERR\r\n", PAIR),
    fatal("plus-word", b"+NO\r\n", PAIR),
    fatal("minus-word", b"-NO\r\n", PAIR),
    fatal("ping-broken", b"PIN\r\n", PAIR),
    fatal("pong-broken", b"PON\r\n", PAIR),
    fatal("connect-broken", b"CONNECX {}\r\n", PAIR),
    fatal("info-broken", b"INFX {}\r\n", PAIR),
)
def test_unknown_operation(target: Target, sent: bytes, want: bytes) -> None:
    target.talk(sent, want, closed=True)


@table(
    fatal("hpub-without-blank", b"HPUBfoo 0 2\r\nhi\r\n", PAIR),
    fatal("hpub-at-line-end", b"HPUB\r\n", PAIR),
)
def test_unknown_operation_with_headers(
    target: Target, sent: bytes, want: bytes
) -> None:
    target.talk(sent, want, hello=HEADERS, closed=True)


WORDS = b"CONNECT|INFO|PING|PONG|+OK|-ERR |SUB |UNSUB |PUB |HPUB ".split(b"|")


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.decode().strip())
def test_wrong_byte_is_noticed_at_once(target: Target, word: bytes) -> None:
    """Each wrong byte of a verb is an error without waiting for the line to end."""
    for end in range(len(word)):
        target.talk(word[:end] + b"?", PAIR, hello=HEADERS, closed=True)


@table(
    fatal("pub-no-argument", b"PUB \r\n", PARSER, ours="it waits for another line"),
    fatal("pub-no-argument-lf", b"PUB \n", PARSER, ours="it waits for another line"),
    fatal("pub-one-argument", b"PUB foo\r\n", PARSER),
    fatal("pub-one-argument-and-blank", b"PUB foo \r\n", PARSER),
    fatal("pub-four-arguments", b"PUB foo bar baz 2\r\nhi\r\n", PARSER),
    fatal("pub-five-arguments", b"PUB a b c d 2\r\nhi\r\n", PARSER),
    fatal("sub-no-argument", b"SUB \r\n", PARSER, ours="it waits for another line"),
    fatal("sub-one-argument", b"SUB foo\r\n", PARSER),
    fatal("sub-four-arguments", b"SUB foo bar 1 2\r\n", PARSER),
    fatal("unsub-no-argument", b"UNSUB \r\n", PARSER, ours="it waits"),
    fatal("unsub-three-arguments", b"UNSUB 1 2 3\r\n", PARSER),
    fatal("info-no-argument", b"INFO\r\n", PARSER, ours="it waits"),
    fatal("info-not-json", b"INFO {bad}\r\n", PARSER),
)
def test_wrong_arguments(target: Target, sent: bytes, want: bytes) -> None:
    target.talk(sent, want, closed=True)


@table(
    fatal("letters", b"abc", PARSER),
    fatal("negative", b"-1", PARSER),
    fatal("plus", b"+2", PARSER),
    fatal("plus-5", b"+5", PARSER),
    fatal("hexadecimal", b"0x5", PARSER),
    fatal("fraction", b"5.0", PARSER),
    fatal("exponent", b"1e3", PARSER),
    fatal("digits-then-letter", b"5a", PARSER),
    fatal("letter-beyond-limit", b"99999999999a", PARSER),
    fatal("other-digits", "٣".encode(), PARSER),
    fatal("limit-plus-1", b"1048577", PAYLOAD),
    fatal("two-million", b"2000000", PAYLOAD),
    fatal("2^31", b"2147483648", PAYLOAD, ours="it closes silently"),
    fatal("2^32+2", b"4294967298", PAYLOAD, ours="it closes silently"),
    fatal("2^63-1", b"9223372036854775807", PAYLOAD, ours="it closes silently"),
    fatal("2^63-1-zeros", b"009223372036854775807", PAYLOAD, ours="it closes silently"),
    fatal("2^63", b"9223372036854775808", PARSER),
    fatal("2^64", b"18446744073709551616", PARSER),
    fatal("2^64+2", b"18446744073709551618", PARSER),
    fatal("2^64+5", b"18446744073709551621", PARSER),
    fatal("2^65+2", b"36893488147419103234", PARSER),
    fatal("10^22", b"1" + b"0" * 22, PARSER),
    fatal("300-digits", b"9" * 300, PARSER),
)
def test_sizes(target: Target, sent: bytes, want: bytes) -> None:
    """As the size of PUB, of PUB with a reply, and as both sizes of HPUB."""
    target.talk(SUB + b"PUB foo " + sent + b"\r\nhello\r\n", want, closed=True)
    target.talk(SUB + b"PUB foo bar " + sent + b"\r\nhello\r\n", want, closed=True)
    if target.foreign:
        return
    for line in (b"HPUB foo 0 %b\r\nhello\r\n", b"HPUB foo r 0 %b\r\nhello\r\n"):
        target.talk(line % sent, want, hello=HEADERS, closed=True)
    target.talk(
        b"HPUB foo %b 5\r\nhello\r\n" % sent, PARSER, hello=HEADERS, closed=True
    )


def test_random_sizes(target: Target) -> None:
    """Whatever stands for a size is a size, too large, or a parser error."""
    random_ = random.Random(20160)
    other = target.client()
    other.send(SUB)
    for _ in range(150):
        length = random_.randint(1, 24)
        size = bytes(
            random_.choice(b"0123456789999-+.xe\x00\xff") for _ in range(length)
        )
        number = int(size) if size.isdigit() else 2**63
        want = PAYLOAD if number < 2**63 else PARSER
        if number > 1048576 and not (target.foreign and want == PAYLOAD):
            target.talk(b"PUB foo " + size + b"\r\n", want, closed=True)
    other.expect_silence_until_pong()


@table(
    fatal("lf-only", b"PUB foo 2\r\nhi\nPING\r\n", PAIR),
    fatal("byte-then-lf", b"PUB foo 2\r\nhiX\n", PAIR),
    fatal("cr-then-byte", b"PUB foo 2\r\nhi\rX", PAIR),
    fatal("one-byte-longer", b"PUB foo 2\r\nhiX\r\n", PAIR),
    fatal("longer-without-line-end", b"PUB foo 2\r\nhi there", PAIR),
    fatal("empty-then-byte", b"PUB foo 0\r\nX\r\n", PAIR),
    fatal("cr-only", b"PUB foo 2\r\nhi\r\r\n", PAIR),
)
@pytest.mark.ours("it waits for two bytes, or more")
def test_framing(target: Target, sent: bytes, want: bytes) -> None:
    """A message with a broken end is refused, and delivered to nobody."""
    other = target.client()
    other.send(SUB)
    other.expect_silence_until_pong()
    target.talk(sent, want, closed=True)
    other.expect_silence_until_pong()


@table(
    fatal("without-headers", b"HPUB foo 0 2\r\nhi\r\n", PARSER),
    fatal("without-headers-bad", b"HPUB foo\r\n", PARSER),
)
def test_hpub_without_headers(target: Target, sent: bytes, want: bytes) -> None:
    target.talk(sent, want, closed=True)


def test_hpub_before_connect(target: Target) -> None:
    target.talk(b"HPUB foo 0 2\r\nhi\r\n", PARSER, hello=None, closed=True)


@table(
    fatal("header-beyond-total", b"HPUB foo 19 18\r\n", PARSER),
    fatal("size-missing", b"HPUB foo 18\r\n", PARSER),
    fatal("both-missing", b"HPUB foo\r\n", PARSER),
    fatal("no-argument", b"HPUB \r\n", PARSER, ours="it waits for another line"),
    fatal("five-arguments", b"HPUB a b c 0 2\r\nhi\r\n", PARSER),
    fatal("negative-header", b"HPUB foo -1 2\r\nhi\r\n", PARSER),
    fatal("negative-total", b"HPUB foo 0 -2\r\nhi\r\n", PARSER),
    fatal("letters-header", b"HPUB foo x 2\r\nhi\r\n", PARSER),
    fatal("letters-total", b"HPUB foo 0 x\r\nhi\r\n", PARSER),
    fatal("total-too-large", b"HPUB foo 12 1048577\r\n", PAYLOAD),
    fatal("lf-behind-payload", b"HPUB foo 0 2\r\nhi\nPING\r\n", PAIR),
    fatal("byte-behind-payload", b"HPUB foo 0 2\r\nhiX\r\n", PAIR),
)
def test_hpub(target: Target, sent: bytes, want: bytes) -> None:
    target.talk(sent, want, hello=HEADERS, closed=True)


@table(
    fatal("missing", b"CONNECT\r\n", PARSER, ours="it waits"),
    fatal("missing-behind-blank", b"CONNECT \r\n", PARSER, ours="it waits"),
    fatal("text-behind-brace", b"CONNECT {} x\r\n", PARSER),
    fatal("second-object", b"CONNECT {}{}\r\n", PARSER),
    fatal("array", b"CONNECT []\r\n", PARSER),
    fatal("text", b'CONNECT "x"\r\n', PARSER),
    fatal("number", b"CONNECT 1\r\n", PARSER),
    fatal("true", b"CONNECT true\r\n", PARSER),
    fatal("word", b"CONNECT foo\r\n", PARSER),
    fatal("unfinished", b'CONNECT {"verbose":\r\n', PARSER),
    fatal("single-quotes", b"CONNECT {'verbose':false}\r\n", PARSER),
    fatal("comma-at-end", b'CONNECT {"verbose":false,}\r\n', PARSER),
    fatal("verbose-number", b'CONNECT {"verbose":1}\r\n', PARSER),
    fatal("verbose-text", b'CONNECT {"verbose":"true"}\r\n', PARSER),
    fatal("pedantic-object", b'CONNECT {"pedantic":{}}\r\n', PARSER),
    fatal("echo-text", b'CONNECT {"echo":"x"}\r\n', PARSER),
    fatal("headers-number", b'CONNECT {"headers":1}\r\n', PARSER),
    fatal("no-responders-text", b'CONNECT {"no_responders":"x"}\r\n', PARSER),
    fatal("name-number", b'CONNECT {"name":1}\r\n', PARSER),
    fatal("lang-array", b'CONNECT {"lang":[]}\r\n', PARSER),
    fatal("version-true", b'CONNECT {"version":true}\r\n', PARSER),
    fatal("user-number", b'CONNECT {"user":1}\r\n', PARSER),
    fatal("pass-number", b'CONNECT {"pass":1}\r\n', PARSER),
    fatal("token-number", b'CONNECT {"auth_token":1}\r\n', PARSER),
    fatal("protocol-text", b'CONNECT {"protocol":"1"}\r\n', PARSER),
    fatal("last-duplicate-is-wrong", b'CONNECT {"name":"a","name":1}\r\n', PARSER),
    fatal("not-a-number", b'CONNECT {"verbose":NaN}\r\n', PARSER),
    fatal("infinity", b'CONNECT {"x":Infinity}\r\n', PARSER),
    fatal("huge-number", b'CONNECT {"protocol":1e999}\r\n', PARSER),
    fatal("nested-deep", b'CONNECT {"x":' + NEST + b"}\r\n", PARSER, ours="accepted"),
    fatal("nested-and-open", b'CONNECT {"x":' + b"[" * 3000 + b"\r\n", PARSER),
    fatal("nested-objects", b"CONNECT " + b'{"a":' * 700 + b"\r\n", PARSER),
    fatal("control-byte-in-text", b'CONNECT {"name":"a\x01"}\r\n', PARSER),
    fatal("bad-escape", b'CONNECT {"name":"\\x"}\r\n', PARSER),
    fatal("nested-2-million", b'CONNECT {"x":' + b"[" * 2_000_000 + b"\r\n", LINE),
)
def test_connect(target: Target, sent: bytes, want: bytes) -> None:
    peer = target.peer()
    peer.push(sent)
    peer.expect(target.expected(want))
    peer.expect_closed()


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"\xc3", b"\\ud800", b"\\udfff\\ud800"], ids=ascii
)
def test_connect_with_text_that_is_no_text(target: Target, name: bytes) -> None:
    """Taken or refused, but the connection ends up in a state that we know."""
    peer = target.peer()
    peer.send(b'CONNECT {"verbose":false,"name":"' + name + b'"}\r\nPING\r\n')
    answer = peer.line()
    assert answer in (PONG, PARSER)
    if answer == PARSER:
        peer.expect_closed()
    else:
        peer.expect_silence_until_pong()


@pytest.mark.parametrize(
    "subject", [b"foo..bar", b".foo", b"foo.", b".", b"foo.>.bar", b">.foo", b">.>"]
)
def test_invalid_subscription_keeps_the_connection(
    target: Target, subject: bytes
) -> None:
    for hello in (QUIET, PEDANTIC):
        target.talk(b"SUB " + subject + b" 1\r\n", SUBJECT, hello=hello)
        target.talk(
            b"SUB %b group 1\r\n%b%b" % (subject, SUB, PUB), SUBJECT + MSG, hello=hello
        )


@pytest.mark.parametrize(
    "subject", [b"foo..bar", b".foo", b"foo.", b".", b"*", b">", b"foo.*", b"a.>.b"]
)
@pytest.mark.ours("it says Invalid Publish Subject")
def test_invalid_publish_is_delivered(target: Target, subject: bytes) -> None:
    publish = b"PUB " + subject + b" 2\r\nhi\r\n"
    target.talk(b"SUB > 1\r\n" + publish, msg(subject, b"1", b"hi"))
    target.talk(
        b"SUB > 1\r\n" + publish, SUBJECT + msg(subject, b"1", b"hi"), hello=PEDANTIC
    )


@table(
    fatal("unknown-operation", b"FOO\r\n", PAIR),
    fatal("parser-error", b"SUB x\r\n", PARSER),
    fatal("bad-size", b"PUB foo x\r\n", PARSER),
    fatal("payload-violation", b"PUB foo 2000000\r\n", PAYLOAD),
    fatal("framing", b"PUB foo 2\r\nhiX\r\n", PAIR),
    fatal("control-line", b"SUB " + b"x" * 5000 + b" 1\r\n", LINE),
    fatal("bad-connect", b"CONNECT {]\r\n", PARSER),
    fatal("bad-info", b"INFO {]\r\n", PARSER),
    fatal("headers", b"HPUB foo 3 2\r\nhi\r\n", PARSER),
    fatal("client-said-err", b"-ERR x\r\n", b"", ours="others wait for a flush"),
)
class TestFatal:
    """What every fatal error has in common."""

    def test_pending_output_comes_first(
        self, target: Target, sent: bytes, want: bytes
    ) -> None:
        """And nothing that follows the faulty byte is looked at."""
        peer = target.client(VERBOSE)
        peer.send(SUB + PUB + sent + SUB + PUB)
        peer.expect(OK + OK + MSG + target.expected(want))
        peer.expect_closed()

    def test_others_get_what_was_published_before(
        self, target: Target, sent: bytes, want: bytes
    ) -> None:
        """At once, on every reactor, without waiting for something else to flush."""
        others = target.clients(5)
        for other in others:
            other.send(SUB)
            other.expect_silence_until_pong()
        target.talk(PUB + sent + PUB, want, closed=True)
        for other in others:
            other.expect(MSG)
        for other in others:
            other.expect_silence_until_pong()

    def test_subscriptions_are_gone(
        self, target: Target, sent: bytes, want: bytes
    ) -> None:
        target.talk(b"SUB gone 1\r\n" + sent, want, closed=True)
        asker = target.client(HEADERS | {"no_responders": True})
        asker.send(b"SUB reply 1\r\nPUB gone reply 0\r\n\r\n")
        asker.expect(b"HMSG reply 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n")


def test_error_from_client_is_silent(target: Target) -> None:
    target.talk(b"-ERR 'Slow Consumer'\r\n", b"", closed=True)


def test_close_of_one_leaves_others_alone(target: Target) -> None:
    peers = target.clients(4)
    target.talk(b"FOO\r\n", PAIR, closed=True)
    for peer in peers:
        peer.send(PING)
        peer.expect(PONG)


@pytest.mark.ours("it closes while bytes are unread, and the kernel resets")
def test_error_is_not_lost_to_a_reset(target: Target) -> None:
    """The rest of a refused payload is on its way: it is thrown away for a moment, so
    that the client reads the error and then an end, not a reset."""
    for line, want in ((b"PUB foo 2000000\r\n", PAYLOAD), (b"FOO\r\n", PAIR)):
        peer = target.client()
        peer.send(line + b"x" * 100_000)
        peer.expect(want)
        peer.send(b"x" * 50_000)
        peer.expect_closed()
        assert not peer.was_reset
