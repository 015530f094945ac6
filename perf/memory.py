"""Scenarios that weigh a server: what stays resident, and how much it grows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from perf.bench import Bench, Placement, Rounds, Side
from perf.goals import Measure
from perf.processes import Server, idle_load, run_load
from perf.record import Measured, judge

KIB = 1024
MIB = 1024 * KIB
SETTLE_SECONDS = 3.0  # before memory is read; past nats-server's first PING at 2 s
SMOKE_CONNECTIONS = 100
SMOKE_TOPICS = 1000
SMOKE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Memory:
    """
    Resident memory of a fresh server with a burden, less that without.

    The burden is *connections* that are idle, each with *topics* subscriptions of its
    own, or *distinct* messages to as many subjects that nobody listens to. Without
    either, the server itself is weighed. The growth is divided by subscriptions if
    there are any. Figures are in bytes.
    """

    name: str
    measure: Measure
    connections: int = 0
    topics: int = 1
    distinct: int = 0

    @property
    def pace(self) -> float:
        return 2 * SETTLE_SECONDS + 1

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (self.measure,)

    def settings(self, bench: Bench) -> dict[str, Any]:
        found = asdict(self._scaled(bench)) | {"settle_seconds": settle_seconds(bench)}
        del found["measure"]
        return found

    def steps(self, bench: Bench) -> int:
        return len(bench.sides) * bench.rounds

    def run(self, bench: Bench) -> Rounds:
        """Weigh the sides in turn, each time on a server that has seen nothing."""
        scaled = self._scaled(bench)
        for number in range(1, bench.rounds + 1):
            for side in bench.sides:
                yield scaled._weigh(bench, side, number)

    def _scaled(self, bench: Bench) -> Memory:
        if not bench.smoke:
            return self
        return Memory(
            self.name,
            self.measure,
            min(self.connections, SMOKE_CONNECTIONS),
            min(self.topics, SMOKE_TOPICS),
            min(self.distinct, SMOKE_TOPICS),
        )

    def _weigh(self, bench: Bench, side: Side, number: int) -> Measured:
        with bench.serve(side) as server:
            time.sleep(settle_seconds(bench))
            base = server.rss_kib()
            with self._burden(server, bench.placement) as errors:
                time.sleep(settle_seconds(bench))
                held = server.rss_kib()
        raw = {"base_kib": base, "held_kib": held}
        growth = (held - base) * KIB / (self.connections * self.topics or 1)
        is_base = not self.connections and not self.distinct
        figures = {self.measure.key: float(held * KIB) if is_base else growth}
        return Measured(side.name, number, figures, 0.0, tuple(errors), raw)

    @contextmanager
    def _burden(self, server: Server, placement: Placement) -> Iterator[list[str]]:
        if self.connections:
            cpu = placement.load_cpu
            with idle_load(server, self.connections, cpu, self.topics) as errors:
                yield errors
        elif self.distinct:
            arguments = [f"--subjects={self.distinct}", f"--messages={self.distinct}"]
            yield run_load(server, arguments, placement.load_cpu)["errors"]
        else:
            yield []


def settle_seconds(bench: Bench) -> float:
    """How long memory is left alone before it is read."""
    return 0.0 if bench.smoke else SETTLE_SECONDS


@dataclass(frozen=True, slots=True)
class Flood:
    """
    Resident memory under one flat-out publisher and one subscriber, without a window.

    The figure is the peak, as the kernel kept it, less what was resident before, in
    bytes. A message lost or a connection cut fails the round.
    """

    name: str
    measure: Measure
    seconds: float = 30.0

    @property
    def pace(self) -> float:
        return self.seconds + 1

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (self.measure, Measure("cpu_us", "CPU us/msg"))

    def settings(self, bench: Bench) -> dict[str, Any]:
        return {"size": 128, "seconds": self._seconds(bench)}

    def steps(self, bench: Bench) -> int:
        return len(bench.sides) * bench.rounds

    def run(self, bench: Bench) -> Rounds:
        """Flood the sides in turn, each time a fresh server."""
        arguments = ["--subscribers=1", "--size=128"]
        arguments.append(f"--seconds={self._seconds(bench):g}")
        for number in range(1, bench.rounds + 1):
            for side in bench.sides:
                with bench.serve(side) as server:
                    server.forget_peak()
                    base = server.rss_kib()
                    raw = bench.load(server, arguments)
                    peak = server.peak_kib()
                yield self._judge(judge(side.name, number, raw), base, peak)

    def _judge(self, one: Measured, base: int, peak: int) -> Measured:
        figures = one.figures | {self.measure.key: float((peak - base) * KIB)}
        raw = one.raw | {"base_kib": base, "peak_kib": peak}
        return replace(one, figures=figures, raw=raw)

    def _seconds(self, bench: Bench) -> float:
        return SMOKE_SECONDS if bench.smoke else self.seconds
