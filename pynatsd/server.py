"""The life of a server: build the engine, bind, run its threads, end them in order."""

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from pynatsd import core, events, pollers, reload
from pynatsd.auth import Door
from pynatsd.core import Admit, CoreError, Engine, Permits, Refuse, Stats
from pynatsd.info import info, new_server_id
from pynatsd.net import EVERYWHERE, join, listen
from pynatsd.options import Options

log = logging.getLogger("pynatsd")


class Server:
    """
    A NATS server in this process, on threads of its own.

        with pynatsd.Server(port=0) as server:
            print(server.url)

    Settings are `Options`, given whole or by name. Given by name alone, the server is
    one for embedding: it listens on 127.0.0.1 and has one reactor. *port* 0 or -1 lets
    the system choose. Servers are independent of one another; they install no signal
    handlers and log to the `pynatsd` logger of `logging`.

    A server runs until it is stopped: a program that forgets to does not end.

    Raises:
        ValueError: a setting is out of its range.
        CoreError: from every method, in a process forked from the one that it runs in.
    """

    def __init__(self, options: Options | None = None, **settings: Any) -> None:
        if options is None:
            options = Options(**{"host": "127.0.0.1", "threads": 1, **settings})
        elif settings:
            options = replace(options, **settings)
        self.options = options
        self.server_id = ""  # of the last start
        self._port = 0
        self._pid = os.getpid()
        self._engine: Engine | None = None  # None: not running
        self._door: Door | None = None  # beside it
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()  # set when the engine has ended
        self._failure: Exception | None = None
        self._stopping = threading.RLock()

    # ---- life ----

    def start(self, *, on_end: Callable[[], None] | None = None) -> Self:
        """
        Listen and serve; returns when clients are welcome.

        *on_end* is called on a thread of the server when it has ended, be it by `stop`
        or by a failure. It must not call `stop`.

        Raises:
            ListenError: the address is taken or not ours.
            RuntimeError: the server runs already, or no thread can be had.
        """
        self._check_process()
        if self._engine is not None:
            raise RuntimeError("this server is running already")
        with listen(self.options.host, self.options.port) as listener:
            door = Door(self.options, Permits, self._deliver)
            engine = Engine(self.options, **_open_rights(door))
            self.server_id = new_server_id()
            self._port = listener.getsockname()[1]
            engine.set_info(info(self.options, self.server_id, self._port))
            engine.listen(listener.fileno())
            listener.detach()
        log.info("Listening for client connections on %s", join(self.host, self.port))
        if self.options.debug:
            log.debug("Server id is %s", self.server_id)
        self._pid = os.getpid()
        self._over.clear()
        self._failure = None
        self._engine, self._door = engine, door
        self._start_threads(engine, door, on_end)
        log.info("Server is ready")
        return self

    def stop(self) -> None:
        """
        Flush for up to half a second, close every connection, end every thread.

        Does nothing if the server is not running.
        """
        self._check_process()
        with self._stopping:
            engine = self._engine
            if engine is None:
                return
            engine.stop()
            for thread in self._threads:
                thread.join()
            if self._door is not None:
                self._door.stop()
            engine.free()
            self._engine = self._door = None

    def wait(self, timeout: float | None = None) -> bool:
        """
        Wait until the server has ended, for *timeout* seconds at most.

        Returns whether it has.

        Raises:
            Exception: the failure that ended it.
        """
        self._check_process()
        if self._engine is None:
            return True
        over = self._over.wait(timeout)
        if self._failure is not None:
            raise self._failure
        return over

    # ---- changes while it runs ----

    def reload(self, options: Options | None = None, **settings: Any) -> list[str]:
        """
        Take over other options, given whole or by name, without a restart.

        Clients stay, but for those whose user was removed or has another password now;
        where permissions have changed, subscriptions that are no longer allowed end.
        Returns a line for the log for each option that has changed.

        Raises:
            ReloadError: an option has changed that needs a restart; nothing has.
            ValueError: a setting is out of its range; nothing has changed.
            RuntimeError: the server is not running.
        """
        self._check_process()
        with self._stopping:
            engine, door = self._running()
            new = replace(options or self.options, **settings)
            lines = reload.lines(reload.changes(self.options, new), self.options, new)
            regrants = door.reload(new)
            told = info(new, self.server_id, self.port)
            engine.reconfigure(new, told, **_open_rights(door))
            engine.regrant(regrants)
            self.options = new
            return lines

    def lame_duck(self) -> None:
        """
        Accept nobody any more, tell clients to go elsewhere, and close them in turn.

        Those of protocol 1 are told at once; after `lame_duck_grace_period` all are
        closed, evenly over `lame_duck_duration`. Does not wait for it: the server
        is empty when `stats().connections` is 0, and runs until it is stopped.

        Raises:
            RuntimeError: the server is not running.
        """
        self._check_process()
        with self._stopping:
            engine, _ = self._running()
            engine.lame_duck(
                info(self.options, self.server_id, self.port, is_leaving=True),
                self.options.lame_duck_grace_period,
                self.options.lame_duck_duration,
            )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A forked child may leave the block too; the server is not its to stop.
        if os.getpid() == self._pid:
            self.stop()

    # ---- facts ----

    @property
    def host(self) -> str:
        """The host to listen on, as configured."""
        return self.options.host

    @property
    def port(self) -> int:
        """The port that it listens on, or did at last; 0 before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """Where a client on this machine finds it."""
        host = "127.0.0.1" if self.host in EVERYWHERE else self.host
        return "nats://" + join(host, self.port)

    def stats(self) -> Stats:
        """
        The counters of the server.

        Raises:
            RuntimeError: it is not running.
        """
        self._check_process()
        engine, _ = self._running()
        return engine.stats()

    # ---- threads ----

    def _check_process(self) -> None:
        if self._engine is not None and os.getpid() != self._pid:
            raise CoreError(core.EFORK, "this server runs in the parent process")

    def _running(self) -> tuple[Engine, Door]:
        engine, door = self._engine, self._door
        if engine is None or door is None:
            raise RuntimeError("this server is not running")
        return engine, door

    def _deliver(self, answers: list[tuple[int, Admit | Refuse]]) -> None:
        """A worker of the door: answers that took a while."""
        engine = self._engine
        if engine is not None:
            with suppress(CoreError):  # stopped meanwhile
                engine.answer(answers)

    def _start_threads(
        self, engine: Engine, door: Door, on_end: Callable[[], None] | None
    ) -> None:
        self._threads = [
            threading.Thread(
                target=self._run_reactor,
                args=(engine, index),
                name=f"pynatsd-reactor-{index}",
            )
            for index in range(self.options.threads)
        ]
        self._threads.append(
            threading.Thread(
                target=self._run_control,
                args=(engine, door, on_end),
                name="pynatsd-control",
            )
        )
        started = 0
        try:
            door.start()
            for thread in self._threads:
                thread.start()
                started += 1
        except RuntimeError:
            # Stopped, the run calls that got no thread return at once in this one.
            engine.stop()
            threadless = self._threads[started:]
            del self._threads[started:]
            for thread in threadless:
                thread.run()
            self.stop()
            raise

    def _run_reactor(self, engine: Engine, index: int) -> None:
        """Reactor thread."""
        try:
            if engine.has_external_poller():
                pollers.run_reactor(engine, index)
            else:
                engine.run_reactor(index)
        except Exception as error:
            self._fail(engine, f"Reactor {index}", error)

    def _run_control(
        self, engine: Engine, door: Door, on_end: Callable[[], None] | None
    ) -> None:
        """Control thread."""
        try:
            engine.run_control(partial(events.answer, door))
        except Exception as error:
            self._fail(engine, "Control loop", error)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()  # it may have a failure to tell yet
        self._over.set()
        if on_end is not None:
            on_end()

    def _fail(self, engine: Engine, who: str, error: Exception) -> None:
        log.critical("%s failed: %s", who, error)
        self._failure = error
        engine.stop()


def _open_rights(door: Door) -> dict[str, Any]:
    """Of clients that act without CONNECT; where nobody may, they never get there."""
    return {"open_grant": door.open_grant or 0, "open_permits": door.open_permits}
