"""Latency at a rate that all servers get alike, from due times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perf.bench import Bench, Rounds
from perf.goals import Goal, Measure
from perf.processes import MeasureError, Server
from perf.record import judge

REQUESTERS = ["--requesters=32", "--size=16"]
PROBES = 3  # whatever disturbs them makes them slower, so the best counts
PROBE_SECONDS = 1.0


def highest_rate(bench: Bench, server: Server) -> float:
    """
    Return how many requests a second 32 requesters get through, at best.

    Raises:
        MeasureError: not even that works.
    """
    words = [*REQUESTERS, f"--seconds={bench.span(PROBE_SECONDS):g}"]
    found = [judge("", probe, bench.load(server, words)) for probe in range(PROBES)]
    errors = [error for one in found for error in one.errors]
    if errors:
        raise MeasureError(f"no highest rate: {'; '.join(errors)}")
    return max(one.figures["rate"] for one in found)


@dataclass(frozen=True, slots=True)
class RequestRate:
    """
    Requests at a *share* of the highest rate of the reference, the same for all sides.

    A latency counts from the time at which its request was due, so a server that
    stalls is charged for the requests that it kept from being sent.
    """

    name: str
    goal: Goal
    share: float = 0.5
    seconds: float = 3.0

    @property
    def pace(self) -> float:
        return self.seconds + 0.5

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("p99_us", "p99 us", self.goal),
            Measure("p50_us", "p50 us"),
            Measure("p999_us", "p99.9 us"),
            Measure("cpu_us", "CPU us/request"),
        )

    def settings(self, bench: Bench) -> dict[str, Any]:
        return {
            "size": 16,
            "requesters": 32,
            "share": self.share,
            "seconds": bench.span(self.seconds),
        }

    def steps(self, bench: Bench) -> int:
        return len(bench.sides) * bench.rounds

    def run(self, bench: Bench) -> Rounds:
        """Find the rate, then alternate the sides at it."""
        with bench.serve_all() as servers:
            highest = highest_rate(bench, servers[bench.reference.name])
            seconds = f"--seconds={bench.span(self.seconds):g}"
            rate = f"--rate={max(1, round(highest * self.share))}"
            for number in range(1, bench.rounds + 1):
                for side, server in servers.items():
                    raw = bench.load(server, [*REQUESTERS, rate, seconds])
                    yield judge(side, number, raw)
