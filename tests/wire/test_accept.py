"""When descriptors run out: the served are served, and the rest as soon as can be."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from target import Target
from wire import SLOW, Peer, wait_until

NOFILE = 64
CONNECTS = 150


def test_descriptors_run_out(spawn: Callable[..., Target], threads: int) -> None:
    target = spawn(threads=threads, nofile=NOFILE)
    first = target.client()
    asked = []
    for _ in range(CONNECTS):
        peer = socket.create_connection(target.address)
        peer.setblocking(False)
        asked.append(peer)
    served: list[socket.socket] = []

    def greeted(peer: socket.socket) -> bool:
        try:
            return peer.recv(4, socket.MSG_PEEK) == b"INFO"
        except BlockingIOError:
            return False

    def has_run_out() -> bool:
        served[:] = [peer for peer in asked if greeted(peer)]
        return bool(target.handle.descriptors() == NOFILE) and len(served) > 20

    try:
        wait_until(has_run_out, "the last descriptor")
        assert len(served) < NOFILE

        # The one that was there before notices nothing, and nobody spins.
        cpu, start = target.handle.cpu(), time.monotonic()
        slowest = 0.0
        while time.monotonic() - start < 1.0:
            before = time.monotonic()
            first.expect_silence_until_pong()
            slowest = max(slowest, time.monotonic() - before)
            time.sleep(0.02)
        assert target.handle.cpu() - cpu < 0.2 * SLOW
        assert slowest < 0.1 * SLOW

        # Room for all that are left, and they are let in at once.
        for peer in served:
            peer.close()
        waiting = [peer for peer in asked if peer.fileno() != -1][: len(served) - 5]
        took = wait_until(lambda: all(map(greeted, waiting)), "those who wait")
        assert took < 0.5 * SLOW
        first.expect_silence_until_pong()
    finally:
        for peer in asked:
            peer.close()
    wait_until(lambda: target.handle.descriptors() < NOFILE / 2, "the closes")
    Peer(target.address).close()
