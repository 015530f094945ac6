"""What the tests of the log share: a logger with one handler, pipes, syslogs."""

import logging
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynatsd.log import Handler, open_handler
from pynatsd.options import Options

PID = os.getpid()
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
DEADLINE = 20 * float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))  # seconds


def until(is_met: Callable[[], object], what: str = "") -> None:
    """
    Raises:
        AssertionError: *is_met* was not true in time.
    """
    end = time.monotonic() + DEADLINE
    while not is_met():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.002)


@contextmanager
def logged(**settings: Any) -> Iterator[tuple[logging.Logger, Handler]]:
    """A logger beside the tree of loggers, whose handler is closed in the end."""
    logger = logging.Logger("test", level=1)
    handler = open_handler(Options(**{"logtime": False, **settings}))
    logger.addHandler(handler)
    try:
        yield logger, handler
    finally:
        handler.close()


def written(path: Path, count: int) -> list[str]:
    """The lines of a file, when there are *count* of them."""
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, str(path))
    return path.read_text("ascii").splitlines()


@dataclass
class Pipe:
    """A pipe whose writing end has a name; both ends are open."""

    read: int
    write: int
    rest: bytes = b""  # of a line, that has been read

    @property
    def path(self) -> str:
        return f"/dev/fd/{self.write}"

    def lines(self, count: int) -> list[str]:
        """Read until there are *count* lines or more."""
        while self.rest.count(b"\n") < count:
            ready = select.select([self.read], [], [], DEADLINE)[0]
            assert ready, "not in time: a line"
            self.rest += os.read(self.read, 65536)
        found, _, self.rest = self.rest.rpartition(b"\n")
        return found.decode("ascii").split("\n")


@contextmanager
def piped() -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe())
    try:
        yield pipe
    finally:
        for fd in (pipe.read, pipe.write):
            if fd >= 0:
                os.close(fd)


class Receiver:
    """A syslog: what reaches it, one connection after the other."""

    def __init__(self, kind: int, address: Any) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        if isinstance(address, tuple) and ":" in address[0]:
            family = socket.AF_INET6
        self.kind = kind
        self.socket = socket.socket(family, kind)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.settimeout(DEADLINE)
        self.socket.bind(address)
        self.peer = self.socket
        if kind == STREAM:
            self.socket.listen()
        self.rest = b""

    @property
    def address(self) -> Any:
        return self.socket.getsockname()

    @property
    def url(self) -> str:
        if self.socket.family == socket.AF_UNIX:
            return f"unix://{self.address}"
        network = "tcp" if self.kind == STREAM else "udp"
        host = f"[{self.address[0]}]" if ":" in self.address[0] else self.address[0]
        return f"{network}://{host}:{self.address[1]}"

    def accept(self) -> None:
        if self.kind == STREAM:
            self.peer, _ = self.socket.accept()
            self.peer.settimeout(DEADLINE)
            self.rest = b""

    def message(self) -> str:
        """The next one, with its line feed."""
        if self.kind == DATAGRAM:
            return self.socket.recv(65536).decode("ascii")
        while b"\n" not in self.rest:
            more = self.peer.recv(65536)
            assert more, "closed"
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode("ascii") + "\n"

    def text(self) -> str:
        """What the next message says."""
        return self.message().partition(f" pynatsd[{PID}]: ")[2].rstrip("\n")

    def hang_up(self) -> None:
        """Close the connection, as a syslog does that ends."""
        self.peer.close()

    def close(self) -> None:
        self.peer.close()
        self.socket.close()


@contextmanager
def receiving(kind: int, address: Any) -> Iterator[Receiver]:
    receiver = Receiver(kind, address)
    try:
        yield receiver
    finally:
        receiver.close()


def place(network: str, tmp_path: Path) -> tuple[int, Any]:
    """The kind and address of a receiver for *network*."""
    return {
        "udp": (DATAGRAM, ("127.0.0.1", 0)),
        "udp6": (DATAGRAM, ("::1", 0)),
        "tcp": (STREAM, ("127.0.0.1", 0)),
        "tcp6": (STREAM, ("::1", 0)),
        "unix": (STREAM, str(tmp_path / "syslog")),
        "unixgram": (DATAGRAM, str(tmp_path / "syslog")),
    }[network]
