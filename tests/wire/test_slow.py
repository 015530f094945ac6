"""Slow, stalled and greedy peers, and those who must not suffer from them."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from stream import SIZE, SUBSCRIBE, Flood, Reader
from target import Target
from wire import MIB, MODERN, PING, PONG, SECONDS, SLOW, Peer, msg, pub, wait_until

Serve = Callable[..., Target]
GAP = 0.5 * SLOW
"""Seconds that a healthy peer may have to wait: ten times the goal of 50 ms."""

DEADLINE = 1.0 * SLOW
"""The write deadline of these tests, in seconds."""


def subscriber(target: Target, window: int = 0) -> Peer:
    peer = target.client(window=window)
    peer.send(SUBSCRIBE)
    peer.expect_silence_until_pong()
    return peer


@pytest.mark.parametrize("count", [1, 8])
def test_stalled_beside_healthy(
    serve: Serve,
    pool: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
    threads: int,
    count: int,
) -> None:
    """The stalled are cut without a word; healthy reader and publisher go on."""
    caplog.set_level(logging.INFO)
    target = serve(threads=threads, write_deadline=DEADLINE)
    stalled = [subscriber(target, window=4096) for _ in range(count)]
    healthy = Reader(subscriber(target))
    reading = pool.submit(healthy.read)
    flood = Flood(target.client(), pool)
    took = wait_until(
        lambda: target.handle.stats().slow_consumers >= count, "the cuts", 8 * SLOW
    )
    total = flood.stop()
    healthy.peer.send(PING)
    reading.result()
    assert healthy.count == total
    assert healthy.gap < GAP
    assert flood.gap < GAP
    assert DEADLINE * 0.9 < took < DEADLINE + 2 * SLOW
    assert target.handle.stats().slow_consumers == count
    detected = "Slow Consumer Detected"
    wait_until(lambda: caplog.text.count(detected) == count, "a line for each")
    for peer in stalled:
        wait_until(peer.is_cut, "the end of a slow consumer")
        Reader(peer).drain()


def test_memory_of_the_stalled(
    spawn: Callable[..., Target], pool: ThreadPoolExecutor, threads: int
) -> None:
    """Eight of them cost eight times their cap, whatever comes."""
    target = spawn(
        threads=threads, max_pending_size=MIB, max_payload=MIB, write_deadline=DEADLINE
    )
    stalled = [subscriber(target, window=4096) for _ in range(8)]
    before = top = target.handle.rss()
    flood = Flood(target.client(), pool)

    def all_cut() -> bool:
        nonlocal top
        top = max(top, target.handle.rss())
        return all(peer.is_cut() for peer in stalled)

    wait_until(all_cut, "the cuts", 8 * SLOW)
    flood.stop()
    assert top - before < 8 * MIB + 4 * MIB


def test_cap_cuts_before_the_deadline(serve: Serve, threads: int) -> None:
    """Pacing delays the cap, but many publishers together pass it."""
    target = serve(
        threads=threads, max_pending_size=MIB, max_payload=MIB, write_deadline=60
    )
    stalled = subscriber(target, window=4096)
    publishers = target.clients(16)
    unsent = dict.fromkeys(publishers, b"")
    for publisher in publishers:
        publisher.socket.setblocking(False)

    def is_cut() -> bool:
        for publisher, rest in unsent.items():
            rest = rest or pub(b"s", b"x" * 65536)
            with contextlib.suppress(BlockingIOError):
                rest = rest[publisher.socket.send(rest) :]
            unsent[publisher] = rest
        return bool(target.handle.stats().slow_consumers == 1)

    wait_until(is_cut, "the cut", 20 * SLOW)
    wait_until(stalled.is_cut, "the end of a slow consumer")


def test_slow_reader_is_not_cut(
    serve: Serve, pool: ThreadPoolExecutor, threads: int
) -> None:
    """It gets all, the publisher waits for it, and others notice nothing."""
    target = serve(threads=threads, max_pending_size=2 * MIB, write_deadline=DEADLINE)
    slow = Reader(subscriber(target, window=65536))
    asker, answerer = target.clients(2)
    answerer.send(b"SUB other 1\r\n")
    answerer.expect_silence_until_pong()
    reading = pool.submit(slow.read, 0.02)
    flood = Flood(target.client(), pool, most=16 * MIB // SIZE)
    took = []
    while not flood.future.done():
        start = time.monotonic()
        asker.send(pub(b"other", b"x"))
        answerer.expect(msg(b"other", b"1", b"x"))
        took.append(time.monotonic() - start)
        time.sleep(0.002)
    total = flood.finish()
    slow.peer.send(PING)
    reading.result()
    assert slow.count == total
    assert target.handle.stats().slow_consumers == 0
    assert sorted(took)[len(took) * 99 // 100] < 0.05 * SLOW


@pytest.mark.parametrize(
    ("hello", "sent", "answer"),
    [
        pytest.param({"verbose": False}, PING, PONG, id="ping"),
        pytest.param({"verbose": True}, b"SUB f 1\r\n", b"+OK\r\n", id="verbose-sub"),
    ],
)
def test_flood_of_answers_that_nobody_reads(
    spawn: Callable[..., Target],
    threads: int,
    hello: object,
    sent: bytes,
    answer: bytes,
) -> None:
    """The server stops reading such a peer, keeps little, and forgets nothing."""
    target = spawn(threads=threads, write_deadline=30)
    peer = target.client(hello)  # type: ignore[arg-type]
    before = target.handle.rss()
    peer.socket.setblocking(False)
    many = sent * 4096
    done, idle_since = 0, time.monotonic()
    while time.monotonic() - idle_since < 0.3 * SLOW:
        try:
            done += peer.socket.send(many[done % len(sent) :])
            idle_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.001)
        assert done < 256 * MIB, "it reads on and on"
    assert target.handle.rss() - before < 4 * MIB
    target.client().expect_silence_until_pong()
    asked, begun = divmod(done, len(sent))
    assert peer.read(asked * len(answer), 10 * SECONDS) == answer * asked
    peer.send(sent[begun:])
    peer.expect(answer)


def test_fairness(serve: Serve, pool: ThreadPoolExecutor, threads: int) -> None:
    """Four that publish flat out leave room for twenty that ask now and then."""
    target = serve(threads=threads)
    askers, publishers = target.clients(20), target.clients(4)
    block = pub(b"nobody", b"x" * 100) * 2000
    until = time.monotonic() + 1.5 * SLOW

    def publish(peer: Peer) -> None:
        while time.monotonic() < until:
            peer.send(block)

    floods = [pool.submit(publish, peer) for peer in publishers]
    took = []
    while time.monotonic() < until:
        for asker in askers:
            start = time.monotonic()
            asker.expect_silence_until_pong()
            took.append(time.monotonic() - start)
    for flood in floods:
        flood.result()
    assert sorted(took)[len(took) * 99 // 100] < 0.1 * SLOW


def test_tail_of_a_partial_write(
    serve: Serve, pool: ThreadPoolExecutor, threads: int
) -> None:
    """What the kernel refused goes out as soon as it can, though nothing more comes."""
    target = serve(threads=threads)
    late = Reader(subscriber(target, window=4096))
    flood = Flood(target.client(), pool, most=8 * MIB // SIZE)
    wait_until(lambda: late.peer.server_side()[1] > MIB, "a full kernel")
    reading = pool.submit(late.read)
    total = flood.finish()
    late.peer.send(PING)
    reading.result()
    assert late.count == total
    assert late.gap < GAP


@pytest.mark.parametrize("size", [1, 4095, 4096, 16383, 65536, 1048576])
def test_tail_of_one_message(target: Target, size: int) -> None:
    """A single message larger than the window arrives without another cause."""
    late, publisher = target.client(window=2048), target.client()
    late.send(SUBSCRIBE)
    late.expect_silence_until_pong()
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    publisher.send(pub(b"s", body))
    publisher.expect_silence_until_pong()
    late.expect(msg(b"s", b"1", body))


def test_quick_reader_of_many_who_publish_much(
    serve: Serve, pool: ThreadPoolExecutor, threads: int
) -> None:
    """Twelve messages of 1 MiB at a time are more than its cap; it is not cut."""
    target = serve(threads=threads)
    reader = target.client()
    reader.send(b"SUB big 1\r\n")
    reader.expect_silence_until_pong()
    message = pub(b"big", b"x" * MIB)
    publishers = target.clients(12)
    for peer in publishers:
        pool.submit(peer.send, message * 4)
    want = 48 * len(msg(b"big", b"1", b"x" * MIB))
    got, deadline = 0, time.monotonic() + 20 * SECONDS * SLOW
    while got < want and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            data = reader.socket.recv(MIB)
            assert data, f"cut after {got} of {want} bytes"
            got += len(data)
    assert got == want
    assert target.handle.stats().slow_consumers == 0


def test_what_is_left_out_is_not_held(
    spawn: Callable[..., Target], threads: int
) -> None:
    """A few bytes are owed of each message, not the header block that was left out."""
    target = spawn(threads=threads)
    deaf = target.client(window=4096)
    deaf.send(b"SUB fill 1\r\nSUB bare 2\r\n")
    deaf.expect_silence_until_pong()
    publisher = target.client(MODERN)
    for _ in range(50):  # until the kernel takes no more
        publisher.send(pub(b"fill", b"x" * 100_000))
    publisher.expect_silence_until_pong()
    before = target.handle.rss()
    block = b"NATS/1.0\r\nk: " + b"v" * 999_000 + b"\r\n\r\n"
    size = b"%d" % len(block)
    for _ in range(60):
        publisher.send(b"HPUB bare " + size + b" " + size + b"\r\n" + block + b"\r\n")
    publisher.expect_silence_until_pong()
    assert target.handle.rss() - before < 20 * MIB
