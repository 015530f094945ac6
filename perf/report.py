"""Make a report of results, or compare two runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.compare import comparison
from perf.plot_goals import draw_goals
from perf.plots import PLOTS, draw_curve, require
from perf.processes import MeasureError
from perf.record import Record
from perf.report_text import markdown


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf.report", description=__doc__)
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="results of python -m perf, of python -m perf.sweep, or of both",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where report.md and the plots go"
    )
    parser.add_argument(
        "--format", choices=("svg", "png"), default="svg", help="of plots; default svg"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="print what changed for ours from the first file to the second",
    )
    return parser


def sorted_out(paths: Sequence[Path]) -> tuple[Record | None, Record | None]:
    """
    Return the run and the sweep among the files, told by their contents.

    Raises:
        MeasureError: a file is neither, or there are two of a kind.
    """
    found: dict[str, Record] = {}
    for path in paths:
        record = Record.load(path)
        if record.head["kind"] in found:
            raise MeasureError(f"{path} is a second file of {record.head['kind']}")
        found[record.head["kind"]] = record
    return found.get("scenarios"), found.get("curves")


def write_plots(
    run: Record | None, sweep: Record | None, out: Path, suffix: str
) -> list[Path]:
    """Write a plot of the goals and of each curve; return those that there are."""
    written = []
    goals = out / f"goals.{suffix}"
    if run and draw_goals(run, goals):
        written.append(goals)
    for plot in PLOTS:
        if sweep and plot.curve in sweep.rows and sweep.rows[plot.curve].rounds:
            path = out / f"{plot.curve}.{suffix}"
            draw_curve(plot, sweep, path)
            written.append(path)
    return written


def main(words: Sequence[str] | None = None) -> int:
    """Report; return 1 if a file is not ours or matplotlib is missing."""
    parser = make_parser()
    options = parser.parse_args(words)
    if options.compare and len(options.files) != 2:
        parser.error("--compare takes two files")
    if not options.compare and not options.out:
        parser.error("--out is missing")
    try:
        if options.compare:
            print(comparison(*map(Record.load, options.files)))
            return 0
        require()
        run, sweep = sorted_out(options.files)
        options.out.mkdir(parents=True, exist_ok=True)
        plots = write_plots(run, sweep, options.out, options.format)
        (options.out / "report.md").write_text(markdown(run, sweep, plots))
    except MeasureError as error:
        print(f"perf.report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
