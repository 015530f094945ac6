"""
The border to the C engine: the only importer of `pynatsd._core`.

Calls go in through `Engine`. Events come out on the control thread, in batches. No
call into the library is made while a batch is answered: each would give the
interpreter lock away, and getting it back beside a busy Python thread takes one
switch interval, 5 ms by default.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from pynatsd._core import ffi
from pynatsd._core import lib as _compiled
from pynatsd.options import Options

log = logging.getLogger("pynatsd")

MILLISECONDS = 1000  # in a second


class Library(Protocol):
    """The functions of csrc/nd_api.h; pointers and structs are cffi's, hence Any."""

    nd_py_on_events: Any

    def nd_engine_new(self, options: Any) -> Any: ...
    def nd_engine_free(self, engine: Any) -> None: ...
    def nd_engine_set_info(self, engine: Any, json: Any, length: int) -> int: ...
    def nd_listen(self, engine: Any, fd: int) -> int: ...
    def nd_reactor_run(self, engine: Any, index: int) -> int: ...
    def nd_control_run(self, engine: Any, on_events: Any, context: Any) -> int: ...
    def nd_stop(self, engine: Any) -> None: ...
    def nd_reactor_step(
        self, engine: Any, index: int, now_ms: int, ready: Any, count: int
    ) -> int: ...
    def nd_reactor_wants(
        self, engine: Any, index: int, wants: Any, capacity: int
    ) -> int: ...
    def nd_stats_read(self, engine: Any, stats: Any) -> None: ...
    def nd_poller_name(self) -> Any: ...
    def nd_strerror(self, code: int) -> Any: ...


class CoreError(Exception):
    """The engine refused a call; *code* is one of `enum nd_error`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


# ---- events and answers ----


@dataclass(frozen=True, slots=True)
class ConnectEvent:
    """A client sent CONNECT and waits."""

    cid: int
    argument: bytes
    prior: bytes | None  # the note that its last CONNECT left
    peer: str  # how its log lines begin
    is_traced: bool


@dataclass(frozen=True, slots=True)
class InfoEvent:
    """A client sent INFO and waits."""

    cid: int
    argument: bytes


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line for the log; *level* is one of `enum nd_level`."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Admit:
    """
    Let the client in, or an INFO pass.

    The engine keeps *note*, at most 8 KiB, for the next CONNECT; without one, as for
    INFO, nothing changes. *is_lasting* says that the answer hangs on the argument
    alone: the engine may then give it by itself to clients that send the same.
    *grant* is the number of the right by which it came in: see `Regrant`.
    """

    options: int = 0  # bits of `enum nd_connect_option`
    note: bytes | None = None
    is_lasting: bool = False
    grant: int = 0
    permits: Any = None  # what it may do, from `Engine.permits`; None: everything


@dataclass(frozen=True, slots=True)
class Refuse:
    """Send *text* as an error, unless empty, and close; *reason* is for the log."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Regrant:
    """
    What becomes of the clients that came in by *grant*.

    They get *permits* in place of theirs, or, if *is_revoked*, are closed with
    `Authorization Violation`, as are those whose answer is still on its way.
    """

    grant: int
    permits: Any = None
    is_revoked: bool = False


Event = ConnectEvent | InfoEvent | LogEvent
Answer = Admit | Refuse | None
Handler = Callable[[Event], Answer]


@dataclass(frozen=True, slots=True)
class Stats:
    """`struct nd_stats`, field by field: totals since start, unless they say now."""

    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int
    connections: int  # now
    total_connections: int
    slow_consumers: int
    stale_connections: int
    subscriptions: int  # now
    sub_inserts: int
    sub_removes: int
    cache_entries: int  # now
    cache_hits: int
    cache_misses: int
    logs_dropped: int


@dataclass(frozen=True, slots=True)
class Watch:
    """A descriptor and what to watch it for, or what it was found to be."""

    fd: int
    readable: bool
    writable: bool


# Numbers of the enums, read once.
_EV_CONNECT: int = _compiled.ND_EV_CONNECT
_EV_INFO: int = _compiled.ND_EV_INFO
_ADMIT: int = _compiled.ND_VERDICT_ADMIT
_REFUSE: int = _compiled.ND_VERDICT_REFUSE

OPT_VERBOSE: int = _compiled.ND_OPT_VERBOSE
OPT_PEDANTIC: int = _compiled.ND_OPT_PEDANTIC
OPT_ECHO: int = _compiled.ND_OPT_ECHO
OPT_HEADERS: int = _compiled.ND_OPT_HEADERS
OPT_NO_RESPONDERS: int = _compiled.ND_OPT_NO_RESPONDERS
OPT_ASYNC_INFO: int = _compiled.ND_OPT_ASYNC_INFO

LEVEL_INFO: int = _compiled.ND_LEVEL_INFO
LEVEL_ERROR: int = _compiled.ND_LEVEL_ERROR
LEVEL_DEBUG: int = _compiled.ND_LEVEL_DEBUG
LEVEL_TRACE: int = _compiled.ND_LEVEL_TRACE

ENOMEM: int = _compiled.ND_ENOMEM
EFORK: int = _compiled.ND_EFORK
ESTATE: int = _compiled.ND_ESTATE

_BROKEN = Refuse(text="", reason="Internal error, see above")
_WANTS_AT_ONCE = 256  # count


class Engine:
    """
    One engine and its memory. Every method may be called by any thread.

    Raises:
        CoreError: from any method, also in a process forked from the one that made
            the engine, and after `free`.
    """

    def __init__(self, options: Options, library: Library = _compiled) -> None:
        self._library = library
        self._pid = os.getpid()
        pointer = library.nd_engine_new(_options_struct(options))
        if not pointer:
            raise self._error(ENOMEM)
        self._pointer: Any = ffi.gc(pointer, self._destructor(library, self._pid))

    @staticmethod
    def _destructor(library: Library, pid: int) -> Callable[[Any], None]:
        def destroy(pointer: Any) -> None:
            # In a forked child the threads are gone and locks may be held for ever.
            if os.getpid() == pid:
                library.nd_engine_free(pointer)

        return destroy

    def free(self) -> None:
        """
        Give the memory back. Every run call must have returned.

        A short call that another thread has under way keeps its own reference, so
        the memory goes when that returns.
        """
        self._pointer = None

    def set_info(self, text: str) -> None:
        """The INFO object without its last brace; before the first `listen`."""
        raw = text.encode()
        self._check(self._library.nd_engine_set_info(self._alive(), raw, len(raw)))

    def listen(self, fd: int) -> None:
        """Hand over a listening socket; the engine closes it."""
        self._check(self._library.nd_listen(self._alive(), fd))

    def run_reactor(self, index: int) -> None:
        """Be the thread of reactor *index* until the engine stops."""
        self._check(self._library.nd_reactor_run(self._alive(), index))

    def run_control(self, handler: Handler) -> None:
        """
        Be the control thread until every reactor has ended.

        *handler* answers one event at a time. What it raises is logged, and costs
        the connection that the event was about.
        """
        control = _Control(handler)
        run = self._library.nd_control_run
        on_events = self._library.nd_py_on_events
        self._check(run(self._alive(), on_events, ffi.new_handle(control)))

    def stop(self) -> None:
        """End every run call, within about 0.5 s. Does not wait for it."""
        self._library.nd_stop(self._alive())

    def step(self, index: int, now_ms: int, ready: Sequence[Watch]) -> int | None:
        """
        One turn of reactor *index*, given what the external poller found.

        Returns the milliseconds until the next turn is due, -1 if only a descriptor
        can make it so, or None when the engine has stopped and the reactor ended.
        """
        states = [(watch.fd, watch.readable, watch.writable) for watch in ready]
        found = ffi.new("struct nd_ready[]", states)
        step = self._library.nd_reactor_step
        due = step(self._alive(), index, now_ms, found, len(ready))
        if due == ESTATE:
            return None
        if due < -1:
            raise self._error(due)
        return due

    def wants(self, index: int) -> list[Watch]:
        """Changes of interest since the last call, in order; neither: forget it."""
        changes: list[Watch] = []
        room = ffi.new("struct nd_want[]", _WANTS_AT_ONCE)
        while True:
            take = self._library.nd_reactor_wants
            count = take(self._alive(), index, room, _WANTS_AT_ONCE)
            self._check(count)
            changes += [Watch(w.fd, w.readable, w.writable) for w in room[0:count]]
            if count < _WANTS_AT_ONCE:
                return changes

    def stats(self) -> Stats:
        """The counters, summed over all reactors."""
        raw = ffi.new("struct nd_stats *")
        self._library.nd_stats_read(self._alive(), raw)
        return Stats(*[getattr(raw, name) for name in _STATS_FIELDS])

    def has_external_poller(self) -> bool:
        """Whether reactors are stepped by Python instead of running by themselves."""
        return bool(ffi.string(self._library.nd_poller_name()) == b"external")

    def _alive(self) -> Any:
        if os.getpid() != self._pid:
            raise self._error(EFORK)
        if self._pointer is None:
            raise self._error(ESTATE)
        return self._pointer

    def _check(self, code: int) -> None:
        if code < 0:
            raise self._error(code)

    def _error(self, code: int) -> CoreError:
        text = ffi.string(self._library.nd_strerror(code)).decode()
        return CoreError(code, text)


_STATS_FIELDS = [f.name for f in fields(Stats)]


def _options_struct(options: Options) -> Any:
    return ffi.new(
        "struct nd_options *",
        {
            "reactors": options.threads,
            "max_connections": options.max_connections,
            "max_control_line": options.max_control_line,
            "max_connect_line": options.connect_line,
            "max_payload": options.max_payload,
            "max_pending": options.max_pending_size,
            "ping_interval_ms": round(options.ping_interval * MILLISECONDS),
            "ping_max": options.ping_max,
            "write_deadline_ms": round(options.write_deadline * MILLISECONDS),
            "auth_timeout_ms": round(options.auth_timeout * MILLISECONDS),
            "debug": options.debug,
            "trace": options.trace,
        },
    )


class _Control:
    """What the callback needs, for as long as the control loop runs."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        # Bytes of the answers. C reads them when the callback has returned, so they
        # stay until the next one.
        self.lent: list[Any] = []

    def lend(self, raw: bytes) -> tuple[Any, int]:
        pointer = ffi.from_buffer(raw)
        self.lent.append(pointer)
        return pointer, len(raw)


@ffi.def_extern(name="nd_py_on_events")  # type: ignore[untyped-decorator]
def _on_events(context: Any, events: Any, answers: Any, count: int) -> None:
    """Control thread. Called by C with what happened since the last call."""
    control: _Control = ffi.from_handle(context)
    control.lent.clear()
    for i in range(count):
        answer = _handle(control.handler, events[i])
        if isinstance(answer, Admit):
            target = answers[i]
            target.verdict = _ADMIT
            target.options = answer.options
            target.is_lasting = answer.is_lasting
            if answer.note is not None:
                target.text, target.text_len = control.lend(answer.note)
        elif answer is not None:
            target = answers[i]
            target.verdict = _REFUSE
            target.text, target.text_len = control.lend(_ascii(answer.text))
            target.reason, target.reason_len = control.lend(_ascii(answer.reason))


def _handle(handler: Handler, raw: Any) -> Answer:
    try:
        return handler(_event(raw))
    except Exception:
        log.exception("Internal error, event of cid:%d", raw.cid)
        return None if raw.kind not in (_EV_CONNECT, _EV_INFO) else _BROKEN


def _event(raw: Any) -> Event:
    """The event as ours; its bytes are copied, for C lends them."""
    kind = raw.kind
    text = _copy(raw.text, raw.text_len)
    if kind == _EV_CONNECT:
        prior = _copy(raw.prior, raw.prior_len) if raw.prior else None
        peer = _copy(raw.peer, raw.peer_len).decode("ascii", "replace")
        return ConnectEvent(raw.cid, text, prior, peer, raw.is_traced)
    if kind == _EV_INFO:
        return InfoEvent(raw.cid, text)
    return LogEvent(raw.level, text.decode("ascii", "replace"))


def _copy(pointer: Any, length: int) -> bytes:
    return bytes(ffi.unpack(pointer, length)) if length else b""


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace")
