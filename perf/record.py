"""What was measured: rounds, their summaries, and the JSON file that keeps them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from perf import goals
from perf.goals import Measure, Verdict
from perf.processes import MeasureError

FORMAT = 2  # of the file; 1 had one peer and no goals
BOUND_SHARE = 0.9  # of the generator's CPU; above it the round measured the generator


@dataclass(frozen=True, slots=True)
class Measured:
    """
    Round *number* of one side.

    *figures* are what the generator and the scenario found, named with their units:
    `cpu_us` of a message, request or connect, `rate` of messages a second, `p99_us`.
    *load_share* is the generator's CPU over the wall time. *at* is the place on a
    curve, in the unit of its axis. *raw* is the generator's own line.
    """

    side: str
    number: int
    figures: dict[str, float] = field(default_factory=dict)
    load_share: float = 0.0
    errors: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0

    def figure(self, key: str) -> float:
        """Return one figure. A failed round has the worst, so that medians feel it."""
        if self.errors:
            return 0.0 if key.startswith("rate") else math.inf
        return self.figures[key]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the rounds of a side."""

    middle: float
    low: float
    high: float


def figures_of(raw: dict[str, Any]) -> dict[str, float]:
    """
    Return the figures in a line of the generator that reports no error.

    A message moved is one delivered, or one published if nobody listens.
    """
    moved = raw["delivered"] if raw["expected"] else raw["published"]
    found = {
        "cpu_us": raw["server_cpu_seconds"] * 1e6 / moved,
        "rate": moved / raw["seconds"],
    }
    return found | {key: raw[key] for key in raw if key.endswith("_us")}


def judge(side: str, number: int, raw: dict[str, Any], at: float = 0.0) -> Measured:
    """Turn the generator's line into a round."""
    errors = tuple(raw["errors"])
    seconds = raw.get("seconds", 0.0)
    share = raw["cpu_seconds"] / seconds if seconds else 0.0
    figures = {} if errors else figures_of(raw)
    return Measured(side, number, figures, share, errors, raw, at)


@dataclass(slots=True)
class Row:
    """All rounds of one scenario in one placement, or of one curve."""

    settings: dict[str, Any]
    measures: tuple[Measure, ...]
    rounds: list[Measured] = field(default_factory=list)
    complete: bool = False

    def of(self, side: str, at: float = 0.0) -> list[Measured]:
        return [one for one in self.rounds if one.side == side and one.at == at]

    def spread(self, side: str, key: str, at: float = 0.0) -> Spread | None:
        """Sum up a figure; None if there is no round, or none that has it."""
        mine = [r for r in self.of(side, at) if r.errors or key in r.figures]
        if not mine:
            return None
        found = [one.figure(key) for one in mine]
        return Spread(median(found), min(found), max(found))

    def places(self) -> list[float]:
        return sorted({one.at for one in self.rounds})

    def verdict(self, measure: Measure, sides: Sequence[str]) -> Verdict | None:
        """Judge the medians of *sides*, ours first; None if ours has no round."""
        ours = self.spread(sides[0], measure.key)
        peer = self.spread(sides[1], measure.key) if len(sides) > 1 else None
        if ours is None:
            return None
        return goals.judge(measure, ours.middle, peer.middle if peer else None)


@dataclass(slots=True)
class Record:
    """
    What has been measured so far, and where it is kept.

    *sides* are names with the command and version of each: ours, then the reference,
    then other peers. *problems* says by row why it could not be measured to the end.
    """

    path: Path
    head: dict[str, Any]
    sides: dict[str, dict[str, str]]
    rows: dict[str, Row] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def load(path: Path) -> Record:
        """
        Read a file back.

        Raises:
            MeasureError: there is none, or it is not ours.
        """
        try:
            stored = json.loads(path.read_text())
            if stored["format"] != FORMAT:
                raise MeasureError(f"{path} has another format; measure again")
            rows = {name: _load_row(row) for name, row in stored["rows"].items()}
            return Record(
                path, stored["head"], stored["sides"], rows, stored["problems"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MeasureError(f"{path} holds no results: {error!r}") from error

    def begin(
        self, name: str, settings: dict[str, Any], measures: tuple[Measure, ...]
    ) -> None:
        """Open a row, in place of an unfinished one."""
        self.rows[name] = Row(settings, measures)
        self.problems.pop(name, None)

    def add(self, name: str, measured: Measured) -> None:
        """Take a round in, and write everything down so that it survives us."""
        self.rows[name].rounds.append(measured)
        self.write()

    def finish(self, name: str) -> None:
        self.rows[name].complete = True
        self.write()

    def is_complete(self, name: str) -> bool:
        return name in self.rows and self.rows[name].complete

    @property
    def names(self) -> list[str]:
        return list(self.sides)

    @property
    def failed(self) -> list[tuple[str, Measured]]:
        """The rounds that went wrong, with the names of their rows."""
        return [
            (name, one)
            for name, row in self.rows.items()
            for one in row.rounds
            if one.errors
        ]

    def verdicts(self) -> Iterator[tuple[str, Measure, Verdict]]:
        for name, row in self.rows.items():
            for measure in row.measures:
                verdict = row.verdict(measure, self.names)
                if verdict:
                    yield name, measure, verdict

    @property
    def missed(self) -> list[str]:
        """Names of the rows that do not reach a goal."""
        marks = [name for name, _, v in self.verdicts() if v.mark == goals.MISSED]
        return list(dict.fromkeys(marks))

    def write(self) -> None:
        """Replace the file by one that holds all rounds so far."""
        document = {
            "format": FORMAT,
            "head": self.head,
            "sides": self.sides,
            "problems": self.problems,
            "rows": {name: self._stored(row) for name, row in self.rows.items()},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.new")
        fresh.write_text(json.dumps(_finite(document), indent=1) + "\n")
        fresh.replace(self.path)

    def _stored(self, row: Row) -> dict[str, Any]:
        return {
            "complete": row.complete,
            "settings": row.settings,
            "measures": [asdict(measure) for measure in row.measures],
            "summary": [self._summary(row, m) for m in row.measures],
            "rounds": [asdict(one) for one in row.rounds],
        }

    def _summary(self, row: Row, measure: Measure) -> dict[str, Any]:
        verdict = row.verdict(measure, self.names)
        found: dict[str, Any] = {"key": measure.key, "unit": measure.unit}
        found |= asdict(verdict) if verdict else {}
        for at in row.places():
            spreads = {s: row.spread(s, measure.key, at) for s in self.names}
            known = {side: asdict(s) for side, s in spreads.items() if s}
            found |= {"sides": known} if not at else {f"at {at:g}": known}
        return found


def _load_row(stored: dict[str, Any]) -> Row:
    measures = tuple(Measure.load(one) for one in stored["measures"])
    rounds = [
        Measured(**one | {"errors": tuple(one["errors"])}) for one in stored["rounds"]
    ]
    return Row(stored["settings"], measures, rounds, stored["complete"])


def _finite(value: Any) -> Any:
    """JSON knows no infinity: null stands for the figure of a failed round."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
