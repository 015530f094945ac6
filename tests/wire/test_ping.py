"""Liveness: who is asked, who is cut, and who is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from target import Target
from wire import PING, PONG, SECONDS, SLOW, STALE, pub, wait_until

Serve = Callable[..., Target]
TICK = 0.2 * SLOW
"""Seconds between two PINGs in these tests."""


def test_silent_client(serve: Serve, threads: int) -> None:
    """PING at the first and second tick, the error and the end at the third."""
    target = serve(threads=threads, ping_interval=TICK)
    start = time.monotonic()
    peer = target.peer()
    for tick, want in enumerate([PING, PING, STALE], start=1):
        peer.expect(want)
        passed = time.monotonic() - start
        assert tick * TICK - 0.05 < passed < tick * TICK + 1.5 * TICK, (tick, passed)
    peer.expect_closed()
    assert target.handle.stats().stale_connections == 1


@pytest.mark.parametrize("most", [0, 1, 4])
def test_ping_max(serve: Serve, most: int) -> None:
    peer = serve(ping_interval=TICK / 2, ping_max=most).client()
    peer.expect(PING * most + STALE)
    peer.expect_closed()


def test_no_ping_by_default(target: Target) -> None:
    """The default interval is two minutes: nothing comes unasked for now."""
    peer = target.client()
    for _ in range(3):
        peer.expect_silence_until_pong()


def test_pong_resets_the_count(serve: Serve, threads: int) -> None:
    peer = serve(threads=threads, ping_interval=TICK / 2).client()
    for _ in range(8):
        peer.expect(PING)
        peer.send(b"PONG\r\n")
    peer.expect(PING)
    peer.expect(PING)
    peer.send(b"PONG\r\n")
    peer.expect(PING + PING + STALE)
    peer.expect_closed()


def test_other_traffic_does_not_reset_the_count(serve: Serve, threads: int) -> None:
    target = serve(threads=threads, ping_interval=TICK)
    peer = target.client()
    start = time.monotonic()
    heard = b""
    deadline = start + SECONDS
    while not heard.endswith(STALE) and time.monotonic() < deadline:
        peer.push(b"PING\r\n" + pub(b"nobody", b"x"))
        time.sleep(0.01)
        peer.fill(time.monotonic() + 0.01)
        heard += peer.take(len(peer.buffer))
    assert heard.endswith(STALE), heard[-200:]
    assert heard.count(b"\r\nPING\r\n") + heard.startswith(PING) == 2
    assert time.monotonic() - start < 5 * TICK
    peer.expect_closed()


def test_pong_before_the_first_ping_is_harmless(serve: Serve) -> None:
    """An unasked PONG does not count as credit."""
    peer = serve(ping_interval=TICK / 2).client()
    peer.send(b"PONG\r\n" * 10)
    peer.expect(PING + PING + STALE)
    peer.expect_closed()


def test_paused_reader_is_not_charged(serve: Serve, threads: int) -> None:
    """We owe it so much that we do not read it, and so not its PONGs either."""
    target = serve(threads=threads, ping_interval=TICK / 2, write_deadline=60)
    peer = target.peer(window=4096)
    peer.socket.setblocking(False)
    eight = PING * 7 + PONG
    many, sent = eight * 512, 0
    until = time.monotonic() + 6 * TICK
    while time.monotonic() < until:
        try:
            sent += peer.socket.send(many[sent % len(eight) :])
        except BlockingIOError:
            time.sleep(0.005)
    # Twelve ticks have passed without a PONG read; every question is answered yet.
    peer.widen()
    asked = sent // len(eight) * 7
    answered, deadline = 0, time.monotonic() + 2 * SECONDS
    while answered < asked:
        answers = peer.read((asked - answered) * len(PONG))
        assert b"-ERR" not in answers
        answered += answers.count(PONG)
        assert time.monotonic() < deadline


def test_hundred_silent_peers_are_all_cut(serve: Serve, threads: int) -> None:
    """Half-open connections cost three ticks, no more."""
    target = serve(threads=threads, ping_interval=TICK)
    for _ in range(100):
        target.peer()
    took = wait_until(lambda: target.handle.stats().connections == 0, "the cuts")
    assert took < 3 * TICK + 1.0 * SLOW
    assert target.handle.stats().stale_connections == 100


def test_ping_before_connect(serve: Serve) -> None:
    """A connection that never sends CONNECT is asked like any other."""
    peer = serve(ping_interval=TICK / 2).peer()
    for _ in range(4):
        peer.expect(PING)
        peer.send(PONG)
