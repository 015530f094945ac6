"""
What subscribers that lag cost the others: ``python -m perf.pressure``.

Two scenarios, at each number of reactors, one line of JSON for each:

stalled  eight subscribers that never read and one that does, on one subject, and a
         publisher flat out. The largest gap that the healthy one sees is to be 50 ms at
         most, and all eight are to be cut.
slow     a subscriber that reads 256 KiB/s, a healthy one, and publishers flat out. The
         slow one is not to be cut.

The status is 1 if one of them is missed. The server has CPU 0, this program CPU 1.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perf.processes import MeasureError, Server, connected, serving

OURS = f"{sys.executable} -m pynatsd -a 127.0.0.1 -p {{port}} --threads {{threads}}"
PAYLOAD = 1024  # bytes
STALLED = 8
STALLED_SECONDS = 6.0
SLOW_SECONDS = 20.0
SLOW_RATE = 256 * 1024  # bytes a second
GAP_MAX_MS = 50.0
CONNECT = b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n'


def dial(server: Server, then: bytes = b"") -> socket.socket:
    """Connect and let the server confirm it, with *then* before the PING."""
    link = connected(server)
    link.sendall(CONNECT.replace(b"PING", then + b"PING"))
    answer = b""
    while answer != b"PONG\r\n":
        answer += link.recv(64)
    return link


def subscriber(server: Server) -> socket.socket:
    return dial(server, b"SUB pressure 1\r\n")


class Publisher:
    """Publishes from a thread of its own until it is told to stop."""

    def __init__(self, server: Server) -> None:
        self.link = dial(server)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        message = b"PUB pressure %d\r\n%s\r\n" % (PAYLOAD, b"x" * PAYLOAD)
        self.link.settimeout(0.5)
        while not self.over.is_set():
            try:
                self.link.send(message * 64)
            except TimeoutError:
                continue
            except OSError:
                return

    def stop(self) -> None:
        self.over.set()
        self.link.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.link.close()


@dataclass(slots=True)
class Healthy:
    """Reads as fast as it can, and notes how long it had to wait."""

    link: socket.socket
    gap: float = 0.0  # seconds
    bytes: int = 0
    is_cut: bool = False

    def read(self, until: float) -> None:
        last = time.monotonic()
        while last < until and not self.is_cut:
            data = self.link.recv(1 << 20)
            now = time.monotonic()
            self.gap = max(self.gap, now - last)
            self.bytes += len(data)
            self.is_cut = not data
            last = now


def is_cut(link: socket.socket) -> bool:
    """Read what is left; true if the stream ends."""
    link.settimeout(2.0)
    try:
        while link.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def run_stalled(server: Server) -> dict[str, Any]:
    stalled = [subscriber(server) for _ in range(STALLED)]
    healthy = Healthy(subscriber(server))
    base, peak = server.rss_kib(), 0
    publisher = Publisher(server)
    until = time.monotonic() + STALLED_SECONDS
    while time.monotonic() < until and not healthy.is_cut:
        healthy.read(time.monotonic() + 0.25)
        peak = max(peak, server.rss_kib())
    publisher.stop()
    cut = sum(map(is_cut, stalled))
    gap_ms = round(healthy.gap * 1000, 1)
    return {
        "largest_gap_ms": gap_ms,
        "cut": cut,
        "healthy_mb_per_s": round(healthy.bytes / 1e6 / STALLED_SECONDS),
        "rss_base_kib": base,
        "rss_peak_kib": peak,
        "ok": gap_ms <= GAP_MAX_MS and cut == STALLED and not healthy.is_cut,
    }


def run_slow(server: Server, publishers: int) -> dict[str, Any]:
    slow = subscriber(server)
    healthy = Healthy(subscriber(server))
    start = time.monotonic()
    until = start + SLOW_SECONDS
    reader = threading.Thread(target=healthy.read, args=(until,))
    reader.start()
    sources = [Publisher(server) for _ in range(publishers)]
    got, ended = 0, False
    while time.monotonic() < until and not ended:
        data = slow.recv(SLOW_RATE // 50)
        got += len(data)
        ended = not data
        time.sleep(max(0.0, start + got / SLOW_RATE - time.monotonic()))
    reader.join()
    for source in sources:
        source.stop()
    return {
        "publishers": publishers,
        "read_bytes_per_s": round(got / SLOW_SECONDS),
        "cut": ended,
        "largest_gap_ms": round(healthy.gap * 1000, 1),
        "ok": not ended and not healthy.is_cut,
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m perf.pressure",
        description="What those who lag cost the others.",
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--ours", default=OURS, help="default: %(default)s")
    chosen = parser.parse_args(words)
    os.sched_setaffinity(0, {1})
    is_right = True
    for threads in chosen.threads:
        command = chosen.ours.replace("{threads}", str(threads))
        scenarios = (
            ("stalled", run_stalled),
            ("slow", lambda server: run_slow(server, 1)),
            ("slow", lambda server: run_slow(server, 8)),
        )
        for name, run in scenarios:
            try:
                with serving(command, 0) as server:
                    found = run(server)
            except (MeasureError, OSError) as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
            print(
                json.dumps({"scenario": name, "threads": threads, **found}), flush=True
            )
            is_right = is_right and bool(found["ok"])
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
