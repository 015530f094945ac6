"""Where log lines go: what every target has to do, and files and other descriptors."""

import os
import select
import stat
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Protocol

PATIENCE = 0.1  # seconds that one write may wait for room

_PIPE_PIECE = 4096  # bytes that a pipe with room takes at once, and in one piece
_FILE_PIECE = 64 * 1024  # bytes


class Sink(Protocol):
    """A target of the log. Used by one thread."""

    retries: bool  # lines wait while it fails; otherwise they are lost

    def write(self, lines: deque[bytes]) -> None:
        """
        Take what can be written at once off the front of *lines*.

        A line that was begun stays in front until all of it is written. Waits for
        room, for `PATIENCE` at most.

        Raises:
            OSError: it failed. The line that was begun is not written.
        """

    def abandon(self) -> None:
        """Give up the line that was begun; another will be in front."""

    def close(self) -> None: ...


class Descriptor:
    """
    A file, a terminal or a pipe. *is_ours*: to be closed with the sink.

    What others share, such as standard error, is left in the mode that it has; so it
    is asked for room first. After a failure within a line, the next begins a new one.
    """

    retries = False

    def __init__(self, fd: int, *, is_ours: bool) -> None:
        self._fd = fd
        self._is_ours = is_ours
        self._is_file = _is_file(fd)
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        self._begun = 0  # bytes of the first line that are written
        self._is_torn = False  # what is written ends within a line

    def write(self, lines: deque[bytes]) -> None:
        if not self._is_file and not self._room.poll(1000 * PATIENCE):
            return
        try:
            if self._is_torn:
                os.write(self._fd, b"\n")
                self._is_torn = False
            size = _FILE_PIECE if self._is_file else _PIPE_PIECE
            piece = _front(lines, size)[self._begun :][:size]
            self._begun += os.write(self._fd, piece)
        except BlockingIOError:
            return
        except OSError:
            self.abandon()
            raise
        while lines and self._begun >= len(lines[0]):
            self._begun -= len(lines.popleft())

    def abandon(self) -> None:
        self._is_torn = self._is_torn or self._begun > 0
        self._begun = 0

    def close(self) -> None:
        if self._is_ours:
            with suppress(OSError):  # the disk's last word
                os.close(self._fd)


def _is_file(fd: int) -> bool:
    """Whether it always has room, as files have. A closed one has not."""
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False


def _front(lines: deque[bytes], size: int) -> bytes:
    """The first lines, as many as fit into *size* bytes but at least one."""
    total = count = 0
    for line in lines:
        total += len(line)
        if count and total > size:
            break
        count += 1
    return b"".join(islice(lines, count))
