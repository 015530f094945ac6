"""When a reactor looks for work a little longer, and when it does not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

Internals = tuple[Any, Any]
SHORT, LONG = 20, 5000  # us


class Spin:
    def __init__(self, internals: Internals) -> None:
        ffi, self.lib = internals
        self.state = ffi.new("struct nd_spin *")

    def wait(self, us: int, *, is_found: bool) -> bool:
        """One wait as a reactor makes it; returns whether it spun.

        *is_found*: a spin would see the work come. Else it sleeps, for *us*.
        """
        is_due: bool = self.lib.nd_spin_is_due(self.state)
        if is_due:
            self.lib.nd_spin_ended(self.state, is_found)
        if not is_due or not is_found:
            self.lib.nd_spin_slept(self.state, us)
        return is_due


@pytest.fixture
def spin(internals: Internals) -> Spin:
    return Spin(internals)


def test_the_idle_never_spins(spin: Spin) -> None:
    assert not any(spin.wait(LONG, is_found=True) for _ in range(1000))


def test_who_is_answered_soon_spins_from_the_second_wait_on(spin: Spin) -> None:
    waits = [spin.wait(SHORT, is_found=True) for _ in range(1000)]
    assert waits == [False] + [True] * 999


def test_a_long_sleep_ends_it(spin: Spin) -> None:
    spin.wait(SHORT, is_found=True)
    assert spin.wait(LONG, is_found=False)
    assert not any(spin.wait(LONG, is_found=True) for _ in range(100))


def test_who_spins_in_vain_does_it_less_and_less(spin: Spin) -> None:
    waits = [spin.wait(SHORT, is_found=False) for _ in range(2000)]
    spun = [i for i, did in enumerate(waits) if did]
    gaps = [after - before for before, after in itertools.pairwise(spun)]
    assert gaps[:7] == [2, 4, 8, 16, 32, 64, 64]
    assert set(gaps[7:]) <= {64}


def test_success_makes_up_for_failures(spin: Spin) -> None:
    for _ in range(500):
        spin.wait(SHORT, is_found=False)
    tries = 0
    while not spin.wait(SHORT, is_found=True):
        tries += 1
        assert tries <= 64
    assert all(spin.wait(SHORT, is_found=True) for _ in range(100))
