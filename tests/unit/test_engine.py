"""The engine from inside: admission, deadlines, limits, and memory that fails."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
from collections.abc import Iterator

import pytest
from test_reactor import (
    ECHO,
    HEADERS,
    MIB,
    NO_RESPONDERS,
    VERBOSE,
    Internals,
    Peer,
    Rig,
)

CONNECT = b'CONNECT {"name":"me"}\r\n'
MIB_LINE = b"PUB a %d\r\n" % MIB


@pytest.fixture
def rig(internals: Internals) -> Iterator[Rig]:
    with Rig(internals) as made:
        yield made


def greeted(rig: Rig, *, snd: int = 0) -> Peer:
    peer = rig.adopt(snd=snd)
    rig.settle()
    assert peer.read().startswith(b"INFO {")
    return peer


def say(rig: Rig, peer: Peer, data: bytes) -> bytes:
    """Send, let the engine work, and return the answer."""
    peer.send(data)
    rig.settle()
    return peer.read()


def resident() -> int:
    """Bytes of memory that this process occupies."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


# ---- CONNECT ----


def test_connect_is_asked_and_all_behind_it_waits(rig: Rig) -> None:
    peer = greeted(rig)
    assert say(rig, peer, CONNECT + b"PING\r\nSUB a 1\r\n") == b""
    assert say(rig, peer, b"PUB a 2\r\nhi\r\n") == b""
    (event,) = rig.events()
    assert (event.kind, event.cid, event.text) == (
        rig.lib.ND_EV_CONNECT,
        1,
        b'{"name":"me"}',
    )
    assert (event.prior, event.peer) == (None, b":0 - cid:1")
    assert rig.lib.nd_test_unanswered(rig.engine) == 1
    rig.admit(peer, ECHO)
    rig.settle()
    assert peer.read() == b"PONG\r\nMSG a 1 2\r\nhi\r\n"
    assert rig.lib.nd_test_unanswered(rig.engine) == 0


@pytest.mark.parametrize("text", [b"Authorization Violation", b""])
def test_refused(rig: Rig, text: bytes) -> None:
    peer = greeted(rig)
    assert say(rig, peer, CONNECT + b"PING\r\n") == b""
    rig.refuse(peer, text)
    rig.settle()
    assert peer.read() == (b"-ERR '%s'\r\n" % text if text else b"")
    assert peer.ended
    peer.sock.close()
    rig.settle()
    assert rig.look(peer) is None
    assert rig.lib.nd_test_unanswered(rig.engine) == 0


def test_the_end_of_stream_is_remembered_while_python_decides(rig: Rig) -> None:
    peer = greeted(rig)
    peer.send(CONNECT + b"PING\r\n")
    peer.sock.shutdown(socket.SHUT_WR)
    rig.settle()
    assert rig.look(peer) is not None
    rig.admit(peer, VERBOSE)
    rig.settle()
    assert peer.read() == b"+OK\r\nPONG\r\n"
    assert peer.ended
    assert rig.look(peer) is None


def test_a_second_connect_brings_the_note_of_the_first(rig: Rig) -> None:
    peer = rig.client()
    assert say(rig, peer, CONNECT + b"PING\r\n") == b""
    (event,) = rig.events()
    assert event.prior == b"note"
    rig.admit(peer, VERBOSE, b"")
    rig.settle()
    assert peer.read() == b"+OK\r\nPONG\r\n"
    assert say(rig, peer, CONNECT) == b""
    assert rig.events()[0].prior == b""


def test_an_answered_info_changes_nothing(rig: Rig) -> None:
    peer = rig.client(options=VERBOSE)
    assert say(rig, peer, b"INFO {}\r\nPING\r\n") == b""
    (event,) = rig.events()
    assert event.kind == rig.lib.ND_EV_INFO
    assert rig.answer(peer.cid, rig.lib.ND_VERDICT_ADMIT) == 0
    rig.settle()
    assert peer.read() == b"PONG\r\n"
    assert say(rig, peer, b"PUB a 0\r\n\r\n") == b"+OK\r\n"


def test_answers_that_nobody_waits_for(rig: Rig) -> None:
    gone, other = rig.client(), rig.client()
    gone.sock.close()
    rig.settle()
    rig.refuse(gone, b"late")
    rig.admit(gone)
    rig.refuse(other, b"never asked")
    rig.admit(other, VERBOSE)
    assert rig.answer(999, rig.lib.ND_VERDICT_ADMIT, text=b"") == 0
    assert rig.lib.nd_close(rig.engine, 999) == 0
    rig.settle()
    assert say(rig, other, b"PUB a 0\r\n\r\nPING\r\n") == b"PONG\r\n"


def test_an_answer_that_never_comes(rig: Rig) -> None:
    peer = greeted(rig)
    say(rig, peer, CONNECT)
    rig.advance(9999)
    assert rig.look(peer) is not None
    assert peer.read() == b""
    rig.advance(1)
    assert peer.read() == b"-ERR 'Authorization Timeout'\r\n"
    assert rig.lib.nd_test_unanswered(rig.engine) == 0
    rig.admit(peer)
    rig.advance(rig.lib.ND_LINGER_MS)
    assert rig.look(peer) is None


def test_close_by_order(rig: Rig) -> None:
    peer = rig.client()
    assert rig.lib.nd_close(rig.engine, peer.cid) == 0
    rig.settle()
    assert peer.read() == b""
    assert peer.ended
    assert rig.look(peer) is None


# ---- deadlines ----


def test_who_says_nothing_is_timed_out(internals: Internals) -> None:
    with Rig(internals, auth_required=True, auth_timeout_ms=1000) as rig:
        peer = greeted(rig)
        rig.advance(999)
        assert peer.read() == b""
        rig.advance(1)
        assert peer.read() == b"-ERR 'Authorization Timeout'\r\n"
        assert peer.ended


def test_the_auth_timer_ends_with_connect(internals: Internals) -> None:
    with Rig(internals, auth_required=True, auth_timeout_ms=1000) as rig:
        peer = greeted(rig)
        rig.advance(999)
        say(rig, peer, CONNECT)
        rig.advance(5000)
        rig.admit(peer)
        assert say(rig, peer, b"PING\r\n") == b"PONG\r\n"
        rig.advance(60_000)
        assert rig.look(peer) is not None


def test_pings_and_the_end_of_patience(internals: Internals) -> None:
    with Rig(internals, ping_interval_ms=100, ping_max=2) as rig:
        silent, polite = rig.client(), rig.client()
        for _ in range(2):
            rig.advance(100)
            assert silent.read() == polite.read() == b"PING\r\n"
            assert say(rig, polite, b"PONG\r\n") == b""
        rig.advance(99)
        assert silent.read() == b""
        rig.advance(1)
        assert silent.read() == b"-ERR 'Stale Connection'\r\n"
        assert polite.read() == b"PING\r\n"
        assert rig.stats().stale_connections == 1


def test_nobody_is_charged_for_what_we_did_not_read(internals: Internals) -> None:
    with Rig(internals, ping_interval_ms=100, ping_max=2) as rig:
        peer = greeted(rig)
        say(rig, peer, CONNECT)
        rig.advance(2000)
        assert peer.read() == b""
        rig.admit(peer)
        rig.advance(100)
        assert peer.read() == b"PING\r\n"


def test_after_an_error_the_peer_has_time_to_read_it(rig: Rig) -> None:
    peer = rig.client()
    assert say(rig, peer, b"NONSENSE\r\n").endswith(b"-ERR 'Parser Error'\r\n")
    assert peer.ended
    assert rig.settle() == rig.lib.ND_LINGER_MS
    peer.send(b"more that nobody reads\r\n")
    rig.advance(rig.lib.ND_LINGER_MS - 1)
    assert rig.look(peer) is not None
    rig.advance(1)
    assert rig.look(peer) is None


def test_after_an_error_input_is_thrown_away_only_so_far(rig: Rig) -> None:
    peer = rig.client()
    say(rig, peer, b"NONSENSE\r\n")
    with contextlib.suppress(BrokenPipeError):
        for _ in range(100):
            peer.pump(bytes(8192))
            rig.settle()
    assert rig.look(peer) is None


def test_a_half_closed_peer_gets_its_answers(rig: Rig) -> None:
    peer = rig.client()
    peer.send(b"PING\r\nPING\r\nPI")
    peer.sock.shutdown(socket.SHUT_WR)
    rig.settle()
    assert peer.read() == b"PONG\r\nPONG\r\n"
    assert peer.ended
    assert rig.look(peer) is None


# ---- those who do not read ----


def filled(rig: Rig) -> tuple[Peer, Peer]:
    """A publisher, and a subscriber who does not read and is blocked."""
    publisher, subscriber = rig.client(), rig.client(snd=4096)
    say(rig, subscriber, b"SUB a 1\r\n")
    while not rig.look(subscriber).is_blocked:
        say(rig, publisher, b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
    return publisher, subscriber


def test_no_progress_is_a_slow_consumer(rig: Rig) -> None:
    _, subscriber = filled(rig)
    rig.advance(1999)
    assert rig.look(subscriber) is not None
    rig.advance(1)
    assert rig.look(subscriber) is None
    assert rig.stats().slow_consumers == 1
    logs = [e for e in rig.events() if e.kind == rig.lib.ND_EV_LOG]
    assert [(e.level, e.cid, e.text) for e in logs] == [
        (rig.lib.ND_LEVEL_INFO, subscriber.cid, b":0 - cid:2 - Slow Consumer Detected")
    ]
    assert rig.stats().subscriptions == 0


def test_progress_keeps_it(rig: Rig) -> None:
    publisher, subscriber = filled(rig)
    for _ in range(20):
        say(rig, publisher, b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
    for _ in range(20):
        rig.advance(1500)
        subscriber.read(5000)  # less than makes the socket writable
        rig.advance(400)
    assert rig.look(subscriber) is not None
    rig.advance(2100)
    assert rig.look(subscriber) is None


def test_a_stranger_is_no_slow_consumer(rig: Rig) -> None:
    long = b"{" + b"x" * 100_000
    assert rig.lib.nd_engine_set_info(rig.engine, long, len(long)) == 0
    peer = rig.adopt(snd=4096)
    rig.settle()
    assert rig.look(peer).is_blocked
    rig.advance(3000)
    assert rig.look(peer) is None
    assert rig.stats().slow_consumers == 0
    assert rig.logs() == []


def test_the_cap_is_a_cap(internals: Internals) -> None:
    with Rig(internals, max_pending=100_000, write_deadline_ms=10**6) as rig:
        publisher, subscriber = filled(rig)
        most = 0
        for _ in range(200):
            rig.advance(40)
            publisher.pump(b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
            view = rig.look(subscriber)
            if view is None:
                break
            most = max(most, view.pending)
        assert view is None
        assert 100_000 < most <= 100_000 + 5020
        assert rig.stats().slow_consumers == 1


def test_replies_that_are_not_read_stop_the_reading(rig: Rig) -> None:
    peer = rig.client(snd=4096)
    sent = 0
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            sent += peer.sock.send(b"PING\r\n" * 500) // 6
        rig.settle()
    view = rig.look(peer)
    assert view.is_sated
    assert view.pending < 2 * rig.lib.ND_REPLIES_MAX
    pongs = b""
    for _ in range(2000):
        pongs += peer.read()
        rig.settle()
    assert pongs == b"PONG\r\n" * sent


def test_who_lags_a_little_is_heard_all_the_same(rig: Rig) -> None:
    """Replies that have gone do not count, though the buffer is never empty."""
    publisher, subscriber = rig.client(), rig.client(snd=16 * 1024)
    say(rig, subscriber, b"SUB a 1\r\n")
    pings, deaf = 0, 0
    for _ in range(6000):
        rig.now += 1
        with contextlib.suppress(BlockingIOError):
            publisher.sock.send(b"PUB a 1000\r\n" + bytes(1000) + b"\r\n")
        with contextlib.suppress(BlockingIOError):
            pings += subscriber.sock.send(b"PING\r\n" * 20) // 6
        rig.turn()
        view = rig.look(subscriber)
        deaf = deaf + 1 if view.is_sated else 0
        assert deaf < 1000
        if view.pending > 100_000:
            subscriber.read(4000)
    assert pings * len(b"PONG\r\n") > 3 * rig.lib.ND_REPLIES_MAX


# ---- large payloads ----


def test_a_large_payload_in_pieces(rig: Rig) -> None:
    publisher, subscriber = rig.client(), rig.client()
    say(rig, subscriber, b"SUB a 1\r\n")
    body = bytes(i % 253 for i in range(MIB))
    rest = MIB_LINE + body + b"\r\nPING\r\n"
    got, arrived = b"", 0
    while rest:
        publisher.send(rest[:30_000])
        arrived += len(rest[:30_000])
        rest = rest[30_000:]
        rig.settle()
        assert rig.look(publisher).tail_cap <= max(2 * arrived, 32 * 1024)
        got += subscriber.read()
    for _ in range(20):
        rig.settle()
        got += subscriber.read()
    assert publisher.read() == b"PONG\r\n"
    assert got == b"MSG a 1 %d\r\n%s\r\n" % (MIB, body)


def test_what_is_only_announced_costs_nothing(internals: Internals) -> None:
    with Rig(internals, max_payload=-1) as rig:
        peers = [rig.client() for _ in range(20)]
        before = resident()
        for peer in peers:
            say(rig, peer, b"PUB a %d\r\nfew bytes" % (1024 * MIB))
        assert rig.look(peers[0]).tail_cap <= 32 * 1024
        if "PYNATSD_SANITIZE" not in os.environ:  # which keeps shadows of its own
            assert resident() - before < 20 * 32 * 1024 + 256 * 1024


# ---- accepting ----


def listening(rig: Rig) -> socket.socket:
    """A socket that is connected to a listener of *rig*, not accepted yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        assert rig.lib.nd_listen(rig.engine, listener.fileno()) == rig.lib.ND_OK
        listener.detach()
    return socket.create_connection(address)


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_a_shortage_is_waited_out(rig: Rig, name: str) -> None:
    with listening(rig) as arrival:
        arrival.setblocking(False)
        rig.lib.nd_test_accept_fail(getattr(errno, name), 2)
        for _ in range(2):
            rig.settle()
            with pytest.raises(BlockingIOError):
                arrival.recv(4)
            # Nobody spins meanwhile: the next turn is due when the pause is over.
            assert rig.turn() == rig.lib.ND_ACCEPT_PAUSE_MS
            rig.now += rig.lib.ND_ACCEPT_PAUSE_MS
        rig.settle()
        assert arrival.recv(5) == b"INFO "


@pytest.mark.parametrize("name", ["ECONNABORTED", "EPERM", "EPROTO", "EINTR"])
def test_one_arrival_that_fails_is_no_matter(rig: Rig, name: str) -> None:
    with listening(rig) as arrival:
        arrival.setblocking(False)
        rig.lib.nd_test_accept_fail(getattr(errno, name), 3)
        rig.settle()
        assert arrival.recv(5) == b"INFO "


# ---- life ----


def test_engines_come_and_go(internals: Internals) -> None:
    def cycle() -> None:
        with Rig(internals, reactors=2) as rig:
            peers = [rig.adopt() for _ in range(3)]
            rig.settle()
            for peer in peers:
                peer.send(CONNECT + b"SUB a 1\r\nPUB a 2\r\nhi\r\n")
            rig.settle()
            rig.admit(peers[0])
            rig.settle()
            rig.lib.nd_stop(rig.engine)
            for _ in range(3):
                ends = [rig.turn(index) for index in (0, 1)]
            assert ends == [rig.lib.ND_ESTATE] * 2

    for _ in range(50):
        cycle()
    gc.collect()
    lib = internals[1]
    live, before = lib.nd_test_alloc_live(), resident()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(500):
        cycle()
    gc.collect()
    assert lib.nd_test_alloc_live() == live
    assert len(os.listdir("/proc/self/fd")) == descriptors
    if "asan" not in os.environ.get("LD_PRELOAD", ""):
        assert resident() - before <= 2 * MIB


def test_an_engine_that_is_freed_in_the_middle(internals: Internals) -> None:
    live = internals[1].nd_test_alloc_live()
    with Rig(internals, reactors=2) as rig:
        publisher, subscriber = filled(rig)
        publisher.send(b"PUB a 5000\r\n" + bytes(5000) + b"\r\nPUB a 20000\r\nxx")
        rig.turn(publisher.cid % 2)
        rig.adopt()  # never greeted
        assert subscriber.read()
    assert internals[1].nd_test_alloc_live() == live


# ---- memory that fails ----


class Ordeal:
    """Two connections that do a bit of everything, whatever happens to them."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.lib = rig, rig.lib
        self.talker = rig.adopt()
        self.reader = rig.adopt(snd=8192)

    def send(self, peer: Peer, data: bytes) -> None:
        with contextlib.suppress(OSError):
            peer.pump(data)
        self.rig.settle()

    def read(self) -> None:
        for peer in (self.talker, self.reader):
            with contextlib.suppress(OSError):
                peer.read()

    def answer(self, options: int) -> None:
        for event in self.rig.events():
            if event.kind == self.lib.ND_EV_LOG:
                continue
            is_connect = event.kind == self.lib.ND_EV_CONNECT
            fields = {"text": b"note"} if is_connect else {}
            verdict = self.lib.ND_VERDICT_ADMIT
            if self.rig.answer(event.cid, verdict, options=options, **fields) != 0:
                self.rig.answer(event.cid, verdict, options=options, **fields)
        self.rig.settle()

    def subscribe(self) -> None:
        for peer in (self.talker, self.reader):
            self.send(peer, CONNECT + b"PING\r\n")
        self.answer(HEADERS | ECHO | NO_RESPONDERS)
        for peer in (self.talker, self.reader):
            lines = [
                b"SUB s.%d %d\r\nSUB w.*.%d q w%d\r\n" % (i, i, i, i) for i in range(12)
            ]
            self.send(peer, b"".join(lines))
        self.send(self.talker, b"SUB > all\r\nSUB q group q1\r\n")
        self.send(self.reader, b"SUB big b1\r\nSUB big b2\r\nSUB q group q2\r\n")

    def publish(self) -> None:
        for i in range(12):
            line = b"PUB s.%d 3\r\nabc\r\nPUB w.x.%d re.ply 2\r\nxy\r\nPUB q 1\r\nx\r\n"
            self.send(self.talker, line % (i, i))
            self.read()
        self.send(self.talker, b"PUB big 6000\r\n" + bytes(6000) + b"\r\n")
        self.read()
        self.send(self.reader, b"PUB big 60000\r\n" + bytes(6000))
        self.send(self.reader, bytes(10_000))
        self.send(self.reader, bytes(44_000) + b"\r\nPING\r\n")
        self.read()
        self.send(self.talker, b"HPUB big r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
        self.send(self.talker, b"PUB nobody w.x.1 2\r\nhi\r\nPUB noone none 0\r\n\r\n")
        self.read()

    def lag(self) -> None:
        large = b"PUB big 5000\r\n" + bytes(5000) + b"\r\nPUB big 3\r\nabc\r\n"
        for _ in range(12):
            self.send(self.talker, large * 4)
        for _ in range(30):
            self.read()
            self.rig.advance(20)

    def leave(self) -> None:
        self.send(self.talker, CONNECT)
        self.answer(HEADERS | ECHO)
        self.send(self.talker, b"INFO {}\r\n")
        self.answer(0)
        for i in range(0, 12, 2):
            self.send(self.reader, b"UNSUB %d\r\nUNSUB w%d 1\r\n" % (i, i))
        for part in (b"PUB w.x.0 1\r\nx\r\nPU", b"B s.1 1\r\n", b"x\r\n"):
            self.send(self.talker, part)
        self.send(self.reader, b"NONSENSE\r\n")
        with contextlib.suppress(OSError):
            self.talker.sock.shutdown(socket.SHUT_WR)
        for _ in range(6):
            self.read()
            self.answer(0)
            self.rig.advance(300)

    def run(self) -> None:
        for part in (self.subscribe, self.publish, self.lag, self.leave):
            part()


def suffer(internals: Internals, nth: int, lasting: bool, reactors: int) -> int:
    """One ordeal in which the *nth* allocation fails. Returns how many there were."""
    lib = internals[1]
    live, descriptors = lib.nd_test_alloc_live(), len(os.listdir("/proc/self/fd"))
    lib.nd_test_alloc_fail(nth, lasting)
    with contextlib.ExitStack() as stack:
        stack.callback(lib.nd_test_alloc_fail, 0, False)
        try:
            rig = stack.enter_context(
                Rig(internals, reactors=reactors, max_pending=200_000, debug=nth % 2)
            )
        except MemoryError:
            assert nth > 0
            rig = None
        if rig is not None:
            Ordeal(rig).run()
        calls: int = lib.nd_test_alloc_calls()
        lib.nd_test_alloc_fail(0, False)
        if rig is not None:
            rig.check()
            fresh = greeted(rig)
            assert say(rig, fresh, b"PING\r\n") == b"PONG\r\n"
            rig.advance(12_000)
            assert [peer for peer in rig.peers[:2] if rig.look(peer)] == []
            assert lib.nd_test_unanswered(rig.engine) == 0
            assert (rig.stats().connections, rig.stats().subscriptions) == (1, 0)
    assert lib.nd_test_alloc_live() == live
    assert len(os.listdir("/proc/self/fd")) == descriptors
    return calls


@pytest.mark.parametrize("reactors", [1, 2])
@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("part", range(4))
def test_memory_failure_costs_a_peer_and_no_more(
    internals: Internals, part: int, lasting: bool, reactors: int
) -> None:
    total = suffer(internals, 0, False, reactors)
    assert total > 250
    for nth in range(1 + part, total + 1, 4):
        try:
            suffer(internals, nth, lasting, reactors)
        except BaseException:
            internals[1].nd_test_alloc_show()
            print(f"allocation {nth} of {total}")
            raise
