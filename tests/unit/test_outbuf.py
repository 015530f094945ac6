"""The output buffer against a bytearray."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Internals = tuple[Any, Any]
FIRST = 2 * 1024
CHUNK = 64 * 1024
BLOB = 50_000

SIZES = st.one_of(
    st.integers(0, 64),
    st.integers(FIRST - 600, FIRST + 600),
    st.integers(CHUNK - 600, CHUNK + 600),
    st.integers(0, 3 * CHUNK),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), SIZES),
        st.tuples(st.just("refer"), st.integers(0, 1), SIZES, st.integers(0, BLOB)),
        st.tuples(st.just("room"), st.integers(1, 2000)),
        st.tuples(st.just("peek"), st.integers(1, 6)),
        st.tuples(st.just("consume"), st.floats(0, 1)),
        st.tuples(st.just("settle"), st.integers(0, 1)),
    ),
    max_size=40,
)


class Buffer:
    """An output buffer, its pool, two blobs to refer to, and what must be in it."""

    def __init__(self, internals: Internals) -> None:
        self.ffi, self.lib = internals
        self.pool = self.ffi.new("struct nd_pool *")
        self.out = self.ffi.new("struct nd_outbuf *")
        self.lib.nd_outbuf_init(self.out)
        self.blobs = [self.lib.nd_blob_new(BLOB) for _ in range(2)]
        for number, blob in enumerate(self.blobs):
            self.ffi.memmove(blob.data, self.pattern(BLOB, number), BLOB)
        self.model = bytearray()
        self.written = 0

    @staticmethod
    def pattern(size: int, seed: int) -> bytes:
        return bytes((i * 7 + seed) % 251 for i in range(size))

    def pooled(self) -> int:
        """Chunks that lie in the pool; the bytes that it says agree."""
        count = size = 0
        for chunk in (self.pool.first, self.pool.next):
            while chunk:
                count, size, chunk = count + 1, size + chunk.cap, chunk.next
        assert size == self.pool.bytes
        return count

    def slice_at(self, pointer: Any, size: int) -> Any:
        return self.ffi.new("struct nd_slice *", (pointer, size))[0]

    def fresh(self, size: int) -> bytes:
        self.written += 1
        return self.pattern(size, self.written * 13)

    def append(self, size: int) -> None:
        data = self.fresh(size)
        kept = self.ffi.from_buffer("uint8_t[]", data)
        assert not self.lib.nd_outbuf_append(
            self.out, self.pool, self.slice_at(kept, size)
        )
        self.model += data

    def refer(self, number: int, size: int, start: int) -> None:
        start = min(start, BLOB - 1)
        size = max(1, min(size, BLOB - start))
        blob = self.blobs[number]
        part = self.slice_at(blob.data + start, size)
        assert self.lib.nd_outbuf_append_ref(self.out, blob, part) == 0
        self.model += self.ffi.buffer(blob.data, BLOB)[start : start + size]

    def room(self, size: int) -> None:
        at = self.lib.nd_outbuf_room(self.out, size)
        if at != self.ffi.NULL:
            data = self.fresh(size)
            self.ffi.memmove(at, data, size)
            self.lib.nd_outbuf_commit(self.out, size)
            self.model += data

    def peek(self, most: int) -> None:
        iov = self.ffi.new("struct iovec[]", most)
        count = self.lib.nd_outbuf_peek(self.out, iov, most)
        assert 0 <= count <= most
        assert (count > 0) == (len(self.model) > 0)
        got = b"".join(
            self.ffi.buffer(iov[i].iov_base, iov[i].iov_len)[:] for i in range(count)
        )
        assert self.model.startswith(got)

    def consume(self, part: float) -> None:
        size = int(len(self.model) * part)
        self.lib.nd_outbuf_consume(self.out, self.pool, size)
        del self.model[:size]

    def settle(self, number: int) -> None:
        blob = self.blobs[number]
        assert self.lib.nd_outbuf_settle(self.out, blob) == 0
        assert blob.refs == 1
        seed = self.written = self.written + 1  # its owner uses it again
        self.ffi.memmove(blob.data, self.pattern(BLOB, seed), BLOB)

    def check(self) -> None:
        wrong = self.lib.nd_outbuf_check(self.out)
        assert wrong == self.ffi.NULL, self.ffi.string(wrong)
        assert self.out.pending == len(self.model)
        iov = self.ffi.new("struct iovec[]", 512)
        count = self.lib.nd_outbuf_peek(self.out, iov, 512)
        assert count < 512
        got = b"".join(
            self.ffi.buffer(iov[i].iov_base, iov[i].iov_len)[:] for i in range(count)
        )
        assert got == self.model

    def close(self) -> None:
        self.lib.nd_outbuf_fini(self.out, self.pool)
        assert [blob.refs for blob in self.blobs] == [1, 1]
        for blob in self.blobs:
            self.lib.nd_blob_release(blob)
        self.lib.nd_pool_fini(self.pool)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, drains=st.booleans())
def test_it_gives_what_it_was_given(
    internals: Internals, steps: list[tuple[Any, ...]], drains: bool
) -> None:
    lib = internals[1]
    live = lib.nd_test_alloc_live()
    buffer = Buffer(internals)
    for name, *arguments in steps:
        getattr(buffer, name)(*arguments)
        buffer.check()
    if drains:
        buffer.consume(1.0)
        buffer.check()
        held = lib.nd_test_alloc_live() - live
        assert held == len(buffer.blobs) + buffer.pooled()
    buffer.close()
    assert lib.nd_test_alloc_live() == live


@pytest.mark.parametrize("lasting", [False, True])
def test_without_memory_it_only_needs_to_be_given_back(
    internals: Internals, lasting: bool
) -> None:
    lib = internals[1]
    live = lib.nd_test_alloc_live()
    for nth in range(1, 12):
        buffer = Buffer(internals)
        part = buffer.slice_at(buffer.blobs[0].data, 9000)
        lib.nd_test_alloc_fail(nth, lasting)
        refused = 0
        while not refused and buffer.out.count < 60:
            refused = lib.nd_outbuf_append(buffer.out, buffer.pool, part)
            if not refused:
                refused = lib.nd_outbuf_append_ref(buffer.out, buffer.blobs[0], part)
            if not refused and buffer.out.count > 30:
                refused = lib.nd_outbuf_settle(buffer.out, buffer.blobs[0])
        assert refused == lib.ND_ENOMEM
        lib.nd_test_alloc_fail(0, False)
        buffer.close()
    assert lib.nd_test_alloc_live() == live


def test_small_things_between_large_ones_share_a_chunk(internals: Internals) -> None:
    buffer = Buffer(internals)
    for _ in range(20):
        buffer.append(30)
        buffer.refer(0, 5000, 0)
    buffer.check()
    chunk = buffer.out.chunk
    assert chunk.refs == 21
    buffer.consume(1.0)
    buffer.check()
    assert buffer.pooled() == 1
    buffer.close()


def test_neighbours_in_a_blob_are_one_piece(internals: Internals) -> None:
    buffer = Buffer(internals)
    for number, size, start, pieces in (
        (0, 100, 0, 1),
        (0, 50, 100, 1),  # goes on where the last one ended
        (0, 50, 151, 2),  # a byte further
        (1, 50, 201, 3),  # another blob
        (0, 50, 201, 4),
    ):
        buffer.refer(number, size, start)
        buffer.check()
        assert buffer.out.count == pieces
    buffer.append(10)
    buffer.refer(0, 50, 251)
    assert buffer.out.count == 6
    buffer.check()
    buffer.close()
