"""
The log of the command: the original's line format, written by a thread of its own.

Only the command attaches this handler; a server in somebody's program logs through
the standard `pynatsd` logger and leaves the rest to them.
"""

import logging
import os
import re
import threading
import time
import traceback

TRACE = 5  # the level of protocol traces, below DEBUG

QUEUE_MAX = 4 * 1024 * 1024  # characters that may wait for the writer
LINE_MAX = 4096  # characters of one message

_LABELS = {
    TRACE: "TRC",
    logging.DEBUG: "DBG",
    logging.INFO: "INF",
    logging.ERROR: "ERR",
    logging.CRITICAL: "FTL",
}
_COLOURS = {"INF": 32, "DBG": 36, "ERR": 31, "FTL": 31, "TRC": 33}
_UNPRINTABLE = re.compile("[^\x20-\x7e]")
_DEVICE_DIRECTORIES = ("/dev", "/dev/fd", "/proc/self/fd")


class Handler(logging.Handler):
    """
    Writes lines to a descriptor, and never makes the caller wait for it.

    *fd* stays the caller's. When `QUEUE_MAX` is reached, lines are dropped, and
    their number is logged once there is room.

    Source: gnatsd 0.8.0, logger/log.go.
    """

    def __init__(self, fd: int, *, logtime: bool = True) -> None:
        super().__init__()
        self._fd = fd
        self._format = _Format(logtime=logtime, colours=os.isatty(fd))
        self._lines: list[str] = []
        self._waiting = 0  # characters in _lines
        self._dropped = 0  # lines, since the last that was logged
        self._closing = False
        self._changed = threading.Condition(threading.Lock())
        # A daemon, because a reader that stopped reading may hold it for ever.
        self._writer = threading.Thread(
            target=self._write, name="pynatsd-log", daemon=True
        )
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lines = self._format.lines(record)
        except Exception:
            self.handleError(record)
            return
        with self._changed:
            if self._waiting >= QUEUE_MAX:
                self._dropped += len(lines)
                return
            self._lines.extend(lines)
            self._waiting += sum(map(len, lines))
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, for half a second at most, and end the writer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._writer.join(0.5)
        super().close()

    def _write(self) -> None:
        """Writer thread."""
        while True:
            with self._changed:
                while not self._lines and not self._closing:
                    self._changed.wait()
                if not self._lines:
                    return
                batch = "".join(self._lines)
                self._lines.clear()
                self._waiting = 0
                dropped, self._dropped = self._dropped, 0
            if dropped:
                text = f"Dropped {dropped} lines"
                batch += self._format.line("ERR", time.time(), text)
            _write_all(self._fd, batch.encode("ascii"))


class _Format:
    """Lines as the original writes them; the date is formatted once a second."""

    def __init__(self, *, logtime: bool, colours: bool) -> None:
        self._logtime = logtime
        self._labels = {
            label: f"\x1b[{colour}m{label}\x1b[0m" if colours else label
            for label, colour in _COLOURS.items()
        }
        self._second: tuple[int, str] = (-1, "")
        self._prefix = f"[{os.getpid()}] "

    def lines(self, record: logging.LogRecord) -> list[str]:
        """One for the message and one for each line of its traceback."""
        label = _LABELS.get(record.levelno, "ERR")
        lines = [self.line(label, record.created, record.getMessage().rstrip("\n"))]
        if record.exc_info:
            trace = "".join(traceback.format_exception(*record.exc_info))
            lines += [
                self.line(label, record.created, text)
                for text in trace.rstrip("\n").split("\n")
            ]
        return lines

    def line(self, label: str, when: float, text: str) -> str:
        stamp = self._stamp(when) if self._logtime else ""
        return f"{self._prefix}{stamp}[{self._labels[label]}] {printable(text)}\n"

    def _stamp(self, when: float) -> str:
        microseconds = int(when * 1_000_000)
        second = microseconds // 1_000_000
        known, text = self._second
        if second != known:
            text = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(second))
            self._second = (second, text)
        return f"{text}.{microseconds % 1_000_000:06d} "


def printable(text: str) -> str:
    """*text* as one line of printable ASCII, other characters escaped, and bounded."""
    if len(text) > LINE_MAX:
        text = text[: LINE_MAX - 3] + "..."
    if text.isascii() and text.isprintable():
        return text
    return _UNPRINTABLE.sub(
        lambda match: match[0].encode("unicode_escape").decode(), text
    )[:LINE_MAX]


def open_file(path: str) -> int:
    """
    A descriptor that appends to *path*, created for us and our group alone.

    A link is not followed, unless it is one of the system's own names for open
    files, such as /dev/stdout.

    Raises:
        OSError: the file cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    if os.path.dirname(os.path.abspath(path)) not in _DEVICE_DIRECTORIES:
        flags |= os.O_NOFOLLOW
    return os.open(path, flags, 0o640)


def reason(error: OSError) -> str:
    """The system's words for *error*, in the original's lower case."""
    text = os.strerror(error.errno) if error.errno else str(error)
    return text[:1].lower() + text[1:]


def _write_all(fd: int, data: bytes) -> None:
    """A full disk or a closed pipe costs the rest of these lines, and nothing else."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        return
