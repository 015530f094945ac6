"""Back-pressure, with a clock that goes by the millisecond."""

from __future__ import annotations

import contextlib
import socket

import pytest
from test_reactor import ECHO, MIB, Internals, Peer, Rig

SIZE = 4000  # bytes of a payload
LINE = b"PUB a %d\r\n" % SIZE + b"x" * SIZE + b"\r\n"
MESSAGE = b"MSG a 1 %d\r\n" % SIZE + b"x" * SIZE + b"\r\n"


class Flood:
    """A publisher that always has more to send."""

    def __init__(self, rig: Rig) -> None:
        self.peer = rig.client()
        self.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)

    def pump(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(8):
                data = self.peer.unsent or LINE * 8
                self.peer.unsent = data
                self.peer.unsent = data[self.peer.sock.send(data) :]


def subscribe(rig: Rig, *, snd: int = 0) -> Peer:
    peer = rig.client(snd=snd)
    peer.send(b"SUB a 1\r\n")
    rig.settle()
    return peer


def tick(rig: Rig, floods: list[Flood]) -> None:
    """One millisecond, with a turn or two of every reactor."""
    rig.now += 1
    for flood in floods:
        flood.pump()
    for index in range(rig.reactors):
        rig.turn(index)
    for index in range(rig.reactors):
        rig.turn(index)


@pytest.mark.parametrize("reactors", [1, 2])
def test_the_stalled_costs_speed_until_it_is_cut(
    internals: Internals, reactors: int
) -> None:
    limit = MIB
    with Rig(internals, reactors=reactors, max_pending=limit) as rig:
        healthy, stalled = subscribe(rig), subscribe(rig, snd=4096)
        flood = Flood(rig)
        began = rig.now
        heard, windows, halted = 0, [0] * 400, 0
        last, gap = rig.now, 0  # ms
        cut = 0
        while not cut and rig.now < began + 4000:
            tick(rig, [flood])
            got = len(healthy.read())
            heard += got
            if got:
                last, gap = rig.now, max(gap, rig.now - last)
            view = rig.look(stalled)
            if view is None:
                cut = rig.now - began
                break
            assert view.pending <= limit + len(MESSAGE)
            windows[(rig.now - began) // 20] += got
            own = rig.look(flood.peer)
            assert own is not None
            halted += own.is_halted
        assert 1900 <= cut <= 2200
        assert halted > cut * 0.8
        # Towards the end the share is the least: one such message in 16 ms, on a
        # clock of 10 ms.
        assert max(gap, rig.now - last) <= 30
        # A credit that was spread over the deadline, not all of it at once.
        assert sum(windows[: cut // 40]) < 1.2 * sum(windows) / 2 + limit / 4
        assert rig.stats().slow_consumers == 1
        assert any(b"Slow Consumer" in line for line in rig.logs())
        before = heard
        for _ in range(5):
            tick(rig, [flood])
            heard += len(healthy.read())
        assert heard - before > 100 * 1024  # at full speed at once
        for _ in range(20):
            for index in range(reactors):
                rig.turn(index)
            heard += len(healthy.read())
        assert heard % len(MESSAGE) == 0
        assert heard // len(MESSAGE) == rig.stats().in_msgs
        rig.check()


@pytest.mark.parametrize("size", [100, SIZE])
@pytest.mark.parametrize("reactors", [1, 2])
def test_many_publishers_of_one_turn(
    internals: Internals, reactors: int, size: int
) -> None:
    """What they send in a single turn weighs far more than the subscriber may owe."""
    count, each = 40, 450 * 1024 // size
    line = b"PUB a %d\r\n" % size + b"x" * size + b"\r\n"
    message = len(line) + len(b" 1")
    # Of one reactor each message is weighed, of another the mail that is posted.
    limit = {1: MIB, 2: 10 * MIB}[reactors]
    with Rig(internals, reactors=reactors, max_pending=limit) as rig:
        reader = subscribe(rig, snd=64 * 1024)
        crowd = [rig.client() for _ in range(reactors * count)]
        apart = 1 % reactors  # with two, they are all on the other one
        others = [peer for peer in crowd if (peer.cid - reader.cid) % reactors == apart]
        for peer in others:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
            peer.send(line * each)
        heard = 0
        for _ in range(20_000):
            rig.now += 1
            for index in range(reactors):
                rig.turn(index)
            heard += len(reader.read())
            if heard == len(others) * each * message:
                break
        assert rig.look(reader) is not None
        assert heard == len(others) * each * message
        rig.check()


@pytest.mark.parametrize("publishers", [1, 8])
@pytest.mark.parametrize("reactors", [1, 2])
def test_who_reads_slowly_loses_nothing(
    internals: Internals, publishers: int, reactors: int
) -> None:
    rate = 256 * 1024 // 1000  # bytes a millisecond
    with Rig(internals, reactors=reactors) as rig:
        slow = subscribe(rig, snd=16 * 1024)
        floods = [Flood(rig) for _ in range(publishers)]
        got, most = 0, 0
        for _ in range(20_000):
            tick(rig, floods)
            got += len(slow.read(rate))
            view = rig.look(slow)
            assert view is not None, f"cut after {rig.now} ms, {got} bytes"
            most = max(most, view.pending)
        assert most > 5 * MIB
        assert got > 0.95 * rate * 20_000
        for flood in floods:
            flood.peer.unsent = b""
        quiet = 0
        while quiet < 100:
            part = slow.read()
            got += len(part)
            quiet = 0 if part else quiet + 1
            tick(rig, [])
        assert got == rig.stats().in_msgs * len(MESSAGE)
        assert rig.stats().slow_consumers == 0


@pytest.mark.parametrize("reactors", [1, 2])
def test_relief_is_told_at_once(internals: Internals, reactors: int) -> None:
    with Rig(internals, reactors=reactors, max_pending=80_000) as rig:
        publisher, subscriber = rig.client(), subscribe(rig, snd=4096)
        own, other = subscriber.cid % reactors, publisher.cid % reactors
        while not rig.look(publisher).is_halted:
            publisher.send(LINE)
            rig.turn(other)
            rig.turn(own)
        publisher.send(b"PING\r\n")
        due = 0
        while rig.look(subscriber).is_heavy or due == 0:
            subscriber.read()
            due = rig.turn(own)
        # No time has passed, and the reactor of the relieved one may sleep now.
        rig.turn(other)
        assert not rig.look(publisher).is_halted
        rig.settle()
        assert publisher.read() == b"PONG\r\n"


def test_others_are_not_touched(internals: Internals) -> None:
    with Rig(internals, max_pending=MIB) as rig:
        subscribe(rig, snd=4096)
        flood = Flood(rig)
        other, reader = rig.client(), rig.client()
        reader.send(b"SUB b 2\r\n")
        rig.settle()
        for _ in range(300):
            tick(rig, [flood])
            other.send(b"PUB b 2\r\nhi\r\nPING\r\n")
            rig.turn()
            assert other.read() == b"PONG\r\n"
            assert reader.read() == b"MSG b 2 2\r\nhi\r\n"
        assert rig.look(flood.peer).is_halted


def test_a_full_inbox_slows_down_its_sender(internals: Internals) -> None:
    with Rig(internals, reactors=2, max_pending=MIB) as rig:
        publisher, subscriber = rig.client(), subscribe(rig)
        assert (publisher.cid % 2, subscriber.cid % 2) == (1, 0)
        sent = 0
        while not rig.look(publisher).is_halted:
            publisher.send(LINE)
            sent += 1
            rig.turn(1)
            assert sent < 100
        rig.turn(0)
        rig.settle()
        assert not rig.look(publisher).is_halted
        assert subscriber.read() == MESSAGE * sent


def publish_until(rig: Rig, publisher: Peer, reactor: int, *, is_halted: bool) -> int:
    """Single messages, one read each; returns how many."""
    sent = 0
    while sent == 0 or rig.look(publisher).is_halted != is_halted:
        publisher.send(LINE)
        sent += 1
        rig.turn(reactor)
        assert sent < 100
    return sent


def test_who_waits_for_an_inbox_waits_before_it_reads(internals: Internals) -> None:
    """Nothing of its input is held meanwhile; it goes on when the mail is collected."""
    with Rig(internals, reactors=2, max_pending=MIB) as rig:
        publisher, subscriber = rig.client(), subscribe(rig)
        sent = publish_until(rig, publisher, 1, is_halted=True)
        assert rig.look(publisher).tail_cap == 0
        assert sent * SIZE < MIB // 8 + 4 * SIZE  # and before twice the mark
        rig.turn(1)
        assert rig.look(publisher).is_halted
        rig.settle()
        assert subscriber.read() == MESSAGE * sent
        assert not rig.look(publisher).is_halted


@pytest.mark.parametrize("count", [1, 40])
def test_an_inbox_halts_only_those_who_write_to_it(
    internals: Internals, count: int
) -> None:
    with Rig(internals, reactors=2, max_pending=MIB) as rig:
        publisher, subscriber = rig.client(), rig.client()
        other, near = rig.client(options=ECHO), rig.client()
        assert [peer.cid % 2 for peer in rig.peers] == [1, 0, 1, 0]
        subscriber.send(b"SUB a 1\r\n")
        other.send(b"SUB b 2\r\n")
        near.send(b"SUB c 3\r\n")
        rig.settle()
        other.send(b"PUB a 2\r\nhi\r\n")  # but the next ones go to its own reactor
        rig.turn(1)
        other.send(b"PUB b 2\r\nhi\r\n" * count)
        rig.turn(1)
        publish_until(rig, publisher, 1, is_halted=True)
        other.send(b"PUB b 2\r\nhi\r\n" * count)
        rig.turn(1)
        assert other.read() == b"MSG b 2 2\r\nhi\r\n" * 2 * count
        other.send(b"PUB c 2\r\nhi\r\n")  # on the way, for its mark is not twice over
        rig.turn(1)
        assert not rig.look(other).is_halted
        other.send(b"PUB c 2\r\nho\r\n")
        rig.turn(1)
        assert rig.look(other).is_halted
        rig.settle()
        assert near.read() == b"MSG c 3 2\r\nhi\r\nMSG c 3 2\r\nho\r\n"


@pytest.mark.parametrize("size", [100, SIZE])
def test_a_read_halts_in_its_middle_at_twice_the_mark(
    internals: Internals, size: int
) -> None:
    mark = 32 * 1024
    with Rig(internals, reactors=2, max_pending=8 * mark) as rig:
        publisher, subscriber = rig.client(), subscribe(rig)
        count = 4 * mark // size
        publisher.send((b"PUB a %d\r\n" % size + b"x" * size + b"\r\n") * count)
        rig.turn(1)
        view = rig.look(publisher)
        assert view.is_halted
        assert mark < view.tail_cap < 3 * mark
        got = b""
        for _ in range(20):
            rig.settle()
            got += subscriber.read()
        assert got == (b"MSG a 1 %d\r\n" % size + b"x" * size + b"\r\n") * count


def test_who_waits_for_a_reader_waits_before_it_reads(internals: Internals) -> None:
    """But who has read may go on: the first window is wide enough."""
    with Rig(internals, max_pending=MIB) as rig:
        heavy = subscribe(rig, snd=4096)
        publisher, other = rig.client(), rig.client()
        sent = 0
        while not rig.look(heavy).is_heavy:
            publisher.send(LINE)
            rig.turn()
            sent += 1
        for peer in (publisher, other):
            peer.send(LINE * 5)  # the first that is written under pressure
            rig.turn()
            assert not rig.look(peer).is_halted
        before = rig.look(heavy).pending
        publisher.send(LINE * 5)
        rig.turn()
        view = rig.look(publisher)
        assert (view.is_halted, view.tail_cap) == (True, 0)
        assert rig.look(heavy).pending == before
        other.send(b"PUB c 2\r\nhi\r\n")  # what comes is not known: it waits as well
        rig.turn()
        assert rig.look(other).is_halted
        rig.advance(30)
        assert not rig.look(other).is_halted
        other.send(b"PUB c 2\r\nhi\r\nPING\r\n")  # and now it is known
        rig.turn()
        assert other.read() == b"PONG\r\n"
        got = b""
        for _ in range(2000):
            got += heavy.read()
            rig.advance(1)
        assert got == MESSAGE * (sent + 15)
        assert not rig.look(publisher).is_halted


@pytest.mark.parametrize(("size", "limit"), [(SIZE, MIB), (10 * SIZE, 10 * MIB)])
def test_a_crowd_that_waits_to_read_is_let_in_one_by_one(
    internals: Internals, size: int, limit: int
) -> None:
    line = b"PUB a %d\r\n" % size + b"x" * size + b"\r\n"
    with Rig(internals, max_pending=limit) as rig:
        stalled = subscribe(rig, snd=4096)
        crowd = [rig.client() for _ in range(100)]
        for peer in crowd[:33] + crowd:  # all of them within the first window
            peer.send(line)
            rig.turn()
        assert rig.look(stalled).is_heavy
        for peer in crowd:
            peer.send(line)
        rig.turn()
        assert all(rig.look(peer).is_halted for peer in crowd)
        assert {rig.look(peer).tail_cap > 0 for peer in crowd} == {True, False}
        for _ in range(120):
            before = rig.look(stalled).pending
            rig.advance(10)
            assert rig.look(stalled).pending <= before + 2 * len(line)


def test_what_goes_to_very_many_is_not_kept_in_mind(internals: Internals) -> None:
    with Rig(internals, max_pending=MIB // 4) as rig:
        heavy = subscribe(rig, snd=4096)
        many, publisher = rig.client(), rig.client()
        many.send(b"".join(b"SUB a %d\r\n" % n for n in range(600)))
        rig.settle()
        for _ in range(1500):
            publisher.send(b"PUB a 100\r\n" + b"x" * 100 + b"\r\n")
            rig.turn()
            many.read()
            if rig.look(publisher).is_halted:
                break
        view = rig.look(publisher)
        assert rig.look(heavy).is_heavy
        assert view.is_halted
        assert view.tail_cap > 100  # it was in the middle of a read
