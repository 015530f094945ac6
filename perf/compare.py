"""What changed for ours between two runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from perf.record import Record, Row, Spread
from perf.table import CELL, shown_spread


@dataclass(frozen=True, slots=True)
class Change:
    """
    One measure of a row in two runs.

    *drift* is by how many per cent the reference changed meanwhile: a machine that is
    slower today slows both. NaN if it has no figure.
    """

    name: str
    unit: str
    before: Spread
    after: Spread
    drift: float
    is_same_load: bool

    @property
    def percent(self) -> float:
        return percent(self.before, self.after)

    @property
    def is_apart(self) -> bool:
        """Whether no round of one run lies within the rounds of the other."""
        return self.before.high < self.after.low or self.after.high < self.before.low


def percent(before: Spread | None, after: Spread | None) -> float:
    """Return the change of the medians in per cent; NaN if there is none to tell."""
    if before is None or after is None or not before.middle:
        return math.nan
    if not math.isfinite(before.middle) or not math.isfinite(after.middle):
        return math.nan
    return 100 * (after.middle / before.middle - 1)


def changes(before: Record, after: Record) -> Iterator[Change]:
    """Yield what both runs measured, in the order of the later one."""
    for name, row in after.rows.items():
        old = before.rows.get(name)
        if old is None:
            continue
        for measure in row.measures:
            for at in row.places():
                ours = [
                    r.spread(record.names[0], measure.key, at)
                    for record, r in ((before, old), (after, row))
                ]
                if ours[0] is None or ours[1] is None:
                    continue
                place = f" at {at:g}" if at else ""
                yield Change(
                    name + place,
                    measure.unit,
                    ours[0],
                    ours[1],
                    _drift(before, after, name, measure.key, at),
                    old.settings == row.settings,
                )


def _drift(before: Record, after: Record, name: str, key: str, at: float) -> float:
    if before.names[1:2] != after.names[1:2]:
        return math.nan

    def peer(record: Record) -> Spread | None:
        row: Row = record.rows[name]
        return row.spread(record.names[1], key, at)

    return percent(peer(before), peer(after))


def comparison(before: Record, after: Record) -> str:
    """Return a line for each measure of ours, with the spread of both runs."""
    lines = [
        f"before: {_title(before)}",
        f"after:  {_title(after)}",
        f"{'':19}{'':24}{'before':>{CELL}}{'after':>{CELL}}{'change':>9}{'peer':>9}",
    ]
    for one in changes(before, after):
        words = [] if one.is_apart else ["within the spread"]
        if not one.is_same_load:
            words.append("not the same load")
        line = f"{one.name:19}{one.unit:24}"
        line += f"{shown_spread(one.before):>{CELL}}{shown_spread(one.after):>{CELL}}"
        line += f"{_signed(one.percent):>9}{_signed(one.drift):>9}  {', '.join(words)}"
        lines.append(line.rstrip())
    if len(lines) == 3:
        lines.append("the two have nothing in common")
    return "\n".join(lines)


def _title(record: Record) -> str:
    head = record.head
    return f"{head['revision']}, {head['started']}, {head['machine']['cpu']}"


def _signed(value: float) -> str:
    return f"{value:+.1f} %" if math.isfinite(value) else "-"
