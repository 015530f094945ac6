"""The life of a server: build the engine, bind, run its threads, end them in order."""

import errno
import json
import logging
import os
import socket
import string
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from pynatsd import connect, core, pollers
from pynatsd._version import VERSION
from pynatsd.core import (
    Admit,
    Answer,
    ConnectEvent,
    CoreError,
    Engine,
    Event,
    LogEvent,
    Refuse,
    Stats,
)
from pynatsd.log import TRACE, reason
from pynatsd.options import Options

log = logging.getLogger("pynatsd")

BACKLOG = 4096  # connections that the kernel may hold before we accept them
EVERYWHERE = ("", "0.0.0.0", "::")

_LEVELS = {
    core.LEVEL_INFO: logging.INFO,
    core.LEVEL_ERROR: logging.ERROR,
    core.LEVEL_DEBUG: logging.DEBUG,
    core.LEVEL_TRACE: TRACE,
}


class ListenError(OSError):
    """The address cannot be listened on; the text says which and why."""

    def __str__(self) -> str:
        return str(self.strerror)


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
            engine = Engine(self.options)
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
        self._engine = engine
        self._start_threads(engine, on_end)
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
            engine.free()
            self._engine = None

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
        engine = self._engine
        if engine is None:
            raise RuntimeError("this server is not running")
        return engine.stats()

    # ---- threads ----

    def _check_process(self) -> None:
        if self._engine is not None and os.getpid() != self._pid:
            raise CoreError(core.EFORK, "this server runs in the parent process")

    def _start_threads(self, engine: Engine, on_end: Callable[[], None] | None) -> None:
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
                target=self._run_control, args=(engine, on_end), name="pynatsd-control"
            )
        )
        started = 0
        try:
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

    def _run_control(self, engine: Engine, on_end: Callable[[], None] | None) -> None:
        """Control thread."""
        try:
            engine.run_control(_answer)
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


# ---- events, on the control thread ----


def _answer(event: Event) -> Answer:
    if isinstance(event, LogEvent):
        log.log(_LEVELS[event.level], "%s", event.text)
        return None
    try:
        if isinstance(event, ConnectEvent):
            if event.is_traced:
                shown = connect.shown(event.argument)
                log.log(TRACE, "%s - ->> [CONNECT %s]", event.peer, shown)
            return _admit(connect.parse(event.argument, event.prior))
        connect.check_info(event.argument)
        return Admit()
    except connect.ConnectError as error:
        return Refuse(error.text, error.reason)


def _admit(options: connect.ConnectOptions) -> Admit:
    bits = (
        options.verbose * core.OPT_VERBOSE
        | options.pedantic * core.OPT_PEDANTIC
        | options.echo * core.OPT_ECHO
        | options.headers * core.OPT_HEADERS
        | options.no_responders * core.OPT_NO_RESPONDERS
        | options.protocol * core.OPT_ASYNC_INFO
    )
    # What was said of a user is not for the engine's memory.
    is_anonymous = not (options.user or options.password or options.auth_token)
    return Admit(bits, connect.note(options), is_lasting=is_anonymous)


# ---- what a server is made of ----


def new_server_id() -> str:
    """22 random letters and digits. By hand, for `secrets` costs 3 MB to import."""
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    number = int.from_bytes(os.urandom(32), "big")
    text = ""
    for _ in range(22):
        number, digit = divmod(number, len(alphabet))
        text += alphabet[digit]
    return text


def info(options: Options, server_id: str, port: int) -> str:
    """
    The INFO object without its last brace; the engine adds what differs by client.

    Old clients read the first ten fields unasked, today's look for the others.

    Source: gnatsd 0.8.0, server/server.go, `Info`.
    """
    document = {
        "server_id": server_id,
        "version": VERSION,
        "go": "python" + sys.version.split()[0],
        "host": options.host,
        "port": port,
        "auth_required": False,
        "ssl_required": False,
        "tls_required": False,
        "tls_verify": False,
        "max_payload": options.max_payload,
        "proto": 1,
        "headers": True,
        "server_name": options.server_name or server_id,
    }
    return json.dumps(document, separators=(",", ":")).removesuffix("}")


def listen(host: str, port: int) -> socket.socket:
    """
    Open the socket on which clients arrive.

    *port* 0 or -1 lets the system choose. A host that means every address is
    listened on with IPv4 and IPv6 alike, as Go does it.

    Raises:
        ListenError: the address is taken or not ours.

    Source: gnatsd 0.8.0, server/server.go, `AcceptLoop`.
    """
    port = max(port, 0)
    try:
        if host not in EVERYWHERE:
            return _bind(*_resolve(host, port))
        if socket.has_dualstack_ipv6():
            try:
                return _bind(socket.AF_INET6, ("::", port))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
        return _bind(socket.AF_INET, ("0.0.0.0", port))
    except (socket.gaierror, UnicodeError):
        text = f"listen tcp: lookup {host}: no such host"
        raise ListenError(errno.EADDRNOTAVAIL, text) from None
    except OSError as error:
        text = f"listen tcp {join(host, port)}: bind: {reason(error)}"
        raise ListenError(error.errno, text) from None


def _resolve(host: str, port: int) -> tuple[int, Any]:
    """The first IPv4 address of *host*, else its first one."""
    # Bytes, because a string makes Python import a megabyte of IDNA tables.
    name = host.encode("ascii") if host.isascii() else host
    found = socket.getaddrinfo(
        name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[0][0], found[0][4]


def _bind(family: int, address: Any) -> socket.socket:
    everywhere = family == socket.AF_INET6 and address[0] == "::"
    return socket.create_server(
        address, family=family, backlog=BACKLOG, dualstack_ipv6=everywhere
    )


def join(host: str, port: int) -> str:
    """Host and port as one word, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
