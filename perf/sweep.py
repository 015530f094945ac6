"""Measure the curves of the report: ours and its peers over one rising number."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from perf import session
from perf.bench import UNPINNED, Bench, Side
from perf.curves import ThreadsCurve, curves
from perf.run import placements
from perf.session import Task
from perf.table import curve_table


def make_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf.sweep", description=__doc__)
    parser.add_argument(
        "--curve",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"default: all of {', '.join(names)}",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of 0.2 s at each place: a sketch, not a result",
    )
    parser.set_defaults(smoke=False, strict=False)  # show all, and judge nothing
    session.add_options(parser, rounds=3, json="sweep.json")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Measure; see `session.run` for the status."""
    words = sys.argv[1:] if words is None else words
    table = curves(len(os.sched_getaffinity(0)))
    parser = make_parser([one.name for one in table])

    def planned(options: argparse.Namespace, sides: tuple[Side, ...]) -> list[Task]:
        rounds = 1 if options.quick else options.rounds
        (placement,) = placements(options)
        bench = Bench(sides, rounds, placement, options.quick)
        return [
            Task(
                one.name,
                one,
                bench.placed(UNPINNED) if isinstance(one, ThreadsCurve) else bench,
            )
            for one in table
            if one.name in options.curve
        ]

    return session.run("curves", parser, words, planned, curve_table)


if __name__ == "__main__":
    sys.exit(main())
