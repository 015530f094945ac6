"""Loads of which one number rises: size, fan-out, rate, connections, threads."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from perf.bench import Bench, Rounds, Scenario, Side
from perf.goals import Measure
from perf.memory import KIB, settle_seconds
from perf.processes import Server, idle_load
from perf.rate import REQUESTERS, highest_rate
from perf.record import Measured, judge
from perf.scenarios import PAIRS
from perf.speed import Speed

LOAD_SECONDS = 0.5
RATE_SECONDS = 2.0
LOAD_MEASURES = (
    Measure("rate", "messages/s", is_cost=False),
    Measure("cpu_us", "CPU us/msg"),
)

SIZES = tuple(KIB * 4**step // 64 for step in range(8))  # 16 B to 256 KiB
FAN_OUTS = (1, 3, 10, 30, 100, 300, 1000)
SHARES = (10, 25, 50, 70, 80, 90, 95)  # per cent of a server's own highest rate
CONNECTIONS = (0, 1000, 2000, 5000, 10000)
THREADS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """Throughput and CPU of loads that differ in one number, which is the place."""

    name: str
    loads: tuple[tuple[int, Speed], ...]

    @property
    def pace(self) -> float:
        return LOAD_SECONDS + 0.1

    @property
    def measures(self) -> tuple[Measure, ...]:
        return LOAD_MEASURES

    def settings(self, bench: Bench) -> dict[str, Any]:
        loads = [" ".join(load.shape(load.size)) for _, load in self.loads]
        return {"seconds": bench.span(LOAD_SECONDS), "loads": loads}

    def steps(self, bench: Bench) -> int:
        return bench.rounds * len(self.loads) * len(bench.sides)

    def run(self, bench: Bench) -> Rounds:
        """Walk the curve in each round, and alternate the sides at each place."""
        seconds = f"--seconds={bench.span(LOAD_SECONDS):g}"
        with bench.serve_all() as servers:
            for number in range(1, bench.rounds + 1):
                for at, load in self.loads:
                    for side, server in servers.items():
                        raw = bench.load(server, [*load.shape(load.size), seconds])
                        yield judge(side, number, raw, at)


@dataclass(frozen=True, slots=True)
class LatencyCurve:
    """
    Latency of requests at rising shares of each server's own highest rate.

    The place is the share in per cent; the figure `offered` is the rate itself.
    """

    name: str

    @property
    def pace(self) -> float:
        return RATE_SECONDS + 0.2

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure("offered", "requests/s", is_cost=False),
            Measure("p50_us", "p50 us"),
            Measure("p99_us", "p99 us"),
            Measure("p999_us", "p99.9 us"),
        )

    def settings(self, bench: Bench) -> dict[str, Any]:
        return {"size": 16, "requesters": 32, "seconds": bench.span(RATE_SECONDS)}

    def steps(self, bench: Bench) -> int:
        return bench.rounds * len(SHARES) * len(bench.sides)

    def run(self, bench: Bench) -> Rounds:
        """Find each side's highest rate once, then walk the curve in each round."""
        seconds = f"--seconds={bench.span(RATE_SECONDS):g}"
        with bench.serve_all() as servers:
            highest = {side: highest_rate(bench, s) for side, s in servers.items()}
            for number in range(1, bench.rounds + 1):
                for share in SHARES:
                    for side, server in servers.items():
                        rate = max(1, round(highest[side] * share / 100))
                        words = [*REQUESTERS, f"--rate={rate}", seconds]
                        one = judge(side, number, bench.load(server, words), share)
                        figures = one.figures | {"offered": float(rate)}
                        yield replace(one, figures=figures)


@dataclass(frozen=True, slots=True)
class MemoryCurve:
    """Resident memory of one process while idle connections are added."""

    name: str

    @property
    def pace(self) -> float:
        return 3.2

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (Measure("rss", "B resident"),)

    def settings(self, bench: Bench) -> dict[str, Any]:
        return {"subscriptions": 1, "settle_seconds": settle_seconds(bench)}

    def steps(self, bench: Bench) -> int:
        return bench.rounds * len(CONNECTIONS) * len(bench.sides)

    def run(self, bench: Bench) -> Rounds:
        """Let a fresh server of each side grow, in each round."""
        for number in range(1, bench.rounds + 1):
            for side in bench.sides:
                with bench.serve(side) as server, ExitStack() as held:
                    yield from self._grow(bench, server, held, side, number)

    def _grow(
        self, bench: Bench, server: Server, held: ExitStack, side: Side, number: int
    ) -> Rounds:
        before = 0
        for count in CONNECTIONS:
            errors: list[str] = []
            if count:
                cpu = bench.placement.load_cpu
                more = idle_load(server, count - before, cpu)
                errors = held.enter_context(more)
            before = count
            time.sleep(settle_seconds(bench))
            figures = {"rss": float(server.rss_kib() * KIB)}
            yield Measured(side.name, number, figures, 0, tuple(errors), at=count)


@dataclass(frozen=True, slots=True)
class ThreadsCurve:
    """Throughput and CPU of eight pairs over the threads that serve them."""

    name: str
    counts: tuple[int, ...]

    @property
    def pace(self) -> float:
        return LOAD_SECONDS + 0.1

    @property
    def measures(self) -> tuple[Measure, ...]:
        return LOAD_MEASURES

    def settings(self, bench: Bench) -> dict[str, Any]:
        shape = " ".join(PAIRS.shape(PAIRS.size))
        return {"seconds": bench.span(LOAD_SECONDS), "loads": [shape]}

    def steps(self, bench: Bench) -> int:
        return bench.rounds * len(self.counts) * len(bench.sides)

    def run(self, bench: Bench) -> Rounds:
        """Keep a server of each side and number up, and take turns."""
        words = [*PAIRS.shape(PAIRS.size), f"--seconds={bench.span(LOAD_SECONDS):g}"]
        with ExitStack() as stack:
            servers = {
                (count, side.name): stack.enter_context(bench.serve(side, count))
                for count in self.counts
                for side in bench.sides
            }
            for number in range(1, bench.rounds + 1):
                for (count, name), server in servers.items():
                    yield judge(name, number, bench.load(server, words), count)


def curves(cpus: int) -> tuple[Scenario, ...]:
    """Return all of them for a machine of so many CPUs."""
    one_to_one = Speed("1:1", 0, 0, subscribers=1)
    sizes = tuple((size, replace(one_to_one, size=size)) for size in SIZES)
    fan_outs = tuple((n, Speed("1:N", 128, 0, subscribers=n)) for n in FAN_OUTS)
    return (
        LoadCurve("size", sizes),
        LoadCurve("fan-out", fan_outs),
        LatencyCurve("latency"),
        MemoryCurve("memory"),
        ThreadsCurve("threads", tuple(count for count in THREADS if count <= cpus)),
    )
