"""Telling a server that runs what to do, by a signal: `pynatsd --signal reload=PID`."""

import os
import re
import signal
import stat

from pynatsd.files import reason

# Nothing here kills: a server that is killed leaves its pid file behind, and the next
# signal may reach a stranger.
_SIGNALS = {
    "stop": signal.SIGINT,
    "quit": signal.SIGINT,
    "term": signal.SIGTERM,
    "reopen": signal.SIGUSR1,
    "reload": signal.SIGHUP,
    "ldm": signal.SIGUSR2,
}
_PID_MAX = 2**31 - 1
_NUMBER = re.compile("[+-]?[0-9]+")


class _Refusal(Exception):
    """Nobody is signalled; the text says why."""


def send(spec: str, pid_file: str = "") -> tuple[int, str]:
    """
    Send the signal that *spec* names, `NAME`, `NAME=PID` or `NAME=PATH` of a pid file.

    *pid_file* is for a name alone. Returns the exit status and what to print on
    standard error.

    Source: nats-server 2, `--signal`; its `stop` kills.
    """
    name, equals, target = spec.partition("=")
    try:
        if name not in _SIGNALS:
            raise _Refusal(f'unknown signal "{name}"')
        if not target and (equals or not pid_file):
            raise _Refusal(f"--signal {name}: needs a process id or a pid file")
        _kill(_find(target or pid_file), _SIGNALS[name])
    except _Refusal as refusal:
        return 1, f"{refusal}\n"
    return 0, ""


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError as error:
        raise _Refusal(f"process {pid}: {reason(error)}") from None


def _find(target: str) -> int:
    """The process that *target* means: an id, or a file with one."""
    if _NUMBER.fullmatch(target):
        return _check(target, f"process {target}")
    try:
        text = _read(target)
    except OSError as error:
        raise _Refusal(f"pid file {target}: {reason(error)}") from None
    if not text:
        raise _Refusal(f"pid file {target}: is empty")
    # In a container it is the first process that writes such files.
    return _check(text, f"pid file {target}", lowest=1)


def _check(text: str, where: str, *, lowest: int = 2) -> int:
    """
    One process is signalled, never a group (0 and negative numbers), nor init unasked.

    *text* is not shown: it is of a file that may be anything.
    """
    if not _NUMBER.fullmatch(text) or len(text) > 20:
        raise _Refusal(f"{where}: not a process id")
    if not lowest <= int(text) <= _PID_MAX:
        raise _Refusal(f"{where}: must be from {lowest} to {_PID_MAX}")
    return int(text)


def _read(path: str) -> str:
    """The beginning of an ordinary file; opening does not wait for one at a pipe."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("not an ordinary file")
        return os.read(fd, 64).decode("latin-1").strip()
    finally:
        os.close(fd)
