"""The comparison as text: numbers, the table, and what is to be said beside a row."""

from __future__ import annotations

import math
from collections.abc import Iterator

from perf import goals
from perf.goals import Goal, Kind, Measure, Verdict
from perf.record import BOUND_SHARE, Measured, Record, Row, Spread

MILLION = 1_000_000
CELL = 27  # characters of a side
LATE_SHARE = 0.25  # of the p99; a generator later than that has coloured it


def shown(value: float | None) -> str:
    """Return a figure with the digits that matter; M stands for a million."""
    if value is None or not math.isfinite(value):
        return "failed" if value == math.inf else "-"
    size = abs(value)
    if size >= MILLION:
        return f"{value / MILLION:,.{0 if size >= 100 * MILLION else 1}f}M"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 2 else 3
    return f"{value:,.{digits}f}"


def shown_spread(spread: Spread | None) -> str:
    """
    0.102 (0.101-0.110)
    """
    if spread is None or not math.isfinite(spread.middle):
        return shown(spread.middle if spread else None)
    return f"{shown(spread.middle)} ({shown(spread.low)}-{shown(spread.high)})"


def shown_goal(goal: Goal | None) -> tuple[str, str]:
    """Return *must* and *aim*; ``<=`` marks a limit on ours alone."""
    if goal is None:
        return "", ""
    sign = {Kind.TIMES: "", Kind.MOST: "<=", Kind.LEAST: ">="}[goal.kind]
    aim = "" if goal.aim is None else f"{sign}{_round_number(goal.aim)}"
    return f"{sign}{_round_number(goal.must)}", aim


def _round_number(value: float) -> str:
    return shown(value) if value >= MILLION else f"{value:,g}"


def shown_mark(verdict: Verdict) -> str:
    return f"{verdict.mark}, aim too" if verdict.aim_met else verdict.mark


def told_round(measured: Measured, measures: tuple[Measure, ...]) -> str:
    """Return a round in words."""
    if measured.errors:
        return f"FAILED: {'; '.join(measured.errors)}"
    words = [f"{shown(measured.figure(m.key))} {m.unit}" for m in measures]
    if "rate" in measured.figures:
        words.append(f"{measured.figures['rate']:,.0f}/s")
    if measured.load_share:
        words.append(f"generator {measured.load_share:.0%} of its CPU")
    if measured.load_share > BOUND_SHARE:
        words.append("GENERATOR-BOUND")
    return ", ".join(words)


def is_late(measured: Measured) -> bool:
    """Whether the generator's own p99 lateness is a good part of the p99."""
    late = measured.figures.get("late_us", 0.0)
    return late > LATE_SHARE * measured.figures.get("p99_us", math.inf)


def notes(row: Row, sides: list[str]) -> Iterator[str]:
    """Yield what a reader of the row has to know about its rounds."""
    for side in sides:
        mine = [one for one in row.rounds if one.side == side]
        failed = sum(bool(one.errors) for one in mine)
        if failed:
            yield f"{failed} FAILED ({side})"
        if any(one.load_share > BOUND_SHARE for one in mine):
            yield f"generator-bound ({side})"
        late = sum(is_late(one) for one in mine)
        if late:
            yield f"generator late in {late} of {len(mine)} ({side})"
    if row.settings.get("inflight"):
        yield f"inflight {row.settings['inflight']:,} B"
    if not row.complete:
        yield "incomplete"


def shown_share(row: Row) -> str:
    """Return the highest share of its CPU that the generator had; empty if it slept."""
    share = max((one.load_share for one in row.rounds), default=0.0)
    return f"{share:.0%}" if share else ""


def rates(row: Row, sides: list[str]) -> list[str]:
    """Return messages a second, the median of each side; empty where there are none."""
    spreads = [row.spread(side, "rate") for side in sides]
    return [f"{spread.middle:,.0f}" if spread else "" for spread in spreads]


def text_table(record: Record) -> str:
    """Return the comparison, one line for each measure of a row."""
    sides = record.names
    head = f"{'':19}{'':22}" + "".join(f"{side:>{CELL}}" for side in sides)
    head += f"{'times less':>12}{'must':>9}{'aim':>6}  {'':13}"
    head += "".join(f"{_short(side) + ' /s':>13}" for side in sides)
    lines = ["median (min-max)", f"{head}{'load CPU':>10}"]
    for name, row in record.rows.items():
        lines += _lines(name, row, sides)
    return "\n".join(line.rstrip() for line in lines)


def _lines(name: str, row: Row, sides: list[str]) -> Iterator[str]:
    for number, measure in enumerate(row.measures):
        verdict = row.verdict(measure, sides)
        if verdict is None:
            continue
        must, aim = shown_goal(measure.goal)
        spreads = [row.spread(side, measure.key) for side in sides]
        times = "" if verdict.times is None else shown(verdict.times)
        line = f"{'' if number else name:19}{measure.unit:22}"
        line += "".join(f"{shown_spread(spread):>{CELL}}" for spread in spreads)
        line += f"{times:>12}{must:>9}{aim:>6}  {shown_mark(verdict):13}"
        if not number:
            line += "".join(f"{rate:>13}" for rate in rates(row, sides))
            line += f"{shown_share(row):>10}  {', '.join(notes(row, sides))}"
        yield line


def curve_table(record: Record) -> str:
    """Return the curves, a line for each place and measure."""
    sides = record.names
    lines = ["median (min-max)"]
    for name, row in record.rows.items():
        head = "".join(f"{side:>{CELL}}" for side in sides)
        lines.append(f"{name:9}{'':9}{'':12}{head}  {', '.join(notes(row, sides))}")
        for at in row.places():
            for measure in row.measures:
                spreads = [row.spread(side, measure.key, at) for side in sides]
                cells = "".join(f"{shown_spread(spread):>{CELL}}" for spread in spreads)
                lines.append(f"{at:>16,g}  {measure.unit:12}{cells}")
    return "\n".join(line.rstrip() for line in lines)


def _short(side: str) -> str:
    """
    nats-server 2.9.10 -> 2.9.10
    """
    return side.rsplit(" ", 1)[-1]


def ending(record: Record, *, judged: bool) -> str:
    """Return what went wrong or, if *judged*, was missed; or that nothing was."""
    lines = [f"{name}: {text}" for name, text in record.problems.items()]
    failed, missed = len(record.failed), record.missed
    lines.append(f"{failed} rounds failed" if failed else "no round failed")
    if missed and judged:
        lines.append(f"goals {goals.MISSED}: {', '.join(missed)}")
    return "\n".join(lines)
