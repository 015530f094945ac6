"""What a figure is held against, and whether it holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MET = "met"
MISSED = "MISSED"
NO_REFERENCE = "no reference"


class Kind(StrEnum):
    """How a figure of ours is judged."""

    TIMES = "times less"  # so many times less than the reference, or better
    MOST = "at most"  # ours alone, in the unit of the figure
    LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Goal:
    """*must* is the floor, *aim* where we want to be; both in the sense of *kind*."""

    kind: Kind
    must: float
    aim: float | None = None

    def holds(self, value: float, wanted: float) -> bool:
        """Whether *value* is as good as *wanted*, or better."""
        return value <= wanted if self.kind is Kind.MOST else value >= wanted


@dataclass(frozen=True, slots=True)
class Measure:
    """
    One figure that every round of a scenario brings, under the name *key*.

    Less is better and sides compare as "times less", unless it is no *is_cost*.
    *unjudged* says why a goal that exists elsewhere does not apply here.
    """

    key: str
    unit: str
    goal: Goal | None = None
    is_cost: bool = True
    unjudged: str = ""

    @staticmethod
    def load(stored: dict[str, Any]) -> Measure:
        """Return what `dataclasses.asdict` made into *stored*."""
        goal = stored["goal"]
        if goal:
            goal = Goal(**goal | {"kind": Kind(goal["kind"])})
        return Measure(**stored | {"goal": goal})


@dataclass(frozen=True, slots=True)
class Verdict:
    """*times* less than the reference, if there is one; *mark* is empty for no goal."""

    times: float | None
    mark: str
    aim_met: bool


def times_less(ours: float, reference: float | None) -> float | None:
    """
    Return reference over ours: above 1, ours is the cheaper one.

    None if the reference has no figure, or none that is worth a division.
    """
    if reference is None or not math.isfinite(reference) or not ours:
        return None
    return reference / ours


def judge(measure: Measure, ours: float, reference: float | None) -> Verdict:
    """Hold the medians of a measure against its goal."""
    times = times_less(ours, reference) if measure.is_cost else None
    goal = measure.goal
    if goal is None:
        return Verdict(times, measure.unjudged, False)
    value = times if goal.kind is Kind.TIMES else ours
    if value is None:
        return Verdict(None, NO_REFERENCE, False)
    aim_met = goal.aim is not None and goal.holds(value, goal.aim)
    return Verdict(times, MET if goal.holds(value, goal.must) else MISSED, aim_met)
