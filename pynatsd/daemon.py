"""The daemon: one server, its log and its files, and the signals that steer it."""

import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from pynatsd import files, reload
from pynatsd import log as logs
from pynatsd._version import VERSION
from pynatsd.core import CoreError
from pynatsd.net import ListenError, join
from pynatsd.options import Options
from pynatsd.server import Server

log = logging.getLogger("pynatsd")

SWITCH_INTERVAL = 0.0005  # seconds; the default makes an event wait for 5 ms
LOOK_INTERVAL = 0.1  # seconds between two looks for the last client

_ENDS = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminated"}
_TRAPPED = (*_ENDS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

# The options as the file and the command line say now, with warnings. What it raises
# is a ValueError with a text for the log.
Loader = Callable[[], tuple[Options, list[str]]]


class StartError(Exception):
    """The server cannot start; the text is for standard error, beside the log."""


def run(options: Options, warnings: list[str], loader: Loader | None) -> int:
    """
    Log, serve until a signal or a failure, and clean up. Returns the exit status.

    *loader* is asked again at a reload; None: there is no file to reload.

    Raises:
        StartError: a file or the log cannot be opened.
    """
    try:
        handler = logs.open_handler(options)
    except logs.LogError as error:
        raise StartError(str(error)) from None
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logs.TRACE)  # what is not wanted is not even made
    try:
        return _Daemon(options, handler, loader).run(warnings)
    finally:
        handler.close()


class _Daemon:
    """Main thread alone, but for `_on_end`."""

    def __init__(
        self, options: Options, handler: logs.Handler, loader: Loader | None
    ) -> None:
        self._options = options
        self._handler = handler
        self._loader = loader
        self._server = Server(options)
        self._awake, self._wake = socket.socketpair()
        self._wake.setblocking(False)
        self._signals: set[int] = set()  # that have come and are not acted on
        self._is_over = False  # the server has ended by itself
        self._close_by: float | None = None  # monotonic; set: a lame duck
        self._closing_from = 0.0  # monotonic; until then it only stops accepting

    def run(self, warnings: list[str]) -> int:
        log.info("Starting pynatsd version %s", VERSION)
        if self._options.debug:
            log.debug("Python version %s", sys.version.split()[0])
        for warning in warnings:
            log.warning("%s", warning)
        sys.setswitchinterval(SWITCH_INTERVAL)
        _raise_file_limit()
        with ExitStack() as stack:
            if path := self._options.pid_file:
                _write_pid_file(path)
                stack.callback(files.remove_pid_file, path)
            self._trap_signals()
            if not self._start():
                return 1
            if directory := self._options.ports_file_dir:
                path = files.ports_file(directory, "pynatsd")
                _write_ports_file(path, self._server.url)
                stack.callback(files.remove_ports_file, path)
            return self._serve()

    def _start(self) -> bool:
        options = self._options
        try:
            self._server.start(on_end=self._on_end)
        except ListenError as error:
            address = join(options.host, max(options.port, 0))
            self._fail(f'Error listening on port: {address}, "{error}"')
            return False
        except (MemoryError, OSError, RuntimeError, CoreError) as error:
            self._fail(f"Error starting the server: {error}")
            return False
        return True

    def _fail(self, text: str) -> None:
        """Also for whoever has started us, and sees standard error alone."""
        log.critical("%s", text)
        options = self._options
        if options.log_file or options.remote_syslog or options.syslog:
            raise StartError(text)

    def _serve(self) -> int:
        """Until the end. Returns the exit status: 1 if the server ended by itself."""
        status = None
        while status is None:
            status = self._act_on(self._wait())
        self._server.stop()
        # A second signal must not end us while Python takes itself apart.
        for number in _ENDS:
            signal.signal(number, signal.SIG_IGN)
        return status

    # ---- signals ----

    def _trap_signals(self) -> None:
        """
        Note every signal that is for us, and wake the main thread.

        C code of any thread may be interrupted by a signal, so a byte on the socket is
        what wakes. When very many come the socket is full, and full is enough: which
        signals there were, the handlers have noted.
        """
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in _TRAPPED:
            signal.signal(number, self._note_signal)

    def _note_signal(self, number: int, frame: object) -> None:
        self._signals.add(number)

    def _on_end(self) -> None:
        """Control thread: the server has ended."""
        self._is_over = True
        with suppress(BlockingIOError):
            self._wake.send(b"\0")

    def _wait(self) -> set[int]:
        """The signals since the last call, each once; none if a look is due."""
        self._awake.settimeout(None if self._close_by is None else LOOK_INTERVAL)
        with suppress(TimeoutError):
            self._awake.recv(4096)
        numbers, self._signals = self._signals, set()
        return numbers

    def _act_on(self, numbers: set[int]) -> int | None:
        """Returns the exit status if this is the end."""
        if self._is_over:
            return 1
        for number, word in _ENDS.items():
            if number in numbers:
                if self._options.debug:
                    log.debug("Trapped Signal; %s", word)
                log.info("Server Exiting..")
                return 0
        if signal.SIGUSR1 in numbers:
            self._handler.reopen()
        if signal.SIGHUP in numbers:
            self._reload()
        if signal.SIGUSR2 in numbers:
            self._become_lame()
        return self._look_for_the_last()

    # ---- reload ----

    def _reload(self) -> None:
        """Take over the file as it is now; nothing of it, if anything is wrong."""
        try:
            for line in self._take_over():
                log.info("%s", line)
        except logs.LogError as error:
            log.error("Failed to reload server configuration: %s", error.text)
        except (ValueError, RuntimeError, reload.ReloadError, CoreError) as error:
            log.error("Failed to reload server configuration: %s", error)

    def _take_over(self) -> list[str]:
        """Lines for the log."""
        if self._loader is None:
            raise ValueError("there is no configuration file")
        options, warnings = self._loader()
        reload.changes(self._options, options)
        self._handler.reconfigure(options)
        try:
            lines = self._server.reload(options)
        except BaseException:
            self._handler.reconfigure(self._options)
            raise
        self._options = options
        for warning in warnings:
            log.warning("%s", warning)
        return [*lines, "Reloaded server configuration"]

    # ---- lame duck ----

    def _become_lame(self) -> None:
        if self._close_by is not None:
            return
        log.info("Entering lame duck mode, stop accepting new clients")
        self._server.lame_duck()
        now = time.monotonic()
        self._closing_from = now + self._options.lame_duck_grace_period
        self._close_by = self._closing_from + self._options.lame_duck_duration

    def _look_for_the_last(self) -> int | None:
        """A lame duck ends with its last client. Returns the exit status then."""
        if self._close_by is None:
            return None
        now = time.monotonic()
        if self._closing_from and now >= self._closing_from:
            self._closing_from = 0.0
            log.info("Closing existing clients")
        if self._server.stats().connections > 0 and now < self._close_by:
            return None
        log.info("Server Exiting..")
        return 0


def _write_pid_file(path: str) -> None:
    try:
        files.write_pid_file(path)
    except OSError as error:
        why = f"open {path}: {files.reason(error)}"
        raise StartError(f"Could not write pidfile: {why}") from None


def _write_ports_file(path: str, url: str) -> None:
    try:
        files.write_ports_file(path, {"nats": [url]})
    except OSError as error:
        why = files.reason(error)
        log.error("Error writing ports file (%s): open %s: %s", path, path, why)


def _raise_file_limit() -> None:
    """One descriptor for each client: take as many as we are allowed."""
    with suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
