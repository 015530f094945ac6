"""The keyed hash and its table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

Internals = tuple[Any, Any]


def sip_1_3(k0: int, k1: int, data: bytes) -> int:
    """SipHash-1-3 by its definition, slowly."""
    mask = (1 << 64) - 1
    a, b = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    c, d = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def turn(word: int, bits: int) -> int:
        return (word << bits | word >> (64 - bits)) & mask

    def step() -> None:
        nonlocal a, b, c, d
        a, b = (a + b) & mask, turn(b, 13)
        b, a = b ^ a, turn(a, 32)
        c, d = (c + d) & mask, turn(d, 16)
        d ^= c
        a, d = (a + d) & mask, turn(d, 21)
        d ^= a
        c, b = (c + b) & mask, turn(b, 17)
        b, c = b ^ c, turn(c, 32)

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        d ^= word
        step()
        a ^= word
    c ^= 0xFF
    for _ in range(3):
        step()
    return a ^ b ^ c ^ d


@pytest.mark.parametrize("length", [*range(26), 255, 256, 1000])
def test_siphash(internals: Internals, length: int) -> None:
    ffi, lib = internals
    data = bytes(i * 7 & 0xFF for i in range(length))
    key = ffi.new("struct nd_hash_key *", (0x0706050403020100, 0x0F0E0D0C0B0A0908))
    piece = ffi.new("struct nd_slice *", (ffi.from_buffer("uint8_t[]", data), length))
    assert lib.nd_hash_bytes(key, piece[0]) == sip_1_3(key.k0, key.k1, data)
    if length == 8:
        number = int.from_bytes(data, "little")
        assert lib.nd_hash_u64(key, number) == sip_1_3(key.k0, key.k1, data)


def test_key_matters(internals: Internals) -> None:
    ffi, lib = internals
    keys = [ffi.new("struct nd_hash_key *", (i, 2 * i)) for i in range(100)]
    assert len({lib.nd_hash_u64(key, 5) for key in keys}) == 100


class Table:
    """A C table, and the Python set that it should equal."""

    def __init__(self, internals: Internals) -> None:
        self.ffi, self.lib = internals
        self.c = self.ffi.new("struct nd_hash *")
        self.lib.nd_hash_init(self.c)
        self.links: dict[int, Any] = {}

    def insert(self, number: int, value: int) -> None:
        link = self.ffi.new("struct nd_hash_link *", {"hash": value})
        self.lib.nd_hash_insert(self.c, link)
        self.links[number] = link

    def remove(self, number: int) -> None:
        link = self.links.pop(number)
        assert self.lib.nd_hash_remove(self.c, link)
        assert not self.lib.nd_hash_remove(self.c, link)

    def found(self, value: int) -> list[Any]:
        links, link = [], self.ffi.NULL
        while (link := self.lib.nd_hash_find(self.c, value, link)) != self.ffi.NULL:
            links.append(link)
        return links


@pytest.fixture
def table(internals: Internals) -> Iterator[Table]:
    made = Table(internals)
    yield made
    made.lib.nd_hash_fini(made.c)


def test_table_equals_a_set(table: Table) -> None:
    chance = random.Random(1)
    for step in range(6000):
        is_growing = step // 1000 % 2 == 0
        if table.links and chance.random() < (0.3 if is_growing else 0.8):
            table.remove(chance.choice(list(table.links)))
        else:
            # A quarter of the hashes collide in full, more in their low bits.
            value = step % 16 << 60 | step
            table.insert(step, step % 4 if chance.random() < 0.25 else value)
        assert table.c.used == len(table.links)
    for number, link in table.links.items():
        assert link in table.found(link.hash), number
    assert table.found(1 << 63 | 12345) == []


def test_table_grows_and_shrinks_with_its_records(table: Table) -> None:
    for i in range(20_000):
        table.insert(i, i * 0x9E3779B97F4A7C15 & (1 << 64) - 1)
    assert table.c.buckets.count == 20_000
    for i in range(19_990):
        table.remove(i)
    assert table.c.buckets.count <= 64
    for i in range(19_990, 20_000):
        assert len(table.found(table.links[i].hash)) == 1
        table.remove(i)
    assert table.c.buckets.count == 1
    assert table.c.buckets.tier_count == 0


def test_table_empties_by_any(table: Table) -> None:
    for i in range(5000):
        table.insert(i, i * 0x9E3779B97F4A7C15 & (1 << 64) - 1)
    gone = 0
    while (link := table.lib.nd_hash_any(table.c)) != table.ffi.NULL:
        assert table.lib.nd_hash_remove(table.c, link)
        gone += 1
    assert gone == 5000
    assert table.c.used == 0


def address(ffi: Any, pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


@pytest.mark.parametrize("has_pantry", [False, True])
def test_tiers_keep_their_entries(internals: Internals, has_pantry: bool) -> None:
    ffi, lib = internals
    row = ffi.new("struct nd_tiers *")
    pantry = ffi.new("struct nd_pantry *") if has_pantry else ffi.NULL
    chance = random.Random(2)
    model: list[int] = []
    for goal in (1, 2, 1, 9, 300, 7, 33, 0, 17, 0):
        while len(model) < goal:
            entry = chance.randrange(1, 1 << 40)
            if lib.nd_tiers_push(row, ffi.cast("void *", entry), pantry):
                fill(ffi, lib, pantry)
                continue
            model.append(entry)
        while len(model) > goal:
            assert address(ffi, lib.nd_tiers_pop(row, pantry)) == model.pop()
        read = [address(ffi, lib.nd_tiers_get(row, i)) for i in range(row.count)]
        assert read == model
        assert (row.tier_count == 0) == (goal <= 1)
    lib.nd_tiers_fini(row)
    if has_pantry:
        assert pantry.trash != ffi.NULL
        lib.nd_trash_free(lib.nd_pantry_take_trash(pantry))
        assert pantry.trash == ffi.NULL


def fill(ffi: Any, lib: Any, pantry: Any) -> None:
    """What the index does after its lock."""
    fresh = ffi.new("struct nd_pantry *")
    assert pantry.wanted != 0
    assert lib.nd_pantry_make(fresh, pantry.wanted) == 0
    pantry.wanted = 0
    lib.nd_pantry_fill(pantry, fresh)
    assert all(block == ffi.NULL for block in fresh.spare)


def test_pantry_keeps_one_block_of_a_kind(internals: Internals) -> None:
    ffi, lib = internals
    pantry, fresh = ffi.new("struct nd_pantry *"), ffi.new("struct nd_pantry *")
    for wanted, left in [(0b101, 0), (0b110, 0b100)]:
        assert lib.nd_pantry_make(fresh, wanted) == 0
        lib.nd_pantry_fill(pantry, fresh)
        assert [i for i in range(30) if fresh.spare[i] != ffi.NULL] == [
            i for i in range(30) if left >> i & 1
        ]
        lib.nd_pantry_fini(fresh)
    assert [i for i in range(30) if pantry.spare[i] != ffi.NULL] == [0, 1, 2]
    lib.nd_pantry_fini(pantry)
