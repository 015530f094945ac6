"""The end of the process: in order, in time, and with what it owes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from stream import SIZE, SUBSCRIBE, Flood, Reader
from target import Target
from wire import MIB, PING, PONG, SLOW, pub

Spawn = Callable[..., Target]
SIGNALS = [signal.SIGTERM, signal.SIGINT]
by_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


@by_signal
def test_idle(spawn: Spawn, threads: int, number: signal.Signals) -> None:
    """Within a second, interpreter included; clients see the end of the stream."""
    target = spawn(threads=threads)
    peers = [target.peer(), *target.clients(5)]
    start = time.monotonic()
    target.handle.stop(number)
    assert time.monotonic() - start < 1.0 * SLOW
    for peer in peers:
        peer.expect_closed()


@by_signal
def test_under_load(
    spawn: Spawn, pool: ThreadPoolExecutor, threads: int, number: signal.Signals
) -> None:
    target = spawn(threads=threads)
    reader = target.client()
    reader.send(SUBSCRIBE)
    reader.expect_silence_until_pong()
    stalled = target.client(window=4096)
    stalled.send(SUBSCRIBE)
    stalled.expect_silence_until_pong()
    reading = pool.submit(Reader(reader).drain)
    flood = Flood(target.client(), pool)
    while flood.sent < 2000:
        time.sleep(0.001)
    start = time.monotonic()
    target.handle.stop(number)
    assert time.monotonic() - start < 10 * SLOW
    with pytest.raises((ConnectionError, TimeoutError)):
        flood.future.result()
    reading.result()


def test_twice(spawn: Spawn) -> None:
    """A second signal while the first is being obeyed changes nothing."""
    target = spawn()
    target.handle.child.send_signal(signal.SIGTERM)
    target.handle.stop(signal.SIGTERM)


def test_accepted_messages_are_flushed(
    spawn: Spawn, pool: ThreadPoolExecutor, threads: int
) -> None:
    """What a PONG has confirmed reaches a subscriber that reads."""
    target = spawn(threads=threads, max_pending_size=64 * MIB, write_deadline=60)
    late = target.client(window=4096)
    late.send(SUBSCRIBE)
    late.expect_silence_until_pong()
    total = Flood(target.client(), pool, most=6 * MIB // SIZE).finish()
    assert late.server_side()[1] < 5 * MIB, "nothing was left to flush"
    target.handle.child.send_signal(signal.SIGTERM)
    reader = Reader(late)
    reader.drain()
    assert reader.count == total


def test_port_in_use(spawn: Spawn, server: Callable[..., Any]) -> None:
    """One line that says why, exit status 1, and the first server goes on."""
    target = spawn()
    second = server("-p", str(target.address[1]), wait=False)
    assert second.wait() == 1
    starting, why = second.lines
    assert "Starting pynatsd" in starting
    assert f"127.0.0.1:{target.address[1]}" in why
    assert "address already in use" in why
    target.client().expect_silence_until_pong()


def test_embedded_server_stops_with_its_clients(
    serve: Callable[..., Target], threads: int
) -> None:
    """Stopping ends connections and listener, and what was asked is answered."""
    target = serve(threads=threads)
    peer = target.client()
    peer.send(pub(b"nobody", b"x") + PING)
    peer.expect(PONG)
    target.handle.stop()
    peer.expect_closed()
    with pytest.raises(ConnectionRefusedError):
        target.peer()
