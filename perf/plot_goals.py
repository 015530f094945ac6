"""The plot of the goals: times less than the reference, one line for each scenario."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perf.goals import MISSED, Kind, times_less
from perf.plots import COLOURS, GREY, STYLE, WIDTH, finish, require, short_number
from perf.record import Record

TICKS = (0.25, 0.5, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True, slots=True)
class Dot:
    """One line of the plot; *low* and *high* are the extremes of any two rounds."""

    label: str
    times: float
    low: float
    high: float
    must: float
    aim: float | None
    is_met: bool


def dots(record: Record) -> Iterator[Dot]:
    """Yield the goals that are relative to the reference, where there is a figure."""
    for name, measure, verdict in record.verdicts():
        goal, row = measure.goal, record.rows[name]
        if goal is None or goal.kind is not Kind.TIMES or not verdict.times:
            continue
        ours, peer = (row.spread(side, measure.key) for side in record.names[:2])
        assert ours is not None
        assert peer is not None
        yield Dot(
            name if measure is row.measures[0] else f"{name}, {measure.unit}",
            verdict.times,
            # A failed round has no place on the axis.
            times_less(ours.high, peer.low) or verdict.times,
            times_less(ours.low, peer.high) or verdict.times,
            goal.must,
            goal.aim,
            verdict.mark != MISSED,
        )


def draw_goals(record: Record, path: Path) -> bool:
    """Write the plot; false if there is nothing to show."""
    shown = list(dots(record))
    if not shown:
        return False
    matplotlib = require()
    with matplotlib.rc_context(STYLE):
        size = (WIDTH, 1.6 + 0.27 * len(shown))
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        axis = figure.subplots()
        _draw(axis, shown)
        axis.set_xscale("log")
        low = min(min(dot.low, 1) for dot in shown) * 0.9
        axis.set_xlim(low, max(max(d.high, d.aim or 0) for d in shown) * 1.1)
        left, right = axis.get_xlim()
        ticks = [tick for tick in TICKS if left <= tick <= right]
        axis.set_xticks(ticks, [short_number(tick) for tick in ticks])
        axis.minorticks_off()
        axis.set_xlabel(
            f"times less than {record.names[1]}; bar: extremes of the rounds"
        )
        finish(figure, axis, "How many times less pynatsd takes, and the goals", path)
    return True


def _draw(axis: Any, shown: list[Dot]) -> None:
    axis.axvline(1, color=GREY, linewidth=0.8)
    for is_met, index, label in ((True, 0, "goal met"), (False, 1, MISSED)):
        some = [(dot, y) for y, dot in enumerate(shown) if dot.is_met is is_met]
        if not some:
            continue
        y = [place for _, place in some]
        axis.hlines(
            y,
            [dot.low for dot, _ in some],
            [dot.high for dot, _ in some],
            color=COLOURS[index],
            alpha=0.35,
            linewidth=5,
        )
        x = [dot.times for dot, _ in some]
        axis.plot(x, y, "oX"[index], color=COLOURS[index], markersize=7, label=label)
    places = range(len(shown))
    must = [dot.must for dot in shown]
    axis.plot(must, places, "|", color="black", markersize=13, mew=2, label="must")
    aims = [(dot.aim, y) for y, dot in enumerate(shown) if dot.aim]
    x, y = [aim for aim, _ in aims], [place for _, place in aims]
    axis.plot(x, y, "D", mfc="none", color="black", markersize=5, label="aim")
    axis.set_yticks(list(places), [dot.label for dot in shown])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
