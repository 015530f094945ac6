"""The queue of events to Python."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

Internals = tuple[Any, Any]


class Queue:
    def __init__(self, internals: Internals) -> None:
        self.ffi, self.lib = internals
        self.raw = self.ffi.new("struct nd_events *")
        assert self.lib.nd_events_init(self.raw) == 0

    def log(self, text: bytes, prefix: bytes = b"", cid: int = 0) -> None:
        kept = self.ffi.from_buffer("uint8_t[]", text)
        part = self.ffi.new("struct nd_slice *", (kept, len(text)))[0]
        self.lib.nd_events_log(self.raw, self.lib.ND_LEVEL_INFO, cid, prefix, part)

    def take(self) -> list[tuple[int, int, bytes, bytes, bytes]]:
        """(kind, cid, text, prior, peer) of one batch; empty = closed."""
        found = []
        node = self.lib.nd_events_take(self.raw)
        while node != self.ffi.NULL:
            e = node.event
            texts = [
                self.ffi.buffer(at, size)[:] if at else b""
                for at, size in (
                    (e.text, e.text_len),
                    (e.prior, e.prior_len),
                    (e.peer, e.peer_len),
                )
            ]
            found.append((e.kind, e.cid, *texts))
            after = node.next
            self.lib.nd_test_event_free(node)
            node = after
        return found


@pytest.fixture
def queue(internals: Internals) -> Iterator[Queue]:
    live = internals[1].nd_test_alloc_live()
    made = Queue(internals)
    yield made
    made.lib.nd_events_fini(made.raw)
    assert internals[1].nd_test_alloc_live() == live


def test_batches_are_bounded_and_in_order(queue: Queue) -> None:
    most = queue.lib.ND_EVENT_BATCH
    for number in range(2 * most + 5):
        queue.log(b"%d" % number)
    sizes, texts = [], []
    for _ in range(3):
        batch = queue.take()
        sizes.append(len(batch))
        texts += [event[2] for event in batch]
    assert sizes == [most, most, 5]
    assert texts == [b"%d" % number for number in range(2 * most + 5)]
    assert queue.raw.log_bytes == 0


def test_texts_are_copies(queue: Queue) -> None:
    ffi, lib = queue.ffi, queue.lib
    buffers = [
        ffi.new("char[]", text) for text in (b'{"user":"me"}', b"a note", b"1.2.3.4:5")
    ]
    event = ffi.new("struct nd_event *")
    event.kind, event.cid, event.is_traced = lib.ND_EV_CONNECT, 77, True
    event.text, event.text_len = buffers[0], 13
    event.prior, event.prior_len = buffers[1], 6
    event.peer, event.peer_len = buffers[2], 9
    assert lib.nd_events_push(queue.raw, event) == 0
    for buffer in buffers:
        ffi.memmove(buffer, b"XXXXX", 5)
    assert queue.take() == [
        (lib.ND_EV_CONNECT, 77, b'{"user":"me"}', b"a note", b"1.2.3.4:5")
    ]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain ~ text", b"plain ~ text"),
        (b"a\nb\r", rb"a\x0ab\x0d"),
        (b"\x00\x1f\x7f\x80\xff", rb"\x00\x1f\x7f\x80\xff"),
        (b"", b""),
    ],
)
def test_a_line_is_printable(queue: Queue, raw: bytes, shown: bytes) -> None:
    queue.log(raw, prefix=b"who - ", cid=5)
    assert queue.take() == [(queue.lib.ND_EV_LOG, 5, b"who - " + shown, b"", b"")]


@pytest.mark.parametrize("filler", [b"x", b"\xff"])
def test_a_long_line_is_cut(queue: Queue, filler: bytes) -> None:
    queue.log(filler * 100_000)
    text = queue.take()[0][2]
    assert queue.lib.ND_LOG_LINE - 4 < len(text) <= queue.lib.ND_LOG_LINE
    assert set(text) == set(b"x" if filler == b"x" else rb"\xff")


def test_lines_beyond_the_bound_are_dropped_and_counted(queue: Queue) -> None:
    line = b"x" * 1000
    room = queue.lib.ND_LOG_QUEUE // len(line)
    for _ in range(room + 3):
        queue.log(line)
    assert queue.raw.logs_dropped == 3
    event = queue.ffi.new("struct nd_event *")
    event.kind = queue.lib.ND_EV_CONNECT
    assert queue.lib.nd_events_push(queue.raw, event) == 0  # is never dropped
    taken = len(queue.take())
    queue.log(line)
    assert queue.raw.logs_dropped == 3
    while taken < room + 2:
        taken += len(queue.take())
    assert taken == room + 2
    assert queue.raw.log_bytes == 0


def test_no_memory_drops_a_line_and_refuses_a_connect(queue: Queue) -> None:
    event = queue.ffi.new("struct nd_event *")
    queue.lib.nd_test_alloc_fail(1, True)
    try:
        queue.log(b"lost")
        refused = queue.lib.nd_events_push(queue.raw, event)
    finally:
        queue.lib.nd_test_alloc_fail(0, False)
    assert refused == queue.lib.ND_ENOMEM
    assert queue.raw.logs_dropped == 1


def test_close_wakes_who_waits_and_loses_nothing(queue: Queue) -> None:
    batches: list[list[Any]] = []

    def run() -> None:
        while batch := queue.take():
            batches.append(batch)

    thread = threading.Thread(target=run)
    thread.start()
    queue.log(b"before the end")
    queue.lib.nd_events_close(queue.raw)
    thread.join(10)
    assert not thread.is_alive()
    assert [event[2] for batch in batches for event in batch] == [b"before the end"]
    assert queue.take() == []
