"""One measurement from command line to exit status, of scenarios or of curves."""

from __future__ import annotations

import argparse
import datetime
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from perf.bench import OURS, Bench, Scenario, Side
from perf.machine import (
    COMMAND,
    PEER,
    describe_machine,
    describe_revision,
    newest_command,
    probed,
)
from perf.processes import PERF, MeasureError, build_load
from perf.progress import Progress, say
from perf.record import Record
from perf.table import ending, told_round


class Interrupted(BaseException):
    """A signal asked us to end; unwinding ends the servers and keeps the results."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


SIGNALS = (signal.SIGINT, signal.SIGTERM)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Unwind, and let no second signal disturb that."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise Interrupted(number)


@dataclass(frozen=True, slots=True)
class Task:
    """A scenario, how it is run, and the name of its row."""

    name: str
    scenario: Scenario
    bench: Bench


def named_command(text: str) -> tuple[str, str]:
    """
    Split NAME=COMMAND.

    Raises:
        argparse.ArgumentTypeError: a part is missing.
    """
    name, _, command = text.partition("=")
    if not name or not command or name == OURS:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND")
    return name, command


def add_options(
    parser: argparse.ArgumentParser,
    *,
    rounds: int,
    json: str,
    placements: Sequence[str] = ("pinned", "unpinned"),
) -> None:
    """Add what scenarios and curves have in common."""
    default = PERF / "results" / "local" / json
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument(
        "--peer",
        type=named_command,
        action="append",
        metavar="NAME=COMMAND",
        help=f"may be given again; ratios refer to the first; default: {PEER}",
    )
    parser.add_argument(
        "--newest", action="store_true", help="build the newest nats-server as a peer"
    )
    parser.add_argument("--ours", default=COMMAND, help=f"default: {COMMAND}")
    parser.add_argument(
        "--placement",
        choices=placements,
        default="pinned",
        help="pinned: servers on one CPU, the generator on another (default)",
    )
    parser.add_argument("--server-cpu", type=int, default=0, help="default 0")
    parser.add_argument("--load-cpu", type=int, default=1, help="default 1")
    parser.add_argument(
        "--json", type=Path, default=default, help=f"default perf/results/local/{json}"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="go on with an interrupted FILE, under the options that it had",
    )


def parse(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[argparse.Namespace, Record | None]:
    """
    Read the command line; with ``--resume``, the one in the file, and the file.

    Raises:
        MeasureError: the file is not ours.
    """
    options = parser.parse_args(words)
    record = None
    if options.resume:
        if len(words) > (1 if "=" in words[0] else 2):
            parser.error("--resume takes its options from the file")
        record = Record.load(options.resume)
        options = parser.parse_args(record.head["arguments"])
        options.json = record.path
    names = [name for name, _ in options.peer or []]
    if len(set(names)) < len(names):
        parser.error("--peer: a name is taken")
    if options.rounds < 1:
        parser.error("--rounds must be positive")
    cpus = {options.server_cpu, options.load_cpu}
    if options.placement != "unpinned" and not cpus <= os.sched_getaffinity(0):
        parser.error("--server-cpu or --load-cpu is not ours to use")
    return options, record


def take_sides(options: argparse.Namespace, caveats: list[str]) -> tuple[Side, ...]:
    """
    Start each server once, ours first, and say who they are.

    *caveats* takes in what was done without.

    Raises:
        MeasureError: one does not work. Only the newest is done without.
    """
    peers = options.peer or [("", PEER)]
    sides = [probed(name, command) for name, command in [(OURS, options.ours), *peers]]
    if options.newest:
        try:
            sides.append(probed("", newest_command()))
        except MeasureError as error:
            caveats.append(f"without the newest nats-server: {error}")
            say(f"perf: going on {caveats[-1]}")
    unique: dict[str, Side] = {}
    for side in sides:
        if side is unique.setdefault(side.name, side):
            say(f"{side.name}: version {side.version}, {side.command}")
    return tuple(unique.values())


def without_file(words: Sequence[str]) -> list[str]:
    """Return the command line but for ``--json``: a file does not name itself."""
    found = list(words)
    for index, word in enumerate(words):
        if word.startswith("--json"):
            del found[index : index + (1 if "=" in word else 2)]
    return found


def open_record(
    kind: str, words: Sequence[str], options: argparse.Namespace, old: Record | None
) -> tuple[Record, tuple[Side, ...]]:
    """
    Return the file to write, and who takes part.

    Raises:
        MeasureError: a server does not work, or *old* is of other servers, of another
            revision or machine.
    """
    caveats: list[str] = []
    sides = take_sides(options, caveats)
    told = {s.name: {"version": s.version, "command": s.command} for s in sides}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    fixed = {
        "kind": kind,
        "machine": describe_machine(),
        "revision": describe_revision(),
    }
    if old is None:
        head = fixed | {"started": now, "arguments": without_file(words)}
        head |= {"rounds": options.rounds, "placement": options.placement}
        return Record(options.json, head | {"caveats": caveats}, told), sides
    for key, value in fixed.items():
        if old.head.get(key) != value:
            raise MeasureError(f"{old.path} has another {key}: {old.head.get(key)}")
    if old.sides != told:
        raise MeasureError(f"{old.path} is of other servers")
    old.head["caveats"].append(f"resumed at {now}")
    return old, sides


def conduct(tasks: Sequence[Task], record: Record) -> None:
    """Measure what the record does not have yet; what cannot go on is noted."""
    wanted = [task for task in tasks if not record.is_complete(task.name)]
    steps = [task.scenario.steps(task.bench) for task in wanted]
    guesses = zip(steps, wanted, strict=True)
    progress = Progress(sum(count * task.scenario.pace for count, task in guesses))
    for index, task in enumerate(tasks, 1):
        where = f"[{index}/{len(tasks)}] {task.name}"
        if record.is_complete(task.name):
            say(f"{where}: complete already")
            continue
        try:
            _measure(task, record, progress, where)
        except MeasureError as error:
            record.problems[task.name] = str(error)
            record.write()
            say(f"perf: {task.name}: {error}")


def _measure(task: Task, record: Record, progress: Progress, where: str) -> None:
    scenario, bench = task.scenario, task.bench
    settings: dict[str, Any] = {"placement": bench.placement.name}
    settings |= scenario.settings(bench)
    record.begin(task.name, settings, scenario.measures)
    with closing(scenario.run(bench)) as rounds:
        for one in rounds:
            record.add(task.name, one)
            left = progress.step(scenario.pace)
            at = f" at {one.at:,g}" if one.at else ""
            total = max(one.number, bench.rounds)
            say(
                f"{where} round {one.number}/{total}{at} {one.side}:"
                f" {told_round(one, scenario.measures)}; {left} left"
            )
    record.finish(task.name)


def exit_status(record: Record, *, is_strict: bool) -> int:
    """Return 1 if anything went wrong, or if *is_strict* and a goal was missed."""
    is_missed = is_strict and bool(record.missed)
    return int(bool(record.failed) or bool(record.problems) or is_missed)


def run(
    kind: str,
    parser: argparse.ArgumentParser,
    words: Sequence[str],
    plan: Callable[[argparse.Namespace, tuple[Side, ...]], Sequence[Task]],
    show: Callable[[Record], str],
) -> int:
    """
    Measure what *plan* returns; *show* makes the text at the end, of any part of it.

    Returns the exit status: 1 if a round failed or something could not be measured, or
    with ``--strict`` if a goal was missed; 128 and its number after a signal.
    """
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        options, old = parse(parser, words)
        build_load()
        record, sides = open_record(kind, words, options, old)
        tasks = plan(options, sides)
    except MeasureError as error:
        say(f"perf: {error}")
        return 1
    except Interrupted as interrupted:
        return 128 + interrupted.number
    status = 0
    try:
        conduct(tasks, record)
    except Interrupted as interrupted:
        status = 128 + interrupted.number
        record.write()  # the signal may have come while it was written
        say(f"perf: interrupted; go on with --resume {record.path}")
    if not options.smoke:
        say(show(record))
    say(ending(record, judged=not options.smoke))
    is_strict = options.strict and not options.smoke
    return status or exit_status(record, is_strict=is_strict)
