"""What is remembered of answers to CONNECT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

Internals = tuple[Any, Any]
ENTRIES, LONGEST = 16, 1024


class Memo:
    def __init__(self, internals: Internals) -> None:
        self.ffi, self.lib = internals
        self.memo = self.ffi.new("struct nd_memo *")
        self.key = self.ffi.new("struct nd_hash_key *", (1, 2))

    def slice(self, text: bytes) -> Any:
        self.text = self.ffi.from_buffer("uint8_t[]", text)
        return self.ffi.new("struct nd_slice *", (self.text, len(text)))[0]

    def put(self, text: bytes, note: bytes, options: int, rights: Any = (0,)) -> None:
        blob = self.lib.nd_blob_copy(self.slice(note))
        key, given = self.slice(text), self.ffi.new("struct nd_rights *", rights)[0]
        self.lib.nd_memo_put(self.memo, self.key, key, blob, options, given)
        self.lib.nd_blob_release(blob)

    def find(self, text: bytes) -> tuple[bytes, int] | None:
        found = self.lib.nd_memo_find(self.memo, self.key, self.slice(text))
        if found == self.ffi.NULL:
            return None
        note = bytes(self.ffi.buffer(found.note.data, found.note.cap))
        return note, found.options


@pytest.fixture
def memo(internals: Internals) -> Iterator[Memo]:
    made = Memo(internals)
    yield made
    made.lib.nd_memo_fini(made.memo)


def test_the_same_text_finds_it(memo: Memo) -> None:
    assert memo.find(b"{}") is None
    memo.put(b"{}", b"note", 5)
    assert memo.find(b"{}") == (b"note", 5)
    for other in (b"{} ", b"{", b"", b"}{"):
        assert memo.find(other) is None


def test_the_oldest_makes_room(memo: Memo) -> None:
    for i in range(ENTRIES + 1):
        memo.put(b"%d" % i, b"note %d" % i, i)
    assert memo.find(b"0") is None
    for i in range(1, ENTRIES + 1):
        assert memo.find(b"%d" % i) == (b"note %d" % i, i)


def test_the_same_again_takes_no_second_place(memo: Memo) -> None:
    for i in range(ENTRIES):
        memo.put(b"%d" % i, b"", 0)
        memo.put(b"0", b"", 0)
    assert memo.find(b"0") is not None


def test_long_texts_are_not_kept(memo: Memo) -> None:
    memo.put(b"x" * LONGEST, b"", 1)
    memo.put(b"x" * (LONGEST + 1), b"", 2)
    assert memo.find(b"x" * LONGEST) == (b"", 1)
    assert memo.find(b"x" * (LONGEST + 1)) is None


def test_rights_are_kept_with_it(memo: Memo) -> None:
    ffi, lib = memo.ffi, memo.lib
    live = lib.nd_test_alloc_live()
    permits = lib.nd_permits_new(b"", 0, ffi.NULL, 0)
    memo.put(b"{}", b"note", 5, (7, permits))
    memo.put(b"{}", b"note", 5, (8, permits))  # known already: nothing is held
    memo.put(b"x" * (LONGEST + 1), b"note", 5, (9, permits))
    lib.nd_permits_release(permits)
    found = lib.nd_memo_find(memo.memo, memo.key, memo.slice(b"{}"))
    assert (found.rights.grant, found.rights.permits) == (7, permits)
    lib.nd_memo_fini(memo.memo)
    assert lib.nd_test_alloc_live() == live
