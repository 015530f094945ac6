"""Permissions and grants on real sockets, with all threads running."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
from target import Target
from wire import (
    MODERN,
    OK,
    PING,
    PONG,
    QUIET,
    Peer,
    connect_line,
    msg,
    pub,
    wait_until,
)

import pynatsd.server
from pynatsd import events
from pynatsd.auth import Door
from pynatsd.connect import ConnectOptions
from pynatsd.core import Admit, ConnectEvent, Engine, Event, Permits, Refuse, Regrant
from pynatsd.options import Permissions, Rules

PUBLISH = b"-ERR 'Permissions Violation for Publish to \"%b\"'\r\n"
SUBSCRIBE = b"-ERR 'Permissions Violation for Subscription to \"%b\"'\r\n"
VIOLATION = b"-ERR 'Authorization Violation'\r\n"

RULES = {
    "limited": Permissions(
        publish=Rules(allow=("ok.>", "run"), deny=("ok.bad",)),
        subscribe=Rules(allow=("in.>", "_INBOX.>"), deny=("in.secret", "*.hidden")),
    ),
    "mute": Permissions(publish=Rules(allow=())),
    "deaf": Permissions(subscribe=Rules(allow=())),
}
GRANTS = {"": 1, "limited": 2, "mute": 3, "deaf": 4}


class Users:
    """Gives the users above their rights, and others none but a grant."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.permits = {name: Permits(name, rules) for name, rules in RULES.items()}
        self.asked = 0
        monkeypatch.setattr(Door, "decide", self.decide)

    def decide(
        self, event: ConnectEvent, connect: ConnectOptions, admit: Admit
    ) -> Admit:
        self.asked += 1
        user = connect.user
        return dataclasses.replace(
            admit,
            grant=GRANTS[user],
            permits=self.permits.get(user),
            is_lasting=not user,
        )


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Users:
    return Users(monkeypatch)


@pytest.fixture
def place(users: Users, serve: Callable[..., Target], threads: int) -> Target:
    return serve(threads=threads)


def engine_of(place: Target) -> Engine:
    engine: Engine = place.handle._engine
    return engine


def hello(user: str, options: dict[str, Any] = QUIET) -> dict[str, Any]:
    return {**options, "user": user}


def test_publish_and_subscribe(place: Target) -> None:
    readers = place.clients(4)
    for reader in readers:
        reader.send(b"SUB > 1\r\n" + PING)
        reader.expect(PONG)
    peer = place.client(hello("limited", {"verbose": True, "pedantic": False}))
    peer.send(pub(b"bad", b"x") + pub(b"ok.a", b"y") + pub(b"ok.bad", b"z") + PING)
    peer.expect(PUBLISH % b"bad" + OK + PUBLISH % b"ok.bad" + PONG)
    for reader in readers:
        reader.expect(msg(b"ok.a", b"1", b"y"))
    peer.send(b"SUB foo 1\r\nSUB in.* 2\r\nSUB in.secret q 3\r\n" + PING)
    peer.expect(
        SUBSCRIBE % b"foo"
        + OK
        + b'-ERR \'Permissions Violation for Subscription to "in.secret"'
        b' using queue "q"\'\r\n' + PONG
    )
    readers[0].send(pub(b"in.secret", b"1") + pub(b"in.ok", b"2") + PING)
    peer.expect(msg(b"in.ok", b"2", b"2"))
    peer.expect_silence_until_pong()


def test_nothing_at_all(place: Target) -> None:
    mute, deaf = place.client(hello("mute")), place.client(hello("deaf"))
    mute.send(pub(b"a", b"") + b"SUB > 1\r\n" + PING)
    mute.expect(PUBLISH % b"a" + PONG)
    deaf.send(b"SUB a 1\r\nSUB > 2\r\n" + pub(b"a", b"x") + PING)
    deaf.expect(SUBSCRIBE % b"a" + SUBSCRIBE % b">" + PONG)
    mute.expect(msg(b"a", b"1", b"x"))


def test_runs(place: Target) -> None:
    readers = place.clients(4)
    for reader in readers:
        reader.send(b"SUB > 1\r\n" + PING)
        reader.expect(PONG)
    peer = place.client(hello("limited"))
    run = b"".join(pub(b"run", b"%05d" % i) for i in range(3000))
    bad = pub(b"bad", b"x") * 100
    peer.send(run + bad + run + PING)
    peer.expect(PUBLISH % b"bad" * 100 + PONG)
    want = b"".join(msg(b"run", b"1", b"%05d" % i) for i in range(3000))
    for reader in readers:
        reader.expect(want + want)


def test_nobody_responds(place: Target) -> None:
    denied = [place.client(hello("limited")) for _ in range(4)]
    for peer in denied:
        peer.send(b"SUB in.* q 1\r\n" + PING)
        peer.expect(PONG)
    peer = place.client(MODERN)
    peer.send(b"SUB inbox 7\r\n" + pub(b"in.secret", b"?", b"inbox") + PING)
    peer.expect(b"HMSG inbox 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n" + PONG)


def test_a_queue_that_some_may_not_hear(place: Target) -> None:
    """Every message goes to one who may have it, wherever he lives."""
    denied = [place.client(hello("limited")) for _ in range(4)]
    member = place.client()
    for peer in (*denied, member):
        peer.send(b"SUB in.* q 1\r\n" + PING)
        peer.expect(PONG)
    run = [b"%05d" % i for i in range(500)]
    publisher = place.client()
    publisher.send(b"".join(pub(b"in.secret", body) for body in run) + PING)
    publisher.expect(PONG)
    member.expect(b"".join(msg(b"in.secret", b"1", body) for body in run))
    for peer in denied:
        peer.expect_silence_until_pong()


# ---- changes ----


def test_the_same_connect_brings_the_same_rights(
    users: Users, serve: Callable[..., Target]
) -> None:
    """Also where the engine answers by itself, until it is told of a change."""
    users.permits[""] = Permits("anyone", RULES["limited"])
    place = serve(threads=1)
    first, second = place.client(), place.client()
    assert users.asked == 1
    for peer in (first, second):
        peer.send(pub(b"bad", b"") + PING)
        peer.expect(PUBLISH % b"bad" + PONG)
    users.permits.pop("")
    engine_of(place).regrant([Regrant(GRANTS[""])])
    third = place.client()
    assert users.asked == 2
    for peer in (first, second, third):
        peer.send(pub(b"bad", b"") + PING)
        peer.expect(PONG)
    engine_of(place).regrant([Regrant(GRANTS[""], is_revoked=True)])
    for peer in (first, second, third):
        peer.expect(VIOLATION)
        peer.expect_closed()
    for asked in (3, 4):  # and an answer that came too late is not remembered
        late = place.peer()
        late.send(connect_line(QUIET) + PING)
        late.expect(VIOLATION)
        late.expect_closed()
        assert users.asked == asked


class Traffic:
    """A publisher and its readers, who count up without a gap."""

    def __init__(self, place: Target) -> None:
        self.publisher = place.client()
        self.readers = [place.client(hello("limited")) for _ in range(4)]
        for reader in self.readers:
            reader.send(b"SUB in.run 1\r\nSUB in.* 2\r\n" + PING)
            reader.expect(PONG)
        self.is_over = threading.Event()
        self.count = 0
        self.thread = threading.Thread(target=self.publish)

    def publish(self) -> None:
        while not self.is_over.is_set():
            part = range(self.count, self.count + 50)
            self.publisher.send(b"".join(pub(b"in.run", b"%07d" % i) for i in part))
            self.publisher.send(PING)
            self.publisher.expect(PONG)
            self.count += 50

    def check(self) -> None:
        for reader in self.readers:
            size = len(msg(b"in.run", b"1", b"0000000"))
            got = reader.read(size * 2 * self.count)
            records = [got[i : i + size] for i in range(0, len(got), size)]
            bodies = [record[-9:-2] for record in records]
            want = [b"%07d" % (i // 2) for i in range(2 * self.count)]
            assert sorted(bodies) == want
            reader.expect_silence_until_pong()


def test_changes_under_traffic(place: Target) -> None:
    """Nobody whose rights stay as they are notices; who has to go does."""
    traffic = Traffic(place)
    gone = [place.client(hello("mute")) for _ in range(4)]
    engine = engine_of(place)
    traffic.thread.start()
    wait_until(lambda: traffic.count > 500, "traffic")
    for _ in range(20):
        before = traffic.count
        same = Permits("limited", RULES["limited"])
        engine.regrant([Regrant(GRANTS["limited"], same), Regrant(GRANTS[""])])
        wait_until(lambda: traffic.count > before, "traffic")  # noqa: B023
    engine.regrant([Regrant(GRANTS["mute"], is_revoked=True)])
    for peer in gone:
        peer.expect(VIOLATION)
        peer.expect_closed()
    traffic.is_over.set()
    traffic.thread.join()
    traffic.check()
    engine.regrant([Regrant(GRANTS["limited"], Permits("limited", RULES["deaf"]))])
    for reader in traffic.readers:
        lines = sorted([reader.line(), reader.line()])
        assert lines == [SUBSCRIBE % b"in.*", SUBSCRIBE % b"in.run"]
    wait_until(lambda: engine.stats().subscriptions == 0, "no subscription is left")


def test_later_answers(
    monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Target], threads: int
) -> None:
    """To many at once, and under what has changed in between."""
    waiting: list[int] = []
    usual = events.answer

    def answer(door: Door, event: Event) -> Any:
        if isinstance(event, ConnectEvent):
            waiting.append(event.cid)
            return None
        return usual(door, event)

    monkeypatch.setattr(events, "answer", answer)
    place = serve(threads=threads)
    peers = [place.peer() for _ in range(6)]
    for count, peer in enumerate(peers, start=1):
        peer.send(connect_line(QUIET) + pub(b"a", b"") + PING)
        wait_until(lambda: len(waiting) == count, "an event")  # noqa: B023
    engine = engine_of(place)
    mute = Permits("mute", RULES["mute"])
    answers: list[Admit | Refuse] = [
        Admit(note=b"", grant=1),
        Refuse("Authorization Timeout", "Too late"),
        Admit(note=b"", grant=2, permits=mute),
        Admit(note=b"", grant=3),
        Admit(note=b"", grant=4, permits=mute),
    ]
    engine.regrant([Regrant(3, is_revoked=True), Regrant(4)])
    engine.answer(list(zip(waiting, answers, strict=False)))
    wants = [PONG, b"", PUBLISH % b"a" + PONG, VIOLATION, PONG]
    wants[1] = b"-ERR 'Authorization Timeout'\r\n"
    for peer, want in zip(peers, wants, strict=False):
        peer.expect(want)
    for peer in (peers[1], peers[3]):
        peer.expect_closed()
    engine.answer([(waiting[5], Admit(note=b""))])
    peers[5].expect(PONG)


def test_who_does_not_introduce_himself(
    monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Target]
) -> None:
    permits = Permits("open", RULES["mute"])

    def make(options: Any, **rights: Any) -> Engine:
        return Engine(options, open_grant=9, open_permits=permits)

    monkeypatch.setattr(pynatsd.server, "Engine", make)
    place = serve(threads=2)
    peers: list[Peer] = [place.peer() for _ in range(2)]
    for peer in peers:
        peer.send(pub(b"a", b"") + PING)
        peer.expect(PUBLISH % b"a" + PONG)
    engine_of(place).regrant([Regrant(9, is_revoked=True)])
    for peer in peers:
        peer.expect(VIOLATION)
        peer.expect_closed()
