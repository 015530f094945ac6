"""What more reactors cost, and what they bring, traffic between them included."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from perf.bench import OURS, Bench, Rounds
from perf.goals import Goal, Kind, Measure
from perf.processes import MeasureError, Server
from perf.record import Measured, judge
from perf.speed import Speed

COST = Goal(Kind.MOST, 1.25)
GAIN = Goal(Kind.LEAST, 1.6)
GAIN_CPUS = 4  # below, generator and server share what they are to scale over


def thread_counts(cpus: int) -> tuple[int, ...]:
    """Return the numbers of reactors that say something on so many CPUs."""
    return (1, 2, *(count for count in (4, 8, 16) if count <= cpus))


@dataclass(frozen=True, slots=True)
class Threads:
    """
    Ours alone at several numbers of reactors; made for servers that are not pinned.

    A figure is that of so many reactors over that of one in the same round, of CPU for
    a message or of messages a second.
    """

    name: str
    loads: tuple[Speed, ...]
    cpus: int

    @property
    def pace(self) -> float:
        return 1.5 * len(self.loads) * len(thread_counts(self.cpus))

    @property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(
            measure
            for load in self.loads
            for count in thread_counts(self.cpus)[1:]
            for measure in self._pair(load.name, count)
        )

    def _pair(self, load: str, count: int) -> tuple[Measure, Measure]:
        cost = Measure(
            f"cpu x{count} {load}",
            f"{load} CPU, x{count}",
            COST if count == 2 else None,
            is_cost=False,
        )
        few = "" if self.cpus >= GAIN_CPUS else f"not measured: {self.cpus} CPUs"
        gain = Measure(
            f"rate x{count} {load}",
            f"{load} rate, x{count}",
            GAIN if count == 2 and not few else None,
            is_cost=False,
            unjudged=few,
        )
        return cost, gain

    def settings(self, bench: Bench) -> dict[str, Any]:
        return {
            "threads": thread_counts(self.cpus),
            "loads": [load.settings(bench) for load in self.loads],
        }

    def steps(self, bench: Bench) -> int:
        return bench.rounds

    def run(self, bench: Bench) -> Rounds:
        """
        Alternate the numbers of reactors.

        Raises:
            MeasureError: the command of ours has no place for the number.
        """
        if "{threads}" not in bench.ours.command:
            raise MeasureError("the command of ours has no {threads}")
        with ExitStack() as stack:
            servers = {
                count: stack.enter_context(bench.serve(bench.ours, count))
                for count in thread_counts(self.cpus)
            }
            for number in range(1, bench.rounds + 1):
                yield self._round(bench, servers, number)

    def _round(self, bench: Bench, servers: dict[int, Server], number: int) -> Measured:
        found = {
            (load.name, count): judge(
                OURS, number, bench.load(server, load.words(bench))
            )
            for load in self.loads
            for count, server in servers.items()
        }
        return relative(number, found)


def relative(number: int, found: dict[tuple[str, int], Measured]) -> Measured:
    """Return one round of the runs of each load and number of reactors."""
    errors = tuple(error for one in found.values() for error in one.errors)
    raw = {f"{load} x{count}": one.raw for (load, count), one in found.items()}
    share = max(one.load_share for one in found.values())
    figures = {}
    if not errors:
        for (load, count), one in found.items():
            base = found[load, 1].figures
            figures[f"cpu x{count} {load}"] = one.figures["cpu_us"] / base["cpu_us"]
            figures[f"rate x{count} {load}"] = one.figures["rate"] / base["rate"]
    return Measured(OURS, number, figures, share, errors, raw)
