"""
How a log line looks: the original's text, an object of JSON, a message for a syslog.

Whatever the message holds, its line is one line of printable ASCII and bounded.
"""

import json
import logging
import os
import re
import socket
import time
from dataclasses import dataclass
from typing import Any, Protocol

TRACE = 5  # the level of protocol traces, below DEBUG

LINE_MAX = 4096  # characters of one message; in JSON, of the whole line

_TAG = "pynatsd"  # who speaks, in a syslog
_DAEMON = 3  # syslog's facility
_UNPRINTABLE = re.compile("[^\x20-\x7e]")
_CLIENT = re.compile(r"([0-9A-Fa-f.:]{2,45}:[0-9]{1,5}) - cid:([0-9]{1,20}) - ")


@dataclass(frozen=True, slots=True)
class _Level:
    label: str
    colour: int  # of the label on a terminal
    name: str  # in JSON
    severity: int  # in a syslog


# The original has no warnings, and says traces at 5, among what every syslog keeps.
_LEVELS = {
    TRACE: _Level("TRC", 33, "trace", 7),
    logging.DEBUG: _Level("DBG", 36, "debug", 7),
    logging.INFO: _Level("INF", 32, "info", 5),
    logging.WARNING: _Level("WRN", 33, "warning", 4),
    logging.ERROR: _Level("ERR", 31, "error", 3),
    logging.CRITICAL: _Level("FTL", 31, "fatal", 2),
}
_OTHER = _LEVELS[logging.ERROR]


class Form(Protocol):
    """How lines look. Used by one thread, for the process that made it."""

    def line(self, when: float, level: int, text: str) -> str:
        """*text*, said at *when* (seconds of the epoch), with its line feed."""


class TextForm:
    """Source: gnatsd 0.8.0, logger/log.go; `WRN` is nats-server 2."""

    def __init__(self, *, logtime: bool, colours: bool) -> None:
        self._clock = _Clock("%Y/%m/%d %H:%M:%S") if logtime else None
        self._pid = os.getpid()
        self._colours = colours

    def line(self, when: float, level: int, text: str) -> str:
        stamp = ""
        if self._clock is not None:
            second, microseconds, _ = self._clock.read(when)
            stamp = f"{second}.{microseconds:06d} "
        shown = _LEVELS.get(level, _OTHER)
        label = shown.label
        if self._colours:
            label = f"\x1b[{shown.colour}m{label}\x1b[0m"
        return f"[{self._pid}] {stamp}[{label}] {printable(text)}\n"


class JsonForm:
    """
    An object with time, level, pid and message; client and cid where it is about one.

    The time is RFC 3339 with microseconds.
    """

    def __init__(self, *, logtime: bool) -> None:
        self._clock = _Clock("%Y-%m-%dT%H:%M:%S") if logtime else None
        self._pid = os.getpid()

    def line(self, when: float, level: int, text: str) -> str:
        fields: dict[str, Any] = {}
        if self._clock is not None:
            second, microseconds, zone = self._clock.read(when)
            fields["time"] = f"{second}.{microseconds:06d}{zone}"
        fields["level"] = _LEVELS.get(level, _OTHER).name
        fields["pid"] = self._pid
        if about := _CLIENT.match(text):
            fields["client"] = about[1]
            fields["cid"] = int(about[2])
            text = text[about.end() :]
        head = json.dumps(fields, separators=(",", ":"))[:-1] + ',"message":'
        return f"{head}{_quoted(text, LINE_MAX - len(head) - 2)}}}\n"


class SyslogForm:
    """
    A message for a syslog, facility daemon.

    *is_local*: as the C library writes it to a socket of this machine. Otherwise with
    an RFC 3339 time and the name of the machine.

    Source: gnatsd 0.8.0, logger/syslog.go, and Go 1.19, log/syslog.
    """

    def __init__(self, *, is_local: bool) -> None:
        self._clock = _Clock("%b %e %H:%M:%S" if is_local else "%Y-%m-%dT%H:%M:%S")
        self._is_local = is_local
        self._host = printable(socket.gethostname()).replace(" ", "_") or "localhost"
        self._sender = f"{_TAG}[{os.getpid()}]"

    def line(self, when: float, level: int, text: str) -> str:
        priority = 8 * _DAEMON + _LEVELS.get(level, _OTHER).severity
        second, _, zone = self._clock.read(when)
        where = "" if self._is_local else f"{zone} {self._host}"
        return f"<{priority}>{second}{where} {self._sender}: {printable(text)}\n"


class _Clock:
    """Local time by *pattern*, which is worked out once a second."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._second = -1
        self._shown = self._zone = ""

    def read(self, when: float) -> tuple[str, int, str]:
        """The second, the microseconds within it, the zone as RFC 3339 has it."""
        second, microseconds = divmod(int(when * 1_000_000), 1_000_000)
        if second != self._second:
            local = time.localtime(second)
            self._shown = time.strftime(self._pattern, local)
            zone = time.strftime("%z", local)
            self._zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
            self._second = second
        return self._shown, microseconds, self._zone


def printable(text: str) -> str:
    """*text* as one line of printable ASCII, other characters escaped, and bounded."""
    if len(text) > LINE_MAX:
        text = text[: LINE_MAX - 3] + "..."
    if text.isascii() and text.isprintable():
        return text
    return _UNPRINTABLE.sub(
        lambda match: match[0].encode("unicode_escape").decode(), text
    )[:LINE_MAX]


def _quoted(text: str, room: int) -> str:
    """*text* as a string of JSON, cut so that it takes at most *room* characters."""
    text, end = text[:LINE_MAX], "..." if len(text) > LINE_MAX else ""
    while len(quoted := json.dumps(text + end)) > room:
        text, end = text[: len(text) * (room - 5) // len(quoted)], "..."
    return quoted
