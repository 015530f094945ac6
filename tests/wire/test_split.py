"""However the network cuts the bytes of a client, the server hears the same."""

from __future__ import annotations

import random

import pytest
from target import Target
from wire import HEADERS, MODERN, connect_line, msg

BLOCK = b"NATS/1.0\r\nA: b\r\n\r\n"

# 40 operations: every verb, every form of each, arguments in every odd spelling. They
# leave nothing behind, so that all runs may share one server.
SCRIPT = (
    connect_line(MODERN),
    b"PING\r\n",
    b"SUB one 1\r\n",
    b"sub  two.*  group\t2  \r\n",
    b"SUB three.> three\n",
    b"PUB one 5\r\nhello\r\n",
    b"PUB two.x reply.to 4\r\n\r\n\r\n\r\n",
    b"pub three.a.b 0\r\n\r\n",
    b"PONG\r\n",
    b"PUB three.. 002\r\nhi\r\n",
    b"UNSUB 2\r\n",
    b"PUB two.x 2\r\nno\r\n",
    b"SUB two.* 2\r\n",
    b"UNSUB 2 1\r\n",
    b"PUB two.x 3\r\nyes\r\n",
    b"PUB two.x 2\r\nno\r\n",
    b"PING ignored words\r\n",
    b"HPUB one 18 20\r\n" + BLOCK + b"hi\r\n",
    b"HPUB one re.ply 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    b"hpub\tone\t0\t1\r\nx\r\n",
    b"+OK\r\n",
    b'INFO {"server_id":"x","port":1}\r\n',
    b"SUB bad..subject 9\r\n",
    b"SUB inbox.* 4\r\n",
    b"PUB nobody inbox.7 2\r\nhi\r\n",
    b"SUB one 1\r\n",
    b"PUB one 11\r\nPUB one 2\r\n\r\n",
    b'CONNECT {"verbose":true,"pedantic":true}\r\n',
    b"PUB one.* 4\r\nokay\r\n",
    b"UNSUB nothing 3\r\n",
    b'connect{"verbose":false,"pedantic":false}\n',
    b"PUB one 3\nabc\r\n",
    b"ping\r\r\n",
    b"PUB other 64\r\n" + bytes(range(64)) + b"\r\n",
    b"UNSUB 4\r\n",
    b"UNSUB three\r\n",
    b"UNSUB  1 \r\n",
    b"PUB one 1\r\nx\r\n",
    b"PUB other 2\r\n\r\n\r\n",
    b"PING\r\n",
)
STREAM = b"".join(SCRIPT)
HEARD = (
    b"PONG\r\n"
    + msg(b"one", b"1", b"hello")
    + msg(b"two.x", b"2", b"\r\n\r\n", b"reply.to")
    + msg(b"three.a.b", b"three", b"")
    + msg(b"three..", b"three", b"hi")
    + msg(b"two.x", b"2", b"yes")
    + b"PONG\r\n"
    + b"HMSG one 1 18 20\r\n"
    + BLOCK
    + b"hi\r\nHMSG one 1 re.ply 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    + msg(b"one", b"1", b"x")
    + b"-ERR 'Invalid Subject'\r\n"
    + b"HMSG inbox.7 4 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    + msg(b"one", b"1", b"PUB one 2\r\n")
    + b"+OK\r\n-ERR 'Invalid Subject'\r\n+OK\r\n+OK\r\n"
    + msg(b"one", b"1", b"abc")
    + b"PONG\r\nPONG\r\n"
)
OVERHEARD = msg(b"other", b"o", bytes(range(64))) + msg(b"other", b"o", b"\r\n")


class Stage:
    """One server, its fence, and somebody on another connection who listens."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.fences = target.clients(target.threads or 1)
        self.listener = target.client(HEADERS)
        self.listener.send(b"SUB other o\r\n")
        self.listener.expect_silence_until_pong()

    def play(self, cuts: list[int]) -> None:
        """Send the script in pieces, each read by the server before the next one."""
        peer = self.target.peer()
        for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
            peer.send(STREAM[start:end])
            if end < len(STREAM):
                self.target.fence(self.fences)
        try:
            peer.expect(HEARD)
            peer.expect_silence_until_pong()
            self.listener.expect(OVERHEARD)
        except AssertionError as error:
            raise AssertionError(f"cut at {cuts}: {error}") from None
        peer.close()
        self.target.peers.remove(peer)


@pytest.fixture
def stage(target: Target) -> Stage:
    if target.foreign:
        pytest.skip("nats-server answers some of these operations differently")
    return Stage(target)


def test_forty_operations() -> None:
    assert len(SCRIPT) == 40


def test_uncut(stage: Stage) -> None:
    stage.play([])


def test_every_cut_in_two(stage: Stage) -> None:
    for cut in range(1, len(STREAM)):
        stage.play([cut])


def test_byte_by_byte(stage: Stage) -> None:
    stage.play(list(range(1, len(STREAM))))


@pytest.mark.parametrize("seed", range(4))
def test_random_cuts(stage: Stage, seed: int) -> None:
    random_ = random.Random(seed)
    for _ in range(20):
        count = random_.randint(2, 30)
        stage.play(sorted(random_.sample(range(1, len(STREAM)), count)))
