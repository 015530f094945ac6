"""A list of timers against a list of pairs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Internals = tuple[Any, Any]
COUNT = 6

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "stop", "take", "pass"]),
        st.integers(0, COUNT - 1),
        st.integers(0, 50),
    ),
    max_size=80,
)


def walk(ffi: Any, timers: Any) -> list[tuple[Any, int]]:
    """The list from its front, after its links were checked."""
    found: list[tuple[Any, int]] = []
    before, timer = ffi.NULL, timers.first
    while timer != ffi.NULL:
        assert timer.prev == before
        found.append((timer, timer.since_ms + timers.duration_ms))
        before, timer = timer, timer.next
    assert timers.last == before
    return found


@settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, duration=st.integers(1, 100))
def test_they_fall_due_in_order(
    internals: Internals, steps: list[tuple[str, int, int]], duration: int
) -> None:
    ffi, lib = internals
    timers = ffi.new("struct nd_timers *")
    lib.nd_timers_init(timers, duration)
    own = ffi.new("struct nd_timer[]", COUNT)
    model: list[tuple[Any, int]] = []
    now = 1000
    for step, number, amount in steps:
        timer = own + number
        if step == "start":
            lib.nd_timer_start(timers, timer, now)
            model = [pair for pair in model if pair[0] != timer]
            model.append((timer, now + duration))
        elif step == "stop":
            lib.nd_timer_stop(timers, timer)
            model = [pair for pair in model if pair[0] != timer]
        elif step == "pass":
            now += amount
        else:
            taken = lib.nd_timers_take_due(timers, now)
            is_due = bool(model) and model[0][1] <= now
            assert taken == (model.pop(0)[0] if is_due else ffi.NULL)
        assert walk(ffi, timers) == model
        running = [pair[0] for pair in model]
        for i in range(COUNT):
            assert lib.nd_timer_is_running(own + i) == ((own + i) in running)


@pytest.mark.parametrize(("late", "found"), [(-1, False), (0, True), (1, True)])
def test_due_is_the_millisecond_itself(
    internals: Internals, late: int, found: bool
) -> None:
    ffi, lib = internals
    timers, timer = ffi.new("struct nd_timers *"), ffi.new("struct nd_timer *")
    lib.nd_timers_init(timers, 20)
    lib.nd_timer_start(timers, timer, 100)
    assert (lib.nd_timers_take_due(timers, 120 + late) == timer) == found
    assert lib.nd_timer_is_running(timer) != found
