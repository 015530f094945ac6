"""Numbered messages of one length: cheap to make, cheap to check, at full speed."""

from __future__ import annotations

import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from wire import PING, PONG, SECONDS, Peer

SIZE = 1024
"""Bytes of one payload; the first eight are its number."""

BATCH = 64
"""Messages in one send."""

PAD = (bytes(range(256)) * 4)[8:]
HEAD = b"MSG s 1 %d\r\n" % SIZE
SUBSCRIBE = b"SUB s 1\r\n"
NUMBER = struct.Struct(f">{len(HEAD)}xQ{len(PAD) + 2}x")
"""Reads the number out of a whole message."""


def message(number: int) -> bytes:
    return HEAD + struct.pack(">Q", number) + PAD + b"\r\n"


def batch(first: int) -> bytes:
    """BATCH publishes numbered from *first*."""
    head = b"PUB s %d\r\n" % SIZE
    numbers = range(first, first + BATCH)
    return b"".join(head + struct.pack(">Q", n) + PAD + b"\r\n" for n in numbers)


class Reader:
    """Reads numbered messages and checks that each is whole and follows the last."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.count = 0
        self.gap = 0.0
        """The longest time without a byte, in seconds."""

    def check(self) -> None:
        """Check and drop the whole messages in the peer's buffer."""
        whole = len(self.peer.buffer) // NUMBER.size
        if whole == 0:
            return
        data = self.peer.take(whole * NUMBER.size)
        numbers = [number for (number,) in NUMBER.iter_unpack(data)]
        wanted = list(range(self.count, self.count + whole))
        assert numbers == wanted, f"out of order behind {self.count}"
        assert data.startswith(HEAD), data[:40]
        assert data.endswith(PAD + b"\r\n"), data[-40:]
        self.count += whole

    def read(self, pause: float = 0.0) -> None:
        """
        Read until a PONG comes; someone else sends the PING.

        *pause* is waited after every read, for a reader that is slow but alive.
        """
        while self.peer.buffer != PONG:
            start = time.monotonic()
            alive = self.peer.fill(start + SECONDS)
            end = "closed" if self.peer.ended else "silent"
            assert alive, f"{end} behind message {self.count}"
            self.gap = max(self.gap, time.monotonic() - start)
            self.check()
            if pause:
                time.sleep(pause)

    def drain(self) -> None:
        """Read to the end of the stream, which may come in the middle of a message."""
        self.peer.widen()
        while self.peer.fill(time.monotonic() + SECONDS):
            self.check()
        assert self.peer.ended, "not closed"
        rest = self.peer.take(len(self.peer.buffer))
        assert message(self.count).startswith(rest), rest[:80]


class Flood:
    """Publishes numbered messages from a thread of its own, as fast as it may."""

    def __init__(self, peer: Peer, pool: ThreadPoolExecutor, most: int = 2**62) -> None:
        """*most* is the number of messages behind which it stops by itself."""
        self.peer = peer
        self.most = most
        self.sent = 0
        self.gap = 0.0
        """The longest time that one send took, in seconds."""
        self.over = threading.Event()
        self.future = pool.submit(self.run)

    def run(self) -> None:
        while self.sent < self.most and not self.over.is_set():
            data = batch(self.sent)
            start = time.monotonic()
            self.peer.send(data)
            self.gap = max(self.gap, time.monotonic() - start)
            self.sent += BATCH

    def finish(self) -> int:
        """Wait until it has sent all; returns how many the server has processed."""
        self.future.result()
        self.peer.send(PING)
        self.peer.expect(PONG)
        return self.sent

    def stop(self) -> int:
        """End it now; returns how many messages the server has processed."""
        self.over.set()
        return self.finish()
