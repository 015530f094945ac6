"""Run ours and the peer in turn under the same load, and compare."""

from __future__ import annotations

import argparse
import datetime
import math
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from perf.processes import (
    PERF,
    ROOT,
    MeasureError,
    Server,
    build_load,
    idle_load,
    run_load,
    serving,
)
from perf.record import BOUND_SHARE, SIDES, Measured, Report, judge
from perf.scenarios import SCENARIOS, Scenario

OURS = f"{shlex.quote(sys.executable)} -m pynatsd -a 127.0.0.1 -p {{port}} --threads 1"
PEER = "nats-server -a 127.0.0.1 -p {port}"
MEMORY = "memory"
MIXED_SIZES = "16,17-300,4000-5000,65536"  # of --check; bytes
SMOKE_DIVISOR = 1000  # of the messages of a scenario
SMOKE_LEAST = 100  # messages of each publisher, and always with --check
SMOKE_CONNECTIONS = 100
SETTLE_SECONDS = 3.0  # before memory is read; past nats-server's first PING at 2 s


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on besides the servers."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in info if "model name" in line]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cpu_count": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def describe_revision() -> str:
    """Return the commit of the working tree, with ``-dirty`` if it was changed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


class Bench:
    """The measurement: which commands, which CPUs, how many rounds."""

    def __init__(self, options: argparse.Namespace, report: Report) -> None:
        self.commands = {"ours": options.ours, "peer": options.peer}
        self.options = options
        self.report = report

    def speed(self, scenario: Scenario) -> None:
        """Alternate the servers, both alive throughout, under one load."""
        messages = scenario.messages
        if self.options.smoke:
            messages = max(SMOKE_LEAST, messages // SMOKE_DIVISOR)
        arguments = scenario.arguments(messages=messages, sizes=str(scenario.size))
        self.report.begin(scenario.name, asdict(scenario) | {"messages": messages})
        with ExitStack() as stack:
            servers = {side: stack.enter_context(self._server(side)) for side in SIDES}
            for number in range(1, self.options.rounds + 1):
                self._round(scenario.name, number, servers, arguments)
            if self.options.smoke and scenario.has_check:
                self._check(scenario, servers)

    def _check(self, scenario: Scenario, servers: dict[str, Server]) -> None:
        name = f"{scenario.name} check"
        arguments = scenario.arguments(messages=SMOKE_LEAST, sizes=MIXED_SIZES)
        self.report.begin(name, asdict(scenario) | {"messages": SMOKE_LEAST})
        self._round(name, 1, servers, [*arguments, "--check"])

    def memory(self) -> None:
        """Weigh idle connections, each round on servers that have seen nothing."""
        count = SMOKE_CONNECTIONS if self.options.smoke else self.options.connections
        settle = 0.0 if self.options.smoke else SETTLE_SECONDS
        self.report.begin(MEMORY, {"connections": count, "settle_seconds": settle})
        for number in range(1, self.options.rounds + 1):
            for side in SIDES:
                with self._server(side) as server:
                    measured = self._weigh(side, server, count, settle)
                self._take(MEMORY, number, measured, told_memory(measured))

    @contextmanager
    def _server(self, side: str) -> Iterator[Server]:
        with serving(self.commands[side], self.options.server_cpu) as server:
            self.report.versions[side] = server.version
            yield server

    def _round(
        self, name: str, number: int, servers: dict[str, Server], arguments: list[str]
    ) -> None:
        for side in SIDES:
            raw = run_load(servers[side], arguments, self.options.load_cpu)
            measured = judge(side, raw)
            self._take(name, number, measured, told_speed(measured))

    def _weigh(self, side: str, server: Server, count: int, settle: float) -> Measured:
        time.sleep(settle)
        base = server.rss_kib()
        with idle_load(server, count, self.options.load_cpu) as errors:
            time.sleep(settle)
            held = server.rss_kib()
        figure = math.inf if errors else (held - base) * 1024 / count
        raw = {"base_kib": base, "held_kib": held}
        return Measured(side, figure, errors=tuple(errors), raw=raw)

    def _take(self, name: str, number: int, measured: Measured, text: str) -> None:
        if measured.errors:
            text = f"FAILED: {'; '.join(measured.errors)}"
        where = f"{name:17} round {number}/{self.options.rounds} {measured.side}"
        say(f"{where}: {text}")
        self.report.add(name, measured)


def told_speed(measured: Measured) -> str:
    """Return a speed round in words."""
    bound = ", GENERATOR-BOUND" if measured.load_share > BOUND_SHARE else ""
    latency = ""
    if measured.p99_us:
        latency = f", p50 {measured.p50_us:.0f} us, p99 {measured.p99_us:.0f} us"
    return (
        f"{measured.figure:.3f} us a message, {measured.moved_rate:,.0f}/s,"
        f" generator {measured.load_share:.0%} of its CPU{bound}{latency}"
    )


def told_memory(measured: Measured) -> str:
    """Return a memory round in words."""
    base, held = measured.raw["base_kib"], measured.raw["held_kib"]
    return f"{measured.figure:,.0f} bytes a connection ({base:,} -> {held:,} KiB)"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    names = [scenario.name for scenario in SCENARIOS] + [MEMORY]
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    parser.add_argument(
        "--scenario",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"default: all of {', '.join(names)}",
    )
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument(
        "--connections", type=int, default=5000, help="of memory; default 5000"
    )
    parser.add_argument("--ours", default=OURS, help=f"default: {OURS}")
    parser.add_argument("--peer", default=PEER, help=f"default: {PEER}")
    parser.add_argument("--server-cpu", type=int, default=0, help="default 0")
    parser.add_argument("--load-cpu", type=int, default=1, help="default 1")
    parser.add_argument(
        "--json",
        type=Path,
        default=PERF / "results" / "local" / "latest.json",
        help="where the results go; default perf/results/local/latest.json",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="a few messages of everything, once plain and once with --check",
    )
    options = parser.parse_args(arguments)
    if options.smoke:
        options.rounds = 1
    if options.rounds < 1:
        parser.error("--rounds must be positive")
    if not {options.server_cpu, options.load_cpu} <= os.sched_getaffinity(0):
        parser.error("--server-cpu or --load-cpu is not ours to use")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 if a round failed or a server did not start."""
    options = parse(arguments)
    # Servers are ended by their context managers, so a signal must unwind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    head = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "revision": describe_revision(),
        "options": {name: str(value) for name, value in vars(options).items()},
    }
    report = Report(options.json, head)
    bench = Bench(options, report)
    try:
        build_load()
        for scenario in SCENARIOS:
            if scenario.name in options.scenario:
                bench.speed(scenario)
        if MEMORY in options.scenario:
            bench.memory()
    except MeasureError as error:
        say(f"perf: {error}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        say("" if options.smoke else report.table())
    say(f"{report.failed} rounds failed" if report.failed else "no round failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
