"""The delivery checker's driver: builds it, starts a server, runs a scenario.

    python tests/checker/delivery.py            the short forms, a few seconds
    python tests/checker/delivery.py --long     what the project promises, some minutes

One line of JSON for each scenario; the exit status is 0 if all of them are clean. A
scenario repeats with its seed: --seed. PYNATSD_TARGET=host:port names a server that
runs already on this machine; nats-server will do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SLOW = float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))
TARGET = os.environ.get("PYNATSD_TARGET", "")
CC = os.environ.get("CC", "cc")
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
READY = re.compile(r"Listening for client connections on \S+:(\d+)\n(?s:.*)is ready")
START_SECONDS = 20 * SLOW
STOP_SECONDS = 10 * SLOW

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; *long* is the promise, *short* is for each change."""

    messages: int  # of each of the 8 publishers
    churn_seconds: int
    clients: int
    storm_limit_s: float  # from the first connect to the last PONG


SHORT = Sizes(5_000, 3, 2_000, 20 * SLOW)
LONG = Sizes(312_500, 60, 2_000, 2)
"""8 publishers x 312,500 messages x 4 deliveries each: 10 million deliveries."""


def build(folder: Path) -> Path:
    """
    Compile the checker into *folder*.

    Raises:
        subprocess.CalledProcessError: the compiler refused; it has said why.
    """
    program = folder / "checker"
    sources = [str(path) for path in sorted(HERE.glob("*.c"))]
    subprocess.run([*shlex.split(CC), *FLAGS, *sources, "-o", program], check=True)
    return program


def _wait_ready(child: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while not (found := READY.search(log.read_text())):
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.01)
    return int(found[1])


@contextlib.contextmanager
def serve(*argv: str) -> Iterator[int]:
    """
    A server for as long as the block lasts; gives its port.

    *argv* is what the interpreter gets: `-m pynatsd ...`, or a script.

    Raises:
        RuntimeError: it did not start, or did not end well.
    """
    if TARGET:
        yield int(TARGET.rpartition(":")[2])
        return
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                [sys.executable, "-P", *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        try:
            yield _wait_ready(child, log)
            child.terminate()
            status = child.wait(STOP_SECONDS)
            text = log.read_text()
            if status != 0 or "Traceback" in text:
                raise RuntimeError(f"the server ended with {status}:\n{text}")
        finally:
            child.kill()
            child.wait()


def command(threads: int) -> tuple[str, ...]:
    """The real command, with so many reactors."""
    address = ("-a", "127.0.0.1", "-p", "-1")
    return ("-m", "pynatsd", *address, "--threads", str(threads))


def run(program: Path, kind: str, **settings: int | str) -> Report:
    """
    Run the compiled checker once; returns what it reports.

    Raises:
        RuntimeError: it gave no report.
    """
    words = [f"{name}={value}" for name, value in settings.items()]
    argv = [str(program), kind, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{argv}: status {done.returncode}: {done.stderr}")
    report: Report = {"run": kind, **settings, **json.loads(done.stdout)}
    return report


def flow(program: Path, threads: int, sizes: Sizes, seed: int) -> Report:
    """8 publishers flat out; 8 plain, 2 wildcard, 4 queue subscribers."""
    with serve(*command(threads)) as port:
        report = run(program, "flow", port=port, seed=seed, messages=sizes.messages)
    return {"threads": threads, **report}


def churn(program: Path, threads: int, sizes: Sizes, seed: int) -> Report:
    """400 joins and 400 leaves a second beside 10,000 messages a second."""
    with serve(*command(threads)) as port:
        length = sizes.churn_seconds
        report = run(program, "churn", port=port, seed=seed, seconds=length)
    return {"threads": threads, **report}


def storm(program: Path, threads: int, sizes: Sizes) -> Report:
    """Clients that connect all at once beside a computing Python thread."""
    with serve(str(HERE / "busy.py"), str(threads)) as port:
        limit = max(1, round(sizes.storm_limit_s))
        report = run(program, "storm", port=port, clients=sizes.clients, stall=limit)
    return {"threads": threads, **report}


def scenarios(program: Path, sizes: Sizes, seed: int) -> Iterator[Report]:
    for threads in (1, 2, 4):
        yield flow(program, threads, sizes, seed)
    yield churn(program, 4, sizes, seed)
    yield storm(program, 2, sizes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="the full sizes")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    is_clean = True
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for report in scenarios(program, LONG if options.long else SHORT, options.seed):
            print(json.dumps(report), flush=True)
            is_clean &= report["verdict"] == "clean"
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
