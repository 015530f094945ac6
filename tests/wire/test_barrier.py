"""A PONG is a promise, whichever reactors the connections live on.

Connection ids are dealt round-robin over the reactors, so connections made one after
the other live on different ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from target import Target
from wire import PING, PONG, SLOW, Peer, msg, pub

ROUNDS = int(200 / SLOW)
reactors = pytest.mark.parametrize("reactors", [2, 4])
Serve = Callable[..., Target]


def subscribe(peers: list[Peer]) -> None:
    for peer in peers:
        peer.send(b"SUB s 1\r\n")
        peer.expect_silence_until_pong()


@reactors
def test_message_precedes_pong(serve: Serve, reactors: int) -> None:
    """Whoever pings after the publisher had its PONG has the message before."""
    target = serve(threads=reactors)
    peers = target.clients(2 * reactors)
    subscribe(peers)
    for number in range(ROUNDS):
        publisher = peers[number % len(peers)]
        body = b"%d" % number
        publisher.send(pub(b"s", body) + PING)
        publisher.expect(msg(b"s", b"1", body) + PONG)
        others = [peer for peer in peers if peer is not publisher]
        for peer in others:
            peer.send(PING)
        for peer in others:
            peer.expect(msg(b"s", b"1", body) + PONG)


@reactors
def test_first_of_all_to_ask(serve: Serve, reactors: int) -> None:
    """One publisher and one subscriber for each pair of reactors, nothing else going
    on: no other traffic makes a reactor look into its inbox."""
    target = serve(threads=reactors)
    publishers = target.clients(reactors)
    subscribers = target.clients(reactors)
    for number, subscriber in enumerate(subscribers):
        subscriber.send(b"SUB to.%d x\r\n" % number)
        subscriber.expect_silence_until_pong()
    for number in range(ROUNDS):
        publisher = publishers[number % reactors]
        to = number // reactors % reactors
        publisher.send(pub(b"to.%d" % to, b"m") + PING)
        publisher.expect(PONG)
        subscribers[to].send(PING)
        subscribers[to].expect(msg(b"to.%d" % to, b"x", b"m") + PONG)


@reactors
def test_subscription_is_known_to_all(serve: Serve, reactors: int) -> None:
    """After the PONG that follows SUB, a message from anywhere arrives; after the one
    that follows UNSUB, none does."""
    target = serve(threads=reactors)
    peers = target.clients(reactors)
    for number in range(ROUNDS):
        subscriber = peers[number % reactors]
        publisher = peers[(number + 1 + number // reactors % (reactors - 1)) % reactors]
        subject, body = b"s.%d" % (number % 7), b"%d" % number
        subscriber.send(b"SUB " + subject + b" 1\r\n" + PING)
        subscriber.expect(PONG)
        publisher.send(pub(subject, body) + PING)
        publisher.expect(PONG)
        subscriber.send(b"UNSUB 1\r\n" + PING)
        subscriber.expect(msg(subject, b"1", body) + PONG)
        publisher.send(pub(subject, b"late") + PING)
        publisher.expect(PONG)
        subscriber.expect_silence_until_pong()


@reactors
def test_drain_loses_nothing(serve: Serve, reactors: int) -> None:
    """What was acknowledged before UNSUB is sent comes before the PONG behind it."""
    target = serve(threads=reactors)
    publishers = target.clients(reactors)
    (subscriber,) = target.clients(1)
    for number in range(ROUNDS // 2):
        subscriber.send(b"SUB d %d\r\nPING\r\n" % number)
        subscriber.expect(PONG)
        for publisher in publishers:
            publisher.send(pub(b"d", b"m") * 5 + PING)
        for publisher in publishers:
            publisher.expect(PONG)
        subscriber.send(b"UNSUB %d\r\nPING\r\n" % number)
        subscriber.expect(msg(b"d", b"%d" % number, b"m") * 5 * reactors + PONG)


@reactors
def test_order_of_one_publisher(serve: Serve, reactors: int) -> None:
    """Large and small, shared and copied messages keep their order."""
    target = serve(threads=reactors)
    peers = target.clients(reactors)
    subscribe(peers)
    sizes = [1, 5000, 0, 100, 4096, 4095, 70000, 3, 16384, 16383] * 5
    bodies = [b"%d:" % i + b"x" * size for i, size in enumerate(sizes)]
    peers[0].send(b"".join(pub(b"s", body) for body in bodies) + PING)
    want = b"".join(msg(b"s", b"1", body) for body in bodies)
    peers[0].expect(want + PONG)
    for peer in peers[1:]:
        peer.expect(want)


@reactors
def test_limit_is_exact(serve: Serve, reactors: int) -> None:
    """Publishers on every reactor at once, and never one message beyond the limit."""
    target = serve(threads=reactors)
    publishers = target.clients(reactors)
    subscribers = target.clients(reactors)
    for _ in range(ROUNDS // 10):
        for subscriber in subscribers:
            subscriber.send(b"SUB s 1\r\nUNSUB 1 7\r\nPING\r\n")
            subscriber.expect(PONG)
        for publisher in publishers:
            publisher.send(pub(b"s", b"m") * 5 + PING)
        for publisher in publishers:
            publisher.expect(PONG)
        for subscriber in subscribers:
            subscriber.send(b"UNSUB 1\r\n" + PING)
            subscriber.expect(msg(b"s", b"1", b"m") * 7 + PONG)


class Busy:
    """A reactor whose turns are long, so that mail comes while it is reading.

    Between the looking into the inbox at the start of a turn and the reading of a
    connection lies the work for all connections before it. A subscriber that has bytes
    waiting is read in such a turn, whatever it sends meanwhile.
    """

    JUNK = pub(b"nobody.listens", b"x" * 20) * 1500

    def __init__(self, target: Target, reactors: int, pool: ThreadPoolExecutor) -> None:
        peers = target.clients(4 * reactors)
        home = peers[0].info["client_id"] % reactors
        neighbours = [p for p in peers if p.info["client_id"] % reactors == home]
        others = [p for p in peers if p not in neighbours]
        self.subscriber, *self.flooders = neighbours
        self.publisher = others[0]
        self.over = threading.Event()
        self.floods = [pool.submit(self.flood, peer) for peer in self.flooders]

    def flood(self, peer: Peer) -> None:
        while not self.over.is_set():
            peer.send(self.JUNK)

    def publish(self, body: bytes) -> None:
        self.publisher.send(pub(b"s", body) + PING)
        self.publisher.expect(PONG)

    def finish(self) -> None:
        self.over.set()
        for flood in self.floods:
            flood.result()


@pytest.mark.parametrize("leave", [b"", b"UNSUB 1\r\n"], ids=["ping", "drain"])
@reactors
def test_mail_that_comes_during_a_turn(
    serve: Serve, pool: ThreadPoolExecutor, reactors: int, leave: bytes
) -> None:
    """PING and UNSUB look into the inbox themselves: the turn has looked too early."""
    busy = Busy(serve(threads=reactors), reactors, pool)
    subscriber = busy.subscriber
    try:
        for number in range(ROUNDS):
            subscriber.send(b"SUB s 1\r\n" + PING)
            subscriber.expect(PONG)
            body = b"%d" % number
            subscriber.send(busy.JUNK[: 700 * len(pub(b"nobody.listens", b"x" * 20))])
            busy.publish(body)
            subscriber.send(leave + PING)
            subscriber.expect(msg(b"s", b"1", body) + PONG)
            subscriber.send(b"UNSUB 1\r\n")
    finally:
        busy.finish()
