"""Loads of the generator whose cost is compared: CPU of the server for a message."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from perf.bench import Bench, Rounds
from perf.goals import Goal, Kind, Measure
from perf.record import judge

MIXED_SIZES = "16,17-300,4000-5000,65536"  # of --check; bytes
SMOKE_DIVISOR = 1000  # of the messages of a scenario
SMOKE_LEAST = 100  # messages of each publisher, and always with --check


@dataclass(frozen=True, slots=True)
class Speed:
    """
    One load: who publishes how much to whom.

    *must* and *aim* are how many times less CPU than the reference it is to take; 0 is
    no goal. *messages* is for each publisher, chosen so that one round costs
    nats-server 1 to 2 seconds of CPU. *size* is of a payload, in bytes. *inflight* is
    how many bytes a publisher may be ahead of the deliveries; 0 leaves that to the
    sockets. With *requesters*, *messages* is requests of each of them, and with *storm*
    the number of connections; neither has publishers or subscribers.
    """

    name: str
    size: int
    messages: int
    must: float = 0
    aim: float = 0
    publishers: int = 1
    subscribers: int = 0
    subjects: int = 1
    pairs: bool = False
    shuffle: bool = False
    wildcard: bool = False
    queue: str = ""
    inflight: int = 0
    requesters: int = 0
    new_inbox: bool = False
    storm: bool = False
    has_latency_goal: bool = False  # p50 is not to be above the reference's

    @property
    def pace(self) -> float:
        return 2.0

    @property
    def measures(self) -> tuple[Measure, ...]:
        what = "connect" if self.storm else "request" if self.requesters else "msg"
        goal = Goal(Kind.TIMES, self.must, self.aim) if self.must else None
        cost = Measure("cpu_us", f"CPU us/{what}", goal)
        if not self.requesters:
            return (cost,)
        latency_goal = Goal(Kind.TIMES, 1.0) if self.has_latency_goal else None
        middle = Measure("p50_us", "p50 us", latency_goal)
        return (cost, middle, Measure("p99_us", "p99 us"))

    @property
    def has_check(self) -> bool:
        """Whether ``--check`` is a second way to run it."""
        return not self.requesters and not self.storm

    def settings(self, bench: Bench) -> dict[str, Any]:
        return asdict(self) | {"messages": self.count(bench)}

    def steps(self, bench: Bench) -> int:
        return len(bench.sides) * (bench.rounds + (bench.smoke and self.has_check))

    def run(self, bench: Bench) -> Rounds:
        """Alternate the servers, all alive throughout, under one load."""
        arguments = self.words(bench)
        with bench.serve_all() as servers:
            for number in range(1, bench.rounds + 1):
                for side, server in servers.items():
                    yield judge(side, number, bench.load(server, arguments))
            if bench.smoke and self.has_check:
                arguments = self.arguments(messages=SMOKE_LEAST, sizes=MIXED_SIZES)
                for side, server in servers.items():
                    raw = bench.load(server, [*arguments, "--check"])
                    yield judge(side, bench.rounds + 1, raw)

    def count(self, bench: Bench) -> int:
        """How many messages each publisher has in this run."""
        if bench.smoke:
            return max(SMOKE_LEAST, self.messages // SMOKE_DIVISOR)
        return self.messages

    def words(self, bench: Bench) -> list[str]:
        """Return the generator's arguments for a round of this run."""
        return self.arguments(messages=self.count(bench), sizes=str(self.size))

    def arguments(self, *, messages: int, sizes: str) -> list[str]:
        """Return the generator's arguments, with the counts and sizes to use."""
        if self.storm:
            return [f"--connects={messages}"]
        return [*self.shape(sizes), f"--messages={messages}"]

    def shape(self, sizes: str | int) -> list[str]:
        """Return the generator's arguments but for how long it is to run."""
        if self.requesters:
            flags = ["--new-inbox"] if self.new_inbox else []
            return [f"--requesters={self.requesters}", f"--size={sizes}", *flags]
        found = [
            f"--publishers={self.publishers}",
            f"--subscribers={self.subscribers}",
            f"--size={sizes}",
            f"--subjects={self.subjects}",
        ]
        flags = [f"--{f}" for f in ("pairs", "shuffle", "wildcard") if getattr(self, f)]
        found += flags
        if self.queue:
            found.append(f"--queue={self.queue}")
        if self.inflight:
            found.append(f"--inflight={self.inflight}")
        return found
