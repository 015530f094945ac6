"""Runs of messages to one subject, which the server may deliver together, must look as
if they had been delivered one by one."""

from __future__ import annotations

import random
import re
import time

import pytest
from target import Target
from wire import (
    HEADERS,
    MODERN,
    NO_ECHO,
    OK,
    PAIR,
    PING,
    PONG,
    QUIET,
    SECONDS,
    Peer,
    connect_line,
    msg,
    pub,
)

RUN = 300  # messages; more than go together
SUBJECTS = (b"run", b"run.of.messages", b"r" * 70)
RECORD = re.compile(
    rb"MSG (?P<subject>\S+) (?P<sid>\S+) (?:(?P<reply>\S+) )?(?P<size>\d+)\r\n"
)


def payload(number: int, size: int = 8) -> bytes:
    return b"%08d" % number + b"." * (size - 8)


def run_of(subject: bytes, count: int = RUN, size: int = 8) -> bytes:
    return b"".join(pub(subject, payload(i, size)) for i in range(count))


def answers(
    subject: bytes, sids: list[bytes], count: int = RUN, size: int = 8
) -> bytes:
    """What a connection with these subscriptions gets of a run."""
    return b"".join(
        msg(subject, sid, payload(i, size)) for i in range(count) for sid in sids
    )


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("size", [8, 100, 1000, 4094, 4095, 4096, 5000])
def test_run_arrives(target: Target, subject: bytes, size: int) -> None:
    publisher, *others = target.clients(5)
    for other in others:
        other.send(b"SUB %b 1\r\n" % subject + PING)
        other.expect(PONG)
    publisher.send(run_of(subject, size=size) + PING)
    publisher.expect(PONG)
    for other in others:
        other.expect(answers(subject, [b"1"], size=size))


def test_a_connection_with_two_subscriptions_gets_message_by_message(
    target: Target,
) -> None:
    publisher, *others = target.clients(5)
    for other in others:
        other.send(b"SUB run 1\r\nSUB run 22\r\n" + PING)
        other.expect(PONG)
    publisher.send(run_of(b"run") + PING)
    publisher.expect(PONG)
    for other in others:
        other.expect(answers(b"run", [b"1", b"22"]))


def test_own_messages_stand_between_own_answers(target: Target) -> None:
    """Echo, and what is answered meanwhile, keep their places."""
    peer = target.client()
    three = run_of(b"run", 3)
    peer.send(b"SUB run 1\r\n" + three + PING + three + b"UNSUB 1\r\n" + three + PING)
    got = answers(b"run", [b"1"], 3)
    peer.expect(got + PONG + got + PONG)
    peer.send(b"SUB run 2\r\n" + three + b"SUB run 3\r\n" + three + PING)
    got = answers(b"run", [b"2"], 3) + answers(b"run", [b"2", b"3"], 3)
    peer.expect(got + PONG)


def test_no_echo(target: Target) -> None:
    peer = target.client(NO_ECHO)
    other = target.client()
    for each in (peer, other):
        each.send(b"SUB run 1\r\n" + PING)
        each.expect(PONG)
    peer.send(run_of(b"run") + PING)
    peer.expect(PONG)
    other.expect(answers(b"run", [b"1"]))


@pytest.mark.parametrize("limit", [1, 2, 127, 128, 129, RUN - 1, RUN])
def test_limit_of_a_subscription_within_a_run(target: Target, limit: int) -> None:
    publisher, limited, free = target.clients(3)
    limited.send(b"SUB run 1\r\nUNSUB 1 %d\r\n" % limit + PING)
    free.send(b"SUB run 1\r\n" + PING)
    for peer in (limited, free):
        peer.expect(PONG)
    publisher.send(run_of(b"run") + PING)
    publisher.expect(PONG)
    free.expect(answers(b"run", [b"1"]))
    limited.expect(answers(b"run", [b"1"], limit))
    limited.expect_silence_until_pong()


def test_limit_that_comes_after_a_run(target: Target) -> None:
    """What came in the run counts."""
    publisher, limited = target.clients(2)
    limited.send(b"SUB run 1\r\n" + PING)
    limited.expect(PONG)
    publisher.send(run_of(b"run") + PING)
    publisher.expect(PONG)
    limited.expect(answers(b"run", [b"1"]))
    limited.send(b"UNSUB 1 %d\r\n" % (RUN + 2) + PING)
    limited.expect(PONG)
    publisher.send(run_of(b"run", 5) + PING)
    publisher.expect(PONG)
    limited.expect(answers(b"run", [b"1"], 2))
    limited.expect_silence_until_pong()


def test_run_ends_with_an_error(target: Target) -> None:
    """What came before it is delivered, also to the one who is to be closed."""
    peer, other = target.clients(2)
    for each in (peer, other):
        each.send(b"SUB run 1\r\n" + PING)
        each.expect(PONG)
    peer.send(run_of(b"run", 5) + b"PUB run 2\r\nhi?\r\n")
    peer.expect(target.expected(answers(b"run", [b"1"], 5) + PAIR))
    peer.expect_closed()
    other.expect(answers(b"run", [b"1"], 5))
    other.expect_silence_until_pong()


def test_verbose_publisher_gets_an_answer_to_each(target: Target) -> None:
    peer = target.client({"verbose": True, "pedantic": False})
    peer.send(b"SUB run 1\r\n" + run_of(b"run", 3))
    one_by_one = b"".join(OK + msg(b"run", b"1", payload(i)) for i in range(3))
    peer.expect(OK + one_by_one)


def test_request_to_nobody_within_a_run(target: Target) -> None:
    peer = target.client(MODERN)
    peer.send(b"SUB inbox 7\r\nSUB run 1\r\n" + PING)
    peer.expect(PONG)
    peer.send(
        run_of(b"run", 2)
        + pub(b"nobody", b"?", b"inbox")
        + run_of(b"run", 2)
        + pub(b"run", b"!", b"inbox")
        + PING
    )
    status = b"HMSG inbox 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    two = answers(b"run", [b"1"], 2)
    peer.expect(two + status + two + msg(b"run", b"1", b"!", b"inbox") + PONG)


def test_headers_within_a_run(target: Target) -> None:
    modern, old = target.client(HEADERS), target.client()
    for peer in (modern, old):
        peer.send(b"SUB run 1\r\n" + PING)
        peer.expect(PONG)
    block = b"NATS/1.0\r\nA: b\r\n\r\n"
    headed = b"HPUB run 18 20\r\n" + block + b"hi\r\n"
    modern.send(run_of(b"run", 3) + headed + run_of(b"run", 3) + PING)
    three = answers(b"run", [b"1"], 3)
    modern.expect(three + b"HMSG run 1 18 20\r\n" + block + b"hi\r\n" + three + PONG)
    old.expect(three + msg(b"run", b"1", b"hi") + three)


def test_queue_group_gets_each_message_of_a_run_once(target: Target) -> None:
    publisher, plain, *members = target.clients(6)
    plain.send(b"SUB run 1\r\n" + PING)
    plain.expect(PONG)
    for member in members:
        member.send(b"SUB run workers 1\r\n" + PING)
        member.expect(PONG)
    publisher.send(run_of(b"run") + PING)
    publisher.expect(PONG)
    plain.expect(answers(b"run", [b"1"]))
    got: list[int] = []
    for member in members:
        numbers = [int(body) for _, _, _, body in records(read_to_pong(member))]
        assert numbers == sorted(numbers)
        got += numbers
    assert sorted(got) == list(range(RUN))


def read_to_pong(peer: Peer) -> bytes:
    """All that a fenced connection has got."""
    peer.send(PING)
    deadline = time.monotonic() + SECONDS
    while not peer.buffer.endswith(PONG):
        assert peer.fill(deadline), f"no PONG, only {len(peer.buffer)} bytes"
    return peer.take(len(peer.buffer)).removesuffix(PONG)


def records(data: bytes) -> list[tuple[bytes, bytes, bytes, bytes]]:
    """Subject, sid, reply and payload of each record, in order."""
    found, at = [], 0
    while at < len(data):
        head = RECORD.match(data, at)
        assert head, data[at : at + 80]
        end = head.end() + int(head["size"])
        assert data[end : end + 2] == b"\r\n"
        body = data[head.end() : end]
        found.append((head["subject"], head["sid"], head["reply"] or b"", body))
        at = end + 2
    return found


@pytest.mark.parametrize("seed", range(12))
def test_any_mixture_looks_as_if_one_by_one(target: Target, seed: int) -> None:
    """Subjects, sizes, replies and spellings in any turn, cut anywhere."""
    chance = random.Random(seed)
    publisher, *others = target.clients(4)
    patterns = [b"a", b"a.b", b"a.*", b">", b"b"]
    wanted: list[dict[bytes, bytes]] = []
    for other in others:
        chosen = {b"%d" % i: p for i, p in enumerate(chance.choices(patterns, k=3))}
        wanted.append(chosen)
        subs = b"".join(b"SUB %b %b\r\n" % (p, sid) for sid, p in chosen.items())
        other.send(subs + PING)
        other.expect(PONG)
    sent: list[tuple[bytes, bytes, bytes]] = []
    stream = b""
    subject = b"a"
    for number in range(400):
        if chance.random() < 0.2:
            subject = chance.choice([b"a", b"a.b", b"a.c", b"b", b"nobody"])
        reply = b"reply.%d" % number if chance.random() < 0.1 else b""
        size = chance.choice([8, 8, 8, 9, 40, 300, 5000])
        sent.append((subject, reply, payload(number, size)))
        line = pub(subject, sent[-1][2], reply)
        if chance.random() < 0.05:
            line = line.replace(b" ", b"  ", 1).replace(b"PUB", b"pub", 1)
        stream += line
    stream += PING
    while stream:
        cut = chance.choice([1, 50, 1000, 100_000])
        publisher.send(stream[:cut])
        stream = stream[cut:]
    publisher.expect(PONG)
    for other, chosen in zip(others, wanted, strict=True):
        got = records(read_to_pong(other))
        numbers = [int(body[:8]) for _, _, _, body in got]
        assert numbers == sorted(numbers)
        for sid, pattern in chosen.items():
            mine = [(s, r, body) for s, i, r, body in got if i == sid]
            assert mine == [one for one in sent if reaches(pattern, one[0])]


def reaches(pattern: bytes, subject: bytes) -> bool:
    if pattern == b"a.*":
        return subject.startswith(b"a.")
    return pattern in (b">", subject)


def test_connect_line_is_needed_once(target: Target) -> None:
    """A run before and after another CONNECT, which changes what is answered."""
    peer = target.client()
    verbose = connect_line(QUIET | {"verbose": True})
    peer.send(b"SUB run 1\r\n" + run_of(b"run", 3) + verbose + run_of(b"run", 2))
    three = answers(b"run", [b"1"], 3)
    two = b"".join(OK + msg(b"run", b"1", payload(i)) for i in range(2))
    peer.expect(three + OK + two)
