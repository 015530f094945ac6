"""What a scenario is given to run with: the servers, where they run, how often."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from perf.goals import Measure
from perf.processes import Server, run_load, serving
from perf.record import Measured

OURS = "ours"
Rounds = Generator[Measured, None, None]


@dataclass(frozen=True, slots=True)
class Side:
    """A server that takes part, with the version in its INFO."""

    name: str
    command: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """On which CPUs servers and generator run; None is anywhere."""

    name: str
    server_cpu: int | None = None
    load_cpu: int | None = None


UNPINNED = Placement("unpinned")


@dataclass(frozen=True, slots=True)
class Bench:
    """*sides* are ours, the peer that ratios refer to, and the other peers."""

    sides: tuple[Side, ...]
    rounds: int
    placement: Placement
    smoke: bool = False

    @property
    def ours(self) -> Side:
        return self.sides[0]

    @property
    def reference(self) -> Side:
        return self.sides[1]

    def placed(self, placement: Placement) -> Bench:
        return replace(self, placement=placement)

    def span(self, seconds: float) -> float:
        """How long a load of *seconds* lasts in this run."""
        return min(seconds, 0.2) if self.smoke else seconds

    @contextmanager
    def serve(self, side: Side, threads: int = 0) -> Iterator[Server]:
        """One server for the length of the block; *threads* as `serving` has it."""
        with serving(side.command, self.placement.server_cpu, threads) as server:
            yield server

    @contextmanager
    def serve_all(self) -> Iterator[dict[str, Server]]:
        """A server of each side, by its name."""
        with ExitStack() as stack:
            yield {s.name: stack.enter_context(self.serve(s)) for s in self.sides}

    def load(self, server: Server, arguments: list[str]) -> dict[str, Any]:
        """Run the generator; its line, and the arguments that it had."""
        raw = run_load(server, arguments, self.placement.load_cpu)
        return {"arguments": " ".join(arguments)} | raw


class Scenario(Protocol):
    """
    Something that is measured in rounds, all sides in each.

    *pace* is about how many seconds one side takes in one round, for the estimate of
    the time left only.
    """

    @property
    def name(self) -> str: ...

    @property
    def pace(self) -> float: ...

    @property
    def measures(self) -> tuple[Measure, ...]: ...

    def settings(self, bench: Bench) -> dict[str, Any]:
        """What the results should tell about the load."""

    def steps(self, bench: Bench) -> int:
        """How many rounds *run* will yield, each side's counted."""

    def run(self, bench: Bench) -> Rounds:
        """
        Measure.

        Raises:
            MeasureError: it cannot go on; what was yielded counts.
        """
