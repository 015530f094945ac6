"""The index: against a naive model, against the tables of the protocol, and in size."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sanitized
from hypothesis import given, settings
from hypothesis import strategies as st
from index_model import Index

Internals = tuple[Any, Any]


@pytest.fixture
def index(internals: Internals) -> Iterator[Index]:
    made = Index(internals)
    yield made
    made.close()


# ---- tables: client-protocol.md 5.3, with its fixes ----

EVERYTHING = [
    *(b"foo", b"foo.", b".foo", b".", b"..", b"", b"foo.x", b"foo.x.y", b"foo..bar"),
    *(b"foo.*", b"foo.>", b"foo.bar", b"bar.foo", b"a.b", b"*", b">", b"*.*", b"q."),
    *(b"foo.*bar", b"foo.>bar", b"**", b">>", b"foo*", b"foo>", b"foo.xyz", b"foo.**"),
    *(b"FOO.bar", b"foo.x\0y", b"\xff.foo", b"foo.x.y."),
]

TABLE: list[tuple[bytes, list[bytes], list[bytes]]] = [
    # pattern, reached by, not reached by
    (b"foo.bar", [b"foo.bar"], [b"foo", b"foo.", b"foo.*", b"foo.>", b"FOO.bar"]),
    (b"foo.*", [b"foo.x", b"foo.", b"foo.*", b"foo.>"], [b"foo", b"foo.x.y"]),
    (
        b"foo.>",
        [b"foo.x", b"foo.x.y", b"foo.", b"foo..bar", b"foo.*"],
        [b"foo", b".foo", b"FOO.bar"],
    ),
    (b"*", [b"foo", b"", b"*", b">", b"foo*"], [b"a.b", b".", b"foo."]),
    (b">", EVERYTHING, []),
    (b"*.foo", [b"bar.foo", b".foo", b"\xff.foo"], [b"foo", b"foo.bar"]),
    (b"*.*", [b"foo.*", b".", b"a.b", b"foo.x\0y"], [b"foo", b"..", b"foo.x.y"]),
    # Wildcard characters inside longer tokens are text.
    (b"foo.*bar", [b"foo.*bar"], [b"foo.xyz", b"foo.xbar", b"foo.*"]),
    (b"foo.>bar", [b"foo.>bar"], [b"foo.xyz", b"foo.>", b"foo.>bar.x"]),
    (b"**", [b"**"], [b"foo", b"*"]),
    (b"foo.**", [b"foo.**"], [b"foo.xyz", b"foo.*"]),
    (b">>", [b">>"], [b"foo", b">", b"a.b"]),
    (b"foo*", [b"foo*"], [b"foo", b"foox"]),
    (b"foo>", [b"foo>"], [b"foo", b"foo.bar"]),
    (b"*.foo*", [b"a.foo*"], [b"a.foo", b"a.foox"]),
    (b"*bar.*", [b"*bar.x"], [b"xbar.x", b"bar.x"]),
    (b"foo.bar,*,>", [b"foo.bar,*,>"], [b"foo.bar,x,y"]),
]


@pytest.mark.parametrize(("pattern", "reached", "missed"), TABLE)
@pytest.mark.parametrize("is_warm", [False, True])
def test_table(
    index: Index,
    pattern: bytes,
    reached: list[bytes],
    missed: list[bytes],
    is_warm: bool,
) -> None:
    subjects = [*reached, *missed, *EVERYTHING]
    if is_warm:
        for subject in subjects:
            assert index.sids(subject) == set()
    index.insert(b"1", pattern)
    for subject in reached:
        assert index.sids(subject) == {b"1"}, subject
    for subject in missed:
        assert index.sids(subject) == set(), subject
    for subject in EVERYTHING:
        assert index.match(subject) == index.expected(subject), subject
    index.check()
    index.remove(b"1")
    for subject in subjects:
        assert index.sids(subject) == set(), subject


def test_published_star_takes_no_edge_of_its_name(index: Index) -> None:
    index.insert(b"1", b"foo.*.x")
    index.insert(b"2", b"foo.*.*")
    assert index.sids(b"foo.*.x") == {b"1", b"2"}
    assert index.sids(b"foo.*.*") == {b"2"}
    index.check()


# ---- queue groups ----


def test_groups_of_one_name_are_one(index: Index) -> None:
    index.insert(b"1", b"foo", b"g", owner=0)
    index.insert(b"2", b"foo", b"h", owner=1)
    index.insert(b"3", b"foo", owner=2)
    index.insert(b"4", b"*", b"g", owner=2)
    index.insert(b"5", b">", b"g", owner=1)
    index.insert(b"6", b">", b"gg", owner=1)
    index.insert(b"7", b"foo", b"g", owner=1)
    plain, groups = index.match(b"foo")
    assert plain == [[], [], [b"3"]]
    assert groups == {
        b"g": [b"1", b"4", b"5", b"7"],
        b"h": [b"2"],
        b"gg": [b"6"],
    }
    index.check()


def test_very_many_queues_stay_quick(index: Index) -> None:
    began = time.perf_counter()
    for i in range(20_000):
        index.insert(b"%d" % i, b"foo", b"q%d" % i)
    _, groups = index.match(b"foo")
    assert len(groups) == 20_000
    index.check()
    index.remove_many([b"%d" % i for i in range(20_000)])
    assert time.perf_counter() - began < 10
    assert index.counts().places == 0


def test_slices_are_sorted_by_owner(index: Index) -> None:
    chance = random.Random(3)
    for i in range(500):
        subject = chance.choice([b"a.b", b"a.*", b"a.>", b"*.b", b">"])
        index.insert(b"%d" % i, subject, owner=chance.randrange(3))
    plain, groups = index.match(b"a.b")
    assert (plain, groups) == index.expected(b"a.b")
    assert sum(map(len, plain)) == 500


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 999, 1000, 1001, 1024, 1025, 5000])
def test_large_results_are_whole(index: Index, count: int) -> None:
    """Around every limit of a room, a slice and a tier."""
    for i in range(count):
        subject = (b"a.b", b"a.*", b"*.b")[i % 3]
        index.insert(b"%d" % i, subject, (b"", b"q", b"", b"r")[i % 4], owner=i % 3)
    assert index.match(b"a.b") == index.expected(b"a.b")
    index.check()


# ---- the naive model ----

TOKEN = st.sampled_from([b"a", b"b", b"*", b"a*", b">b"])
SUBJECT = st.lists(TOKEN | st.just(b""), min_size=1, max_size=4).map(b".".join)
PATTERN = st.builds(
    lambda tokens, end: b".".join(tokens + end),
    st.lists(TOKEN, min_size=1, max_size=3),
    st.sampled_from([[], [], [b">"]]),
) | st.just(b">")
QUEUE = st.sampled_from([b"", b"g", b"h"])
DENY = st.lists(PATTERN, max_size=2)
STEP = st.one_of(
    st.tuples(st.just("insert"), PATTERN, QUEUE, st.integers(0, 2), DENY),
    st.tuples(st.just("remove"), st.integers(0, 1000)),
    st.tuples(st.just("replace"), st.integers(0, 1000), DENY),
    st.tuples(st.just("find"), SUBJECT),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=40))
def test_any_steps_equal_the_model(
    internals: Internals, steps: list[tuple[Any, ...]]
) -> None:
    index = Index(internals)
    seen: set[bytes] = {b"a", b"a.b", b"a.", b"*"}
    for number, step in enumerate(steps):
        if step[0] == "insert":
            index.insert(b"%d" % number, *step[1:])
        elif step[0] == "remove" and index.entries:
            sids = list(index.entries)
            index.remove(sids[step[1] % len(sids)])
        elif step[0] == "replace" and index.entries:
            sids = list(index.entries)
            index.replace(sids[step[1] % len(sids)], step[2])
        elif step[0] == "find":
            seen.add(step[1])
        index.check()
        for subject in seen:
            expected = index.expected(subject)
            assert index.find(subject) == expected
            assert index.match(subject) == expected
        for sid, entry in index.entries.items():
            assert index.subject(sid) == entry.subject
    index.close()


def random_pattern(chance: random.Random) -> bytes:
    tokens = [chance.choice([b"a", b"b", b"c", b"*", b"x*"]) for _ in range(3)]
    tokens = tokens[: chance.randint(1, 3)]
    if chance.random() < 0.2:
        tokens.append(b">")
    return b".".join(tokens)


def test_long_random_run_equals_the_model(index: Index) -> None:
    """20,000 steps with the cache beside; see X-6."""
    chance = random.Random(4)
    tokens = [b"a", b"b", b"c", b"d", b"", b"*"]
    subjects = [
        b".".join(parts)
        for size in (1, 2, 3)
        for parts in itertools.product(tokens, repeat=size)
    ]
    for step in range(20_000):
        is_full = len(index.entries) > chance.randrange(80)
        deny = [random_pattern(chance)] if chance.random() < 0.3 else []
        if index.entries and chance.random() < 0.2:
            index.replace(chance.choice(list(index.entries)), deny)
        elif is_full:
            index.remove(chance.choice(list(index.entries)))
        else:
            queue = chance.choice([b"", b"", b"g", b"h"])
            owner = chance.randrange(3)
            index.insert(b"%d" % step, random_pattern(chance), queue, owner, deny)
        index.check()
        subject = chance.choice(subjects)
        assert index.find(subject) == index.expected(subject)
    assert index.cache_counts().hits > 0
    index.remove_many(list(index.entries))
    index.check()
    counts = index.counts()
    assert (counts.subscriptions, counts.places, counts.nodes) == (0, 0, 0)
    assert counts.inserts == counts.removes > 0


def test_odd_subjects_leave_nothing_behind(index: Index) -> None:
    """Insertion and removal are symmetric for whatever is accepted; see P-11."""
    odd = [
        *(b"foo.bar,*,>", b"*bar", b">foo", b"foo*", b"a\0b.*", b"\x7f", b"\xff.>"),
        *(b"*.*.*", b">", b"*", b"**.*", b"a." * 200 + b"*", b"*" + b".*" * 299),
    ]
    for number, subject in enumerate(odd * 2):
        index.insert(b"%d" % number, subject, b"q" if number % 2 else b"")
        index.check()
    assert b"11" in index.sids(b"a." * 200 + b"x")
    assert b"12" in index.sids(b"." * 299)
    for sid in list(index.entries):
        index.remove(sid)
        index.check()
    counts = index.counts()
    assert (counts.subscriptions, counts.places, counts.nodes) == (0, 0, 0)


def test_freeing_the_index_releases_what_is_in(internals: Internals) -> None:
    index = Index(internals)
    for i in range(300):
        subject = (b"a.%d", b"a.*.%d", b"*.%d.>")[i % 3] % i
        index.insert(b"%d" % i, subject, b"q" if i % 2 else b"")
    index.insert(b"x", b">")
    index.insert(b"y", b"*.*")
    index.close()  # looks at the counts of references


# ---- what a subscription may not get ----


def test_denied_members_are_not_in_a_result(index: Index) -> None:
    index.insert(b"1", b"in.*", deny=[b"in.secret"])
    index.insert(b"2", b"in.*")
    index.insert(b"3", b"in.>", b"q", deny=[b"*.secret", b"x"])
    index.insert(b"4", b">", b"q", deny=[b"in.ok"])
    assert index.match(b"in.secret") == ([[b"2"], [], []], {b"q": [b"4"]})
    assert index.match(b"in.ok") == ([[b"1", b"2"], [], []], {b"q": [b"3"]})
    index.remove(b"2")
    index.remove(b"4")
    assert index.match(b"in.secret") == ([[], [], []], {})
    assert index.find(b"in.secret") == ([[], [], []], {})


@pytest.mark.parametrize("count", [64, 65, 1000, 1001, 2500])
def test_large_results_without_the_denied(index: Index, count: int) -> None:
    for i in range(count):
        subject, deny = (b"a.*", b"a.>")[i % 2], ([b"a.b"], [], [b"a.c"])[i % 3]
        index.insert(b"%d" % i, subject, (b"", b"q")[i // 2 % 2], i % 3, deny)
    for published in (b"a.b", b"a.c", b"a.d"):
        assert index.match(published) == index.expected(published)
    index.check()


def test_a_cached_result_ends_with_a_replacement(index: Index) -> None:
    for sid, subject, queue in ((b"1", b"a.*", b""), (b"2", b"a.*", b"q")):
        index.insert(sid, subject, queue)
        assert index.sids(b"a.b") == {sid}
        index.replace(sid, [b"a.b"])
        assert index.sids(b"a.b") == set()
        assert index.sids(b"a.c") == {sid}
        index.replace(sid, [])
        assert index.sids(b"a.b") == {sid}
        index.check()
        index.remove(sid)
    assert index.counts().places == 0


def test_replacement_keeps_the_places_of_others(index: Index) -> None:
    for i in range(20):
        index.insert(b"%d" % i, b"a.*", b"q" if i % 2 else b"")
    for i in (0, 7, 19):
        index.replace(b"%d" % i, [b"a.b"])
        index.check()
    assert index.match(b"a.b") == index.expected(b"a.b")
    for i in range(20):
        index.remove(b"%d" % i)
        index.check()


def test_subjects_are_told(index: Index) -> None:
    subjects = [b"a", b"a.b", b">", b"*", b"a.>", b"*.>", b"*.*.b.>", b"a.*", b"a*.>>"]
    subjects += [b"a." * 500 + b"*", b"b" * 3000, b"b" * 3000 + b".>"]
    for i, subject in enumerate(subjects):
        index.insert(b"%d" % i, subject, b"q" if i % 2 else b"")
    for i, subject in enumerate(subjects):
        assert index.subject(b"%d" % i) == subject


# ---- generations ----


def test_a_change_to_one_literal_leaves_the_others_alone(index: Index) -> None:
    index.insert(b"1", b"one.literal")
    index.find(b"one.literal")
    index.insert(b"2", b"another.literal")
    index.insert(b"3", b"pattern.*")
    before = index.cache_counts().misses
    assert index.find(b"one.literal")[0][0] == [b"1"]
    assert index.cache_counts().misses == before
    index.insert(b"4", b"one.*")
    assert index.find(b"one.literal")[0][0] == [b"1", b"4"]
    index.insert(b"5", b"*.literal")
    assert index.find(b"one.literal")[0][0] == [b"1", b"4", b"5"]
    assert index.cache_counts().misses == before + 2


def test_a_stamp_moves_forward_when_nothing_concerns_it(index: Index) -> None:
    stamp = index.ffi.new("struct nd_stamp *")
    match = index.ffi.new("struct nd_match **")
    index.lib.nd_sublist_match(
        index.list, index.slice(b"foo"), stamp, index.ffi.NULL, match
    )
    index.insert(b"1", b"other")
    generation = index.lib.nd_sublist_generation(index.list)
    assert stamp.any != generation
    assert index.lib.nd_sublist_is_current(index.list, stamp)
    assert stamp.any == generation
    index.insert(b"2", b"foo")
    assert not index.lib.nd_sublist_is_current(index.list, stamp)


# ---- hostile sizes ----


def test_wildcard_blow_up(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    """All 2^10 choices of literal or star in 10 of 16 levels; see R-8: 1 ms."""
    for number, choice in enumerate(itertools.product([False, True], repeat=10)):
        tokens = [b"*" if star else b"t" for star in choice] + [b"*"] * 6
        index.insert(b"%d" % number, b".".join(tokens))
    subject = b".".join([b"t"] * 16)
    assert len(index.sids(subject)) == 1024
    times = []
    stamp = index.ffi.new("struct nd_stamp *")
    match = index.ffi.new("struct nd_match **")
    for _ in range(20):
        began = time.perf_counter()
        index.lib.nd_sublist_match(
            index.list, index.slice(subject), stamp, index.ffi.NULL, match
        )
        times.append(time.perf_counter() - began)
        index.lib.nd_match_release(match[0])
    with capsys.disabled():
        print(f"\n1,024 patterns of 16 tokens: {min(times) * 1e6:.0f} us a match")
    index.check()


def test_deep_subjects_need_no_depth(index: Index) -> None:
    deep = b".".join([b"*"] * 50_000)
    index.insert(b"1", deep)
    index.insert(b"2", b">")
    assert index.sids(b"." * 49_999) == {b"1", b"2"}
    assert index.sids(b"." * 50_000) == {b"2"}
    index.check()
    index.remove(b"1")
    assert index.counts().nodes == 0


def test_colliding_names_are_quick(index: Index) -> None:
    """Names that collide under a plain multiplicative hash; see R-7."""
    parts = [b"Aa", b"BB"]  # equal under h * 31 + byte
    names = [b"".join(choice) for choice in itertools.product(parts, repeat=13)]
    spread = [b"%026d" % i for i in range(len(names))]

    def seconds(subjects: list[bytes]) -> float:
        began = time.perf_counter()
        for sid, subject in enumerate(subjects):
            index.insert(b"%d" % sid, subject)
        elapsed = time.perf_counter() - began
        index.remove_many(list(index.entries))
        return elapsed

    seconds(spread)
    assert min(seconds(names), seconds(names)) < 5 * seconds(spread)


# ---- threads ----


def test_threads_under_the_thread_sanitizer(tmp_path: Path) -> None:
    parts = [
        "tiers",
        "hash",
        "sub",
        "place",
        "trie",
        "match",
        "cache",
        "permit",
        "subject",
        "sys_posix",
    ]
    parts += [path.stem for path in sanitized.CSRC.glob("sublist*.c")]
    assert sanitized.run("tsan_sublist", parts, "thread", tmp_path).startswith("ok ")
