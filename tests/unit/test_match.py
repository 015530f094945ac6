"""Match results as they lie in memory, and the cache of a reactor."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from index_model import Index

Internals = tuple[Any, Any]
ENTRIES = 4096  # ND_CACHE_ENTRIES
MIB = 1024 * 1024  # ND_CACHE_BYTES
LONGEST = 44  # bytes of a subject that nobody wants and that is kept


@pytest.fixture
def index(internals: Internals) -> Iterator[Index]:
    made = Index(internals)
    yield made
    made.close()


def find(index: Index, subject: bytes) -> Any:
    rc = index.ffi.new("int *", 99)
    match = index.lib.nd_cache_find(index.cache, index.slice(subject), rc)
    assert rc[0] == 0
    return match


def tally(index: Index) -> tuple[int, int, int]:
    counts = index.cache_counts()
    return counts.entries, counts.hits, counts.misses


# ---- results ----


def test_result_lies_as_drawn(index: Index) -> None:
    for sid, queue, owner in [
        (b"1", b"", 2),
        (b"2", b"", 0),
        (b"3", b"q", 1),
        (b"4", b"", 2),
        (b"5", b"p", 0),
        (b"6", b"q", 0),
    ]:
        index.insert(sid, b"a.b", queue, owner)
    match = find(index, b"a.b")
    assert match.plain_count == 3
    assert list(match.starts[0:4]) == [0, 1, 1, 3]
    assert [match.plain[i].owner for i in range(3)] == [0, 2, 2]
    assert match.group_count == 2
    assert index.text(match.prefix) == b"MSG a.b "
    assert index.text(index.lib.nd_match_subject(match)) == b"a.b"
    floor = 8 * 6 + 4 * 4 + 8 * 2 + len(b"MSG a.b ")
    assert floor < match.weight < floor + 128


def test_result_keeps_its_subscriptions_alive(index: Index) -> None:
    index.insert(b"1", b"foo")
    sub = index.entries[b"1"].sub
    match = find(index, b"foo")
    index.lib.nd_match_retain(match)
    assert match.refs == 2
    assert sub.refs == 3  # ours, the index's, the result's
    index.lib.nd_sub_retain(sub)
    index.remove(b"1")
    assert sub.refs == 2
    assert not index.lib.nd_sub_is_dead(sub)
    assert find(index, b"foo") == index.ffi.NULL
    assert match.refs == 1
    assert index.text(index.lib.nd_sub_sid(match.plain[0])) == b"1"
    index.lib.nd_match_release(match)
    assert sub.refs == 1
    index.lib.nd_sub_release(sub)
    assert index.gate.refs == 1


def test_result_of_given_subscriptions(index: Index) -> None:
    for sid, queue, owner in [(b"1", b"", 1), (b"2", b"q", 0), (b"3", b"q", 2)]:
        index.insert(sid, b"foo", queue, owner)
    subs = [entry.sub for entry in index.entries.values()]
    for sub in subs:
        index.lib.nd_sub_retain(sub)
    array = index.ffi.new("struct nd_sub *[]", subs)
    subject = b"any.thing"
    match = index.lib.nd_match_new(index.slice(subject), array, 3, 3, index.ffi.NULL)
    assert index.read(match, subject) == ([[], [b"1"], []], {b"q": [b"2", b"3"]})
    index.lib.nd_match_release(match)
    assert [sub.refs for sub in subs] == [2, 2, 2]


# ---- the cache ----


def test_hits_and_misses(index: Index) -> None:
    index.insert(b"1", b"foo")
    first = find(index, b"foo")
    assert tally(index) == (1, 0, 1)
    assert find(index, b"foo") == first
    assert find(index, b"bar") == index.ffi.NULL
    assert find(index, b"bar") == index.ffi.NULL
    assert find(index, b"foo") == first
    assert tally(index) == (2, 3, 2)


def test_empty_subject_and_prefixes_differ(index: Index) -> None:
    index.insert(b"1", b"foo")
    index.insert(b"2", b"*")
    for subject in (b"foo", b"fo", b"", b"fooo", b"foo\0", b"oof", b"foo"):
        assert index.find(subject) == index.expected(subject), subject


def test_every_change_shows_at_once(index: Index) -> None:
    """The last-used shortcut included: the same subject is asked all the time."""
    patterns = [b"a.b", b"a.*", b"*.b", b">", b"a.>", b"x", b"a.b"]
    for number, pattern in enumerate(patterns):
        index.insert(b"%d" % number, pattern)
        assert index.find(b"a.b") == index.expected(b"a.b")
    for sid in list(index.entries):
        index.remove(sid)
        assert index.find(b"a.b") == index.expected(b"a.b")


def test_subjects_that_nobody_wants_are_bounded(index: Index) -> None:
    for i in range(50_000):
        assert find(index, b"nobody.%d" % i) == index.ffi.NULL
    entries, hits, misses = tally(index)
    assert ENTRIES // 2 < entries <= ENTRIES
    assert (hits, misses) == (0, 50_000)


def test_long_subject_that_nobody_wants_is_not_kept(index: Index) -> None:
    for length, kept in [(LONGEST, 1), (LONGEST + 1, 1)]:
        subject = b"n" * length
        find(index, subject)
        find(index, subject)
        assert tally(index)[0] == kept
    assert tally(index)[1:] == (1, 3)
    index.insert(b"1", b"n" * 500)
    assert find(index, b"n" * 500) == find(index, b"n" * 500)


def test_bytes_are_bounded(index: Index) -> None:
    for i in range(2000):
        index.insert(b"%d" % i, b"wide.*", owner=i % 3)
    weight = find(index, b"wide.0").weight
    assert weight > 8 * 2000
    refs = index.entries[b"0"].sub.refs
    for i in range(300):
        assert find(index, b"wide.%d" % i).plain_count == 2000
        assert tally(index)[0] * weight <= MIB
    assert MIB - 3 * weight < tally(index)[0] * weight
    assert index.entries[b"0"].sub.refs == refs - 1 + tally(index)[0]
    before = tally(index)[1]
    find(index, b"wide.299")
    assert tally(index)[1] == before + 1


def test_a_huge_result_is_lent_and_kept_alone(index: Index) -> None:
    count = MIB // 2 // 8 + 1000
    for i in range(count):
        index.insert(b"%d" % i, b"huge.*")
    for i in range(2000):
        index.insert(b"w%d" % i, b"wide.*")
    sub = index.entries[b"5"].sub
    others = [find(index, b"wide.%d" % i) for i in range(40)]  # 16 KB each
    for subject in (b"huge.1", b"huge.2", b"huge.1"):
        match = find(index, subject)
        assert match.plain_count == count
        assert find(index, subject) == match
        assert [find(index, b"wide.%d" % i) for i in range(40)] == others
        assert find(index, subject) == match
        assert sub.refs == 3
    assert tally(index)[0] == 41
    index.remove(b"7")
    assert find(index, b"huge.1").plain_count == count - 1
    index.remove(b"8")
    assert index.lib.nd_cache_sweep(index.cache, ENTRIES)
    assert tally(index)[0] == 40
    assert sub.refs == 2


def fill(index: Index) -> int:
    """Every place of the cache taken; returns how many subjects that took."""
    asked = 0
    while tally(index)[0] < ENTRIES:
        find(index, b"filler.%d" % asked)
        asked += 1
        assert asked < 40 * ENTRIES
    return asked


def test_subject_that_passes_by_drives_nobody_out(index: Index) -> None:
    index.insert(b"1", b"hot")
    index.insert(b"2", b"scan.*")
    find(index, b"hot")
    fill(index)
    sub = index.entries[b"2"].sub
    for i in range(3 * ENTRIES):
        assert find(index, b"scan.%d" % i).plain_count == 1
        assert sub.refs == 3  # ours, the index's, and that of the one result lent
    hits = tally(index)[1]
    find(index, b"hot")
    assert tally(index)[1] == hits + 1
    assert sub.refs == 3  # a hit does not let go of what was lent before
    for _ in range(2):
        index.lib.nd_cache_rest(index.cache)
        assert sub.refs == 2


def test_subject_that_comes_back_is_kept(index: Index) -> None:
    fill(index)
    index.insert(b"1", b"new")
    hits = tally(index)[1]
    for _ in range(3):
        assert index.find(b"new") == index.expected(b"new")
    assert tally(index)[1] == hits + 1


def test_result_that_was_lent_stays_for_who_retained_it(index: Index) -> None:
    fill(index)
    for name in (b"1", b"2"):
        index.insert(name, b"scan." + name)
    held = find(index, b"scan.1")
    index.lib.nd_match_retain(held)
    other = find(index, b"scan.2")
    assert other != held
    assert index.read(held, b"scan.1") == index.expected(b"scan.1")
    index.lib.nd_match_release(held)
    assert index.read(other, b"scan.2") == index.expected(b"scan.2")


def test_lent_results_of_any_size(index: Index) -> None:
    """Their memory is used again where it is large enough."""
    fill(index)
    for i in range(300):
        index.insert(b"%d" % i, b"wide.*", b"q%d" % (i % 3) if i % 2 else b"")
    index.insert(b"one", b"narrow.*")
    for i in range(50):
        for kind in (b"wide.%d", b"narrow.%d", b"nobody.%d"):
            subject = kind % (1000 + i)
            assert index.find(subject) == index.expected(subject)


def test_a_scan_is_noticed_and_forgotten(index: Index) -> None:
    index.insert(b"1", b"hot")
    find(index, b"hot")
    fill(index)
    for _ in range(20):
        find(index, b"hot")
    assert not index.lib.nd_cache_is_passed(index.cache)
    for i in range(100):
        find(index, b"scan.%d" % i)
    assert index.lib.nd_cache_is_passed(index.cache)
    find(index, b"hot")
    assert index.lib.nd_cache_is_passed(index.cache)  # one hit in a hundred
    for _ in range(20):
        find(index, b"hot")
    assert not index.lib.nd_cache_is_passed(index.cache)


@pytest.mark.parametrize("count", [1, 5, 16])
def test_warming_changes_nothing(index: Index, count: int) -> None:
    for i in range(300):
        index.insert(b"%d" % i, b"s.%d" % (i // 2), b"q" if i % 3 == 0 else b"")
    names = [b"s.%d" % (i * 37) for i in range(count)]
    kept = [index.ffi.from_buffer(name) for name in names]
    slices = index.ffi.new(
        "struct nd_slice[]", [(index.ffi.cast("uint8_t *", k), len(k)) for k in kept]
    )
    index.lib.nd_sublist_warm(index.list, slices, count)
    for name in names:
        assert index.find(name) == index.expected(name)
    index.remove_many(list(index.entries))
    index.lib.nd_sublist_warm(index.list, slices, count)  # of an empty index


def test_sweep_lets_go_of_the_dead(index: Index) -> None:
    for i in range(1000):
        index.insert(b"%d" % i, b"s.%d" % i)
        find(index, b"s.%d" % i)
    subs = [entry.sub for entry in index.entries.values()]
    assert index.lib.nd_cache_sweep(index.cache, 1) is False
    for sub in subs:
        index.lib.nd_sub_retain(sub)
    index.remove_many(list(index.entries))
    assert {sub.refs for sub in subs} == {2}  # ours and the cache's
    rounds = 1
    while not index.lib.nd_cache_sweep(index.cache, 100):
        rounds += 1
        assert rounds <= 2 * ENTRIES // 100 + 2
    while not index.lib.nd_cache_sweep(index.cache, 100):
        rounds += 1
    assert {sub.refs for sub in subs} == {1}
    assert tally(index)[0] == 0
    for sub in subs:
        index.lib.nd_sub_release(sub)


@pytest.mark.parametrize("subject", [b"foo", b"long." + b"n" * LONGEST])
def test_the_entry_of_the_shortcut_may_go(index: Index, subject: bytes) -> None:
    """Shows under the address sanitizer if the shortcut outlives its entry."""
    index.insert(b"1", subject)
    find(index, subject)
    index.remove(b"1")
    assert index.lib.nd_cache_sweep(index.cache, ENTRIES)
    assert tally(index)[0] == 0
    for _ in range(2):
        assert find(index, subject) == index.ffi.NULL
    index.insert(b"2", subject)
    assert find(index, subject).plain_count == 1
    index.remove(b"2")
    for _ in range(2):
        assert find(index, subject) == index.ffi.NULL


def test_sweep_keeps_what_is_true(index: Index) -> None:
    index.insert(b"1", b"kept")
    index.insert(b"2", b"changed")
    kept = find(index, b"kept")
    find(index, b"changed")
    find(index, b"nobody")
    index.insert(b"3", b"changed")
    assert index.lib.nd_cache_sweep(index.cache, ENTRIES)
    assert tally(index)[0] == 2
    hits = tally(index)[1]
    assert find(index, b"kept") == kept
    assert tally(index)[1] == hits + 1
    # Nothing has changed since: there is nothing to look at.
    assert index.lib.nd_cache_sweep(index.cache, 0)


def test_cache_is_true_while_it_thrashes(index: Index) -> None:
    """More subjects than entries, changes all the time, heavy results among them."""
    chance = random.Random(5)
    for i in range(400):
        index.insert(b"w%d" % i, b"x.*", owner=i % 3)
    for step in range(9000):
        subject = b"x.%d" % chance.randrange(3) if step % 3 else b"y.%d" % step
        if step % 50 == 0:
            index.insert(b"%d" % step, chance.choice([b"y.*", b"x.1", b"z"]))
        if step % 100 == 0:
            index.remove(b"%d" % step)
        if step % 30 == 0:
            index.lib.nd_cache_sweep(index.cache, 64)
        match = find(index, subject)
        count = 0 if match == index.ffi.NULL else match.plain_count
        if step % 20 == 0:
            assert index.read(match, subject) == index.expected(subject)
            assert count == sum(map(len, index.expected(subject)[0]))
