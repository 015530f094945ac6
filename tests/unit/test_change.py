"""An INFO that changes while the engine runs, and the order to change, turn by turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from peers import LARGE, PING, PONG, change, line, say, stranger
from test_reactor import ASYNC_INFO, MIB, SILENT, Internals, Rig, loopback


@pytest.fixture
def rig(internals: Internals) -> Iterator[Rig]:
    with Rig(internals) as made:
        yield made


# ---- INFO ----


def test_who_learns_of_a_new_info(rig: Rig) -> None:
    modern, old, before_pong = (
        rig.client(options=ASYNC_INFO),
        rig.client(),
        rig.client(options=ASYNC_INFO),
    )
    silent = stranger(rig)
    for peer in (modern, old):
        assert say(rig, peer, PING) == PONG
    change(rig, b'{"a":1')
    assert modern.read() == line(modern, b'{"a":1')
    assert [peer.read() for peer in (old, before_pong, silent)] == [b""] * 3
    assert say(rig, old, PING) == PONG
    assert say(rig, modern, PING) == PONG
    assert say(rig, before_pong, PING * 2) == PONG + line(before_pong, b'{"a":1') + PONG
    assert say(rig, silent, b"CONNECT {}\r\n" + PING) == b""
    rig.admit(silent, ASYNC_INFO)
    rig.settle()
    assert silent.read() == PONG + line(silent, b'{"a":1')
    newcomer = rig.adopt()
    rig.settle()
    assert newcomer.read() == line(newcomer, b'{"a":1')
    assert say(rig, newcomer, b"CONNECT {}\r\n" + PING) == b""
    rig.admit(newcomer, ASYNC_INFO)
    rig.settle()
    assert newcomer.read() == PONG


def test_the_same_info_is_no_news(rig: Rig) -> None:
    peer = rig.client(options=ASYNC_INFO)
    say(rig, peer, PING)
    change(rig, b"{", max_payload=77)
    assert peer.read() == b""
    change(rig, b'{"a":1')
    assert peer.read() == line(peer, b'{"a":1')
    change(rig, b'{"a":1')
    assert say(rig, peer, PING) == PONG
    newcomer = rig.client(options=ASYNC_INFO)
    assert say(rig, newcomer, PING) == PONG
    change(rig, b'{"a":1', debug=True)
    assert newcomer.read() == b""


def test_who_missed_two_gets_the_last(rig: Rig) -> None:
    peer, late = rig.client(options=ASYNC_INFO), rig.client(options=ASYNC_INFO)
    say(rig, peer, PING)
    for number in (1, 2, 3):
        assert rig.reconfigure(b'{"a":%d' % number) == 0
    rig.settle()
    assert peer.read() == line(peer, b'{"a":3')
    change(rig, b'{"a":4')
    assert peer.read() == line(peer, b'{"a":4')
    assert say(rig, late, PING) == PONG + line(late, b'{"a":4')


def test_a_round_takes_as_many_turns_as_it_needs(rig: Rig) -> None:
    """Each gets one INFO, those who came meanwhile none, and nobody who has gone
    matters, be it the next in turn."""
    slice_ = rig.lib.ND_CHANGE_SLICE
    peers = [rig.client(options=ASYNC_INFO) for _ in range(2 * slice_ + 50)]
    for peer in peers:
        peer.send(PING)
    rig.settle()
    assert [peer.read() for peer in peers] == [PONG] * len(peers)
    assert rig.reconfigure(b'{"a":1', ping_interval_ms=5000) == 0
    assert rig.turn() == 0
    told = [peer.read() for peer in peers]
    assert told == [line(peer, b'{"a":1') for peer in peers[:slice_]] + [b""] * (
        slice_ + 50
    )
    for gone in (peers[slice_], peers[-1], peers[0]):
        gone.sock.close()
    late = rig.adopt()
    rig.settle()
    rest = [*peers[slice_ + 1 : -1]]
    assert [peer.read() for peer in rest] == [line(p, b'{"a":1') for p in rest]
    assert [peer.read() for peer in peers[1:slice_]] == [b""] * (slice_ - 1)
    assert late.read() == line(late, b'{"a":1')
    assert rig.settle() == 5000
    rig.advance(5000)
    assert [peer.read() for peer in (*peers[1:slice_], *rest, late)] == [PING] * (
        len(peers) - 2
    )


def test_a_second_change_in_the_middle_of_a_round(rig: Rig) -> None:
    """Begins the round again; who was reached before is told twice, others once."""
    slice_ = rig.lib.ND_CHANGE_SLICE
    peers = [rig.client(options=ASYNC_INFO) for _ in range(slice_ + 20)]
    for peer in peers:
        peer.send(PING)
    rig.settle()
    assert [peer.read() for peer in peers] == [PONG] * len(peers)
    assert rig.reconfigure(b'{"a":1') == 0
    assert rig.turn() == 0
    assert rig.reconfigure(b'{"a":1', debug=True) == 0
    assert rig.turn() == 0
    rig.settle()
    assert [peer.read() for peer in peers] == [line(p, b'{"a":1') for p in peers]
    assert rig.reconfigure(b'{"a":2') == 0
    assert rig.turn() == 0
    assert rig.reconfigure(b'{"a":3') == 0
    rig.settle()
    told = [peer.read() for peer in peers]
    once = [line(p, b'{"a":3') for p in peers]
    twice = [line(p, b'{"a":2') + line(p, b'{"a":3') for p in peers]
    assert all(got in pair for got, *pair in zip(told, once, twice, strict=True))
    assert sum(got in twice for got in told) == slice_


def test_info_does_not_harm_who_lags(rig: Rig) -> None:
    """It stands between two messages, and the sated one is read again."""
    publisher = rig.client()
    reader = rig.client(snd=4096, options=ASYNC_INFO)
    assert say(rig, reader, b"SUB a 1\r\n" + PING) == PONG
    message = b"PUB a 5000\r\n" + bytes(5000) + b"\r\n"
    sent = 0
    while not rig.look(reader).is_blocked:
        say(rig, publisher, message)
        sent += 1
    info = b'{"long":"' + b"x" * 40_000 + b'"'
    for number in (1, 2):
        change(rig, info[:-1] + b'%d"' % number)
    assert rig.look(reader).is_sated
    reader.pump(PING)
    say(rig, publisher, message)
    got = b""
    for _ in range(300):
        got += reader.read()
        rig.advance(1)
    msg = b"MSG a 1 5000\r\n" + bytes(5000) + b"\r\n"
    infos = [line(reader, info[:-1] + b'%d"' % number) for number in (1, 2)]
    assert got == msg * sent + b"".join(infos) + msg + PONG
    assert rig.stats().slow_consumers == 0


# ---- what Python has decided ----


class Control:
    """The control thread: admits whoever asks, for ever if it is up to it."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.asked, self.turns = rig, 0, 0
        self.before_the_answer: Callable[[], object] = bool  # does nothing
        self.note = rig.ffi.new("char[]", b"note")
        self.callback = rig.ffi.callback("nd_on_events", self.answer)
        run, nothing = rig.lib.nd_control_run, rig.ffi.NULL
        self.thread = threading.Thread(
            target=run, args=(rig.engine, self.callback, nothing)
        )

    def answer(self, _: Any, events: Any, answers: Any, count: int) -> None:
        self.asked += count
        self.before_the_answer()
        for answer in answers[0:count]:
            answer.verdict = self.rig.lib.ND_VERDICT_ADMIT
            answer.text, answer.text_len = self.note, 4
            answer.is_lasting = True

    def connect(self) -> int:
        """A client more; returns how often Python was asked by then."""
        peer = stranger(self.rig)
        peer.send(b"CONNECT {}\r\n" + PING)
        deadline = time.monotonic() + 20
        while peer.read() != PONG:
            assert time.monotonic() < deadline
            self.rig.settle()
            self.turns += 1
        return self.asked

    def reconfigure(self) -> None:
        """Control thread: returns when the reactor goes by the new settings."""
        assert self.rig.reconfigure() == 0
        seen, deadline = self.turns, time.monotonic() + 20
        while self.turns < seen + 2:
            assert time.monotonic() < deadline
            time.sleep(0.0005)

    def __enter__(self) -> Control:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.rig.lib.nd_stop(self.rig.engine)
        for _ in range(3):
            self.rig.turn()
        self.thread.join()


def test_what_python_said_is_forgotten(rig: Rig) -> None:
    with Control(rig) as control:
        assert [control.connect() for _ in range(3)] == [1, 1, 1]
        change(rig)
        assert [control.connect() for _ in range(3)] == [2, 2, 2]


def test_what_it_says_by_old_rules_is_not_kept(rig: Rig) -> None:
    """The rules change while it decides: its answer comes behind the new settings."""
    with Control(rig) as control:
        control.before_the_answer = control.reconfigure
        assert [control.connect() for _ in range(3)] == [1, 2, 3]
        control.before_the_answer = bool
        assert [control.connect() for _ in range(3)] == [4, 4, 4]


# ---- the order itself ----


WRONG = [
    {"reactors": 1},
    {"reactors": 3},
    {"max_control_line": 0},
    {"max_control_line": 256 * 1024 + 1},
    {"max_connect_line": 0},
    {"max_connect_line": 256 * 1024 + 1},
    {"max_payload": 1024 * MIB + 1},
    {"max_pending": 0},
    {"ping_max": 255},
    {"write_deadline_ms": 0},
    {"auth_required": True, "auth_timeout_ms": 0},
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_settings_change_nothing(
    internals: Internals, wrong: dict[str, Any]
) -> None:
    with Rig(internals, reactors=2) as rig:
        peers = [rig.client(options=ASYNC_INFO) for _ in range(2)]
        for peer in peers:
            say(rig, peer, PING)
        changed = {"max_payload": 5, **wrong}
        assert rig.reconfigure(b'{"a":1', **changed) == rig.lib.ND_EINVAL
        rig.settle()
        for peer in peers:
            assert say(rig, peer, b"PUB a 6\r\nabcdef\r\n" + PING) == PONG


@pytest.mark.parametrize("reactors", [1, 3])
def test_without_memory_nothing_changes(internals: Internals, reactors: int) -> None:
    with Rig(internals, reactors=reactors) as rig:
        peers = [rig.client(options=ASYNC_INFO) for _ in range(3)]
        for peer in peers:
            say(rig, peer, PING)
        live, nth, rc = rig.lib.nd_test_alloc_live(), 0, -1
        while rc != 0:
            nth += 1
            rig.lib.nd_test_alloc_fail(nth, False)
            rc = rig.reconfigure(b'{"a":1', max_payload=5)
            rig.lib.nd_test_alloc_fail(0, False)
            if rc != 0:
                assert rc == rig.lib.ND_ENOMEM
                assert rig.lib.nd_test_alloc_live() == live
                for peer in peers:
                    assert say(rig, peer, b"PUB a 6\r\nabcdef\r\n" + PING) == PONG
        assert nth == 3 + reactors
        rig.settle()
        for peer in peers:
            assert peer.read() == line(peer, b'{"a":1')
            assert say(rig, peer, b"PUB a 6\r\nabcdef\r\n") == LARGE


def test_info_without_memory_costs_the_connection(rig: Rig) -> None:
    peers = [rig.client(options=ASYNC_INFO) for _ in range(3)]
    for peer in peers:
        say(rig, peer, PING)
    info = b'{"a":"' + b"x" * 5000 + b'"'  # more than lies ready in the pool
    assert rig.reconfigure(info) == 0
    rig.lib.nd_test_alloc_fail(1, False)
    rig.settle()
    rig.lib.nd_test_alloc_fail(0, False)
    told = [b"", *(line(peer, info) for peer in peers[1:])]
    assert [peer.read() for peer in peers] == told
    assert [peer.ended for peer in peers] == [True, False, False]


def test_the_newest_settings_stay(rig: Rig) -> None:
    """Whatever order the mail of two who call at once comes in."""
    peer = rig.client()
    for version, limit in ((5, 50), (4, 40)):  # in one turn
        options = {**rig.options, "max_payload": limit}
        pointer = rig.ffi.new("struct nd_options *", options)
        rig.lib.nd_test_change(rig.engine, pointer, version)
    rig.settle()
    options = {**rig.options, "max_payload": 30}  # and in another
    pointer = rig.ffi.new("struct nd_options *", options)
    rig.lib.nd_test_change(rig.engine, pointer, 3)
    rig.settle()
    assert say(rig, peer, b"PUB a 50\r\n" + bytes(50) + b"\r\n" + PING) == PONG
    assert say(rig, peer, b"PUB a 51\r\n") == LARGE


def test_what_nobody_opens_is_freed(internals: Internals) -> None:
    live = internals[1].nd_test_alloc_live()
    with Rig(internals, reactors=2) as rig:
        rig.adopt()
        for number in (1, 2, 3):  # put aside, and in the mail
            assert rig.reconfigure(b'{"a":%d' % number) == 0
            rig.lame_duck(b'{"b":%d' % number, 5, 5)
            rig.turn(number % 2)
    with Rig(internals) as rig:
        pointer = rig.ffi.new("struct nd_options *", rig.options)
        rig.lib.nd_test_change(rig.engine, pointer, 5)
    assert internals[1].nd_test_alloc_live() == live


def test_tcp_clients_learn_their_address(rig: Rig) -> None:
    peer = rig.adopt(pair=loopback())
    peer.send(b"CONNECT {}\r\n" + PING)
    deadline = time.monotonic() + 20
    while not any(e.kind == rig.lib.ND_EV_CONNECT for e in rig.events()):
        assert time.monotonic() < deadline
        rig.settle()
    rig.admit(peer, ASYNC_INFO)
    change(rig, b'{"a":1')
    end = b'{"a":1,"client_id":1,"client_ip":"127.0.0.1"} \r\n'
    got = b""
    while not got.endswith(b"INFO " + end):
        assert time.monotonic() < deadline
        rig.settle()
        got += peer.read()


def test_stop_in_the_middle_of_a_round(rig: Rig) -> None:
    peers = [rig.client(options=SILENT) for _ in range(rig.lib.ND_CHANGE_SLICE + 5)]
    assert rig.reconfigure(b'{"a":1') == 0
    assert rig.turn() == 0
    rig.lib.nd_stop(rig.engine)
    ends = [rig.turn() for _ in range(3)]
    assert ends[-1] == rig.lib.ND_ESTATE
    for peer in peers:
        peer.read()
    assert all(peer.ended for peer in peers)
