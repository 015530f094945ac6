"""Mailboxes: what is posted arrives, in order, and rings only who sleeps."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Internals = tuple[Any, Any]
HEAD = 8  # bytes of a parcel's head


class Box:
    """An inbox, with an outbox that posts to it."""

    def __init__(self, internals: Internals) -> None:
        self.ffi, self.lib = internals
        self.inbox = self.ffi.new("struct nd_inbox *")
        assert self.lib.nd_inbox_init(self.inbox) == 0
        self.outbox = self.ffi.new("struct nd_outbox *")

    def push(self, kind: int, data: bytes, outbox: Any = None) -> None:
        size = HEAD + 4 + len(data)
        parcel = self.lib.nd_outbox_push(outbox or self.outbox, kind, size)
        assert int(self.ffi.cast("uintptr_t", parcel)) % 8 == 0
        to = self.ffi.cast("uint8_t *", parcel) + HEAD
        self.ffi.memmove(to, struct.pack("I", len(data)) + data, len(data) + 4)

    def post(self, outbox: Any = None) -> None:
        self.lib.nd_outbox_post(outbox or self.outbox, self.inbox)

    def take(self) -> list[tuple[int, bytes]]:
        found = []
        page = self.lib.nd_inbox_take(self.inbox)
        while page != self.ffi.NULL:
            parcel = self.lib.nd_page_at(page, 0)
            while parcel != self.ffi.NULL:
                assert parcel.size % 8 == 0
                at = self.ffi.cast("uint8_t *", parcel)
                (size,) = struct.unpack("I", self.ffi.buffer(at + HEAD, 4)[:])
                assert HEAD + 4 + size <= parcel.size
                found.append((parcel.kind, self.ffi.buffer(at + HEAD + 4, size)[:]))
                parcel = self.lib.nd_page_next(page, parcel)
            after = page.next
            self.lib.nd_page_free(page)
            page = after
        return found

    def rings(self) -> int:
        """How often the bell rang since the last look."""
        try:
            return int.from_bytes(os.read(self.inbox.bell.read_fd, 8), "little")
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self.take()
        self.lib.nd_inbox_fini(self.inbox)


@pytest.fixture
def box(internals: Internals) -> Iterator[Box]:
    made = Box(internals)
    yield made
    made.close()


PARCELS = st.lists(
    st.one_of(st.binary(max_size=40), st.integers(0, 80_000).map(bytes)), max_size=30
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches=st.lists(PARCELS, max_size=4), weight=st.integers(0, 10**6))
def test_parcels_arrive_as_they_were_sent(
    internals: Internals, batches: list[list[bytes]], weight: int
) -> None:
    live = internals[1].nd_test_alloc_live()
    box = Box(internals)
    sent: list[tuple[int, bytes]] = []
    total = 0
    for batch in batches:
        for data in batch:
            box.push(len(sent), data)
            sent.append((len(sent), data))
            total += (HEAD + 4 + len(data) + 7) // 8 * 8
        if batch:
            box.lib.nd_outbox_weigh(box.outbox, weight)
            total += weight
        box.post()
        assert box.outbox.first == box.outbox.last == box.ffi.NULL
        assert box.lib.nd_inbox_has_mail(box.inbox) == bool(sent)
        assert box.inbox.weight == total
    assert box.take() == sent
    assert box.inbox.weight == 0
    assert not box.lib.nd_inbox_has_mail(box.inbox)
    box.close()
    assert internals[1].nd_test_alloc_live() == live


def test_a_big_parcel_has_a_page_of_its_own(box: Box) -> None:
    box.push(1, b"small")
    box.push(2, bytes(200_000))
    assert box.outbox.first.next == box.outbox.last
    assert box.outbox.last.used == box.outbox.last.cap
    assert box.outbox.first.used < 64
    box.post()


def test_no_memory_leaves_what_was_pushed(box: Box) -> None:
    box.push(1, b"small")
    box.lib.nd_test_alloc_fail(1, False)
    try:
        assert box.lib.nd_outbox_push(box.outbox, 2, 100_000) == box.ffi.NULL
    finally:
        box.lib.nd_test_alloc_fail(0, False)
    box.push(3, b"more")
    box.post()
    assert box.take() == [(1, b"small"), (3, b"more")]


@pytest.fixture
def pool(box: Box) -> Iterator[Any]:
    # It wants whole cache lines, which cffi's memory does not begin with.
    memory = box.ffi.new("uint8_t[]", box.ffi.sizeof("struct nd_page_pool") + 64)
    skew = -int(box.ffi.cast("uintptr_t", memory)) % 64
    made = box.ffi.cast("struct nd_page_pool *", memory + skew)
    box.outbox.pool = made
    yield made
    box.take()
    box.lib.nd_page_pool_fini(made)


def test_pages_are_used_again(box: Box, pool: Any) -> None:
    data = bytes(50_000)
    calls = []
    for _ in range(5):
        box.lib.nd_test_alloc_fail(0, False)  # counts from here
        for number in range(4):
            box.push(number, data)
        box.post()
        assert box.take() == [(number, data) for number in range(4)]
        calls.append(box.lib.nd_test_alloc_calls())
    assert calls[0] > 0
    assert calls[1:] == [0, 0, 0, 0]


def test_pages_that_are_kept_are_few(box: Box, pool: Any) -> None:
    live = box.lib.nd_test_alloc_live()
    for _ in range(3):
        for number in range(100):
            box.push(number, bytes(100_000))
        box.post()
        assert len(box.take()) == 100
    box.push(0, bytes(100_000))  # takes back what has been returned
    assert pool.count <= 16
    assert box.lib.nd_test_alloc_live() - live <= 17


def test_pages_come_back_from_other_threads(box: Box, pool: Any) -> None:
    rounds, got = 300, 0

    def collect() -> None:
        nonlocal got
        while got < rounds * 3:
            got += len(box.take())

    reader = threading.Thread(target=collect)
    reader.start()
    for _ in range(rounds):
        for number in range(3):
            box.push(number, bytes(60_000))
        box.post()
    reader.join()
    assert got == rounds * 3


class Room:
    """What an outbox has beside its pages; the chunks are of *pool*."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.pool = box.ffi.new("struct nd_pool *")

    def write(self, size: int) -> tuple[Any, Any]:
        """One parcel that holds *size* bytes: where they lie, and in which blob."""
        lib, outbox = self.box.lib, self.box.outbox
        at = lib.nd_outbox_room(outbox, self.pool, size)
        assert at != self.box.ffi.NULL
        self.box.push(1, b"")
        return at, lib.nd_outbox_take_room(outbox, size)


def test_bytes_beside_the_pages_lie_one_after_the_other(box: Box) -> None:
    room = Room(box)
    first, blob = room.write(40_000)
    second, same = room.write(25_000)
    assert (second - first, same) == (40_000, blob)
    assert first == blob.data
    assert blob.refs == 3
    assert box.outbox.weight == 65_000 + 2 * 16
    third, other = room.write(1_000)  # no room for that
    assert other != blob
    assert third == other.data
    assert (blob.refs, other.refs) == (2, 2)
    box.post()
    assert other.refs == 1
    assert box.outbox.chunk == box.ffi.NULL
    assert box.inbox.weight == 66_000 + 3 * 16
    assert len(box.take()) == 3
    for held in (blob, blob, other):
        box.lib.nd_blob_release(held)


def test_what_is_posted_is_not_written_to(box: Box) -> None:
    room = Room(box)
    _, blob = room.write(10)
    box.post()
    _, other = room.write(10)
    assert other != blob
    box.lib.nd_outbox_close_room(box.outbox)
    assert (blob.refs, other.refs) == (1, 1)
    box.lib.nd_outbox_close_room(box.outbox)
    for held in (blob, other):
        box.lib.nd_blob_release(held)


def test_no_memory_beside_the_pages(box: Box) -> None:
    room = Room(box)
    box.lib.nd_test_alloc_fail(1, True)
    try:
        at = box.lib.nd_outbox_room(box.outbox, room.pool, 10)
    finally:
        box.lib.nd_test_alloc_fail(0, False)
    assert at == box.ffi.NULL
    _, blob = room.write(10)
    box.post()
    box.lib.nd_blob_release(blob)


def test_nothing_to_post_is_no_mail(box: Box) -> None:
    assert box.lib.nd_inbox_doze(box.inbox)
    box.post()
    assert box.rings() == 0
    assert box.inbox.is_asleep
    assert box.take() == []


def test_the_bell_rings_once_and_only_for_a_sleeper(box: Box) -> None:
    box.push(1, b"while awake")
    box.post()
    assert box.rings() == 0
    assert not box.lib.nd_inbox_doze(box.inbox)  # there is mail
    assert not box.inbox.is_asleep
    box.take()
    assert box.lib.nd_inbox_doze(box.inbox)
    for _ in range(3):
        box.push(2, b"while asleep")
        box.post()
    assert box.rings() == 1
    box.lib.nd_inbox_wake(box.inbox)
    box.push(3, b"awake again")
    box.post()
    assert box.rings() == 0


def test_each_sender_keeps_its_order(box: Box) -> None:
    count, senders = 3000, 3

    def send(sender: int) -> None:
        outbox = box.ffi.new("struct nd_outbox *")
        for number in range(count):
            box.push(sender, struct.pack("I", number), outbox)
            if number % (sender + 2) == 0:
                box.post(outbox)
        box.post(outbox)

    threads = [threading.Thread(target=send, args=(i,)) for i in range(senders)]
    for thread in threads:
        thread.start()
    got: dict[int, list[int]] = {i: [] for i in range(senders)}
    while any(thread.is_alive() for thread in threads) or box.inbox.has_mail:
        for sender, data in box.take():
            got[sender].append(struct.unpack("I", data)[0])
    for thread in threads:
        thread.join()
    assert all(numbers == list(range(count)) for numbers in got.values())
    assert box.inbox.weight == 0
