"""Connections that come and go by the thousand, in order and by force."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from target import Target
from wire import (
    MIB,
    PING,
    PONG,
    QUIET,
    SECONDS,
    SLOW,
    Peer,
    connect_line,
    msg,
    pub,
    wait_until,
)


def test_two_thousand_cycles(spawn: Callable[..., Target], threads: int) -> None:
    """No descriptor and no memory stays behind."""
    target = spawn(threads=threads)
    hello = connect_line(QUIET) + b"SUB churn.* 1\r\nSUB churn.> q 2\r\n" + PING

    def cycle() -> None:
        peer = Peer(target.address)
        peer.send(hello)
        peer.expect(PONG)
        peer.close()

    for _ in range(200):
        cycle()
    watcher = target.client()
    quiet = target.handle.descriptors()
    before = target.handle.rss()
    for _ in range(int(2000 / SLOW)):
        cycle()
    wait_until(lambda: target.handle.descriptors() <= quiet, "the last closes")
    assert target.handle.rss() - before < MIB
    watcher.send(pub(b"churn.x", b"") + PING)
    watcher.expect(PONG)


def test_three_hundred_at_once(target: Target) -> None:
    """All connect, subscribe and ask before anyone looks for an answer."""
    peers = [target.peer(greet=False) for _ in range(300)]
    for number, peer in enumerate(peers):
        peer.send(connect_line(QUIET) + b"SUB all %d\r\n" % number + PING)
    for peer in peers:
        peer.expect_info()
        peer.expect(PONG)
    peers[0].send(pub(b"all", b"x"))
    for number, peer in enumerate(peers):
        peer.expect(msg(b"all", b"%d" % number, b"x"))


@pytest.mark.parametrize("seed", range(2))
def test_resets_in_the_middle_of_everything(
    target: Target, pool: ThreadPoolExecutor, seed: int
) -> None:
    """
    Connections break at every point; no byte reaches one it is not for.

    Each connection subscribes to a subject of its own, and messages name it, so that
    what meets the next owner of a descriptor or an id shows itself.
    """

    def live(worker: int) -> int:
        random_ = random.Random(f"{seed}.{worker}")
        whole = 0
        for life in range(int(60 / SLOW) + 1):
            tag = b"%d.%d" % (worker, life)
            peer = Peer(target.address)
            body = tag + b"x" * random_.choice([0, 10, 5000, 70000])
            script = connect_line(QUIET) + b"SUB t.%b 1\r\n" % tag
            script += pub(b"t." + tag, body) * 3 + PING
            end = random_.choice(["whole", "whole", "cut", "unread"])
            cut = random_.randrange(len(script)) if end == "cut" else len(script)
            peer.send(script[:cut])
            if end == "whole":
                peer.expect(msg(b"t." + tag, b"1", body) * 3 + PONG, 2 * SECONDS)
                whole += 1
            if random_.random() < 0.7:
                peer.reset()
            else:
                peer.close()
        return whole

    witness = target.client()
    witness.send(b"SUB witness 1\r\n")
    lives = [pool.submit(live, worker) for worker in range(4)]
    for number in range(50):
        witness.send(pub(b"witness", b"%d" % number) + PING)
        witness.expect(msg(b"witness", b"1", b"%d" % number) + PONG)
    assert sum(life.result() for life in lives) > 0
    witness.expect_silence_until_pong()


def test_reset_inside_a_payload(target: Target) -> None:
    """At several points of a large message, to subscribers and from publishers."""
    other = target.client()
    other.send(b"SUB foo 1\r\n")
    other.expect_silence_until_pong()
    whole = pub(b"foo", b"x" * 100_000)
    for cut in (5, 16, 17, 20_000, 99_000, len(whole) - 2, len(whole) - 1):
        breaking = target.client()
        breaking.send(whole[:cut])
        other.expect_silence_until_pong()
        breaking.reset()
    other.expect_silence_until_pong()


def test_subscriber_breaks_while_it_is_sent_to(target: Target) -> None:
    publisher, healthy = target.clients(2)
    healthy.send(b"SUB foo 1\r\n")
    healthy.expect_silence_until_pong()
    body = b"x" * 300_000
    for _ in range(10):
        breaking = target.client(window=4096)
        breaking.send(b"SUB foo 1\r\n")
        breaking.expect_silence_until_pong()
        publisher.send(pub(b"foo", body))
        breaking.read(1000)
        breaking.reset()
        publisher.send(pub(b"foo", body) + PING)
        publisher.expect(PONG)
        healthy.expect(msg(b"foo", b"1", body) * 2)
