"""The queue of logins: turns, room, and who comes last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynatsd import fair_queue
from pynatsd.fair_queue import BLAME_TIME, FairQueue, source_of


def filled(*items: str, capacity: int = 100, blamed: str = "") -> FairQueue[str]:
    """Items like `a1`: the letter is the source. *blamed* ones failed at 0."""
    queue: FairQueue[str] = FairQueue(capacity)
    for source in blamed:
        queue.blame(source, 0)
    for item in items:
        assert queue.push(item[0], item, 0) is None
    return queue


def drained(queue: FairQueue[str]) -> str:
    items = []
    while (item := queue.pop()) is not None:
        items.append(item)
    assert len(queue) == 0
    return " ".join(items)


@pytest.mark.parametrize(
    ("items", "blamed", "order"),
    [
        ("", "", ""),
        ("a1", "", "a1"),
        ("a1 a2 a3", "", "a1 a2 a3"),
        ("a1 a2 a3 b1", "", "a1 b1 a2 a3"),
        ("a1 a2 b1 b2 c1", "", "a1 b1 c1 a2 b2"),
        ("a1 a2 b1", "a", "b1 a1 a2"),
        ("a1 b1 a2 b2 c1 c2", "ab", "c1 c2 a1 b1 a2 b2"),
        ("a1 b1 a2 b2", "ab", "a1 b1 a2 b2"),
    ],
)
def test_order(items: str, blamed: str, order: str) -> None:
    assert drained(filled(*items.split(), blamed=blamed)) == order


def test_a_source_that_comes_again_waits_its_turn() -> None:
    queue = filled("a1", "b1", "c1")
    assert queue.pop() == "a1"
    queue.push("a", "a2", 0)
    assert drained(queue) == "b1 c1 a2"


def test_blame_moves_what_waits_already() -> None:
    queue = filled("a1", "b1", "a2")
    queue.blame("a", 0)
    assert drained(queue) == "b1 a1 a2"


def test_blame_is_forgotten() -> None:
    queue = filled(blamed="ab")
    queue.push("a", "a1", BLAME_TIME - 0.1)
    queue.push("b", "b1", BLAME_TIME)
    assert drained(queue) == "b1 a1"


def test_blame_is_renewed_by_the_next_failure() -> None:
    queue = filled(blamed="a")
    queue.blame("a", BLAME_TIME - 1)
    queue.push("a", "a1", BLAME_TIME + 1)
    queue.push("b", "b1", BLAME_TIME + 1)
    assert drained(queue) == "b1 a1"


def test_blame_of_very_many_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "BLAME_MAX", 2)
    queue = filled(blamed="abac")  # the oldest failure is that of b
    for item in ("a1", "c1", "b1"):
        queue.push(item[0], item, 0)
    assert drained(queue) == "b1 a1 c1"


@pytest.mark.parametrize(
    ("items", "blamed", "new", "loser", "order"),
    [
        # The longest line gives way to a shorter one, its newest item first.
        ("a1 a2 a3", "", "b1", "a3", "a1 b1 a2"),
        ("a1 a2 b1", "", "c1", "a2", "a1 b1 c1"),
        # Nobody gains from a line as long as the longest.
        ("a1 a2 a3", "", "a4", "a4", "a1 a2 a3"),
        ("a1 b1 c1", "", "d1", "d1", "a1 b1 c1"),
        ("a1 a2 b1", "", "b2", "b2", "a1 b1 a2"),
        # Who failed gives way to whoever did not, and to no other's advantage.
        ("a1 b1 b2", "a", "b3", "a1", "b1 b2 b3"),
        ("a1 a2 b1", "a", "b2", "a2", "b1 b2 a1"),
        ("a1 a2 a3", "b", "b1", "b1", "a1 a2 a3"),
        ("a1 a2 c1", "ab", "b1", "a2", "c1 a1 b1"),
        ("a1 b1 c1", "ab", "b2", "b2", "c1 a1 b1"),
    ],
)
def test_full(items: str, blamed: str, new: str, loser: str, order: str) -> None:
    queue = filled(*items.split(), capacity=3, blamed=blamed)
    assert queue.push(new[0], new, 0) == loser
    assert len(queue) == 3
    assert drained(queue) == order


def test_full_when_the_longest_line_was_another_before() -> None:
    queue = filled("a1", "a2", "a3", capacity=3)
    assert [queue.pop(), queue.pop()] == ["a1", "a2"]
    for item in ("b1", "b2"):
        assert queue.push("b", item, 0) is None
    assert queue.push("c", "c1", 0) == "b2"
    assert drained(queue) == "a3 b1 c1"


@given(
    st.lists(
        st.one_of(st.sampled_from("abcdef"), st.sampled_from("ABCDEF"), st.just("pop")),
        max_size=80,
    )
)
def test_nothing_is_lost_or_doubled(steps: list[str]) -> None:
    """Small letters push under that source, capital ones blame it."""
    queue: FairQueue[tuple[str, int]] = FairQueue(8)
    waiting: dict[tuple[str, int], None] = {}
    blamed: set[str] = set()
    for number, step in enumerate(steps):
        if step == "pop":
            item = queue.pop()
            assert (item is None) == (not waiting)
            if item is not None:
                assert item[0] not in blamed or blamed >= {s for s, _ in waiting}
                assert item == next(each for each in waiting if each[0] == item[0])
                del waiting[item]
        elif step.isupper():
            blamed.add(step.lower())
            queue.blame(step.lower(), 0)
        else:
            waiting[step, number] = None
            loser = queue.push(step, (step, number), 0)
            if loser is not None:
                assert len(waiting) == 9
                del waiting[loser]
        assert len(queue) == len(waiting) <= 8


def test_move_to_a_better_place() -> None:
    queue = filled("a1", "b1", blamed="a")
    assert queue.move("a1", "a", "c", 0)
    assert len(queue) == 2
    assert drained(queue) == "b1 a1"


@pytest.mark.parametrize(
    ("item", "old", "new"),
    [
        ("b1", "b", "c"),  # stands well already
        ("a1", "a", "d"),  # failed too
        ("a9", "a", "c"),  # is not here any more
        ("x1", "x", "c"),
    ],
)
def test_move_that_is_none(item: str, old: str, new: str) -> None:
    queue = filled("a1", "b1", blamed="ad")
    assert not queue.move(item, old, new, 0)
    assert drained(queue) == "b1 a1"


def test_move_of_one_who_waited_since_before_its_blame_ended() -> None:
    queue = filled("a1", blamed="a")
    queue.push("a", "a2", BLAME_TIME)
    assert not queue.move("a2", "a", "b", BLAME_TIME)
    assert queue.move("a1", "a", "b", BLAME_TIME)
    assert drained(queue) == "a2 a1"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_source(address: str, source: str) -> None:
    assert source_of(address) == source
