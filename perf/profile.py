"""
Where the server's CPU goes under one scenario: sampled, or counted by instruction.

Sampling covers kernel and user code, in time. Counting, with ``--callgrind``, covers
the instructions of user code alone, and hardly varies: two loads of different lengths
run on one server, and their difference leaves out connecting and subscribing.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from perf.machine import COMMAND
from perf.memory import KIB
from perf.micro.callgrind import Counted, annotated, output, tool, under_callgrind
from perf.processes import PERF, MeasureError, Server, build_load, run_load, serving
from perf.scenarios import MILLION, SPEEDS, THOUSAND
from perf.speed import Speed

SERVER_CPU, LOAD_CPU = 0, 1
SAMPLES_PER_SECOND = 1999  # beside the beat of timers
STACK_BYTES = 2 * KIB  # copied with each sample; more callers would need more
SETTLE_SECONDS = 0.5  # until perf has attached itself
IDLE_SECONDS = 0.2
FOLDED = PERF / "results" / "local"

COUNTED = 100 * THOUSAND  # messages moved by the shorter load under callgrind
COUNTED_BYTES = 512 * MILLION  # of payload, and at most
COUNTED_REQUESTS = 5 * THOUSAND  # each wakes the server, which is slow under callgrind
COUNTED_CONNECTS = 100  # each costs Python some 100,000 instructions
LONGER = 3  # the longer load, in shorter ones
PAIRS = 2  # of a shorter and a longer one, to see what varies


@dataclass(frozen=True, slots=True)
class Frame:
    """A function, and the object file that it is in."""

    name: str
    place: str


def fold(text: str) -> Counter[tuple[Frame, ...]]:
    """Count the stacks in the output of ``perf script``, innermost frame first."""
    stacks: Counter[tuple[Frame, ...]] = Counter()
    for sample in text.split("\n\n"):
        lines = sample.strip("\n").splitlines()[1:]  # the first names the thread
        if lines:
            stacks[_frames(lines)] += 1
    return stacks


def _frames(lines: Sequence[str]) -> tuple[Frame, ...]:
    found: list[Frame] = []
    place = "?"
    for line in reversed(lines):
        name, _, tail = line.split(maxsplit=1)[1].rpartition(" (")
        # What was inlined is in the object of the caller that it went into.
        if tail != "inlined)":
            place = Path(tail.rstrip(")")).name.strip("[]")
        found.append(Frame(name, place))
    return tuple(reversed(found))


def flat(stacks: Counter[tuple[Frame, ...]], lines: int) -> str:
    """Return a table of the functions that most samples were taken in."""
    alone: Counter[Frame] = Counter()
    below: Counter[Frame] = Counter()
    for stack, count in stacks.items():
        alone[stack[0]] += count
        for frame in set(stack):
            below[frame] += count
    samples = stacks.total()
    rows = [f"{samples} samples\n{'self':>7} {'total':>7}  function"]
    for frame, count in alone.most_common(lines):
        shares = f"{count / samples:7.2%} {below[frame] / samples:7.2%}"
        rows.append(f"{shares}  {frame.name} [{frame.place}]")
    return "\n".join(rows)


def folded(stacks: Counter[tuple[Frame, ...]]) -> str:
    """Return a line for each stack, outermost first, as flame graphs are drawn from."""
    lines = (
        f"{';'.join(frame.name for frame in reversed(stack))} {count}\n"
        for stack, count in stacks.items()
    )
    return "".join(sorted(lines))


def counted_table(pairs: Sequence[Counted], lines: int) -> str:
    """Return the instructions a message: total, what varied, the top functions."""
    totals = [pair.total for pair in pairs]
    mean = Counted.mean(pairs)
    apart = (max(totals) - min(totals)) / mean.total
    wholes: defaultdict[str, float] = defaultdict(float)
    for name, value in mean.parts.items():
        wholes[name.rpartition(":")[2]] += value
    rows = [
        f"{mean.total:.1f} instructions a message, user code of all threads"
        f" ({' and '.join(f'{total:.1f}' for total in totals)}: {apart:.2%} apart)",
        f"{'each':>9} {'share':>7}  function",
        *_cost_rows(wholes, mean.total, lines),
        f"{'each':>9} {'share':>7}  file:function that its lines went into",
        *_cost_rows(mean.parts, mean.total, lines),
    ]
    return "\n".join(rows)


def _cost_rows(each: dict[str, float], mean: float, lines: int) -> Iterator[str]:
    for name, value in sorted(each.items(), key=itemgetter(1), reverse=True)[:lines]:
        yield f"{value:9.1f} {value / mean:7.2%}  {name}"


def drive(server: Server, scenario: Speed, messages: int) -> dict[str, Any]:
    """
    Run the generator once and return its line.

    Raises:
        MeasureError: the load failed.
    """
    arguments = scenario.arguments(messages=messages, sizes=str(scenario.size))
    raw = run_load(server, arguments, LOAD_CPU)
    if raw["errors"]:
        raise MeasureError(f"the load failed: {'; '.join(raw['errors'])}")
    return raw


def moved(raw: dict[str, Any]) -> int:
    """Return what a cost is divided by: the larger of published and delivered."""
    return max(int(raw["published"]), int(raw["delivered"]))


@contextmanager
def recording(pid: int, path: Path) -> Iterator[None]:
    """
    Take samples of all threads of *pid* for the length of the block.

    Raises:
        MeasureError: perf may not.
    """
    command = [tool("perf", "linux-perf"), "record", "--quiet", "--event=cpu-clock"]
    command += [f"--freq={SAMPLES_PER_SECOND}", f"--call-graph=dwarf,{STACK_BYTES}"]
    command += [f"--pid={pid}", f"--output={path}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        time.sleep(SETTLE_SECONDS)
        if process.poll() is not None:
            said = process.stderr.read().strip()
            hint = "is /proc/sys/kernel/perf_event_paranoid above 1?"
            raise MeasureError(f"perf record: {said}\n({hint})")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def sample(scenario: Speed, command: str, options: argparse.Namespace) -> str:
    """Return the flat profile, and leave the stacks in a file."""
    tool("perf", "linux-perf")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(command, SERVER_CPU) as server,
    ):
        data = Path(folder) / "perf.data"
        first = drive(server, scenario, scenario.messages)
        # Storms stay short: closed connections keep their ports for a minute.
        factor = 1.0 if scenario.storm else options.seconds / first["seconds"]
        with recording(server.pid, data):
            raw = drive(server, scenario, max(1, int(scenario.messages * factor)))
        fields = "--fields=comm,ip,sym,dso"
        stacks = fold(output(["perf", "script", f"--input={data}", fields]))
    FOLDED.mkdir(parents=True, exist_ok=True)
    target = FOLDED / f"{scenario.name.replace(':', '-')}.folded"
    target.write_text(folded(stacks))
    each = raw["server_cpu_seconds"] * 1e6 / moved(raw)
    head = f"{scenario.name}: {moved(raw):,} messages, {each:.4f} us of CPU each"
    return f"{head}\n{flat(stacks, options.lines)}\nstacks: {target}"


def counted_messages(scenario: Speed) -> int:
    """Return how many messages each publisher sends in the shorter load."""
    if scenario.storm:
        return COUNTED_CONNECTS
    if scenario.requesters:
        return COUNTED_REQUESTS // scenario.requesters
    once = scenario.queue or scenario.pairs
    fan_out = 1 if once else max(1, scenario.subscribers)
    wanted = min(COUNTED, COUNTED_BYTES // scenario.size)
    return max(10, wanted // (fan_out * scenario.publishers))


def count(scenario: Speed, command: str, options: argparse.Namespace) -> str:
    """Return instructions a message and the functions with most of them."""
    messages = counted_messages(scenario)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        with serving(f"{under_callgrind(out)} {command}", SERVER_CPU) as server:
            drive(server, scenario, messages)
            await_idle(server.pid)
            output(["callgrind_control", "--instr=on", str(server.pid)])
            loads = [messages, LONGER * messages] * PAIRS
            each = [moved(drive_and_dump(server, scenario, n)) for n in loads]
            files = [out.with_suffix(f".{i + 1}") for i in range(len(loads))]
            found = [annotated(file) for file in files]
    pairs = [
        Counted.between(found[i], found[i + 1], each[i + 1] - each[i])
        for i in range(0, len(loads), 2)
    ]
    return f"{scenario.name}: {counted_table(pairs, options.lines)}"


def drive_and_dump(server: Server, scenario: Speed, messages: int) -> dict[str, Any]:
    """Run one load; its instructions become the next dump."""
    raw = drive(server, scenario, messages)
    await_idle(server.pid)
    output(["callgrind_control", "--dump", str(server.pid)])
    return raw


def await_idle(pid: int) -> None:
    """Wait until a process has used no CPU for a while: what has closed is buried."""
    before = -1
    while before != (now := _cpu_ticks(pid)):
        before = now
        time.sleep(IDLE_SECONDS)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # user and system


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m perf.profile", description=__doc__)
    parser.add_argument("scenario", choices=[one.name for one in SPEEDS])
    parser.add_argument(
        "--callgrind", action="store_true", help="count instructions, not time"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="default 3")
    parser.add_argument("--threads", type=int, default=1, help="default 1")
    parser.add_argument("--lines", type=int, default=30, help="default 30")
    parser.add_argument("--ours", help="another command; --threads is not added to it")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile one scenario; return 1 if something is missing or failed."""
    options = parse(arguments)
    # The server is ended by its context manager, so a signal must unwind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    scenario = next(one for one in SPEEDS if one.name == options.scenario)
    command = options.ours or COMMAND.replace("{threads}", str(options.threads))
    try:
        build_load()
        print((count if options.callgrind else sample)(scenario, command, options))
    except MeasureError as error:
        print(f"perf.profile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
