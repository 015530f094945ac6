"""The counters, after traffic whose sum is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from target import Target
from wire import HEADERS, MODERN, PAIR, PING, PONG, SUBJECT, pub, wait_until

BLOCK = b"NATS/1.0\r\nA: b\r\n\r\n"
HELLO = pub(b"foo", b"hello")
TWICE = b"SUB foo 1\r\nSUB foo 2\r\n"


@pytest.fixture
def counted(serve: Callable[..., Target], threads: int) -> Target:
    return serve(threads=threads)


def flow(target: Target) -> tuple[int, int, int, int]:
    stats = target.handle.stats()
    return stats.in_msgs, stats.in_bytes, stats.out_msgs, stats.out_bytes


@pytest.mark.parametrize(
    ("sent", "want"),
    [
        pytest.param(HELLO, (1, 5, 0, 0), id="nobody-listens"),
        pytest.param(TWICE + HELLO, (1, 5, 2, 10), id="two-subscriptions"),
        pytest.param(TWICE + HELLO * 3, (3, 15, 6, 30), id="three-messages"),
        pytest.param(
            b"SUB foo q 1\r\nSUB foo q 2\r\n" + HELLO, (1, 5, 1, 5), id="queue"
        ),
        pytest.param(
            b"SUB foo 1\r\nHPUB foo 18 20\r\n" + BLOCK + b"hi\r\n",
            (1, 20, 1, 20),
            id="headers-count-too",
        ),
        pytest.param(
            b"SUB re.* 1\r\nPUB nobody re.1 2\r\nhi\r\n", (1, 2, 0, 0), id="no-status"
        ),
        pytest.param(
            b"SUB foo 1\r\nUNSUB 1 1\r\n" + HELLO * 2, (2, 10, 1, 5), id="limit"
        ),
    ],
)
def test_messages_and_bytes(
    counted: Target, sent: bytes, want: tuple[int, int, int, int]
) -> None:
    peer = counted.client(MODERN)
    peer.send(sent + PING)
    while peer.line() != PONG:
        pass
    wait_until(lambda: flow(counted) == want, f"{want}, not {flow(counted)}")


def test_batch_that_ends_in_an_error_is_counted(counted: Target) -> None:
    """The original delivered, but did not count, what came before the error."""
    other = counted.client()
    other.send(TWICE + PING)
    other.expect(PONG)
    counted.talk(HELLO + b"FOO\r\n", PAIR, closed=True)
    wait_until(lambda: flow(counted) == (1, 5, 2, 10), "the counts")


def test_connections(counted: Target) -> None:
    peers = counted.clients(5)
    stats = counted.handle.stats()
    assert (stats.connections, stats.total_connections) == (5, 5)
    for peer in peers[:3]:
        peer.close()
    wait_until(lambda: counted.handle.stats().connections == 2, "the closes")
    counted.client()
    stats = counted.handle.stats()
    assert (stats.connections, stats.total_connections) == (3, 6)


def test_subscriptions(counted: Target) -> None:
    """Refused and repeated ones count nowhere; a close removes all."""
    peer = counted.client(HEADERS)
    peer.send(b"SUB foo..bar 3\r\nSUB * 4\r\nSUB foo 1\r\n" + TWICE)
    peer.expect(SUBJECT)
    peer.send(b"UNSUB 4\r\nUNSUB 9\r\n" + PING)
    peer.expect(PONG)
    stats = counted.handle.stats()
    assert (stats.subscriptions, stats.sub_inserts, stats.sub_removes) == (2, 3, 1)
    peer.close()
    wait_until(lambda: counted.handle.stats().subscriptions == 0, "the removal")
    assert counted.handle.stats().sub_removes == 3
