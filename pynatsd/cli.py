"""
The `pynatsd` command: flags as the original takes them, one server, signals.

`parse` is a pure function from words to settings or to what to print instead.
"""

import logging
import os
import re
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pynatsd import log as logs
from pynatsd._version import VERSION
from pynatsd.core import CoreError
from pynatsd.options import Options
from pynatsd.server import ListenError, Server, join

log = logging.getLogger("pynatsd")

SWITCH_INTERVAL = 0.0005  # seconds; the default makes an event wait for 5 ms

_DESCRIPTION_COLUMN = 37
_INTEGER = re.compile("[+-]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


# ---- flags ----


@dataclass(frozen=True, slots=True)
class Flag:
    """
    One flag with all its names.

    *sets* names the options that its value goes to. A flag of the original that has
    none yet says in *part* which part of the server it belongs to.
    """

    names: str  # blanks between them
    kind: type  # str, int or bool
    sets: str = ""  # blanks between them
    value: str = ""  # how the usage text shows the value
    help: str = ""  # empty: not in the usage text
    part: str = ""


_GROUPS: dict[str, list[Flag]] = {
    "Server Options": [
        Flag("a addr net", str, "host", " <host>", "Host to listen on (default: all)"),
        Flag("p port", int, "port", " <port>", "Port for clients (default: 4222)"),
        Flag("n server_name", str, "server_name", " <name>", "Name of this server"),
        Flag("P pid", str, "pid_file", " <file>", "File to keep the process id in"),
        Flag("threads", int, "threads", " <n>", "Serving threads (default: CPUs)"),
        Flag("m http_port", int, part="monitoring"),
        Flag("ms https_port", int, part="monitoring"),
        Flag("c config", str, part="configuration file"),
        Flag("profile", int, part="profiling"),
    ],
    "Logging Options": [
        Flag("l log", str, "log_file", " <file>", "File to append the log to"),
        Flag("T logtime", bool, "logtime", "", "Time in the log (default: true)"),
        Flag("s syslog", bool, part="syslog"),
        Flag("r remote_syslog", str, part="syslog"),
        Flag("D debug", bool, "debug", "", "Log what helps to find an error"),
        Flag("V trace", bool, "trace", "", "Log the protocol of every client"),
        Flag("DV", bool, "debug trace", "", "Log both"),
    ],
    "Authorization Options": [
        Flag("user", str, part="authorization"),
        Flag("pass", str, part="authorization"),
        Flag("auth", str, part="authorization"),
    ],
    "TLS Options": [
        Flag("tls", bool, part="TLS"),
        Flag("tlsverify", bool, part="TLS"),
        Flag("tlscert", str, part="TLS"),
        Flag("tlskey", str, part="TLS"),
        Flag("tlscacert", str, part="TLS"),
        Flag("help_tls", bool, part="TLS"),
    ],
    "Cluster Options": [
        Flag("routes", str, part="clustering"),
        Flag("cluster cluster_listen", str, part="clustering"),
    ],
    "Common Options": [
        Flag("h help", bool, help="Show this text"),
        Flag("v version", bool, help="Show the version"),
    ],
}

_FLAGS = {
    name: flag
    for group in _GROUPS.values()
    for flag in group
    for name in flag.names.split()
}


class Exit(Exception):
    """The command line asks for a text instead of a server, or is wrong."""

    def __init__(self, status: int, *, out: str = "", err: str = "") -> None:
        super().__init__(err or out)
        self.status = status
        self.out = out
        self.err = err


def parse(words: Sequence[str]) -> Options:
    """
    The options that a command line asks for; *words* are without the program's name.

    Raises:
        Exit: there is something to print, and no server to run.

    Source: gnatsd 0.8.0, main.go; unknown words and flags are refused here.
    """
    settings: dict[str, Any] = {}
    missing: list[tuple[str, Flag]] = []
    wants_version = False
    rest = list(words)
    while (found := _next_flag(rest)) is not None:
        name, value = found
        flag = _FLAGS[name]
        if "h" in flag.names.split() and value:
            raise Exit(0, out=usage())
        if "v" in flag.names.split():
            wants_version = bool(value)
        elif flag.part and value:
            missing.append((name, flag))
        settings.update(dict.fromkeys(flag.sets.split(), value))
    _act_on_words(rest, wants_version)
    for name, flag in missing:
        raise Exit(1, err=f"-{name}: this version of pynatsd has no {flag.part} yet\n")
    for name in ("host", "port"):
        if not settings.get(name, True):
            del settings[name]  # empty and 0 mean the default
    try:
        return Options(**settings)
    except ValueError as error:
        raise Exit(1, err=f"{error}\n") from None


def _next_flag(rest: list[str]) -> tuple[str, str | int | bool] | None:
    """Take the next flag and its value off *rest*; None where the flags end."""
    if not rest or not rest[0].startswith("-") or rest[0] == "-":
        return None
    word = rest.pop(0)
    if word == "--":
        return None
    text = word[2:] if word.startswith("--") else word[1:]
    if text[:1] in ("-", "="):
        raise _misuse(f"bad flag syntax: {word}")
    if text.startswith("routes://"):  # as in the original's README
        text = "routes=nats-route" + text.removeprefix("routes")
    name, equals, value = text.partition("=")
    flag = _FLAGS.get(name)
    if flag is None:
        raise _misuse(f"flag provided but not defined: -{name}")
    if not equals:
        if flag.kind is bool:
            return name, True
        if not rest:
            raise _misuse(f"flag needs an argument: -{name}")
        value = rest.pop(0)
    return name, _convert(name, flag, value)


def _convert(name: str, flag: Flag, text: str) -> str | int | bool:
    if flag.kind is bool:
        if text not in _BOOLEANS:
            raise _misuse(f'invalid boolean value "{text}" for -{name}: parse error')
        return _BOOLEANS[text]
    if flag.kind is str:
        return text
    if not _INTEGER.fullmatch(text):
        raise _misuse(f'invalid value "{text}" for flag -{name}: parse error')
    number = _integer(text)
    if not -(2**63) <= number < 2**63:
        raise _misuse(f'invalid value "{text}" for flag -{name}: value out of range')
    return number


def _integer(text: str) -> int:
    """As Go reads it: a leading 0 alone means octal."""
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    if len(digits) > 100:
        return 2**63  # out of range, whatever it is
    number = int(digits, 8 if octal else 0)
    return -number if text.startswith("-") else number


def _act_on_words(words: Sequence[str], wants_version: bool) -> None:
    if wants_version:
        raise Exit(0, out=version())
    for word in words:
        if word.lower() == "version":
            raise Exit(0, out=version())
        if word.lower() == "help":
            raise Exit(0, out=usage())
        raise Exit(1, err=f'unrecognized command: "{word}"\n')


def _misuse(text: str) -> Exit:
    return Exit(2, out=usage(), err=f"{text}\n")


def version() -> str:
    return f"pynatsd version {VERSION}\n"


def usage() -> str:
    """The text of -h: the flags that do something, in the original's groups."""
    lines = ["", "Usage: pynatsd [options]", ""]
    for title, group in _GROUPS.items():
        shown = [flag for flag in group if flag.help]
        if shown:
            lines += [f"{title}:", *map(_usage_line, shown), ""]
    return "\n".join(lines)


def _usage_line(flag: Flag) -> str:
    names = [f"-{n}" if len(n) < 3 else f"--{n}" for n in flag.names.split()]
    left = " " * (4 if len(names[0]) < 4 else 8) + ", ".join(names[:2]) + flag.value
    return left.ljust(_DESCRIPTION_COLUMN) + flag.help


# ---- the daemon ----


class StartError(Exception):
    """The server cannot start; the text is for standard error, beside the log."""


def main() -> int:
    """The command. Returns the exit status."""
    _claim_standard_descriptors()
    try:
        options = parse(sys.argv[1:])
        return _run(options)
    except Exit as end:
        _print(1, end.out)
        _print(2, end.err)
        return end.status
    except StartError as error:
        _print(2, f"{error}\n")
        return 1


def _run(options: Options) -> int:
    """Log, serve until a signal or a failure, and clean up."""
    fd = _open_log(options.log_file) if options.log_file else 2
    handler = logs.Handler(fd, logtime=options.logtime)
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logs.TRACE)  # what is not wanted is not even made
    try:
        return _serve(options)
    finally:
        handler.close()


def _serve(options: Options) -> int:
    log.info("Starting pynatsd version %s", VERSION)
    if options.debug:
        log.debug("Python version %s", sys.version.split()[0])
    sys.setswitchinterval(SWITCH_INTERVAL)
    _raise_file_limit()
    if options.pid_file:
        write_pid_file(options.pid_file)
    try:
        return _serve_until_signal(options)
    finally:
        if options.pid_file:
            remove_pid_file(options.pid_file)


def _serve_until_signal(options: Options) -> int:
    awake, wake = socket.socketpair()
    wake.setblocking(False)
    _trap_signals(wake)
    server = Server(options)
    try:
        server.start(on_end=lambda: _ring(wake))
    except ListenError as error:
        address = join(options.host, max(options.port, 0))
        log.critical('Error listening on port: %s, "%s"', address, error)
        return 1
    except (MemoryError, OSError, RuntimeError, CoreError) as error:
        log.critical("Error starting the server: %s", error)
        return 1
    status = _wait_for_signal(awake, options)
    server.stop()
    # A second signal must not end us while Python takes itself apart.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return status


def _trap_signals(wake: socket.socket) -> None:
    """
    Make every signal that ends us write its number to *wake*.

    The handlers do nothing: C code of any thread may be interrupted by the signal,
    and the byte is what wakes the main thread.
    """
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _ring(wake: socket.socket) -> None:
    """Control thread: the server has ended. Signals have no number 0."""
    with suppress(BlockingIOError):
        wake.send(b"\0")


def _wait_for_signal(awake: socket.socket, options: Options) -> int:
    """Returns the exit status: 1 if the server ended by itself."""
    names = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminated"}
    while True:
        number = awake.recv(1)[0]
        if number == 0:
            return 1
        if number == signal.SIGHUP:
            log.info("Ignored Signal; hangup")
        if number in names:
            if options.debug:
                log.debug("Trapped Signal; %s", names[signal.Signals(number)])
            log.info("Server Exiting..")
            return 0


# ---- files ----


def write_pid_file(path: str) -> None:
    """
    Replace *path* by a file with our process id, all at once.

    Raises:
        StartError: it cannot be written, or is not an ordinary file.
    """
    temporary = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise StartError(
                    f"Could not write pidfile: open {path}: not an ordinary file"
                )
        fd = os.open(temporary, flags, 0o640)
        try:
            os.write(fd, str(os.getpid()).encode())
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise StartError(
            f"Could not write pidfile: open {path}: {logs.reason(error)}"
        ) from None


def remove_pid_file(path: str) -> None:
    """Remove *path*, unless another process has put its own there meanwhile."""
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        if file.read(32) == str(os.getpid()):
            os.unlink(path)


def _open_log(path: str) -> int:
    try:
        return logs.open_file(path)
    except OSError as error:
        now = time.strftime("%Y/%m/%d %H:%M:%S")
        raise StartError(
            f"{now} error opening file: open {path}: {logs.reason(error)}"
        ) from None


def _claim_standard_descriptors() -> None:
    """Open 0, 1 and 2 if they are closed, or a client's socket would get the number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _raise_file_limit() -> None:
    """One descriptor for each client: take as many as we are allowed."""
    with suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _print(fd: int, text: str) -> None:
    """Not with `print`: the descriptors may have been closed when Python started."""
    with suppress(OSError):
        os.write(fd, text.encode(errors="backslashreplace"))
