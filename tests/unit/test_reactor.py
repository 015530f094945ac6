"""
One turn after another, by hand and with a fake clock.

``Rig`` is the bench for all tests of the running engine: it adopts one end of a socket
pair, steps the reactors, and keeps the time. No threads, no waiting.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

Internals = tuple[Any, Any]

SILENT = 0  # connect options: no +OK, no echo
VERBOSE, PEDANTIC, ECHO, HEADERS, NO_RESPONDERS = 1, 2, 4, 8, 16
ASYNC_INFO = 32
MIB = 1024 * 1024
PLENTY = 10_000  # turns that nothing here takes


@dataclass(frozen=True, slots=True)
class Event:
    kind: int
    level: int
    cid: int
    text: bytes
    prior: bytes | None
    peer: bytes | None
    is_traced: bool


class Peer:
    """The client's end of an adopted connection."""

    def __init__(self, sock: socket.socket, cid: int) -> None:
        sock.setblocking(False)
        self.sock, self.cid, self.ended = sock, cid, False
        self.unsent = b""

    def send(self, data: bytes) -> None:
        """All of *data*, which must fit into the socket."""
        assert self.sock.send(data) == len(data)

    def pump(self, data: bytes) -> None:
        """Send what fits of *data*, after what did not fit before."""
        self.unsent += data
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.sock.send(self.unsent) :]

    def read(self, most: int = 64 * MIB) -> bytes:
        """What has come, up to *most* bytes; notes the end of the stream."""
        got = bytearray()
        with contextlib.suppress(BlockingIOError):
            while len(got) < most:
                part = self.sock.recv(min(MIB, most - len(got)))
                if not part:
                    self.ended = True
                    break
                got += part
        return bytes(got)


class Rig:
    """An engine without threads; *now* is its clock in ms."""

    def __init__(self, internals: Internals, **options: Any) -> None:
        self.ffi, self.lib = internals
        self.options = {
            "reactors": 1,
            "max_control_line": 1024,
            "max_connect_line": 4096,
            "max_payload": MIB,
            "max_pending": 10 * MIB,
            "ping_interval_ms": 0,
            "ping_max": 2,
            "write_deadline_ms": 2000,
            "auth_timeout_ms": 1000,
            **options,
        }
        self.reactors = self.options["reactors"]
        self.now = 1000
        self.peers: list[Peer] = []
        self.held: list[Any] = []
        self.watched = [dict[int, int]() for _ in range(self.reactors)]
        self.is_external = self.ffi.string(self.lib.nd_poller_name()) == b"external"
        self.engine = self.lib.nd_engine_new(
            self.ffi.new("struct nd_options *", self.options)
        )
        if self.engine == self.ffi.NULL:
            raise MemoryError

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.lib.nd_engine_free(self.engine)
        for permits in self.held:
            self.lib.nd_permits_release(permits)
        for peer in self.peers:
            peer.sock.close()

    def adopt(
        self, *, snd: int = 0, pair: tuple[socket.socket, socket.socket] | None = None
    ) -> Peer:
        """A new connection, not greeted yet; *snd* bytes for what is sent to it."""
        theirs, ours = pair or socket.socketpair()
        if snd:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, snd)
        peer = Peer(theirs, len(self.peers) + 1)
        self.peers.append(peer)
        if self.lib.nd_adopt(self.engine, ours.fileno()) == self.lib.ND_OK:
            ours.detach()
        else:
            ours.close()
        return peer

    def client(self, *, snd: int = 0, options: int = SILENT, **fields: Any) -> Peer:
        """A connection that was greeted and admitted."""
        peer = self.adopt(snd=snd)
        peer.send(b"CONNECT {}\r\n")
        self.settle()
        assert peer.read().startswith(b"INFO {")
        self.admit(peer, options, **fields)
        self.settle()
        peer.read()
        self.events()
        return peer

    def answer(self, cid: int, verdict: int, **fields: Any) -> int:
        """An answer to one; *fields* of struct nd_answer, bytes with their length."""
        lent = {n: v for n, v in fields.items() if isinstance(v, bytes)}
        fields |= {n: self.ffi.from_buffer(v) for n, v in lent.items()}
        fields |= {f"{n}_len": len(v) for n, v in lent.items()}
        raw = self.ffi.new("struct nd_answer *", {"verdict": verdict, **fields})
        cids = self.ffi.new("uint64_t *", cid)
        return int(self.lib.nd_answer_many(self.engine, cids, raw, 1))

    def reconfigure(self, info: bytes = b"{", **changed: Any) -> int:
        """nd_reconfigure with the options *changed*, which stay so if it succeeds."""
        wanted = {**self.options, **changed}
        options = self.ffi.new("struct nd_options *", wanted)
        rc = int(self.lib.nd_reconfigure(self.engine, options, info, len(info)))
        self.options = wanted if rc == 0 else self.options
        return rc

    def lame_duck(self, info: bytes, grace_ms: int, duration_ms: int) -> None:
        order = self.lib.nd_lame_duck
        assert order(self.engine, info, len(info), grace_ms, duration_ms) == 0

    def admit(
        self, peer: Peer, options: int = SILENT, note: bytes = b"note", **fields: Any
    ) -> None:
        verdict = self.lib.ND_VERDICT_ADMIT
        assert self.answer(peer.cid, verdict, options=options, text=note, **fields) == 0

    def refuse(self, peer: Peer, text: bytes, reason: bytes = b"") -> None:
        verdict = self.lib.ND_VERDICT_REFUSE
        assert self.answer(peer.cid, verdict, text=text, reason=reason) == 0

    def permits(self, *lists: Sequence[bytes], name: bytes = b"me") -> Any:
        """Rules of the four lists, "subject" or "subject queue"; freed with the rig."""
        lent, rows = [], []
        for number, entries in enumerate(lists):
            for subject, queue in ((*entry.split(), b"")[:2] for entry in entries):
                lent += [self.ffi.new("char[]", text) for text in (subject, queue)]
                rows.append((number, lent[-2], len(subject), lent[-1], len(queue)))
        raw = self.ffi.new("struct nd_rule[]", rows)
        made = self.lib.nd_permits_new(name, len(name), raw, len(rows))
        assert made != self.ffi.NULL
        self.held.append(made)
        return made

    def regrant(self, *changes: tuple[Any, ...]) -> int:
        """Each (grant, permits), or (grant, NULL, True) to revoke."""
        raw = self.ffi.new("struct nd_regrant[]", list(changes))
        return int(self.lib.nd_regrant(self.engine, raw, len(changes)))

    def ready(self, index: int) -> Any:
        """What an external poller would report, as a list for nd_reactor_step."""
        wants = self.ffi.new("struct nd_want[]", 256)
        watched = self.watched[index]
        count = 256
        while count == 256:
            count = self.lib.nd_reactor_wants(self.engine, index, wants, 256)
            assert count >= 0
            for i in range(count):
                mask = select.POLLIN if wants[i].readable else 0
                mask |= select.POLLOUT if wants[i].writable else 0
                watched.pop(wants[i].fd, None)
                if mask:
                    watched[wants[i].fd] = mask
        poll = select.poll()
        for fd, mask in watched.items():
            poll.register(fd, mask)
        found = [(fd, bool(m & ~select.POLLOUT), bool(m & 4)) for fd, m in poll.poll(0)]
        return self.ffi.new("struct nd_ready[]", found), len(found)

    def turn(self, index: int = 0) -> int:
        """One turn of one reactor; ms until the next, -1 = none, or an ND_E code."""
        ready, count = self.ready(index) if self.is_external else (self.ffi.NULL, 0)
        step = self.lib.nd_reactor_step
        return int(step(self.engine, index, self.now, ready, count))

    def settle(self) -> int:
        """Turns of all reactors until nobody has work; ms until the next timer."""
        quiet = 0
        for _ in range(PLENTY):
            due = [self.turn(index) for index in range(self.reactors)]
            quiet = quiet + 1 if 0 not in due else 0
            if quiet == 2:
                return min((ms for ms in due if ms > 0), default=-1)
        raise AssertionError("the reactors do not come to rest")

    def advance(self, ms: int) -> None:
        """Let *ms* pass, with a turn whenever a timer is due."""
        end = self.now + ms
        while True:
            due = self.settle()
            if due < 0 or self.now + due > end:
                break
            self.now += due
        self.now = end
        self.settle()

    def events(self) -> list[Event]:
        found = []
        node = self.lib.nd_test_events_take(self.engine)
        while node != self.ffi.NULL:
            found.append(self.event(node.event))
            after = node.next
            self.lib.nd_test_event_free(node)
            node = after or self.lib.nd_test_events_take(self.engine)
        return found

    def event(self, raw: Any) -> Event:
        def text(of: Any, size: int) -> bytes | None:
            return self.ffi.buffer(of, size)[:] if of else None

        return Event(
            raw.kind,
            raw.level,
            raw.cid,
            text(raw.text, raw.text_len) or b"",
            text(raw.prior, raw.prior_len),
            text(raw.peer, raw.peer_len),
            raw.is_traced,
        )

    def logs(self) -> list[bytes]:
        return [e.text for e in self.events() if e.kind == self.lib.ND_EV_LOG]

    def look(self, peer: Peer) -> Any:
        """The engine's side of *peer*; None if that is gone."""
        view = self.ffi.new("struct nd_test_conn *")
        found = self.lib.nd_test_conn_look(self.engine, peer.cid, view)
        return view if found else None

    def stats(self) -> Any:
        found = self.ffi.new("struct nd_stats *")
        self.lib.nd_stats_read(self.engine, found)
        return found

    def check(self) -> None:
        wrong = self.lib.nd_test_check(self.engine)
        assert wrong == self.ffi.NULL, self.ffi.string(wrong)


# ---- turns ----


def test_many_operations_take_turns_with_others(internals: Internals) -> None:
    """Nobody waits for all the SUBs of another; a half close behind them is fine."""
    with Rig(internals) as rig:
        slice_ = rig.lib.ND_RUN_SLICE
        many, other = rig.client(), rig.client()
        many.send(b"".join(b"SUB s.%d %d\r\n" % (n, n) for n in range(5 * slice_ // 2)))
        many.send(b"PING\r\n")
        many.sock.shutdown(socket.SHUT_WR)
        other.send(b"PING\r\n")
        assert rig.turn() == 0
        assert rig.stats().subscriptions == slice_
        assert other.read() == b"PONG\r\n"
        assert rig.turn() == 0
        assert rig.stats().subscriptions == 2 * slice_
        rig.settle()
        assert many.read() == b"PONG\r\n"
        assert many.ended
        assert rig.stats().subscriptions == 0


def test_mail_that_nobody_collects_is_freed(internals: Internals) -> None:
    """Its pages belong to a reactor that is gone before the one that they lie at."""
    live = internals[1].nd_test_alloc_live()
    with Rig(internals, reactors=2) as rig:
        clients = [rig.client() for _ in range(2)]
        publisher = next(client for client in clients if client.cid % 2 == 0)
        reader = next(client for client in clients if client.cid % 2 == 1)
        reader.send(b"SUB a 1\r\n")
        rig.settle()
        publisher.send(b"PUB a 100\r\n" + b"x" * 100 + b"\r\n")
        publisher.send((b"PUB a 100\r\n" + b"x" * 100 + b"\r\n") * 200)
        rig.turn(0)
    assert internals[1].nd_test_alloc_live() == live


# What a run of messages may meet at the one who gets it: what it sends before, and how
# many of 300 messages to "run" it then gets for each subscription.
RUN = (b"PUB run 150\r\n" + b"x" * 150 + b"\r\n") * 500
RUN_READ = (b"MSG run 1 150\r\n" + b"x" * 150 + b"\r\n") * 500
CROSSINGS = {
    "one": (b"SUB run 1\r\n", [b"1"], 300),
    "long sid": (b"SUB run %s\r\n" % (b"9" * 70), [b"9" * 70], 300),
    "two": (b"SUB run 1\r\nSUB run 22\r\n", [b"1", b"22"], 300),
    "limit": (b"SUB run 1\r\nUNSUB 1 150\r\n", [b"1"], 150),
    "long ago": (b"SUB run 1\r\nUNSUB 1\r\n", [], 0),
}


@pytest.mark.parametrize("size", [2, 90, 128, 150, 1000, 4000])
@pytest.mark.parametrize("kind", CROSSINGS)
@pytest.mark.parametrize("traced", [False, True])
def test_a_run_crosses_to_another_reactor(
    internals: Internals, kind: str, size: int, traced: bool
) -> None:
    live = internals[1].nd_test_alloc_live()
    asks, sids, count = CROSSINGS[kind]
    with Rig(internals, reactors=2, trace=traced, max_pending=64 * MIB) as rig:
        publisher, reader, bystander = (rig.adopt(pair=loopback()) for _ in range(3))
        for peer in rig.peers:
            peer.send(b"CONNECT {}\r\n")
            rig.settle()
            rig.admit(peer)
            rig.settle()
        assert publisher.cid % 2 != reader.cid % 2
        reader.send(asks)
        bystander.send(b"SUB other 1\r\n")
        rig.settle()
        for peer in rig.peers:
            peer.read()
        bodies = [b"%04d" % n * (size // 4) + b"." * (size % 4) for n in range(300)]
        line = b" %d\r\n%s\r\n"
        run = b"".join(b"PUB run" + line % (size, body) for body in bodies)
        other = b"PUB other" + line % (size, bodies[0])
        got = b""
        publisher.pump(run + other + b"PING\r\n")
        for _ in range(20):
            rig.settle()
            publisher.pump(b"")
            got += reader.read()
        assert publisher.read() == b"PONG\r\n"
        assert got == b"".join(
            b"MSG run " + sid + line % (size, body)
            for body in bodies[:count]
            for sid in sids
        )
        assert bystander.read() == b"MSG other 1" + line % (size, bodies[0])
        assert rig.look(reader).out_msgs == count * len(sids)
        rig.check()
    assert internals[1].nd_test_alloc_live() == live


def crossing(rig: Rig, *, snd: int = 0) -> tuple[Peer, Peer]:
    """A publisher, and who is subscribed to "run" on another reactor."""
    publisher = rig.adopt(pair=loopback())
    publisher.send(b"CONNECT {}\r\n")
    rig.settle()
    rig.admit(publisher)
    reader = rig.client(snd=snd)
    reader.send(b"SUB run 1\r\n")
    rig.settle()
    publisher.read()
    assert (publisher.cid % 2, reader.cid % 2) == (1, 0)
    return publisher, reader


def test_a_run_arrives_after_its_reader_has_gone(internals: Internals) -> None:
    with Rig(internals, reactors=2) as rig:
        publisher, reader = crossing(rig)
        assert rig.lib.nd_close(rig.engine, reader.cid) == 0
        publisher.send(RUN + b"PING\r\n")
        rig.turn(1)
        rig.settle()
        assert publisher.read() == b"PONG\r\n"
        assert reader.read() == b""
        assert reader.ended
        assert rig.stats().out_msgs == 0


def test_runs_to_one_who_lags(internals: Internals) -> None:
    """What it owes by reference has the bound of all that it owes."""
    with Rig(internals, reactors=2, max_pending=MIB) as rig:
        publisher, reader = crossing(rig, snd=4096)
        got = b""
        for _ in range(10):
            publisher.pump(RUN)
            rig.settle()
            assert rig.look(reader).pending <= MIB // 4
        assert rig.look(reader).is_heavy
        for _ in range(PLENTY):
            publisher.pump(b"")
            rig.advance(10)
            got += reader.read()
            if len(got) == 10 * len(RUN_READ):
                break
        assert got == 10 * RUN_READ


def test_a_run_that_nobody_collects_is_freed(internals: Internals) -> None:
    live = internals[1].nd_test_alloc_live()
    with Rig(internals, reactors=2) as rig:
        publisher, _ = crossing(rig)
        publisher.send(RUN)
        rig.turn(1)
    assert internals[1].nd_test_alloc_live() == live


def test_a_short_run_holds_no_chunk(internals: Internals) -> None:
    """Who lags would hold a chunk for each of them."""
    with Rig(internals, reactors=2) as rig:
        publisher, reader = crossing(rig, snd=4096)
        publisher.send(RUN)
        rig.settle()
        live = internals[1].nd_test_alloc_live()
        for _ in range(50):
            publisher.send((b"PUB run 150\r\n" + b"x" * 150 + b"\r\n") * 10)
            rig.settle()
        assert rig.look(reader).pending > 100_000
        assert internals[1].nd_test_alloc_live() - live < 10


@pytest.mark.parametrize("nth", range(1, 9))
def test_a_run_that_finds_no_memory_costs_its_publisher(
    internals: Internals, nth: int
) -> None:
    lib = internals[1]
    live = lib.nd_test_alloc_live()
    with Rig(internals, reactors=2) as rig:
        publisher, reader = crossing(rig)
        publisher.send(RUN)
        lib.nd_test_alloc_fail(nth, True)
        rig.turn(1)
        had_enough = lib.nd_test_alloc_calls() < nth
        lib.nd_test_alloc_fail(0, False)
        if nth % 2:  # and otherwise nobody ever looks
            rig.settle()
            got = reader.read()
            assert RUN_READ.startswith(got)
            assert (got == RUN_READ) == had_enough
            assert (rig.look(publisher) is not None) == had_enough
            rig.check()
    assert lib.nd_test_alloc_live() == live


@pytest.fixture
def rig(internals: Internals) -> Iterator[Rig]:
    with Rig(internals) as made:
        yield made


def loopback() -> tuple[socket.socket, socket.socket]:
    """A TCP connection, client's end first: its buffers hold megabytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, server


def test_a_stranger_is_greeted(rig: Rig) -> None:
    info = b'{"server_id":"x"'
    assert rig.lib.nd_engine_set_info(rig.engine, info, len(info)) == 0
    peer = rig.adopt()
    rig.settle()
    assert peer.read() == (b'INFO {"server_id":"x","client_id":1,"client_ip":""} \r\n')
    assert rig.stats().connections == rig.stats().total_connections == 1


def test_an_idle_reactor_has_nothing_due(rig: Rig) -> None:
    assert rig.settle() == -1
    rig.adopt()
    assert rig.settle() == -1


def test_time_zero_and_strange_indexes_are_refused(rig: Rig) -> None:
    step = rig.lib.nd_reactor_step
    assert step(rig.engine, 0, 0, rig.ffi.NULL, 0) == rig.lib.ND_EINVAL
    assert step(rig.engine, 1, 5, rig.ffi.NULL, 0) == rig.lib.ND_EINVAL


def test_the_next_timer_is_told(internals: Internals) -> None:
    with Rig(internals, ping_interval_ms=700) as rig:
        rig.adopt()
        assert rig.settle() == 700
        rig.now += 300
        assert rig.settle() == 400
        rig.now += 400
        assert rig.turn() == 700


@pytest.mark.parametrize("reactors", [1, 2, 3])
@pytest.mark.parametrize("size", [3, 5000, 70_000])
def test_a_message_goes_to_every_subscriber(
    internals: Internals, reactors: int, size: int
) -> None:
    with Rig(internals, reactors=reactors) as rig:
        peers = [rig.client() for _ in range(4)]
        for peer in peers:
            peer.send(b"SUB a.* 7\r\n")
        rig.settle()
        body = bytes(i % 256 for i in range(size))
        peers[0].pump(b"PUB a.b re %d\r\n%s\r\n" % (size, body))
        for _ in range(20):
            rig.settle()
            peers[0].pump(b"")
        want = b"MSG a.b 7 re %d\r\n%s\r\n" % (size, body)
        assert [peer.read() == want for peer in peers[1:]] == [True] * 3
        assert peers[0].read() == b""
        assert rig.stats().out_msgs == 3
        rig.check()


def test_pong_tells_that_all_before_it_is_posted(internals: Internals) -> None:
    with Rig(internals, reactors=2) as rig:
        first, publisher, subscriber = (rig.client() for _ in range(3))
        assert (publisher.cid % 2, subscriber.cid % 2) == (0, 1)
        subscriber.send(b"SUB a 1\r\n")
        rig.settle()
        publisher.send(b"PUB a 2\r\nhi\r\nPING\r\n")
        rig.turn(0)
        assert publisher.read() == b"PONG\r\n"
        subscriber.send(b"PING\r\n")
        rig.turn(1)
        assert subscriber.read() == b"MSG a 1 2\r\nhi\r\nPONG\r\n"
        assert first.read() == b""


def test_mail_rings_for_who_steps(internals: Internals) -> None:
    with Rig(internals, reactors=2) as rig:
        publisher, subscriber = rig.client(), rig.client()
        subscriber.send(b"SUB a 1\r\n")
        rig.settle()
        publisher.send(b"PUB a 2\r\nhi\r\n")
        while rig.turn(1) == 0:
            pass
        if rig.is_external:
            assert rig.ready(0)[1] == 1
        assert rig.turn(0) == -1
        assert subscriber.read() == b"MSG a 1 2\r\nhi\r\n"


def test_who_has_more_to_read_waits_for_its_turn(rig: Rig) -> None:
    busy, other = rig.client(), rig.client()
    busy.pump(b"PING\r\n" * 30_000)
    other.send(b"PING\r\n")
    assert rig.turn() == 0
    assert other.read() == b"PONG\r\n"
    pongs = 0
    for _ in range(100):
        busy.pump(b"")
        rig.settle()
        pongs += busy.read().count(b"PONG")
    assert pongs == 30_000


def test_the_read_buffer_is_not_used_again_while_it_is_owed(
    internals: Internals,
) -> None:
    """More than one flush takes is owed out of the read buffer, to a peer that is not
    blocked, when the next connection is to be read."""
    with Rig(internals, max_pending=64 * MIB) as rig:
        subscriber = rig.adopt(pair=loopback())
        publishers = [rig.client(), rig.client()]
        subscriber.send(b"PING\r\n" + b"".join(b"SUB a %d\r\n" % i for i in range(60)))
        rig.settle()
        subscriber.read()
        for digit, (peer, subject) in zip(
            b"12", zip(publishers, [b"a", b"b"], strict=True), strict=True
        ):
            body = bytes([digit]) * 60_000
            peer.send(b"PUB %s 60000\r\n%s\r\n" % (subject, body))
        got = b""
        for _ in range(200):
            rig.turn()
            got += subscriber.read()
        assert got.count(b"MSG a ") == 60
        assert got.count(b"1" * 60_000) == 60


def test_closing_a_thousand_subscriptions_takes_several_turns(rig: Rig) -> None:
    peer = rig.client()
    for first in range(0, 5000, 500):
        peer.send(
            b"".join(b"SUB a.%d %d\r\n" % (i, i) for i in range(first, first + 500))
        )
        rig.settle()
    assert rig.stats().subscriptions == 5000
    peer.sock.close()
    assert rig.turn() == 0
    assert rig.look(peer) is None
    assert rig.stats().connections == 0
    assert 0 < rig.stats().subscriptions < 5000
    rig.settle()
    assert rig.stats().subscriptions == 0
    rig.check()


# ---- the end ----


@pytest.mark.parametrize("reactors", [1, 2])
def test_stop_ends_every_reactor(internals: Internals, reactors: int) -> None:
    with Rig(internals, reactors=reactors) as rig:
        peers = [rig.client() for _ in range(3)]
        rig.lib.nd_stop(rig.engine)
        for _ in range(3):
            ends = [rig.turn(index) for index in range(reactors)]
        assert ends == [rig.lib.ND_ESTATE] * reactors
        assert [peer.read() for peer in peers] == [b""] * 3
        assert all(peer.ended for peer in peers)


def test_stop_delivers_what_was_accepted(internals: Internals) -> None:
    with Rig(internals, reactors=2) as rig:
        publisher, subscriber = rig.client(), rig.client()
        subscriber.send(b"SUB a 1\r\n")
        rig.settle()
        publisher.send(b"PUB a 2\r\nhi\r\n")
        rig.turn(1)
        rig.lib.nd_stop(rig.engine)
        for _ in range(3):
            ends = [rig.turn(index) for index in (0, 1)]
        assert subscriber.read() == b"MSG a 1 2\r\nhi\r\n"
        assert ends == [rig.lib.ND_ESTATE] * 2


def test_stop_waits_for_a_blocked_peer_only_so_long(rig: Rig) -> None:
    subscriber, publisher = rig.client(snd=4096), rig.client()
    subscriber.send(b"SUB a 1\r\n")
    rig.settle()
    for _ in range(20):
        publisher.send(b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
        rig.settle()
    assert rig.look(subscriber).is_blocked
    rig.lib.nd_stop(rig.engine)
    began = rig.now
    while (due := rig.turn()) >= 0:
        assert due <= rig.lib.ND_STOP_MS
        rig.now += due
    assert due == rig.lib.ND_ESTATE
    assert rig.now - began == rig.lib.ND_STOP_MS
