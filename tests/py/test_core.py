"""The border to C, with a library made of Python in the engine's place."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from pynatsd._core import ffi, lib

from pynatsd import core
from pynatsd.core import (
    Admit,
    ConnectEvent,
    CoreError,
    Engine,
    InfoEvent,
    LogEvent,
    Permits,
    Refuse,
    Regrant,
    Stats,
    Watch,
)
from pynatsd.options import Options, Permissions, Rules

MIB = 1024 * 1024


@dataclass
class Fake:
    """Records its calls; any call while events are answered is a failure."""

    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    wanted: list[tuple[int, bool, bool]] = field(default_factory=list)
    poller: bytes = b"epoll"
    answering: bool = False
    nd_py_on_events: Any = lib.nd_py_on_events

    def __post_init__(self) -> None:
        self.options: dict[str, Any] = {}

    def _called(self, name: str, value: Any = None) -> int:
        assert not self.answering, f"{name} while events are answered"
        self.calls.append((name, value))
        return self.codes.get(name, 0)

    def nd_engine_new(self, options: Any) -> Any:
        self.options = as_dict(options)
        if self._called("new"):
            return ffi.NULL
        return ffi.cast("struct nd_engine *", 0x1000)

    def nd_engine_free(self, engine: Any) -> None:
        self._called("free")

    def nd_engine_set_info(self, engine: Any, json: Any, length: int) -> int:
        return self._called("set_info", (bytes(json), length))

    def nd_listen(self, engine: Any, fd: int) -> int:
        return self._called("listen", fd)

    def nd_reactor_run(self, engine: Any, index: int) -> int:
        return self._called("reactor_run", index)

    def nd_control_run(self, engine: Any, on_events: Any, context: Any) -> int:
        for batch in self.batches:
            self._hand_over(batch, on_events, context)
        return self._called("control_run")

    def _hand_over(
        self, batch: list[dict[str, Any]], on_events: Any, context: Any
    ) -> None:
        events = ffi.new("struct nd_event[]", len(batch))
        answers = ffi.new("struct nd_answer[]", len(batch))
        lent = []
        for raw, event in zip(batch, events, strict=True):
            for name, value in raw.items():
                if isinstance(value, bytes):
                    lent.append(ffi.new("char[]", value))
                    setattr(event, name, lent[-1])
                    setattr(event, f"{name}_len", len(value))
                else:
                    setattr(event, name, value)
        self.answering = True
        on_events(context, events, answers, len(batch))
        self.answering = False
        self._note_answers(answers)

    def _note_answers(self, answers: Any) -> None:
        for answer in answers:
            self.answers.append(
                {
                    "verdict": answer.verdict,
                    "options": answer.options,
                    "text": ffi.unpack(answer.text, answer.text_len)
                    if answer.text
                    else None,
                    "reason": ffi.unpack(answer.reason, answer.reason_len)
                    if answer.reason
                    else None,
                    "grant": answer.grant,
                    "permits": answer.permits,
                }
            )

    def nd_reconfigure(self, engine: Any, options: Any, json: Any, length: int) -> int:
        self.options = as_dict(options)
        return self._called("reconfigure", (bytes(json), length))

    def nd_lame_duck(
        self, engine: Any, json: Any, length: int, grace_ms: int, duration_ms: int
    ) -> int:
        return self._called("lame_duck", (bytes(json), length, grace_ms, duration_ms))

    def nd_permits_new(
        self, name: Any, name_length: int, rules: Any, count: int
    ) -> Any:
        texts = [
            (
                r.list,
                ffi.unpack(r.subject, r.subject_len),
                ffi.unpack(r.queue, r.queue_len),
            )
            for r in rules[0:count]
        ]
        if self._called("permits", (bytes(name), name_length, texts)):
            return ffi.NULL
        return ffi.cast("struct nd_permits *", 0x2000)

    def nd_permits_release(self, permits: Any) -> None:
        self._called("permits_release")

    def nd_answer_many(self, engine: Any, cids: Any, answers: Any, count: int) -> int:
        self._note_answers(answers[0:count])
        return self._called("answer", list(cids[0:count]))

    def nd_regrant(self, engine: Any, changes: Any, count: int) -> int:
        rows = [(c.grant, c.permits, c.is_revoked) for c in changes[0:count]]
        return self._called("regrant", rows)

    def nd_stop(self, engine: Any) -> None:
        self._called("stop")

    def nd_reactor_step(
        self, engine: Any, index: int, now_ms: int, ready: Any, count: int
    ) -> int:
        seen = [(r.fd, r.readable, r.writable) for r in ready[0:count]]
        return self._called("step", (index, now_ms, seen))

    def nd_reactor_wants(
        self, engine: Any, index: int, wants: Any, capacity: int
    ) -> int:
        code = self._called("wants", index)
        if code:
            return code
        part, self.wanted = self.wanted[:capacity], self.wanted[capacity:]
        for want, (fd, readable, writable) in zip(wants, part, strict=False):
            want.fd, want.readable, want.writable = fd, readable, writable
        return len(part)

    def nd_stats_read(self, engine: Any, stats: Any) -> None:
        self._called("stats")
        for number, (name, _) in enumerate(ffi.typeof(stats[0]).fields, start=1):
            setattr(stats, name, number)

    def nd_poller_name(self) -> Any:
        return ffi.new("char[]", self.poller)

    def nd_strerror(self, code: int) -> Any:
        return lib.nd_strerror(code)


def as_dict(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name, _ in ffi.typeof(struct[0]).fields}


def engine(fake: Fake) -> Engine:
    return Engine(Options(threads=2), fake)


def answers_to(*events: dict[str, Any], handler: core.Handler) -> list[dict[str, Any]]:
    fake = Fake(batches=[list(events)])
    engine(fake).run_control(handler)
    return fake.answers


def connect_event(cid: int = 7, text: bytes = b"{}", **more: Any) -> dict[str, Any]:
    return {"kind": lib.ND_EV_CONNECT, "cid": cid, "text": text, **more}


# ---- life ----


def test_options_reach_the_engine() -> None:
    fake = Fake()
    options = Options(
        threads=3,
        max_control_line=5000,
        ping_interval=1.5,
        write_deadline=0.25,
        auth_timeout=2,
        ping_max=4,
        max_payload=-1,
        debug=True,
    )
    Engine(options, fake)
    assert fake.options == {
        "reactors": 3,
        "max_connections": 65536,
        "max_control_line": 5000,
        "max_connect_line": 5000,
        "max_payload": -1,
        "max_pending": 10 * MIB,
        "max_subscriptions": 0,
        "ping_interval_ms": 1500,
        "ping_max": 4,
        "write_deadline_ms": 250,
        "auth_timeout_ms": 2000,
        "auth_required": False,
        "debug": True,
        "trace": False,
        "open_grant": 0,
        "open_permits": ffi.NULL,
    }


def test_open_rights_reach_the_engine() -> None:
    fake = Fake()
    permits = Permits("me", Permissions())
    Engine(Options(threads=1), fake, open_grant=7, open_permits=permits)
    assert fake.options["open_grant"] == 7
    assert fake.options["open_permits"] == permits.pointer


def test_an_engine_that_cannot_be_made() -> None:
    with pytest.raises(CoreError) as caught:
        engine(Fake(codes={"new": 1}))
    assert caught.value.code == lib.ND_ENOMEM


def test_free_frees_once() -> None:
    fake = Fake()
    made = engine(fake)
    made.free()
    made.free()
    del made
    assert [name for name, _ in fake.calls] == ["new", "free"]


def test_dropping_the_engine_frees_it() -> None:
    fake = Fake()
    made = engine(fake)
    del made
    assert [name for name, _ in fake.calls] == ["new", "free"]


CALLS: list[tuple[str, Callable[[Engine], object]]] = [
    ("set_info", lambda e: e.set_info("{")),
    ("listen", lambda e: e.listen(3)),
    ("reactor_run", lambda e: e.run_reactor(1)),
    ("control_run", lambda e: e.run_control(lambda event: None)),
    ("wants", lambda e: e.wants(0)),
    ("reconfigure", lambda e: e.reconfigure(Options(threads=2), "{")),
    ("lame_duck", lambda e: e.lame_duck("{", 1, 1)),
    ("stop", lambda e: e.stop()),
    ("stats", lambda e: e.stats()),
    ("step", lambda e: e.step(0, 1, [])),
    ("answer", lambda e: e.answer([(1, Refuse("No", ""))])),
    ("regrant", lambda e: e.regrant([Regrant(1)])),
]


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_calls_after_free(name: str, call: Callable[[Engine], object]) -> None:
    fake = Fake()
    made = engine(fake)
    made.free()
    with pytest.raises(CoreError) as caught:
        call(made)
    assert caught.value.code == lib.ND_ESTATE
    assert name not in dict(fake.calls)


@pytest.mark.parametrize(("name", "call"), CALLS)
def test_calls_in_a_forked_child(
    monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[Engine], object]
) -> None:
    fake = Fake()
    made = engine(fake)
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 1)
        with pytest.raises(CoreError) as caught:
            call(made)
        made.free()  # quietly nothing
    assert caught.value.code == lib.ND_EFORK
    assert [n for n, _ in fake.calls] == ["new"]


FALLIBLE = [entry for entry in CALLS if entry[0] not in ("stop", "stats", "step")]


@pytest.mark.parametrize(("name", "call"), FALLIBLE)
def test_codes_become_errors(name: str, call: Callable[[Engine], object]) -> None:
    with pytest.raises(CoreError) as caught:
        call(engine(Fake(codes={name: lib.ND_ESYS})))
    assert caught.value.code == lib.ND_ESYS
    assert str(caught.value) == ffi.string(lib.nd_strerror(lib.ND_ESYS)).decode()


def test_info_text_is_passed_with_its_length() -> None:
    fake = Fake()
    made = engine(fake)
    made.set_info('{"a":1')
    assert fake.calls[-1] == ("set_info", (b'{"a":1', 6))


def test_new_settings_reach_the_engine() -> None:
    fake = Fake()
    made = engine(fake)
    made.reconfigure(
        Options(threads=2, max_subscriptions=9, token="x", ping_interval=0.0015),
        '{"\u00e9":1',
    )
    assert fake.calls[-1] == ("reconfigure", ('{"\u00e9":1'.encode(), 7))
    assert fake.options["max_subscriptions"] == 9
    assert fake.options["auth_required"] is True
    assert fake.options["ping_interval_ms"] == 2
    made.reconfigure(Options(threads=2, token="", ping_interval=0.001), "{")
    assert fake.options["auth_required"] is False
    assert fake.options["ping_interval_ms"] == 1


def test_a_lame_duck_is_told_its_times() -> None:
    fake = Fake()
    made = engine(fake)
    made.lame_duck('{"ldm":true', 0, 1.25)
    assert fake.calls[-1] == ("lame_duck", (b'{"ldm":true', 11, 0, 1250))


# ---- permissions ----


@pytest.mark.parametrize(
    ("permissions", "rules"),
    [
        (Permissions(), []),
        (Permissions(publish=Rules(allow=())), [(1, b">", b"")]),
        (Permissions(publish=Rules(allow=(), deny=("a",))), [(1, b">", b"")]),
        (Permissions(subscribe=Rules(allow=())), [(3, b">", b"")]),
        (
            Permissions(Rules(("a", "b.>"), ("b.c",)), Rules(("d",), ("*.e",))),
            [
                *[(0, b"a", b""), (0, b"b.>", b""), (1, b"b.c", b"")],
                *[(2, b"d", b""), (3, b"*.e", b"")],
            ],
        ),
        (
            Permissions(subscribe=Rules(("z queue",), ("y \t v1.*", "\u00e9"))),
            [(2, b"z", b"queue"), (3, b"y", b"v1.*"), (3, b"\xc3\xa9", b"")],
        ),
    ],
)
def test_rules_as_the_engine_sees_them(
    permissions: Permissions, rules: list[tuple[int, bytes, bytes]]
) -> None:
    fake = Fake()
    permits = Permits("J\u00f6", permissions, fake)
    assert fake.calls == [("permits", (b"J\xc3\xb6", 3, rules))]
    del permits
    assert fake.calls[1:] == [("permits_release", None)]


def test_permits_that_cannot_be_made() -> None:
    with pytest.raises(CoreError) as caught:
        Permits("me", Permissions(), Fake(codes={"permits": 1}))
    assert caught.value.code == lib.ND_ENOMEM


def test_changes_of_grants() -> None:
    fake = Fake()
    permits = Permits("me", Permissions(), fake)
    changes = [Regrant(2**64 - 1, permits), Regrant(2, is_revoked=True), Regrant(3)]
    engine(fake).regrant(changes)
    rows = [
        (2**64 - 1, permits.pointer, False),
        (2, ffi.NULL, True),
        (3, ffi.NULL, False),
    ]
    assert ("regrant", rows) in fake.calls


def test_later_answers() -> None:
    fake = Fake()
    permits = Permits("me", Permissions(), fake)
    admit = Admit(lib.ND_OPT_ECHO, b"note", grant=5, permits=permits)
    engine(fake).answer([(7, admit), (9, Refuse("No", "Because"))])
    assert ("answer", [7, 9]) in fake.calls
    admitted, refused = fake.answers
    assert admitted == {
        "verdict": lib.ND_VERDICT_ADMIT,
        "options": lib.ND_OPT_ECHO,
        "text": b"note",
        "reason": None,
        "grant": 5,
        "permits": permits.pointer,
    }
    assert refused["verdict"] == lib.ND_VERDICT_REFUSE
    assert (refused["text"], refused["reason"]) == (b"No", b"Because")
    engine(fake).answer([])
    assert ("answer", []) in fake.calls


# ---- events ----


def test_events_as_the_handler_sees_them() -> None:
    seen: list[core.Event] = []
    answers_to(
        connect_event(1, b'{"a":"\xff"}', peer=b"::1:5 - cid:1", is_traced=True),
        connect_event(2, b"", prior=b"{}"),
        connect_event(3, prior=b""),
        {"kind": lib.ND_EV_INFO, "cid": 4, "text": b"{}"},
        {"kind": lib.ND_EV_LOG, "level": lib.ND_LEVEL_DEBUG, "text": b"100%s\x80"},
        handler=seen.append,
    )
    assert seen == [
        ConnectEvent(1, b'{"a":"\xff"}', None, "::1:5 - cid:1", True),
        ConnectEvent(2, b"", b"{}", "", False),
        ConnectEvent(3, b"{}", b"", "", False),
        InfoEvent(4, b"{}"),
        LogEvent(lib.ND_LEVEL_DEBUG, "100%s\ufffd"),
    ]


def test_answers_as_the_engine_sees_them() -> None:
    replies: list[core.Answer] = [
        Admit(lib.ND_OPT_ECHO | lib.ND_OPT_HEADERS, b'{"name":"\xc3\xa9"}'),
        Admit(),
        Refuse("Parser Error", "Error reading: no"),
        Refuse("", "silent \u20ac"),
        None,
    ]
    found = answers_to(
        *[connect_event()] * len(replies), handler=lambda event: replies.pop(0)
    )
    admit, refuse = lib.ND_VERDICT_ADMIT, lib.ND_VERDICT_REFUSE
    assert [(a["verdict"], a["options"], a["text"], a["reason"]) for a in found] == [
        (admit, 4 | 8, b'{"name":"\xc3\xa9"}', None),
        (admit, 0, None, None),
        (refuse, 0, b"Parser Error", b"Error reading: no"),
        (refuse, 0, b"", b"silent \\u20ac"),
        (lib.ND_VERDICT_NONE, 0, None, None),
    ]


def test_answers_bring_rights() -> None:
    permits = Permits("me", Permissions(), Fake())
    admit = Admit(note=b"", grant=5, permits=permits)
    (found,) = answers_to(connect_event(), handler=lambda event: admit)
    assert (found["grant"], found["permits"]) == (5, permits.pointer)


def test_a_broken_handler_costs_one_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(event: core.Event) -> core.Answer:
        if isinstance(event, LogEvent) or event.cid == 2:
            raise ZeroDivisionError("oops")
        return Admit()

    found = answers_to(
        connect_event(1),
        connect_event(2),
        {"kind": lib.ND_EV_LOG, "level": 1, "text": b"x"},
        connect_event(3),
        handler=handler,
    )
    assert [a["verdict"] for a in found] == [
        lib.ND_VERDICT_ADMIT,
        lib.ND_VERDICT_REFUSE,
        lib.ND_VERDICT_NONE,
        lib.ND_VERDICT_ADMIT,
    ]
    assert found[1]["text"] == b""
    records = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert [r.getMessage() for r in records] == [
        "Internal error, event of cid:2",
        "Internal error, event of cid:0",
    ]
    assert all(r.exc_info and r.exc_info[0] is ZeroDivisionError for r in records)


def test_batches_and_a_large_batch() -> None:
    fake = Fake(batches=[[connect_event(i) for i in range(500)], [connect_event(1)]])

    def handler(event: core.Event) -> core.Answer:
        assert isinstance(event, ConnectEvent)
        return Admit(note=b"note of %d" % event.cid)

    engine(fake).run_control(handler)
    notes = [b"note of %d" % i for i in range(500)]
    assert [a["text"] for a in fake.answers] == [*notes, b"note of 1"]


# ---- facts ----


def test_stats_mirror_the_struct() -> None:
    names = [name for name, _ in ffi.typeof("struct nd_stats").fields]
    assert [f.name for f in fields(Stats)] == names
    stats = engine(Fake()).stats()
    assert [getattr(stats, name) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize(("name", "external"), [(b"epoll", False), (b"external", True)])
def test_poller_name(name: bytes, external: bool) -> None:
    assert engine(Fake(poller=name)).has_external_poller() is external


# ---- one reactor by hand ----


def test_step() -> None:
    fake = Fake(codes={"step": 250})
    ready = [Watch(5, True, False), Watch(6, False, True)]
    made = engine(fake)
    assert made.step(1, 123456789012, ready) == 250
    assert fake.calls[-1] == (
        "step",
        (1, 123456789012, [(5, True, False), (6, False, True)]),
    )


def test_step_outcomes() -> None:
    assert engine(Fake(codes={"step": 0})).step(0, 1, []) == 0
    assert engine(Fake(codes={"step": -1})).step(0, 1, []) == -1
    assert engine(Fake(codes={"step": lib.ND_ESTATE})).step(0, 1, []) is None
    with pytest.raises(CoreError):
        engine(Fake(codes={"step": lib.ND_ESYS})).step(0, 1, [])


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000])
def test_wants_are_all_fetched(count: int) -> None:
    wanted = [(i, i % 2 == 0, i % 3 == 0) for i in range(count)]
    found = engine(Fake(wanted=list(wanted))).wants(0)
    assert [(w.fd, w.readable, w.writable) for w in found] == wanted


def test_the_library_is_what_the_protocol_says() -> None:
    """Every function that core.py types exists in the compiled module."""
    for name in vars(core.Library):
        if name.startswith("nd_"):
            assert callable(getattr(lib, name)), name
