"""A running server whose settings change, and one that says goodbye."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from target import Target
from wire import (
    CONNECTIONS,
    LINE,
    MODERN,
    OK,
    PAYLOAD,
    PING,
    PONG,
    QUIET,
    SECONDS,
    SLOW,
    Peer,
    connect_line,
    msg,
    pub,
    wait_until,
)

from pynatsd import events
from pynatsd.auth import Door
from pynatsd.core import Admit, Answer, Engine, Event
from pynatsd.info import info as info_of

Serve = Callable[..., Target]
CROWDED = b"-ERR 'maximum subscriptions exceeded'\r\n"
OTHER = json.dumps({"server_id": "x", "max_payload": 77})[:-1]


def engine_of(target: Target) -> Engine:
    engine: Engine = target.handle._engine
    return engine


def change(target: Target, info: str = "", **settings: Any) -> None:
    """Reconfigure, with the same INFO unless *info* says otherwise, and wait until
    every reactor has done so."""
    was = target.handle
    each = target.clients(target.threads)
    options = replace(was.options, **settings)
    same = info_of(was.options, was.server_id, was.port)
    engine_of(target).reconfigure(options, info or same)
    was.options = options
    target.fence(each)


# ---- settings ----


def test_every_reactor_has_the_new_limits(serve: Serve, threads: int) -> None:
    target = serve(threads=threads)
    peers = target.clients(2 * threads, QUIET | {"verbose": True})
    change(target, max_payload=5, max_control_line=30, max_subscriptions=1)
    for peer in peers[:threads]:
        peer.send(b"SUB a 1\r\nSUB b 2\r\n")
        peer.expect(OK + CROWDED)
        peer.send(pub(b"none", b"12345") + b"PUB none 6\r\n")
        peer.expect(OK + PAYLOAD)
        peer.expect_closed()
    for peer in peers[threads:]:
        peer.send(b"SUB " + b"a" * 29 + b" 1\r\n")
        peer.expect(LINE)
        peer.expect_closed()


def test_pings_begin(serve: Serve, threads: int) -> None:
    target = serve(threads=threads, ping_interval=0)
    peers = target.clients(2 * threads)
    change(target, ping_interval=0.05 * SLOW)
    for peer in peers:
        peer.expect(PING)


def test_a_connection_too_many(serve: Serve, threads: int) -> None:
    """The acceptor learns of it too, and a slot is free at once after a close."""
    target = serve(threads=threads, max_connections=100)
    change(target, max_connections=2)
    for peer in target.peers:
        peer.close()
    wait_until(lambda: target.handle.stats().connections == 0, "closes")
    first, second = target.clients(2)
    refused = target.peer()
    refused.expect(CONNECTIONS)
    refused.expect_closed()
    first.close()
    start = time.monotonic()

    def is_free() -> bool:
        peer = target.peer()
        peer.push(PING)
        return peer.line() == PONG

    wait_until(is_free, "a free slot")
    assert time.monotonic() - start < 0.1 * SLOW
    second.expect_silence_until_pong()


def test_only_strangers_feel_that_auth_is_required(serve: Serve, threads: int) -> None:
    target = serve(threads=threads)
    guests = target.clients(threads)
    strangers = [target.peer() for _ in range(2 * threads)]
    change(target, token="secret", auth_timeout=0.3 * SLOW)
    for stranger in strangers[:threads]:
        stranger.send(PING)
        stranger.expect(b"-ERR 'Authorization Violation'\r\n")
        stranger.expect_closed()
    for stranger in strangers[threads:]:
        stranger.expect(b"-ERR 'Authorization Timeout'\r\n")
        stranger.expect_closed()
    for guest in guests:
        guest.expect_silence_until_pong()


# ---- INFO ----


def test_who_hears_of_it(serve: Serve, threads: int) -> None:
    target = serve(threads=threads)
    modern, old = target.clients(2 * threads, MODERN), target.clients(threads)
    early = [target.peer() for _ in range(threads)]
    ids = [peer.info["client_id"] for peer in modern]
    change(target, OTHER, max_payload=77)
    for peer, cid in zip(modern, ids, strict=True):
        line = peer.line()
        assert line == b"INFO " + OTHER.encode() + (
            b',"client_id":%d,"client_ip":"127.0.0.1"} \r\n' % cid
        )
    for peer in old:
        peer.expect_silence_until_pong()
    for peer in early:
        peer.send(connect_line(MODERN) + PING)
        peer.expect(PONG)
        assert peer.expect_info()["max_payload"] == 77
        peer.expect_silence_until_pong()
    change(target, OTHER)
    assert target.client(MODERN).info["max_payload"] == 77
    for peer in target.peers:
        peer.expect_silence_until_pong()


# ---- what Python has decided before ----


def test_an_answer_by_old_rules_is_not_kept(
    serve: Serve, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python decides while the rules change: the next who says the same is asked."""
    asked: list[bytes] = []

    def answer(door: Door, event: Event) -> Answer:
        if not hasattr(event, "argument"):
            return None
        asked.append(event.argument)
        if len(asked) == 1:
            changed = threading.Thread(target=engine_of(target).reconfigure, args=plan)
            changed.start()
            changed.join()
            for _ in range(2):  # so that every reactor has the news, and a turn by it
                target.fence(strangers)
        return Admit(note=b"", is_lasting=True)

    monkeypatch.setattr(events, "answer", answer)
    target = serve(threads=threads)
    plan = (target.handle.options, OTHER)
    strangers = [target.peer() for _ in range(threads)]
    for count in range(1, 4 * threads + 1):
        target.client()
        assert len(asked) >= min(count, threads + 1)
    assert len(asked) == threads + 1  # each reactor once, and the first once more
    engine_of(target).reconfigure(*plan)
    target.clients(2 * threads)
    assert len(asked) == 2 * threads + 1


# ---- under way ----


class Flow:
    """A publisher that numbers its messages, and those who check them."""

    def __init__(self, target: Target, readers: int) -> None:
        self.publisher, *self.readers = target.clients(1 + readers)
        for reader in self.readers:
            reader.send(b"SUB flow 1\r\n" + PING)
            reader.expect(PONG)
        self.is_over = threading.Event()
        self.sent = 0
        self.total: int | None = None  # known before the last of them are sent

    def publish(self) -> None:
        while self.total is None:
            if self.is_over.is_set():
                self.total = self.sent + 500
            numbers = range(self.sent, self.sent + 500)
            self.publisher.send(b"".join(pub(b"flow", b"%08d" % n) for n in numbers))
            self.sent += 500
        self.publisher.send(PING)
        self.publisher.expect(PONG, 4 * SECONDS)

    def check(self, reader: Peer) -> None:
        record = len(msg(b"flow", b"1", b"%08d" % 0))
        number = 0
        while self.total is None or number < self.total:
            count = 1 if self.total is None else min(500, self.total - number)
            got = reader.read(record * count, 4 * SECONDS)
            want = b"".join(
                msg(b"flow", b"1", b"%08d" % n) for n in range(number, number + count)
            )
            assert got == want, f"message {number}"
            number += count


def test_nothing_is_lost_and_nobody_closed(
    serve: Serve, threads: int, pool: ThreadPoolExecutor
) -> None:
    target = serve(threads=threads)
    modern = target.clients(threads, MODERN)
    flow = Flow(target, threads + 1)
    work = [pool.submit(flow.publish)]
    work += [pool.submit(flow.check, reader) for reader in flow.readers]
    engine, options = engine_of(target), target.handle.options
    until = time.monotonic() + 0.7
    rounds = 0
    while time.monotonic() < until:
        rounds += 1
        changed = replace(
            options,
            max_payload=1000 + rounds,
            max_pending_size=(10 + rounds % 3) * 1024 * 1024,
            max_control_line=(64, 1024, 100_000)[rounds % 3],
            ping_interval=(0.0, 60.0)[rounds % 2],
            debug=rounds % 2 == 0,
        )
        engine.reconfigure(changed, f'{{"round":{rounds}')
        time.sleep(0.005)
    flow.is_over.set()
    for each in work:
        each.result()
    assert flow.sent > 10_000
    for peer in modern:
        seen = [peer.expect_info()["round"]]
        while seen[-1] < rounds:
            seen.append(peer.expect_info()["round"])
        assert seen == sorted(set(seen))
        peer.expect_silence_until_pong()
    assert target.handle.stats().connections == len(target.peers)
    assert target.handle.stats().slow_consumers == 0


# ---- lame duck ----


def goodbye(target: Target, grace: float, duration: float) -> None:
    engine_of(target).lame_duck('{"ldm":true', grace, duration)


def test_lame_duck(serve: Serve, threads: int) -> None:
    target = serve(threads=threads)
    modern, old = target.clients(3 * threads, MODERN), target.clients(threads)
    start = time.monotonic()
    goodbye(target, 0.2 * SLOW, 0.5 * SLOW)
    for peer in modern:
        assert peer.expect_info()["ldm"] is True
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(target.address)
    assert target.handle.stats().connections == len(target.peers)
    goodbye(target, 0, 0)
    for peer in (*modern, *old):
        peer.expect_closed()
        assert not peer.was_reset
    assert time.monotonic() - start >= 0.2 * SLOW
    for peer in target.peers:
        peer.close()
    wait_until(lambda: target.handle.stats().connections == 0, "the end of all")
    target.handle.stop()


def test_lame_duck_owes_nothing(serve: Serve, threads: int) -> None:
    """All that was published before its PONG arrives, in front of the end."""
    target = serve(threads=threads)
    publisher, *readers = target.clients(threads + 1)
    for reader in readers:
        reader.send(b"SUB a 1\r\n" + PING)
        reader.expect(PONG)
    for number in range(2000):
        publisher.send(pub(b"a", b"%d" % number))
    publisher.send(PING)
    publisher.expect(PONG)
    goodbye(target, 0, 0)
    for reader in readers:
        for number in range(2000):
            reader.expect(msg(b"a", b"1", b"%d" % number))
        reader.expect_closed()
        assert not reader.was_reset


def test_stop_does_not_wait_for_a_lame_duck(serve: Serve, threads: int) -> None:
    target = serve(threads=threads)
    peers = target.clients(3, MODERN)
    goodbye(target, 60, 60)
    for peer in peers:
        peer.expect_info()
    target.handle.stop()
    for peer in peers:
        peer.expect_closed()
