"""
What single operations of the engine cost: nanoseconds, or instructions.

A C program is compiled from ``csrc`` with the flags of a release, and run on one CPU.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from perf.machine import describe_machine, describe_revision
from perf.micro.callgrind import output, total, under_callgrind
from perf.processes import PERF, ROOT, MeasureError

HERE = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"
MICRO = PERF / "_build" / "micro"

# As csrc/build_core.py has them for releases, and symbols for callgrind.
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-pthread", "-O3", "-flto", "-g", "-DNDEBUG"]
FLAGS += ["-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: *rounds* in nanoseconds, instructions or bytes (*unit*) each."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)


def sources() -> list[Path]:
    """Return what is compiled: ours, and the engine's with its best poller."""
    engine = [path for path in CSRC.glob("[a-z]*.c") if path.stem != "poll_external"]
    return sorted([*engine, *HERE.glob("*.c")])


def build(target: Path = MICRO) -> None:
    """
    Compile the program unless it is newer than its sources.

    Raises:
        MeasureError: the compiler is missing or refuses.
    """
    inputs = [*sources(), *CSRC.glob("*.h"), *HERE.glob("*.h")]
    newest = max(path.stat().st_mtime for path in inputs)
    if target.exists() and target.stat().st_mtime > newest:
        return
    target.parent.mkdir(exist_ok=True)
    fresh = target.with_suffix(f".{os.getpid()}")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    files = [f"-I{CSRC}", "-o", str(fresh), *map(str, sources())]
    output([*compiler, *FLAGS, *WARNINGS, *files])
    fresh.replace(target)


def program(options: argparse.Namespace) -> list[str]:
    """Return the command, for all but counting."""
    found = [str(MICRO), f"--rounds={options.rounds}", f"--round-ms={options.round_ms}"]
    if options.filter:
        found.append(f"--filter={options.filter}")
    if options.quick:
        found.append("--quick")
    return found


def parse_row(line: str) -> Row:
    """Read a line of the program that has rounds."""
    found = json.loads(line)
    return Row(found["name"], found["unit"], tuple(found["rounds"]))


def measure(options: argparse.Namespace) -> list[Row]:
    """
    Run the program once and return its rows.

    Raises:
        MeasureError: an operation did not do what it was to do.
    """
    lines = output(on_cpu(options.cpu, program(options))).splitlines()
    return [parse_row(line) for line in lines]


def count(options: argparse.Namespace) -> list[Row]:
    """
    Return instructions for each operation, which callgrind counts.

    Raises:
        MeasureError: valgrind or its header is missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [*shlex.split(under_callgrind(out)), *program(options), "--count"]
        lines = output(on_cpu(options.cpu, command)).splitlines()
        return [counted_row(line, out, 2 * i + 1) for i, line in enumerate(lines)]


def counted_row(line: str, out: Path, first: int) -> Row:
    """Divide what the longer run took more, so that what both did cancels out."""
    found = json.loads(line)
    shorter, longer = (
        total(out.with_suffix(f".{number}").read_text())
        for number in (first, first + 1)
    )
    each = (longer - shorter) / found["count"]
    return Row(found["name"], found["unit"], (each,))


def on_cpu(cpu: int, command: list[str]) -> list[str]:
    """Return *command* as it is run on one CPU."""
    return ["taskset", "--cpu-list", str(cpu), *command]


def table(rows: Sequence[Row]) -> str:
    """Return a line for each operation: median, and the spread if there is one."""
    lines = []
    for row in rows:
        spread = ""
        if len(row.rounds) > 1:
            spread = f"({min(row.rounds):,.1f}-{max(row.rounds):,.1f})"
        lines.append(f"{row.name:40}{row.middle:>10,.1f} {row.unit:13}{spread:>18}")
    return "\n".join(line.rstrip() for line in lines)


def write(path: Path, rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Write everything down, with what it depends on."""
    document = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "revision": describe_revision(),
        "options": {name: str(value) for name, value in vars(options).items()},
        "rows": [asdict(row) | {"median": row.middle} for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.micro", description=__doc__)
    parser.add_argument("--filter", help="only names with this in them")
    parser.add_argument("--rounds", type=int, default=15, help="default 15")
    parser.add_argument("--round-ms", type=int, default=4, help="default 4")
    parser.add_argument("--cpu", type=int, default=0, help="default 0")
    parser.add_argument(
        "--callgrind", action="store_true", help="count instructions, not time"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="no index of more than 1,000: does it work?",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=PERF / "results" / "local" / "micro.json",
        help="where the results go; default perf/results/local/micro.json",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 if that was not possible."""
    options = parse(arguments)
    # A program that is being waited for is ended when a signal unwinds.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        build()
        rows = count(options) if options.callgrind else measure(options)
    except MeasureError as error:
        print(f"perf.micro: {error}", file=sys.stderr)
        return 1
    print(table(rows))
    write(options.json, rows, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
