"""Lame duck: who is told, who is sent away, and when."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from peers import PING, PONG, dialer, line, say, stranger
from test_reactor import ASYNC_INFO, Internals, Peer, Rig, loopback

LDM = b'{"ldm":true'


@pytest.fixture
def rig(internals: Internals) -> Iterator[Rig]:
    with Rig(internals) as made:
        yield made


def ends(rig: Rig, peers: list[Peer], ms: int) -> list[tuple[int, int]]:
    """For each of the next *ms*: who has come to its end, by cid, and when."""
    found = []
    start = rig.now
    for _ in range(ms + 1):
        for peer in peers:
            if not peer.ended:
                assert peer.read() == b""
                if peer.ended:
                    found.append((rig.now - start, peer.cid))
        rig.advance(1)
    return found


# ---- when ----


@pytest.mark.parametrize(
    ("count", "duration", "times"),
    [
        (1, 1000, [0]),
        (4, 400, [0, 100, 200, 300]),
        (3, 100, [0, 34, 67]),
        (5, 2, [0, 1, 1, 2, 2]),
        (3, 0, [0, 0, 0]),
    ],
)
def test_they_go_at_even_steps_the_oldest_first(
    rig: Rig, count: int, duration: int, times: list[int]
) -> None:
    peers = [rig.client() for _ in range(count)]
    rig.lame_duck(LDM, 50, duration)
    rig.settle()
    want = [(50 + ms, peer.cid) for ms, peer in zip(times, peers, strict=True)]
    assert ends(rig, peers, 50 + duration + 10) == want
    rig.advance(rig.lib.ND_LINGER_MS)
    assert rig.stats().connections == 0
    assert rig.settle() == -1


def test_the_next_step_is_told(rig: Rig) -> None:
    """A reactor sleeps until then, and wakes for nothing else."""
    for _ in range(3):
        rig.client()
    rig.lame_duck(LDM, 70, 3000)
    for due in (70, rig.lib.ND_LINGER_MS, 1000 - rig.lib.ND_LINGER_MS):
        assert rig.settle() == due
        rig.now += due


def test_each_reactor_sees_to_its_own(internals: Internals) -> None:
    with Rig(internals, reactors=2) as rig:
        peers = [rig.client() for _ in range(6)]
        rig.lame_duck(LDM, 0, 300)
        rig.settle()
        pairs = [(0, 1), (0, 2), (100, 3), (100, 4), (200, 5), (200, 6)]
        assert ends(rig, peers, 300) == pairs


def test_those_who_leave_spare_others(rig: Rig) -> None:
    """The line falls as it was drawn: nobody goes earlier for it."""
    peers = [rig.client() for _ in range(10)]
    rig.lame_duck(LDM, 0, 1000)
    rig.settle()
    for peer in peers[1:6]:
        peer.sock.close()
    rig.settle()
    left = peers[6:]
    assert ends(rig, [peers[0]], 0) == [(0, 1)]
    assert ends(rig, left, 1000) == [
        (ms - 1, peer.cid) for ms, peer in zip((600, 700, 800, 900), left, strict=True)
    ]


def test_those_who_come_late_go_as_well(rig: Rig) -> None:
    """Dealt before the listener closed, or adopted: greeted, served, and closed."""
    first = rig.client()
    rig.lame_duck(LDM, 100, 1000)
    rig.settle()
    late = rig.adopt()
    rig.settle()
    assert late.read() == line(late, LDM)
    assert say(rig, late, PING) == PONG
    assert ends(rig, [first, late], 1100) == [(100, 1), (600, 2)]
    for peer in (rig.adopt(), rig.adopt()):
        rig.settle()
        assert peer.read() == line(peer, LDM)
        assert peer.ended


def test_more_come_late_than_were_counted(rig: Rig) -> None:
    first = rig.client()
    rig.lame_duck(LDM, 0, 1000)
    rig.settle()
    assert first.read() == b""
    assert first.ended
    late = [rig.adopt() for _ in range(2 * rig.lib.ND_LAME_SLICE)]
    rig.settle()
    rig.advance(1000)
    for peer in late:
        peer.read()
    assert all(peer.ended for peer in late)


def test_nobody_is_there(rig: Rig) -> None:
    rig.lame_duck(LDM, 100, 1000)
    assert rig.settle() == -1
    rig.advance(500)
    late = stranger(rig)
    assert late.ended or ends(rig, [late], 1000)
    rig.advance(2000)
    assert rig.stats().connections == 0


def test_a_turn_sends_only_so_many_away(rig: Rig) -> None:
    slice_ = rig.lib.ND_LAME_SLICE
    peers = [rig.client() for _ in range(2 * slice_ + 3)]
    rig.lame_duck(LDM, 0, 0)
    gone = []
    for _ in range(3):
        assert rig.turn() == 0
        gone.append(sum(peer.read() == b"" and peer.ended for peer in peers))
    assert gone == [slice_, 2 * slice_, 2 * slice_ + 3]


def test_many_reach_the_end_together(internals: Internals) -> None:
    """Steps shorter than a millisecond."""
    with Rig(internals, reactors=2) as rig:
        peers = [rig.client() for _ in range(200)]
        rig.lame_duck(LDM, 10, 40)
        rig.advance(9)
        assert [peer for peer in peers if peer.read() or peer.ended] == []
        for ms in range(1, 41):
            rig.advance(1)
            gone = sum(peer.read() == b"" and peer.ended for peer in peers)
            assert gone == 2 * ((ms - 1) * 100 // 40 + 1)


# ---- what they get ----


def test_who_is_told(rig: Rig) -> None:
    modern, old = rig.client(options=ASYNC_INFO), rig.client()
    no_pong = rig.client(options=ASYNC_INFO)
    for peer in (modern, old):
        say(rig, peer, PING)
    rig.lame_duck(LDM, 100, 100)
    rig.settle()
    assert modern.read() == line(modern, LDM)
    assert old.read() == no_pong.read() == b""
    assert say(rig, no_pong, PING) == PONG + line(no_pong, LDM)
    rig.lame_duck(b'{"again":1', 0, 0)
    assert rig.reconfigure(b'{"other":1', max_payload=5) == 0
    rig.settle()
    assert say(rig, modern, PING) == PONG
    late = rig.adopt()
    rig.settle()
    assert late.read() == line(late, LDM)
    assert say(rig, late, b"PUB a 6\r\n") == b"-ERR 'Maximum Payload Violation'\r\n"


def test_a_second_order_changes_no_time(rig: Rig) -> None:
    peers = [rig.client() for _ in range(2)]
    rig.lame_duck(LDM, 100, 100)
    rig.advance(50)
    rig.lame_duck(LDM, 500, 5000)
    assert ends(rig, peers, 200) == [(50, 1), (100, 2)]


def test_what_is_owed_goes_first(rig: Rig) -> None:
    publisher, subscriber = rig.client(), rig.client(snd=4096)
    say(rig, subscriber, b"SUB a 1\r\n")
    for _ in range(20):
        say(rig, publisher, b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
    assert rig.look(subscriber).is_blocked
    rig.lame_duck(LDM, 0, 0)
    got = b""
    for _ in range(200):
        got += subscriber.read(4000)
        rig.advance(5)
    assert got == (b"MSG a 1 5000\r\n" + bytes(5000) + b"\r\n") * 20
    assert subscriber.ended
    assert rig.stats().slow_consumers == 0
    assert rig.stats().connections == rig.stats().subscriptions == 0


def test_bytes_that_are_not_read_cause_no_reset(rig: Rig) -> None:
    """A close beside them would be one, and lose what the peer has yet to read."""
    peer = rig.adopt(pair=loopback())
    peer.send(PING)
    deadline = time.monotonic() + 20
    got = b""
    while not got.endswith(PONG):
        assert time.monotonic() < deadline
        rig.settle()
        got += peer.read()
    rig.lame_duck(LDM, 0, 0)
    rig.turn()
    peer.send(b"PUB a 5\r\nhello\r\n" * 1000)
    while not peer.ended:  # a reset would raise
        assert time.monotonic() < deadline
        rig.settle()
        assert peer.read() == b""
    peer.sock.close()
    while rig.stats().connections:
        assert time.monotonic() < deadline
        rig.settle()


def test_who_waits_for_python_goes_too(rig: Rig) -> None:
    peer = stranger(rig)
    say(rig, peer, b"CONNECT {}\r\n")
    assert rig.lib.nd_test_unanswered(rig.engine) == 1
    rig.lame_duck(LDM, 0, 0)
    rig.settle()
    assert peer.read() == b""
    assert peer.ended
    assert rig.lib.nd_test_unanswered(rig.engine) == 0


# ---- the listener, and the end ----


def test_nobody_is_accepted(internals: Internals) -> None:
    with Rig(internals, reactors=2) as rig, dialer(rig) as dial:
        peer = dial()
        address = peer.sock.getpeername()
        rig.lame_duck(LDM, 1000, 1000)
        rig.settle()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        assert rig.stats().connections == 1


def test_nor_when_accepting_pauses(internals: Internals) -> None:
    """The pause ends later, and has nothing to resume."""
    with Rig(internals) as rig, dialer(rig) as dial:
        address = dial().sock.getpeername()
        rig.lib.nd_test_accept_fail(24, 1)  # EMFILE
        with socket.create_connection(address):
            deadline = time.monotonic() + 20
            while not 0 < rig.settle() <= rig.lib.ND_ACCEPT_PAUSE_MS:
                assert time.monotonic() < deadline
        rig.lame_duck(LDM, 1000, 1000)
        rig.settle()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        rig.advance(rig.lib.ND_ACCEPT_PAUSE_MS)


@pytest.mark.parametrize("ms", [0, 50, 150, 1000])
def test_stop_in_the_middle(internals: Internals, ms: int) -> None:
    with Rig(internals, reactors=2) as rig:
        peers = [rig.client() for _ in range(6)]
        rig.lame_duck(LDM, 100, 300)
        rig.advance(ms)
        rig.lib.nd_stop(rig.engine)
        for _ in range(3):
            codes = [rig.turn(index) for index in (0, 1)]
        assert codes == [rig.lib.ND_ESTATE] * 2
        for peer in peers:
            assert peer.read() == b""
        assert all(peer.ended for peer in peers)


@pytest.mark.parametrize("reactors", [1, 3])
def test_without_memory_nothing_begins(internals: Internals, reactors: int) -> None:
    with Rig(internals, reactors=reactors) as rig:
        peers = [rig.client() for _ in range(3)]
        live, nth, rc = rig.lib.nd_test_alloc_live(), 0, -1
        while rc != 0:
            nth += 1
            rig.lib.nd_test_alloc_fail(nth, False)
            rc = rig.lib.nd_lame_duck(rig.engine, LDM, len(LDM), 0, 0)
            rig.lib.nd_test_alloc_fail(0, False)
            if rc != 0:
                assert rc == rig.lib.ND_ENOMEM
                assert rig.lib.nd_test_alloc_live() == live
                assert [say(rig, peer, PING) for peer in peers] == [PONG] * 3
        assert nth == 2 + reactors
        rig.settle()
        assert [peer.read() for peer in peers] == [b""] * 3
        assert all(peer.ended for peer in peers)
