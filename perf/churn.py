"""What SUB and UNSUB beside it cost a hot publisher."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from perf.bench import Bench, Rounds
from perf.goals import Measure
from perf.processes import Server
from perf.record import Measured, judge

HOT = ["--subscribers=1", "--size=128"]


@dataclass(frozen=True, slots=True)
class Churn:
    """
    A 1:1-128 publisher flat out, alone and beside a connection that churns.

    The churner makes *operations* a second, half of them SUB, half UNSUB. `loss` is by
    how many per cent its presence slows the publisher down.
    """

    name: str
    measure: Measure
    operations: int
    seconds: float = 2.0

    @property
    def pace(self) -> float:
        return 2 * self.seconds

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            self.measure,
            Measure("alone_cpu_us", "CPU us/msg, alone"),
            Measure("cpu_us", "CPU us/msg, beside"),
            Measure("churn_per_s", "SUB+UNSUB/s", is_cost=False),
        )

    def settings(self, bench: Bench) -> dict[str, Any]:
        found = asdict(self) | {"size": 128, "seconds": bench.span(self.seconds)}
        del found["measure"]
        return found

    def steps(self, bench: Bench) -> int:
        return len(bench.sides) * bench.rounds

    def run(self, bench: Bench) -> Rounds:
        """Alternate the sides, and alone and beside for each."""
        with bench.serve_all() as servers:
            for number in range(1, bench.rounds + 1):
                for side, server in servers.items():
                    yield self._round(bench, server, side, number)

    def _round(self, bench: Bench, server: Server, side: str, number: int) -> Measured:
        arguments = [*HOT, f"--seconds={bench.span(self.seconds):g}"]
        alone = judge(side, number, bench.load(server, arguments))
        arguments.append(f"--churn={self.operations}")
        beside = judge(side, number, bench.load(server, arguments))
        return compared(self.measure.key, alone, beside)


def compared(key: str, alone: Measured, beside: Measured) -> Measured:
    """Return one round of two runs; *key* names the loss in per cent."""
    errors = alone.errors + beside.errors
    raw = {"alone": alone.raw, "beside": beside.raw}
    share = max(alone.load_share, beside.load_share)
    if errors:
        return Measured(alone.side, alone.number, {}, share, errors, raw)
    figures = beside.figures | {
        key: 100 * (1 - beside.figures["rate"] / alone.figures["rate"]),
        "alone_cpu_us": alone.figures["cpu_us"],
        "churn_per_s": beside.raw["churned"] / beside.raw["churn_seconds"],
    }
    return Measured(alone.side, alone.number, figures, share, (), raw)
