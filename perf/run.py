"""Run ours and its peers in turn under the same load, and compare."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from perf import session
from perf.bench import UNPINNED, Bench, Placement, Scenario, Side
from perf.scenarios import scenarios
from perf.session import Task
from perf.table import text_table
from perf.threads import Threads

PLACEMENTS = ("pinned", "unpinned", "both")


def pattern_of(names: Sequence[str]) -> Callable[[str], str]:
    """Return what checks that a pattern names at least one scenario."""

    def check(pattern: str) -> str:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise argparse.ArgumentTypeError(f"no scenario is called {pattern}")
        return pattern

    return check


def make_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    parser.add_argument(
        "--scenario",
        nargs="+",
        default=["*"],
        type=pattern_of(names),
        metavar="NAME",
        help=f"or a pattern; default: all of {', '.join(names)}",
    )
    parser.add_argument(
        "--strict", action="store_true", help="status 1 if a goal is missed"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="a few messages of everything, once plain and once with --check",
    )
    session.add_options(parser, rounds=5, json="latest.json", placements=PLACEMENTS)
    return parser


def chosen(patterns: Sequence[str], among: Sequence[Scenario]) -> list[Scenario]:
    """Return the scenarios that any pattern names, in their own order."""
    return [one for one in among if any(fnmatchcase(one.name, p) for p in patterns)]


def placements(options: argparse.Namespace) -> list[Placement]:
    pinned = Placement("pinned", options.server_cpu, options.load_cpu)
    both = {"pinned": [pinned], "unpinned": [UNPINNED], "both": [pinned, UNPINNED]}
    return both[options.placement]


def plan(
    wanted: Sequence[Scenario], where: Sequence[Placement], bench: Bench
) -> list[Task]:
    """Return each scenario in each placement; `Threads` has none but its own."""
    tasks = []
    for one in wanted:
        if isinstance(one, Threads):
            tasks.append(Task(one.name, one, bench.placed(UNPINNED)))
            continue
        for placement in where:
            suffix = " unpinned" if placement is UNPINNED else ""
            tasks.append(Task(one.name + suffix, one, bench.placed(placement)))
    return tasks


def main(words: Sequence[str] | None = None) -> int:
    """Measure; see `session.run` for the status."""
    words = sys.argv[1:] if words is None else words
    table = scenarios(len(os.sched_getaffinity(0)))
    parser = make_parser([one.name for one in table])

    def planned(options: argparse.Namespace, sides: tuple[Side, ...]) -> list[Task]:
        rounds = 1 if options.smoke else options.rounds
        where = placements(options)
        bench = Bench(sides, rounds, where[0], options.smoke)
        return plan(chosen(options.scenario, table), where, bench)

    return session.run("scenarios", parser, words, planned, text_table)


if __name__ == "__main__":
    sys.exit(main())
