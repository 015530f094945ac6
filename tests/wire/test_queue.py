"""Queue groups: one copy for each group, whoever comes and goes."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from target import Target
from wire import PING, PONG, SECONDS, Peer, msg, pub


def member(peer: Peer, text: bytes) -> None:
    peer.send(b"SUB " + text + b"\r\n")
    peer.expect_silence_until_pong()


def sids(peer: Peer, body: bytes) -> Counter[bytes]:
    """PING, and count the messages before the PONG by sid."""
    peer.send(PING)
    found: Counter[bytes] = Counter()
    while (line := peer.line()) != PONG:
        assert line.startswith(b"MSG "), line
        found[line.split(b" ")[2]] += 1
        peer.expect(body + b"\r\n")
    return found


def test_choice_is_uniform(target: Target) -> None:
    """3,000 messages over 3 members: 1,000 each, give or take five deviations."""
    peers = target.clients(3)
    for number, peer in enumerate(peers):
        member(peer, b"q g %d" % number)
    (publisher,) = target.clients(1)
    for _ in range(30):
        publisher.send(pub(b"q", b"x") * 100 + PING)
        publisher.expect(PONG)
    counts = [sids(peer, b"x").total() for peer in peers]
    assert sum(counts) == 3000
    for count in counts:
        assert abs(count - 1000) < 5 * 25.8, counts


def test_no_round_robin(target: Target) -> None:
    """Of 60 messages some member gets two in a row; strict turns are no choice."""
    peer = target.client()
    for number in range(3):
        member(peer, b"q g %d" % number)
    peer.send(pub(b"q", b"x") * 60)
    order = []
    for _ in range(60):
        order.append(peer.line().split(b" ")[2])
        peer.expect(b"x\r\n")
    assert any(a == b for a, b in itertools.pairwise(order))
    assert set(order) == {b"0", b"1", b"2"}


def test_members_of_one_connection_each_count(target: Target) -> None:
    """Three of four members are one client's: it gets three quarters."""
    many, single = target.clients(2)
    for number in range(3):
        member(many, b"q g %d" % number)
    member(single, b"q g 9")
    many.send(pub(b"q", b"x") * 1200)
    counts = sids(many, b"x") + sids(single, b"x")
    assert counts.total() == 1200
    for count in counts.values():
        assert abs(count - 300) < 5 * 15, counts


def test_same_name_is_one_group_whatever_the_pattern(target: Target) -> None:
    peer = target.client()
    for text in (b"foo g 1", b"* g 4", b"> g 5"):
        member(peer, text)
    peer.send(pub(b"foo", b"x") * 60)
    counts = sids(peer, b"x")
    assert counts.total() == 60
    assert set(counts) == {b"1", b"4", b"5"}


def test_groups_and_plain_subscriptions_each_get_a_copy(target: Target) -> None:
    peers = target.clients(4)
    member(peers[0], b"foo one 1")
    member(peers[1], b"foo one 2")
    member(peers[2], b"foo two 3")
    member(peers[2], b"* two 4")
    member(peers[3], b"foo 5")
    member(peers[3], b"foo 6")
    peers[0].send(pub(b"foo", b"x") * 20)
    counts: Counter[bytes] = Counter()
    for peer in peers:
        counts += sids(peer, b"x")
    assert counts[b"1"] + counts[b"2"] == 20
    assert counts[b"3"] + counts[b"4"] == 20
    assert counts[b"5"] == counts[b"6"] == 20


def test_case_of_group_names_matters(target: Target) -> None:
    peer = target.client()
    member(peer, b"foo g 1")
    member(peer, b"foo G 2")
    peer.send(pub(b"foo", b"x") * 5)
    assert sids(peer, b"x") == {b"1": 5, b"2": 5}


def test_limit_of_one_member(target: Target) -> None:
    """It leaves after its messages, the rest goes to the other.

    Its reactor may be the first to know, so it is asked first: what was chosen for it
    too late is passed on before its PONG.
    """
    limited, other, publisher = target.clients(3)
    member(limited, b"q g 1")
    member(other, b"q g 2")
    limited.send(b"UNSUB 1 5\r\n")
    limited.expect_silence_until_pong()
    publisher.send(pub(b"q", b"x") * 100 + PING)
    publisher.expect(PONG)
    counts = sids(limited, b"x") + sids(other, b"x")
    assert counts == {b"1": 5, b"2": 95}


def test_only_member(target: Target) -> None:
    target.talk(
        b"SUB q g 1\r\n" + pub(b"q", b"x") * 3 + b"UNSUB 1\r\n" + pub(b"q", b"x"),
        msg(b"q", b"1", b"x") * 3,
    )


def test_closed_member_is_out(target: Target) -> None:
    """Once the server has closed it, everything goes to the one that is left."""
    left, leaving, publisher = target.clients(3)
    member(left, b"q g 1")
    member(leaving, b"q g 2")
    leaving.finish()
    leaving.expect_closed()
    publisher.send(pub(b"q", b"x") * 100)
    publisher.expect_silence_until_pong()
    assert sids(left, b"x") == {b"1": 100}


def test_members_come_and_go(target: Target, pool: ThreadPoolExecutor) -> None:
    """Each message is delivered exactly once while members join and leave with UNSUB
    and PING, beside one that stays."""
    over = threading.Event()

    def numbers(data: bytes) -> list[int]:
        return [int(line) for line in data.split(b"\r\n")[1::2]]

    def flap(peer: Peer) -> list[int]:
        got = []
        while not over.is_set():
            peer.send(b"SUB q g 1\r\nPING\r\n")
            stream = read_pong(peer)
            peer.send(b"UNSUB 1\r\nPING\r\n")
            stream += read_pong(peer)
            got += numbers(stream)
        return got

    def read_pong(peer: Peer) -> bytes:
        deadline = time.monotonic() + SECONDS
        while PONG not in peer.buffer:
            assert peer.fill(deadline), "no PONG"
        end = peer.buffer.index(PONG)
        return peer.take(end + len(PONG))[:end]

    def publish(peer: Peer) -> int:
        until = time.monotonic() + 1.5
        sent = 0
        while time.monotonic() < until:
            peer.send(
                b"".join(pub(b"q", b"%d" % n) for n in range(sent, sent + 20)) + PING
            )
            sent += 20
            peer.expect(PONG)
        return sent

    staying = target.client()
    member(staying, b"q g 1")
    flapping = [pool.submit(flap, peer) for peer in target.clients(5)]
    total = pool.submit(publish, target.client()).result()
    over.set()
    got = [number for future in flapping for number in future.result()]
    assert got, "the flapping members never had a turn"
    staying.send(PING)
    got += numbers(read_pong(staying))
    counts = Counter(got)
    assert max(counts.values()) == 1, "delivered twice"
    assert sorted(counts) == list(range(total)), "lost some"
