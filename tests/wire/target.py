"""A server under test, and the connections of one test to it."""

from __future__ import annotations

from typing import Any

from wire import PAIR, PARSER, PING, PONG, QUIET, UNKNOWN, Peer


class Target:
    """A server under test and the connections that a test has made to it."""

    def __init__(self, host: str, port: int, *, threads: int = 0, handle: Any = None):
        """
        *threads* is the number of reactors, 0 if unknown. *handle* is what started
        the server: a pynatsd.Server, or a process.
        """
        self.address = (host, port)
        self.threads = threads
        self.handle = handle
        self.peers: list[Peer] = []
        self.foreign = False
        """It is nats-server, which differs in places."""

    def peer(self, **options: Any) -> Peer:
        """A connection that has read INFO and sent nothing; see Peer for *options*."""
        peer = Peer(self.address, **options)
        self.peers.append(peer)
        return peer

    def client(self, hello: dict[str, Any] = QUIET, **options: Any) -> Peer:
        """A connection whose CONNECT took effect; quiet unless *hello* says more."""
        peer = self.peer(**options)
        peer.hello(hello)
        return peer

    def clients(self, count: int, hello: dict[str, Any] = QUIET) -> list[Peer]:
        """*count* connections in a row: connection ids are dealt over the reactors."""
        return [self.client(hello) for _ in range(count)]

    def fence(self, peers: list[Peer]) -> None:
        """
        Wait until the server has read all that was sent to it before.

        *peers* are connections of their own, one on each reactor: a reactor that
        answers a PING has also read what was readable before the PING came.
        """
        for peer in peers:
            peer.send(PING)
        for peer in peers:
            peer.expect(PONG)

    def expected(self, want: bytes) -> bytes:
        """*want*, in the words of the server under test: nats-server sends the first
        of the two lines of an unknown operation, and no 'Parser Error' at all."""
        if self.foreign:
            return want.replace(PAIR, UNKNOWN).replace(PARSER, b"")
        return want

    def talk(
        self,
        sent: bytes,
        want: bytes,
        *,
        hello: dict[str, Any] | None = QUIET,
        closed: bool = False,
    ) -> None:
        """
        Send *sent* on a new connection: *want* must come, then nothing, or the end.

        *hello* is sent as CONNECT before; None sends no CONNECT.
        """
        peer = self.peer() if hello is None else self.client(hello)
        peer.send(sent)
        peer.expect(self.expected(want))
        if closed:
            peer.expect_closed()
        else:
            peer.expect_silence_until_pong()

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
