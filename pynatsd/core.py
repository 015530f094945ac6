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
from pynatsd.options import Options, Permissions, Rules

log = logging.getLogger("pynatsd")

MILLISECONDS = 1000  # in a second


class Library(Protocol):
    """The functions of csrc/nd_api.h; pointers and structs are cffi's, hence Any."""

    nd_py_on_events: Any

    def nd_permits_new(
        self, name: Any, name_length: int, rules: Any, count: int
    ) -> Any: ...
    def nd_permits_release(self, permits: Any) -> None: ...
    def nd_engine_new(self, options: Any) -> Any: ...
    def nd_engine_free(self, engine: Any) -> None: ...
    def nd_engine_set_info(self, engine: Any, json: Any, length: int) -> int: ...
    def nd_listen(self, engine: Any, fd: int) -> int: ...
    def nd_reactor_run(self, engine: Any, index: int) -> int: ...
    def nd_control_run(self, engine: Any, on_events: Any, context: Any) -> int: ...
    def nd_reconfigure(
        self, engine: Any, options: Any, json: Any, length: int
    ) -> int: ...
    def nd_lame_duck(
        self, engine: Any, json: Any, length: int, grace_ms: int, duration_ms: int
    ) -> int: ...
    def nd_stop(self, engine: Any) -> None: ...
    def nd_reactor_step(
        self, engine: Any, index: int, now_ms: int, ready: Any, count: int
    ) -> int: ...
    def nd_reactor_wants(
        self, engine: Any, index: int, wants: Any, capacity: int
    ) -> int: ...
    def nd_answer_many(
        self, engine: Any, cids: Any, answers: Any, count: int
    ) -> int: ...
    def nd_regrant(self, engine: Any, changes: Any, count: int) -> int: ...
    def nd_stats_read(self, engine: Any, stats: Any) -> None: ...
    def nd_poller_name(self) -> Any: ...
    def nd_strerror(self, code: int) -> Any: ...


class CoreError(Exception):
    """The engine refused a call; *code* is one of `enum nd_error`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


# ---- permissions ----


class Permits:
    """
    The engine's form of the *permissions* of user *name*, to be given out with answers.

    Immutable. Made once for each user, not for each login. The engine keeps what it
    needs of it for itself.

    Raises:
        CoreError: no memory.
    """

    __slots__ = ("pointer",)

    def __init__(
        self, name: str, permissions: Permissions, library: Library = _compiled
    ) -> None:
        lent: list[Any] = []  # for the length of the call
        rules = ffi.new("struct nd_rule[]", _rules(permissions, lent))
        raw = name.encode("utf-8", "surrogatepass")
        pointer = library.nd_permits_new(raw, len(raw), rules, len(rules))
        if not pointer:
            raise _error(library, ENOMEM)
        self.pointer: Any = ffi.gc(pointer, library.nd_permits_release)


def _rules(permissions: Permissions, lent: list[Any]) -> list[tuple[Any, ...]]:
    """What `struct nd_rule[]` is made of; *lent* keeps its bytes alive."""
    publish, subscribe = permissions.publish, permissions.subscribe
    found = []
    for number, entries in (
        (_compiled.ND_RULE_PUBLISH_ALLOW, publish.allow or ()),
        (_compiled.ND_RULE_PUBLISH_DENY, _denied(publish)),
        (_compiled.ND_RULE_SUBSCRIBE_ALLOW, subscribe.allow or ()),
        (_compiled.ND_RULE_SUBSCRIBE_DENY, _denied(subscribe)),
    ):
        for entry in entries:
            subject, queue = (*entry.encode().split(), b"")[:2]
            lent += [ffi.from_buffer(subject), ffi.from_buffer(queue)]
            found.append((number, lent[-2], len(subject), lent[-1], len(queue)))
    return found


def _denied(rules: Rules) -> tuple[str, ...]:
    """To C an empty allow list allows everything, so "nothing" is said by denial."""
    return (">",) if rules.allow == () else rules.deny


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
    permits: Any = None  # what it may do; None: everything


@dataclass(frozen=True, slots=True)
class Refuse:
    """Send *text* as an error, unless empty, and close; *reason* is for the log."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Regrant:
    """
    What becomes of the clients that came in by *grant*.

    They get *permits* in place of theirs, and lose the subscriptions that those do not
    allow; or, if *is_revoked*, they are closed with `Authorization Violation`. So it
    goes for those whose answer is still on its way. A number that was revoked must not
    be used again.
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

    def __init__(
        self,
        options: Options,
        library: Library = _compiled,
        *,
        open_grant: int = 0,
        open_permits: Permits | None = None,
    ) -> None:
        """
        *open_grant* and *open_permits* are for clients that act without a CONNECT, as
        in `Admit`.
        """
        self._library = library
        self._pid = os.getpid()
        struct = _options_struct(options, open_grant, open_permits)
        pointer = library.nd_engine_new(struct)
        if not pointer:
            raise _error(library, ENOMEM)
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
        """The INFO object without its last brace; before a reactor runs."""
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

    def reconfigure(
        self,
        options: Options,
        info: str,
        *,
        open_grant: int = 0,
        open_permits: Permits | None = None,
    ) -> None:
        """
        Replace all settings, and the INFO object, while the engine runs.

        Handlers must answer by the new rules before this is called: what the engine
        keeps of `Admit.is_lasting` answers, it forgets here.

        Raises:
            CoreError: `threads` is another number; or no memory. Nothing is changed.
        """
        raw, reconfigure = info.encode(), self._library.nd_reconfigure
        pointer = _options_struct(options, open_grant, open_permits)
        self._check(reconfigure(self._alive(), pointer, raw, len(raw)))

    def lame_duck(self, info: str, grace: float, duration: float) -> None:
        """
        Accept nobody any more, tell clients by *info*, and close them in the end.

        Connections end one by one, evenly over *duration* seconds, when *grace*
        seconds have passed. Does not wait for it: `stats` tells how many are left.
        """
        raw = info.encode()
        times = round(grace * MILLISECONDS), round(duration * MILLISECONDS)
        self._check(self._library.nd_lame_duck(self._alive(), raw, len(raw), *times))

    def answer(self, answers: Sequence[tuple[int, Admit | Refuse]]) -> None:
        """Answer CONNECTs, by cid, for which the handler returned None."""
        lent: list[Any] = []  # for the length of the call
        raw = ffi.new("struct nd_answer[]", len(answers))
        for (_, answer), target in zip(answers, raw, strict=True):
            _fill_answer(target, answer, lent)
        cids = ffi.new("uint64_t[]", [cid for cid, _ in answers])
        send = self._library.nd_answer_many
        self._check(send(self._alive(), cids, raw, len(answers)))

    def regrant(self, changes: Sequence[Regrant]) -> None:
        """Change what clients may do that are in already; each grant once."""
        rows = [(c.grant, _pointer(c.permits), c.is_revoked) for c in changes]
        raw = ffi.new("struct nd_regrant[]", rows)
        self._check(self._library.nd_regrant(self._alive(), raw, len(rows)))

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
            raise _error(self._library, due)
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
            raise _error(self._library, EFORK)
        if self._pointer is None:
            raise _error(self._library, ESTATE)
        return self._pointer

    def _check(self, code: int) -> None:
        if code < 0:
            raise _error(self._library, code)


def _error(library: Library, code: int) -> CoreError:
    return CoreError(code, ffi.string(library.nd_strerror(code)).decode())


def _pointer(permits: Permits | None) -> Any:
    return ffi.NULL if permits is None else permits.pointer


_STATS_FIELDS = [f.name for f in fields(Stats)]


def _options_struct(
    options: Options, open_grant: int, open_permits: Permits | None
) -> Any:
    return ffi.new(
        "struct nd_options *",
        {
            "reactors": options.threads,
            "max_connections": options.max_connections,
            "max_control_line": options.max_control_line,
            "max_connect_line": options.connect_line,
            "max_payload": options.max_payload,
            "max_pending": options.max_pending_size,
            "max_subscriptions": options.max_subscriptions,
            "ping_interval_ms": round(options.ping_interval * MILLISECONDS),
            "ping_max": options.ping_max,
            "write_deadline_ms": round(options.write_deadline * MILLISECONDS),
            "auth_timeout_ms": round(options.auth_timeout * MILLISECONDS),
            "auth_required": options.is_auth_required,
            "debug": options.debug,
            "trace": options.trace,
            "open_grant": open_grant,
            "open_permits": _pointer(open_permits),
        },
    )


class _Control:
    """What the callback needs, for as long as the control loop runs."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        # Bytes of the answers. C reads them when the callback has returned, so they
        # stay until the next one.
        self.lent: list[Any] = []


@ffi.def_extern(name="nd_py_on_events")  # type: ignore[untyped-decorator]
def _on_events(context: Any, events: Any, answers: Any, count: int) -> None:
    """Control thread. Called by C with what happened since the last call."""
    control: _Control = ffi.from_handle(context)
    control.lent.clear()
    for i in range(count):
        answer = _handle(control.handler, events[i])
        if answer is not None:
            _fill_answer(answers[i], answer, control.lent)


def _fill_answer(target: Any, answer: Admit | Refuse, lent: list[Any]) -> None:
    """*lent* keeps alive what *target* points to."""

    def lend(raw: bytes) -> tuple[Any, int]:
        lent.append(ffi.from_buffer(raw))
        return lent[-1], len(raw)

    if isinstance(answer, Admit):
        target.verdict = _ADMIT
        target.options = answer.options
        target.is_lasting = answer.is_lasting
        target.grant = answer.grant
        target.permits = _pointer(answer.permits)
        lent.append(answer.permits)
        if answer.note is not None:
            target.text, target.text_len = lend(answer.note)
    else:
        target.verdict = _REFUSE
        target.text, target.text_len = lend(_ascii(answer.text))
        target.reason, target.reason_len = lend(_ascii(answer.reason))


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
