"""What tests of changes and of the last days share: peers, and words for them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

from test_reactor import Peer, Rig

PING, PONG = b"PING\r\n", b"PONG\r\n"
LATE = b"-ERR 'Authorization Timeout'\r\n"
SHUT_OUT = b"-ERR 'Authorization Violation'\r\n"
LONG = b"-ERR 'maximum control line exceeded'\r\n"
LARGE = b"-ERR 'Maximum Payload Violation'\r\n"
FULL = b"-ERR 'maximum connections exceeded'\r\n"
CROWDED = b"-ERR 'maximum subscriptions exceeded'\r\n"


def say(rig: Rig, peer: Peer, data: bytes) -> bytes:
    """Send, let the engine work, and return the answer."""
    peer.pump(data)
    rig.settle()
    return peer.read()


def stranger(rig: Rig, *, snd: int = 0) -> Peer:
    peer = rig.adopt(snd=snd)
    rig.settle()
    assert peer.read().startswith(b"INFO {")
    return peer


def line(peer: Peer, info: bytes) -> bytes:
    return b'INFO %s,"client_id":%d,"client_ip":""} \r\n' % (info, peer.cid)


def change(rig: Rig, info: bytes = b"{", **changed: Any) -> None:
    assert rig.reconfigure(info, **changed) == 0
    rig.settle()


def filled(rig: Rig) -> tuple[Peer, Peer]:
    """A publisher, and a subscriber who does not read and is blocked."""
    publisher, subscriber = rig.client(), rig.client(snd=4096)
    say(rig, subscriber, b"SUB a 1\r\n")
    while not rig.look(subscriber).is_blocked:
        say(rig, publisher, b"PUB a 5000\r\n" + bytes(5000) + b"\r\n")
    return publisher, subscriber


@contextlib.contextmanager
def dialer(rig: Rig) -> Iterator[Any]:
    """Gives a function that connects and reads INFO."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        assert rig.lib.nd_listen(rig.engine, listener.detach()) == 0
    rig.settle()

    def dial() -> Peer:
        sock = socket.create_connection(address)
        peer = Peer(sock, len(rig.peers) + 1)
        rig.peers.append(peer)
        got, deadline = b"", time.monotonic() + 20
        while b"\n" not in got:
            assert time.monotonic() < deadline
            rig.settle()
            got += peer.read()
        info, _, rest = got.partition(b"\n")
        assert info.startswith(b"INFO {")
        return Peer(Rest(sock, rest), peer.cid)

    yield dial


class Rest:
    """A socket with bytes that were read of it already."""

    def __init__(self, sock: socket.socket, rest: bytes) -> None:
        self.sock, self.rest = sock, rest

    def recv(self, size: int) -> bytes:
        rest, self.rest = self.rest, b""
        return rest or self.sock.recv(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)
