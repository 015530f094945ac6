"""What was measured: rounds, medians, the JSON file and the table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

SIDES = ("ours", "peer")
BOUND_SHARE = 0.9  # of the generator's CPU; above it the round measured the generator


@dataclass(frozen=True, slots=True)
class Measured:
    """
    One round of one server.

    *figure* is CPU microseconds per message, request or connect, or resident bytes
    per connection; infinite if the round failed, so that the median feels it.
    *moved_rate* is messages a second, and *load_share* the generator's CPU over the
    wall time. *p50_us* and *p99_us* are latencies of requests; 0 if there were none.
    """

    side: str
    figure: float
    moved_rate: float = 0.0
    load_share: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    errors: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """The rounds of one side: medians, the spread of the figure, and failures."""

    middle: float
    low: float
    high: float
    rate: float
    load_share: float
    p50_us: float
    p99_us: float
    failed: int

    @staticmethod
    def of(rounds: Sequence[Measured], side: str) -> Summary:
        """Sum up the rounds of *side*; there is at least one."""
        mine = [one for one in rounds if one.side == side]
        figures = [one.figure for one in mine]
        return Summary(
            middle=median(figures),
            low=min(figures),
            high=max(figures),
            rate=median(one.moved_rate for one in mine),
            load_share=max(one.load_share for one in mine),
            p50_us=median(one.p50_us for one in mine),
            p99_us=median(one.p99_us for one in mine),
            failed=sum(bool(one.errors) for one in mine),
        )


def judge(side: str, raw: dict[str, Any]) -> Measured:
    """Turn the generator's line into a round."""
    errors = tuple(raw["errors"])
    seconds = raw.get("seconds", 0.0)
    if not seconds:
        return Measured(side, math.inf, errors=errors, raw=raw)
    messages = max(raw["published"], raw["delivered"])
    cost = math.inf if errors else raw["server_cpu_seconds"] * 1e6 / messages
    moved = raw["delivered"] if raw["expected"] else raw["published"]
    share = raw["cpu_seconds"] / seconds
    return Measured(
        side,
        cost,
        moved / seconds,
        share,
        raw.get("p50_us", 0.0),
        raw.get("p99_us", 0.0),
        errors,
        raw,
    )


@dataclass(slots=True)
class Report:
    """What has been measured so far, and where it is kept."""

    path: Path
    head: dict[str, Any]
    versions: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    rounds: dict[str, list[Measured]] = field(default_factory=dict)

    def begin(self, name: str, settings: dict[str, Any]) -> None:
        """Open a row of the report."""
        self.rows[name] = settings
        self.rounds[name] = []

    def add(self, name: str, measured: Measured) -> None:
        """Take a round in, and write everything down so that it survives us."""
        self.rounds[name].append(measured)
        self.write()

    @property
    def failed(self) -> int:
        """How many rounds went wrong."""
        rounds = [one for rounds in self.rounds.values() for one in rounds]
        return sum(bool(one.errors) for one in rounds)

    def complete(self) -> Iterator[tuple[str, Summary, Summary]]:
        """Yield the rows in which both sides have at least one round."""
        for name, rounds in self.rounds.items():
            if {one.side for one in rounds} == set(SIDES):
                yield name, Summary.of(rounds, "ours"), Summary.of(rounds, "peer")

    def write(self) -> None:
        """Replace the file by one that holds all rounds so far."""
        summaries = {
            name: {
                "ours": asdict(ours),
                "peer": asdict(peer),
                "ratio": ratio(ours, peer),
            }
            for name, ours, peer in self.complete()
        }
        document = self.head | {
            "versions": self.versions,
            "scenarios": {
                name: {
                    "settings": settings,
                    "summary": summaries.get(name),
                    "rounds": [asdict(one) for one in self.rounds[name]],
                }
                for name, settings in self.rows.items()
            },
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(_finite(document), indent=1) + "\n")
        fresh.replace(self.path)

    def table(self) -> str:
        """Return the comparison, one line for each scenario."""
        lines = [
            "CPU microseconds a message, request (rr) or connect"
            " (memory: resident bytes a connection): median (min-max)",
            f"{'scenario':17}{'ours':>27}{'peer':>27}{'ratio':>7}"
            f"{'ours /s':>11}{'peer /s':>11}{'load CPU':>10}",
        ]
        for name, ours, peer in self.complete():
            lines.append(
                f"{name:17}{_spread(ours):>27}{_spread(peer):>27}"
                f"{ratio(ours, peer):>7.3f}{ours.rate:>11,.0f}{peer.rate:>11,.0f}"
                f"{max(ours.load_share, peer.load_share):>10.0%}"
                f"{''.join(self._notes(name, ours, peer))}"
            )
        return "\n".join(lines)

    def _notes(self, name: str, ours: Summary, peer: Summary) -> Iterator[str]:
        for side, summary in zip(SIDES, (ours, peer), strict=True):
            if summary.failed:
                yield f"  {summary.failed} FAILED ({side})"
            if summary.load_share > BOUND_SHARE:
                yield f"  generator-bound ({side})"
        if ours.p99_us or peer.p99_us:
            yield f"  p50 {ours.p50_us:.0f}/{peer.p50_us:.0f} us"
            yield f"  p99 {ours.p99_us:.0f}/{peer.p99_us:.0f} us"
        if self.rows[name].get("inflight"):
            yield f"  inflight {self.rows[name]['inflight']:,} B"


def ratio(ours: Summary, peer: Summary) -> float:
    """Return ours over peer: below 1, ours is the cheaper one."""
    return ours.middle / peer.middle if peer.middle else math.nan


def _spread(summary: Summary) -> str:
    digits = 0 if summary.middle >= 100 else 1 if summary.middle >= 10 else 3
    return (
        f"{summary.middle:,.{digits}f}"
        f" ({summary.low:,.{digits}f}-{summary.high:,.{digits}f})"
    )


def _finite(value: Any) -> Any:
    """JSON knows no infinity: null stands for the figure of a failed round."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
