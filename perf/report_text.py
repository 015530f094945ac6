"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from perf import goals
from perf.record import BOUND_SHARE, Record
from perf.table import (
    LATE_SHARE,
    notes,
    rates,
    shown,
    shown_goal,
    shown_mark,
    shown_share,
    shown_spread,
)

INTRODUCTION = """\
Medians of the rounds, with their minimum and maximum in parentheses. "Times less" is
the median of the reference, {reference}, over ours. A round that lost, doubled or
damaged a message has failed: it counts as infinitely expensive, and is listed below.
How it is measured: `perf/README.md`."""

WORDS = f"""\
*Generator-bound*: it had more than {BOUND_SHARE:.0%} of its CPU in a round, so the rate
is partly its own; the CPU of the server is not. *Generator late*: its own p99 behind
the due times is more than {LATE_SHARE:.0%} of the latency's p99, which is then partly
its own."""


def markdown(run: Record | None, sweep: Record | None, plots: Sequence[Path]) -> str:
    """Return the whole report; there is a run, or a sweep, or both."""
    records = [record for record in (run, sweep) if record]
    lines = ["# pynatsd beside nats-server", ""]
    lines += [INTRODUCTION.format(reference=records[0].names[1]), ""]
    lines += _setting(records)
    if run:
        lines += _goals(run)
        lines += _plots("Times less, and the goals", plots, ["goals"])
        lines += _scenarios(run)
    if sweep:
        lines += _plots("Curves", plots, list(sweep.rows))
        lines += _curves(sweep)
    caveats = [line for record in records for line in _caveats(record)]
    failures = [line for record in records for line in _failures(record)]
    lines += [*_section("Caveats of these figures", caveats), WORDS, ""]
    lines += _section("Failed rounds", failures)
    return "\n".join(lines).rstrip() + "\n"


def _setting(records: list[Record]) -> Iterator[str]:
    yield from ("## Setting", "", "| | |", "|---|---|")
    machine = records[0].head["machine"]
    yield _line(["machine", f"{machine['cpu']}, {machine['cpu_count']} CPUs"])
    yield _line(["kernel, Python", f"{machine['kernel']}, {machine['python']}"])
    for name, side in records[0].sides.items():
        yield _line([name, f"version {side['version']}: `{side['command']}`"])
    for record in records:
        head = record.head
        yield _line([head["kind"], f"{head['started']}, revision `{head['revision']}`"])
        words = " ".join(head["arguments"])
        yield _line(["arguments", f"`{words}`" if words else "none"])
        yield _line(["rounds, placement", f"{head['rounds']}, {head['placement']}"])
    yield ""


def _goals(run: Record) -> Iterator[str]:
    marks = [verdict.mark for _, _, verdict in run.verdicts()]
    met, missed = marks.count(goals.MET), marks.count(goals.MISSED)
    aims = sum(verdict.aim_met for _, _, verdict in run.verdicts())
    yield from ("## Goals", "")
    yield f"{met} met, of them {aims} with their aim; {missed} missed."
    yield ""
    for name, measure, verdict in run.verdicts():
        if verdict.mark == goals.MISSED:
            must, _ = shown_goal(measure.goal)
            ours = run.rows[name].spread("ours", measure.key)
            told = f"{shown(verdict.times)} times less, goal {must}"
            if measure.goal and measure.goal.kind is not goals.Kind.TIMES:
                told = f"{shown_spread(ours)}, goal {must}"
            yield f"- **{name}** ({measure.unit}): {told}"
    yield ""


def _scenarios(run: Record) -> Iterator[str]:
    sides = run.names
    yield from ("## Scenarios", "")
    cells = [
        "",
        "",
        *sides,
        "times less",
        "must",
        "aim",
        "goal",
        "messages/s",
        "load CPU",
    ]
    yield _line(cells)
    yield "|---|---|" + "---:|" * (len(sides) + 3) + "---|---:|---:|"
    for name, row in run.rows.items():
        for number, measure in enumerate(row.measures):
            verdict = row.verdict(measure, sides)
            if verdict is None:
                continue
            times = "" if verdict.times is None else shown(verdict.times)
            mark = shown_mark(verdict)
            if verdict.mark == goals.MISSED:
                mark = f"**{mark}**"
            spreads = [shown_spread(row.spread(side, measure.key)) for side in sides]
            cells = ["" if number else name, measure.unit, *spreads, times]
            cells += [*shown_goal(measure.goal), mark]
            rate = " / ".join(filter(None, rates(row, sides)))
            cells += ["", ""] if number else [rate, shown_share(row)]
            yield _line(cells)
    yield ""


def _curves(sweep: Record) -> Iterator[str]:
    sides = sweep.names
    for name, row in sweep.rows.items():
        yield from (f"### {name}", "")
        heads = [f"{m.unit}, {side}" for m in row.measures for side in sides]
        yield _line([name, *heads])
        yield "|---:|" + "---:|" * len(heads)
        for at in row.places():
            spreads = [row.spread(s, m.key, at) for m in row.measures for s in sides]
            yield _line([f"{at:,g}", *map(shown_spread, spreads)])
        yield ""


def _plots(title: str, plots: Sequence[Path], names: list[str]) -> Iterator[str]:
    yield from (f"## {title}", "")
    for path in plots:
        if path.stem in names:
            yield from (f"![{path.stem}]({path.name})", "")


def _caveats(record: Record) -> Iterator[str]:
    kind = record.head["kind"]
    for name, row in record.rows.items():
        for note in notes(row, record.names):
            yield f"- {kind}, {name}: {note}"
    for name, problem in record.problems.items():
        yield f"- {kind}, {name}: {problem}"
    for caveat in record.head["caveats"]:
        yield f"- {kind}: {caveat}"


def _failures(record: Record) -> Iterator[str]:
    for name, one in record.failed:
        at = f" at {one.at:g}" if one.at else ""
        what = "; ".join(one.errors)
        yield f"- {name}{at}, {one.side}, round {one.number}: {what}"


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *(lines or ["None."]), ""]


def _line(cells: Sequence[str]) -> str:
    """A row of a table; a bar inside a cell would end it."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
