"""Raw sockets and exact bytes: no client library stands between test and server."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SLOW = float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))
SECONDS = 5 * SLOW
"""How long an expected byte may take."""

MIB = 1024 * 1024
PING, PONG, OK = b"PING\r\n", b"PONG\r\n", b"+OK\r\n"
UNKNOWN = b"-ERR 'Unknown Protocol Operation'\r\n"
PARSER = b"-ERR 'Parser Error'\r\n"
PAIR = UNKNOWN + PARSER
PAYLOAD = b"-ERR 'Maximum Payload Violation'\r\n"
SUBJECT = b"-ERR 'Invalid Subject'\r\n"
LINE = b"-ERR 'maximum control line exceeded'\r\n"
CONNECTIONS = b"-ERR 'maximum connections exceeded'\r\n"
STALE = b"-ERR 'Stale Connection'\r\n"

QUIET: dict[str, Any] = {"verbose": False, "pedantic": False}
PEDANTIC = {"verbose": False, "pedantic": True}
NO_ECHO = QUIET | {"echo": False}
HEADERS = QUIET | {"headers": True}
MODERN = HEADERS | {"no_responders": True, "protocol": 1}


def wait_until(
    condition: Callable[[], bool], what: str, seconds: float = SECONDS
) -> float:
    """
    Look at *condition* until it holds; returns how long that took, in seconds.

    Raises:
        AssertionError: it did not hold within *seconds*.
    """
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.001)
    return time.monotonic() - start


def connect_line(options: dict[str, Any]) -> bytes:
    return b"CONNECT " + json.dumps(options).encode() + b"\r\n"


def pub(subject: bytes, payload: bytes, reply: bytes = b"") -> bytes:
    middle = b" " + reply if reply else b""
    return b"PUB %b%b %d\r\n%b\r\n" % (subject, middle, len(payload), payload)


def msg(subject: bytes, sid: bytes, payload: bytes, reply: bytes = b"") -> bytes:
    middle = b" " + reply if reply else b""
    return b"MSG %b %b%b %d\r\n%b\r\n" % (subject, sid, middle, len(payload), payload)


def explain(want: bytes, got: bytes) -> str:
    """Both streams around their first difference, a line of protocol to a line."""
    pairs = zip(want, got, strict=False)
    shorter = min(len(want), len(got))
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)
    start = max(0, same - 60)

    def show(data: bytes) -> str:
        shown = data[start : same + 240]
        text = "".join(f"\n    {line!r}" for line in shown.splitlines(keepends=True))
        return f"({len(data)} bytes)" + (text or " nothing")

    return f"differs at byte {same}\n  want {show(want)}\n  got {show(got)}"


class Peer:
    """One connection to the server, driven byte by byte."""

    def __init__(
        self, address: tuple[str, int], *, window: int = 0, greet: bool = True
    ) -> None:
        """
        Connect and read INFO.

        *window* limits the receive buffer to about so many bytes; 0 leaves it alone.
        *greet* false leaves INFO unread.
        """
        self.socket = socket.socket()
        try:
            if window:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            self.socket.settimeout(SECONDS)
            self.socket.connect(address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.buffer = bytearray()
            self.ended = False
            self.was_reset = False
            self.info: dict[str, Any] = self.expect_info() if greet else {}
        except BaseException:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()

    def finish(self) -> None:
        """Send FIN and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def widen(self) -> None:
        """Take back the limit on the receive buffer."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)

    def send(self, data: bytes) -> None:
        self.socket.settimeout(SECONDS)
        self.socket.sendall(data)

    def push(self, data: bytes, piece: int = 65536) -> int:
        """Send until the server closes; returns how many bytes it let us send."""
        sent = 0
        self.socket.settimeout(SECONDS)
        try:
            while sent < len(data):
                sent += self.socket.send(data[sent : sent + piece])
        except ConnectionError:
            pass
        return sent

    def hello(self, options: dict[str, Any]) -> None:
        """CONNECT with *options* and wait until it took effect."""
        self.send(connect_line(options) + PING)
        self.expect((OK if options.get("verbose", True) else b"") + PONG)

    def fill(self, deadline: float) -> bool:
        """Wait for more bytes; false when none can come or *deadline* has passed."""
        left = deadline - time.monotonic()
        if self.ended or left <= 0:
            return False
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(262144)
        except TimeoutError:
            return False
        except ConnectionError:
            self.was_reset = True
            data = b""
        self.ended = not data
        self.buffer += data
        return bool(data)

    def take(self, length: int) -> bytes:
        """Drop and return the first *length* bytes of what has come."""
        data = bytes(self.buffer[:length])
        del self.buffer[:length]
        return data

    def read(self, length: int, seconds: float = SECONDS) -> bytes:
        """
        Exactly *length* bytes.

        Raises:
            AssertionError: they did not come within *seconds*.
        """
        deadline = time.monotonic() + seconds
        while len(self.buffer) < length:
            more = self.fill(deadline)
            why = "end of stream" if self.ended else "nothing more"
            assert more or len(self.buffer) >= length, (
                f"{why} after {len(self.buffer)} of {length} bytes: "
                f"{bytes(self.buffer[-200:])!r}"
            )
        return self.take(length)

    def line(self, seconds: float = SECONDS) -> bytes:
        """The next line, its CR LF included."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            assert self.fill(deadline), f"no line, only {self.buffer!r}"
        return self.take(self.buffer.index(b"\n") + 1)

    def rest(self, seconds: float = SECONDS) -> bytes:
        """
        Everything up to the end of the stream.

        Raises:
            AssertionError: the stream did not end within *seconds*.
        """
        deadline = time.monotonic() + seconds
        pieces = [self.take(len(self.buffer))]
        while self.fill(deadline):
            pieces.append(self.take(len(self.buffer)))
        assert self.ended, f"not closed; got {pieces[-1][-200:]!r}"
        return b"".join(pieces)

    def expect(self, want: bytes, seconds: float = SECONDS) -> None:
        """
        The next bytes must be *want*.

        Raises:
            AssertionError: they are others, or did not come within *seconds*.
        """
        deadline = time.monotonic() + seconds
        while len(self.buffer) < len(want) and want.startswith(self.buffer):
            if not self.fill(deadline):
                break
        if self.buffer[: len(want)] != want:
            self.fill(time.monotonic() + 0.05)
            end = " then end of stream" if self.ended else ""
            raise AssertionError(explain(want, bytes(self.buffer)) + end)
        self.take(len(want))

    def expect_info(self) -> dict[str, Any]:
        """The next line must be INFO; returns its object, keys in order."""
        line = self.line()
        assert line.startswith(b"INFO {"), line
        assert line.endswith(b"} \r\n"), line
        fields: dict[str, Any] = json.loads(line[5:])
        return fields

    def expect_closed(self, seconds: float = SECONDS) -> None:
        """The server must close now, without another byte. A reset is a close too."""
        rest = self.rest(seconds)
        assert rest == b"", f"more before the end of the stream: {rest[:400]!r}"

    def expect_silence_until_pong(self) -> None:
        """Nothing may be on its way: the answer to a PING comes first."""
        self.send(PING)
        self.expect(PONG)

    def server_side(self) -> tuple[str, int]:
        """The state ("01" is established, "" is gone) of the server's socket of this
        connection and the bytes that its kernel still has to send."""
        near, far = self.socket.getsockname()[1], self.socket.getpeername()[1]
        for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, state, queues, *_ = row.split()
            if (int(local[-4:], 16), int(remote[-4:], 16)) == (far, near):
                return state, int(queues.partition(":")[0], 16)
        return "", 0

    def is_cut(self) -> bool:
        """The server has closed its side, whether or not we have read up to there."""
        return self.server_side()[0] != "01"
