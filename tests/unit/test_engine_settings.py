"""Settings that change while the engine runs, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from peers import (
    CROWDED,
    FULL,
    LARGE,
    LATE,
    LONG,
    PING,
    PONG,
    SHUT_OUT,
    change,
    dialer,
    filled,
    say,
    stranger,
)
from test_reactor import (
    ECHO,
    HEADERS,
    MIB,
    VERBOSE,
    Internals,
    Rig,
)


@pytest.fixture
def rig(internals: Internals) -> Iterator[Rig]:
    with Rig(internals) as made:
        yield made


# ---- timers ----


@pytest.mark.parametrize(
    ("old", "new", "due"),
    [(1000, 600, 200), (1000, 400, 0), (600, 1000, 600), (600, 600, 200)],
)
def test_a_new_interval_counts_from_the_start(
    internals: Internals, old: int, new: int, due: int
) -> None:
    """Ping timers that run for 400 ms are due when the new interval is over."""
    with Rig(internals, ping_interval_ms=old) as rig:
        first = rig.client()
        rig.advance(100)
        second = rig.client()
        rig.advance(300)
        change(rig, ping_interval_ms=new)
        rig.advance(due)
        assert (first.read(), second.read()) == (PING, b"")
        rig.advance(100)
        assert (first.read(), second.read()) == (b"", PING)
        rig.advance(new - 101)
        assert first.read() == b""
        rig.advance(1)
        assert first.read() == PING


def test_pings_are_switched_off_and_on(internals: Internals) -> None:
    with Rig(internals, ping_interval_ms=1000, ping_max=1) as rig:
        peer = rig.client()
        rig.advance(1000)
        assert peer.read() == PING
        change(rig, ping_interval_ms=0)
        assert rig.settle() == -1
        rig.advance(100_000)
        newcomer = rig.client()
        assert rig.settle() == -1
        change(rig, ping_interval_ms=50)
        assert rig.settle() == 50
        rig.advance(49)
        assert peer.read() == newcomer.read() == b""
        rig.advance(1)
        assert peer.read() == b"-ERR 'Stale Connection'\r\n"
        assert newcomer.read() == PING


def test_a_new_number_of_pings(internals: Internals) -> None:
    with Rig(internals, ping_interval_ms=100, ping_max=5) as rig:
        peer = rig.client()
        rig.advance(200)
        assert peer.read() == PING * 2
        change(rig, ping_max=2)
        rig.advance(100)
        assert peer.read() == b"-ERR 'Stale Connection'\r\n"


def test_auth_is_switched_on(rig: Rig) -> None:
    """Who has said nothing has so long from now; who is in stays in."""
    silent, eager, guest = stranger(rig), stranger(rig), rig.client()
    rig.advance(5000)
    change(rig, auth_required=True, auth_timeout_ms=700)
    assert say(rig, eager, PING) == SHUT_OUT
    assert say(rig, guest, PING) == PONG
    rig.advance(699)
    assert silent.read() == b""
    rig.advance(1)
    assert silent.read() == LATE
    assert say(rig, guest, PING) == PONG


def test_auth_is_switched_off(internals: Internals) -> None:
    with Rig(internals, auth_required=True) as rig:
        silent, waiting = stranger(rig), stranger(rig)
        waiting.send(b"CONNECT {}\r\n")
        rig.advance(500)
        change(rig, auth_required=False)
        rig.advance(9000)
        assert say(rig, silent, PING) == PONG
        rig.advance(600)
        assert waiting.read() == LATE  # that Python answers has a limit of its own
        assert say(rig, silent, PING) == PONG


def test_auth_time_is_cut(internals: Internals) -> None:
    with Rig(internals, auth_required=True, auth_timeout_ms=1000) as rig:
        peer = stranger(rig)
        rig.advance(300)
        change(rig, auth_timeout_ms=400)
        rig.advance(99)
        assert peer.read() == b""
        rig.advance(1)
        assert peer.read() == LATE


def test_a_new_write_deadline(internals: Internals) -> None:
    with Rig(internals, write_deadline_ms=10_000) as rig:
        _, subscriber = filled(rig)
        rig.advance(1000)
        change(rig, write_deadline_ms=1200)
        rig.advance(199)
        assert rig.look(subscriber) is not None
        rig.advance(101)
        assert rig.look(subscriber) is None
        assert rig.stats().slow_consumers == 1


def test_a_thousand_half_open_peers(internals: Internals) -> None:
    """Gone with the third tick, 3 s after they came; no turn does all of it."""
    with Rig(internals, reactors=2, ping_interval_ms=120_000) as rig:
        for _ in range(1000):
            rig.adopt()
        rig.settle()
        assert rig.stats().connections == 1000
        change(rig, ping_interval_ms=1000)
        rig.advance(1000)
        rig.now += 1000
        assert rig.turn() == 0
        asked = [peer for peer in rig.peers if peer.read().endswith(PING * 2)]
        assert len(asked) == rig.lib.ND_EXPIRE_SLICE
        rig.settle()
        rig.advance(999)
        assert rig.stats().connections == 1000
        rig.advance(1)
        assert rig.stats().stale_connections == 1000
        assert rig.stats().connections == 0
        assert rig.now - 1000 == 3000
        told = {peer.read().removeprefix(PING) for peer in rig.peers}
        assert told == {b"-ERR 'Stale Connection'\r\n"}


def test_a_stale_one_that_talks_may_read_its_error(internals: Internals) -> None:
    """It sends all but PONG: a close beside that would be a reset."""
    with Rig(internals, ping_interval_ms=1000, ping_max=1) as rig:
        talker, silent = rig.client(), rig.client()
        rig.advance(1000)
        assert say(rig, talker, b"PUB a 0\r\n\r\n") == PING
        rig.advance(1000)
        assert talker.read() == b"-ERR 'Stale Connection'\r\n"
        assert rig.look(silent) is None
        rig.advance(rig.lib.ND_LINGER_MS - 1)
        assert rig.look(talker) is not None
        rig.advance(1)
        assert rig.look(talker) is None


# ---- limits ----


def test_a_lower_payload_limit(rig: Rig) -> None:
    """What was announced before is finished, in one piece or in many."""
    small, large, reader = rig.client(), rig.client(), rig.client()
    say(rig, reader, b"SUB a 1\r\n")
    body = bytes(30_000)
    say(rig, small, b"PUB a 1000\r\n" + bytes(500))
    say(rig, large, b"PUB a 30000\r\n" + body[:20_000])
    change(rig, max_payload=10)
    assert say(rig, small, bytes(500) + b"\r\n" + PING) == PONG
    assert reader.read() == b"MSG a 1 1000\r\n" + bytes(1000) + b"\r\n"
    assert say(rig, large, body[20_000:] + b"\r\n" + PING) == PONG
    assert reader.read() == b"MSG a 1 30000\r\n" + body + b"\r\n"
    assert say(rig, small, b"PUB a 10\r\n" + bytes(10) + b"\r\n" + PING) == PONG
    rig.events()
    assert say(rig, small, b"PUB a 11\r\n") == LARGE
    assert rig.logs() == [b":0 - cid:1 - Maximum Payload Exceeded: 11 vs 10"]
    assert say(rig, large, PING) == PONG
    assert stranger(rig) is not None


def test_a_higher_payload_limit(internals: Internals) -> None:
    with Rig(internals, max_payload=10) as rig:
        peer = rig.client()
        change(rig, max_payload=-1)
        assert say(rig, peer, b"PUB a 11\r\n" + bytes(11) + b"\r\n" + PING) == PONG
        assert say(rig, peer, b"PUB a 1073741825\r\n") == LARGE


@pytest.mark.parametrize("size", [100, 20_000])
def test_a_lower_line_limit(rig: Rig, size: int) -> None:
    """A line that was taken before its payload came is not measured again."""
    peer, reader = rig.client(), rig.client()
    subject = b"a" * 900
    say(rig, reader, b"SUB * 1\r\n")
    start = b"PUB %s %d\r\n" % (subject, size)
    say(rig, peer, start + bytes(size - 1))
    change(rig, max_control_line=50, max_connect_line=60)
    assert say(rig, peer, b"\0\r\n" + PING) == PONG
    body = bytes(size) + b"\r\n"
    assert reader.read() == b"MSG %s 1 %d\r\n" % (subject, size) + body
    assert say(rig, peer, b"SUB " + b"b" * 48 + b" 1\r\n" + PING) == PONG
    assert say(rig, peer, b"SUB " + b"b" * 49 + b" 1\r\n") == LONG
    assert say(rig, stranger(rig), b"CONNECT {" + b" " * 60) == LONG


def test_a_line_in_the_middle_is_measured_by_the_new_limit(rig: Rig) -> None:
    peer = rig.client()
    assert say(rig, peer, b"PUB " + b"a" * 100) == b""
    change(rig, max_control_line=50)
    assert say(rig, peer, b"a") == LONG


def test_the_highest_line_limit(internals: Internals) -> None:
    """Also with a line as long before it that waits, and a header to be cut off."""
    most = internals[1].ND_LINE_CEILING
    with Rig(internals, max_control_line=10, max_payload=2 * MIB) as rig:
        peer, reader = rig.client(options=HEADERS), rig.client()
        change(rig, max_control_line=most, max_connect_line=most)
        subject = b"a" * (most - 8)
        say(rig, reader, b"SUB * 1\r\n")
        long = b"HPUB %s 012 014\r\nNATS/1.0\r\n\r\nhi\r\n" % subject
        got = answers = b""
        peer.pump(long * 3 + PING + b"SUB a" + subject + b" 012 014\r\n")
        for _ in range(60):
            rig.settle()
            peer.pump(b"")
            got += reader.read()
            answers += peer.read()
        assert got == b"MSG %s 1 2\r\nhi\r\n" % subject * 3
        assert answers == PONG + LONG


def test_lower_max_connections(internals: Internals) -> None:
    """Those who are there stay; newcomers wait for their number to fall."""
    with Rig(internals, max_connections=10) as rig, dialer(rig) as dial:
        old = [dial() for _ in range(3)]
        change(rig, max_connections=2)
        assert [say(rig, peer, PING) for peer in old] == [PONG] * 3
        assert dial().read() == FULL
        old[0].sock.close()
        rig.settle()
        assert dial().read() == FULL
        old[1].sock.close()
        rig.settle()
        assert dial().read() == b""
        change(rig, max_connections=0)
        assert [dial().read() for _ in range(5)] == [b""] * 5


def test_a_lower_cap(rig: Rig) -> None:
    """Who owes more already is cut when it is to owe yet more."""
    publisher, subscriber = filled(rig)
    for _ in range(10):
        say(rig, publisher, b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
    owed = rig.look(subscriber).pending
    change(rig, max_pending=owed - 1)
    assert rig.look(subscriber) is not None
    for _ in range(20):
        rig.advance(10)  # it is heavy by now, so its publisher is paced
        say(rig, publisher, b"PUB a 1\r\nx\r\n")
    assert rig.look(subscriber) is None
    assert rig.stats().slow_consumers == 1


def test_a_lower_cap_makes_heavy_and_a_higher_one_light(rig: Rig) -> None:
    publisher, subscriber = filled(rig)
    for _ in range(10):
        say(rig, publisher, b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
    assert not rig.look(subscriber).is_heavy
    change(rig, max_pending=200_000)
    say(rig, publisher, b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
    assert rig.look(subscriber).is_heavy
    change(rig, max_pending=100 * MIB)
    subscriber.read(20_000)
    rig.advance(200)
    assert not rig.look(subscriber).is_heavy


def test_most_subscriptions(internals: Internals) -> None:
    with Rig(internals, max_subscriptions=2) as rig:
        peer, other = rig.client(options=VERBOSE | ECHO), rig.client()
        assert say(rig, peer, b"SUB a 1\r\nSUB b q 2\r\n") == b"+OK\r\n" * 2
        assert say(rig, peer, b"SUB a 1\r\n") == b"+OK\r\n"
        assert say(rig, peer, b"SUB c 3\r\nSUB d 4\r\n") == CROWDED * 2
        assert say(rig, peer, b"SUB a..b 5\r\n") == b"-ERR 'Invalid Subject'\r\n"
        assert rig.logs() == [b":0 - cid:1 - maximum subscriptions exceeded"]
        assert say(rig, other, b"SUB a 1\r\n" + PING) == PONG
        assert say(rig, peer, b"PUB c 1\r\nx\r\n") == b"+OK\r\n"
        assert say(rig, peer, b"UNSUB 1\r\nSUB c 3\r\n") == b"+OK\r\n" * 2
        assert say(rig, peer, b"SUB d 4\r\n") == CROWDED
        change(rig, max_subscriptions=1)
        assert say(rig, peer, b"PUB c 1\r\nx\r\n") == b"+OK\r\nMSG c 3 1\r\nx\r\n"
        assert say(rig, peer, b"UNSUB 3\r\nSUB d 4\r\n") == b"+OK\r\n" + CROWDED
        change(rig, max_subscriptions=0)
        assert say(rig, peer, b"SUB d 4\r\nSUB e 5\r\n") == b"+OK\r\n" * 2
        assert rig.logs() == []


# ---- debug, trace, memo ----


def test_debug_is_for_all_at_once_and_trace_for_those_to_come(rig: Rig) -> None:
    old = rig.client()
    change(rig, debug=True, trace=True)
    say(rig, old, PING)
    assert rig.logs() == []
    new = rig.client()
    say(rig, new, PING)
    assert b":0 - cid:2 - ->> [PING]" in rig.logs()
    old.sock.close()
    rig.settle()
    assert rig.logs() == [b":0 - cid:1 - Client connection closed"]
    change(rig, debug=False, trace=False)
    say(rig, new, PING)
    assert rig.logs() == [b":0 - cid:2 - ->> [PING]", b":0 - cid:2 - <<- [PONG]"]
    new.sock.close()
    rig.settle()
    assert rig.logs() == []
