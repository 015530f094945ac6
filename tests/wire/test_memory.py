"""What connections, subscriptions and subjects cost, and that it all comes back.

Short forms: the figures are the goals, the counts are small.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from target import Target
from wire import MIB, PING, PONG, QUIET, SECONDS, SLOW, connect_line, msg, pub

Spawn = Callable[..., Target]
SUBSCRIPTIONS = 20_000


def test_idle_clients(spawn: Spawn, threads: int) -> None:
    """At most 3 KB each, and no CPU time at all."""
    target = spawn(threads=threads)
    target.clients(10)
    before = target.handle.rss()
    clients = [target.peer() for _ in range(500)]
    for client in clients:
        client.send(connect_line(QUIET) + b"SUB inbox.%d 1\r\n" % id(client) + PING)
    for client in clients:
        client.expect(PONG)
    assert target.handle.rss() - before < 500 * 3072 + MIB
    cpu = target.handle.cpu()
    time.sleep(0.5)
    assert target.handle.cpu() - cpu <= 0.02 * SLOW


def test_many_subscriptions(spawn: Spawn, threads: int) -> None:
    """At most 300 bytes each; dropping them all holds nobody up."""
    target = spawn(threads=threads)
    watcher, *bystanders = target.clients(1 + threads)
    owner = target.client()
    before = target.handle.rss()
    start = time.monotonic()
    script = [b"SUB many.%d.x %d\r\n" % (n, n) for n in range(SUBSCRIPTIONS)]
    owner.send(b"".join(script) + PING)
    owner.expect(PONG)
    assert time.monotonic() - start < 0.6 * SLOW
    assert target.handle.rss() - before < SUBSCRIPTIONS * 300 + MIB
    watcher.send(pub(b"many.777.x", b"hi"))
    owner.expect(msg(b"many.777.x", b"777", b"hi"))

    owner.close()
    slowest = 0.0
    watcher.send(b"SUB gone 1\r\n")
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        for bystander in bystanders:
            start = time.monotonic()
            bystander.expect_silence_until_pong()
            slowest = max(slowest, time.monotonic() - start)
    assert slowest < 0.05 * SLOW


def test_subscriptions_come_and_go_without_a_trace(spawn: Spawn) -> None:
    """The same 20,000 again and again, half of them patterns: no growth after the
    first time."""
    target = spawn()
    peer = target.client()
    names = [b"a.%d" % n if n % 2 else b"a.*.%d" % n for n in range(SUBSCRIPTIONS)]
    subscribe = b"".join(b"SUB %b %d\r\n" % (name, n) for n, name in enumerate(names))
    leave = b"".join(b"UNSUB %d\r\n" % n for n in range(SUBSCRIPTIONS))
    sizes = []
    for _ in range(5):
        peer.send(subscribe + leave + PING)
        peer.expect(PONG, 2 * SECONDS)
        sizes.append(target.handle.rss())
    assert sizes[-1] - sizes[0] < MIB, sizes


def test_publishes_to_distinct_subjects(spawn: Spawn, threads: int) -> None:
    """100,000 subjects that nobody listens to leave a bounded cache behind."""
    target = spawn(threads=threads)
    peer = target.client()
    peer.send(pub(b"warm", b"") + PING)
    peer.expect(PONG)
    before = target.handle.rss()
    for first in range(0, 100_000, 1000):
        names = range(first, first + 1000)
        peer.send(b"".join(pub(b"some.subject.%d" % n, b"") for n in names))
    peer.expect_silence_until_pong()
    assert target.handle.rss() - before < 3 * MIB


def test_deep_wildcards_are_quick(target: Target) -> None:
    """All 1,024 patterns of stars and words over ten of sixteen levels, matched anew
    each time: a millisecond for each, ten times that here."""
    peer, publisher = target.clients(2)
    words = [b"%c" % (97 + level) for level in range(16)]
    for mask in range(1024):
        stars = [mask >> level & 1 and level < 10 for level in range(16)]
        tokens = [b"*" if s else w for s, w in zip(stars, words, strict=True)]
        peer.send(b"SUB %b %d\r\n" % (b".".join(tokens), mask))
    peer.expect_silence_until_pong()
    start = time.monotonic()
    for number in range(50):
        # No such last token, so that nothing is delivered; each a new subject.
        publisher.send(pub(b".".join(words[:15]) + b".%d" % number, b""))
    publisher.expect_silence_until_pong()
    assert time.monotonic() - start < 50 * 0.010 * SLOW
    peer.expect_silence_until_pong()


def test_storm_of_subscriptions_beside_a_publisher(target: Target) -> None:
    """Each message still arrives, once, while the index changes all the time."""
    subscriber, publisher, *storm = target.clients(6)
    subscriber.send(b"SUB kept.x 1\r\n")
    subscriber.expect_silence_until_pong()
    for number in range(200):
        for peer in storm:
            peer.send(
                b"SUB kept.%d 5\r\nSUB kept.*.y 6\r\nSUB kept.x 7\r\nUNSUB 7\r\n"
                b"UNSUB 5\r\nUNSUB 6\r\n" % number
            )
        publisher.send(pub(b"kept.x", b"%d" % number) + pub(b"kept.x.z", b""))
    publisher.expect_silence_until_pong()
    subscriber.expect(b"".join(msg(b"kept.x", b"1", b"%d" % n) for n in range(200)))
    subscriber.expect_silence_until_pong()
