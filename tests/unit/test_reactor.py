"""
One turn after another, by hand and with a fake clock.

``Rig`` is the bench for all tests of the running engine: it adopts one end of a socket
pair, steps the reactors, and keeps the time. No threads, no waiting.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

Internals = tuple[Any, Any]

SILENT = 0  # connect options: no +OK, no echo
VERBOSE, PEDANTIC, ECHO, HEADERS, NO_RESPONDERS = 1, 2, 4, 8, 16
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
        wanted = {
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
        self.reactors = wanted["reactors"]
        self.now = 1000
        self.peers: list[Peer] = []
        self.watched = [dict[int, int]() for _ in range(self.reactors)]
        self.is_external = self.ffi.string(self.lib.nd_poller_name()) == b"external"
        self.engine = self.lib.nd_engine_new(self.ffi.new("struct nd_options *", wanted))
        if self.engine == self.ffi.NULL:
            raise MemoryError

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.lib.nd_engine_free(self.engine)
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

    def client(self, *, snd: int = 0, options: int = SILENT) -> Peer:
        """A connection that was greeted and admitted."""
        peer = self.adopt(snd=snd)
        peer.send(b"CONNECT {}\r\n")
        self.settle()
        assert peer.read().startswith(b"INFO {")
        self.admit(peer, options)
        self.settle()
        peer.read()
        self.events()
        return peer

    def admit(self, peer: Peer, options: int = SILENT, note: bytes = b"note") -> None:
        assert self.lib.nd_admit(self.engine, peer.cid, options, note, len(note)) == 0

    def refuse(self, peer: Peer, text: bytes) -> None:
        assert self.lib.nd_refuse(self.engine, peer.cid, text, len(text)) == 0

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
        return self.lib.nd_reactor_step(self.engine, index, self.now, ready, count)

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

    def look(self, peer: Peer) -> Any | None:
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
