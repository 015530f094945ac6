"""Large payloads, small windows: not a byte changes."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from target import Target
from wire import MIB, PING, PONG, SLOW, Peer, msg, pub

COUNT = 30


def bodies(count: int, size: int) -> Iterator[bytes]:
    random_ = random.Random(8)
    for _ in range(count):
        yield random_.randbytes(size)


@pytest.mark.parametrize("window", [4096, 65536])
def test_megabytes_to_a_small_window(
    target: Target, pool: ThreadPoolExecutor, window: int
) -> None:
    """30 messages of 1 MB; the SHA-256 of the whole stream is compared."""
    reader, publisher = target.client(window=window), target.client()
    reader.send(b"SUB big 1\r\n")
    reader.expect_silence_until_pong()

    def publish() -> None:
        for body in bodies(COUNT, MIB):
            publisher.send(pub(b"big", body))

    sending = pool.submit(publish)
    want, got = hashlib.sha256(), hashlib.sha256()
    for body in bodies(COUNT, MIB):
        expected = msg(b"big", b"1", body)
        want.update(expected)
        got.update(reader.read(len(expected), 10 * SLOW))
    sending.result()
    assert got.digest() == want.digest()
    reader.expect_silence_until_pong()


def test_one_large_message_to_all_reactors(target: Target) -> None:
    """The payload is shared between reactors and with the publisher itself."""
    peers = target.clients(8)
    for peer in peers:
        peer.send(b"SUB big 1\r\n")
        peer.expect_silence_until_pong()
    for body in bodies(3, MIB):
        peers[0].send(pub(b"big", body))
        for peer in peers:
            peer.expect(msg(b"big", b"1", body))


def test_small_send_buffer(target: Target) -> None:
    """A publisher whose kernel takes little at a time."""
    peer = target.client()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    (body,) = bodies(1, 300_000)
    peer.send(b"SUB big 1\r\n" + pub(b"big", body, b"reply") + PING)
    peer.expect(msg(b"big", b"1", body, b"reply") + PONG)


def test_payload_byte_by_byte(target: Target) -> None:
    """200 messages with line ends inside, one byte in each send."""
    peer = target.client()
    peer.send(b"SUB b 1\r\n")
    script = b"".join(pub(b"b", b"\r\n%d\r\n" % n) for n in range(200))
    for byte in script:
        peer.send(bytes([byte]))
    peer.expect(b"".join(msg(b"b", b"1", b"\r\n%d\r\n" % n) for n in range(200)))
    peer.expect_silence_until_pong()


@pytest.mark.parametrize(
    "size", [4095, 4096, 4097, 16384, 65535, 65536, 65537, 200_001]
)
def test_sizes_around_buffers(target: Target, size: int) -> None:
    """Around the sizes at which the server changes from copying to sharing."""
    peer, other = target.clients(2)
    for each in (peer, other):
        each.send(b"SUB b 1\r\n")
        each.expect_silence_until_pong()
    (body,) = bodies(1, size)
    peer.send(pub(b"b", body) + pub(b"b", b"small") + pub(b"b", body))
    want = msg(b"b", b"1", body) + msg(b"b", b"1", b"small") + msg(b"b", b"1", body)
    for each in (peer, other):
        each.expect(want)


def test_announced_size_is_not_allocated(spawn: Callable[..., Target]) -> None:
    """200 publishers announce 1 GB each and send a kilobyte."""
    target = spawn(max_payload=-1)
    before = target.handle.rss()
    peers: list[Peer] = target.clients(200)
    for peer in peers:
        peer.send(b"PUB foo 1073741824\r\n" + b"x" * 1000)
    target.fence(target.clients(2))
    assert target.handle.rss() - before < 200 * 16384 + 2 * MIB
