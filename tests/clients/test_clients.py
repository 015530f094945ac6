"""Today's client libraries, as they are, against the real command.

One program for each library does all the steps and reports them; see steps.py. A test
is one step of one library with one number of reactors. What is not installed is
skipped; `tools/check` installs all of it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
SLOW = float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))
LIMIT_SECONDS = 60 * SLOW  # for one program
STEPS = [
    "connect",
    "publish_subscribe",
    "wildcard",
    "queue_group",
    "request_reply",
    "headers",
    "no_responders",
    "megabyte",
    "reconnect",
]

Report = dict[str, Any]
REPORTS: dict[tuple[str, int], Report] = {}
"""What a program said, by library and reactors: each runs once in a test process."""


def has(*modules: str) -> bool:
    """Whether the test process could import all of them; parents come first."""
    return all(importlib.util.find_spec(name) is not None for name in modules)


def nats_py(_: Path) -> list[str]:
    if not has("nats", "nats.aio"):
        pytest.skip("nats-py is not installed")
    return [sys.executable, str(HERE / "nats_py.py")]


def nats_core(_: Path) -> list[str]:
    if not has("nats", "nats.client", "nkeys"):
        pytest.skip("nats-core[nkeys] is not installed; before Python 3.13 it is empty")
    return [sys.executable, str(HERE / "nats_core.py")]


def nats_js(_: Path) -> list[str]:
    node = shutil.which("node")
    if node is None or not (HERE / "node" / "node_modules" / "nats").is_dir():
        pytest.skip("node is not installed, or `npm install` was not run in node/")
    return [node, str(HERE / "node" / "client.js")]


def libnats(folder: Path) -> list[str]:
    compiler = os.environ.get("CC", "cc")
    probe = [compiler, "-xc", "-E", "-o", os.devnull, "-"]
    header = b"#include <nats/nats.h>"
    if subprocess.run(probe, input=header, capture_output=True, check=False).returncode:
        pytest.skip("the headers of libnats are not installed")
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
    source, target = str(HERE / "libnats.c"), str(folder / "client")
    subprocess.run([compiler, *flags, source, "-lnats", "-o", target], check=True)
    return [target]


CLIENTS: dict[str, Callable[[Path], list[str]]] = {
    "nats-py": nats_py,
    "nats-core": nats_core,
    "nats.js": nats_js,
    "libnats": libnats,
}
"""How to run the program of each library; the folder is for what has to be compiled."""


def converse(
    child: subprocess.Popen[str], restart: Callable[[], None]
) -> Iterator[Any]:
    """What a program reports; the server is restarted when it asks for that."""
    assert child.stdout is not None
    assert child.stdin is not None
    for text in child.stdout:
        line = json.loads(text)
        if line.get("ask") == "restart":
            restart()
            print("restarted", file=child.stdin, flush=True)
        else:
            yield line


def run(argv: list[str], port: int, restart: Callable[[], None]) -> Report:
    """Run a program to its end; returns its lines by step, and what it complained."""
    # The programs import what stands beside them.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    with tempfile.TemporaryFile("w+") as stderr:
        child = subprocess.Popen(
            [*argv, str(port)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        watchdog = threading.Timer(LIMIT_SECONDS, child.kill)
        watchdog.start()
        try:
            report: Report = {line["step"]: line for line in converse(child, restart)}
            status = child.wait()
        finally:
            watchdog.cancel()
            child.kill()
            child.communicate()
        stderr.seek(0)
        report["complaints"] = f"exit status {status}\n{stderr.read()}"
    return report


@pytest.fixture
def report(
    request: pytest.FixtureRequest, tmp_path: Path, client: str, reactors: int
) -> Report:
    key = (client, reactors)
    if key not in REPORTS:
        argv = CLIENTS[client](tmp_path)
        server = request.getfixturevalue("server")
        first = server(threads=reactors)

        def restart() -> None:
            first.stop()
            server("-p", str(first.port), threads=reactors)

        REPORTS[key] = run(argv, first.port, restart)
    return REPORTS[key]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("client", "reactors"),
    [
        pytest.param(name, count, marks=pytest.mark.xdist_group(f"{name}-{count}"))
        for name in CLIENTS
        for count in (1, 4)
    ],
)
def test_client(report: Report, step: str) -> None:
    complaints = report["complaints"]
    assert step in report, f"the program did not get so far\n{complaints}"
    assert report[step]["ok"], f"{report[step].get('error')}\n{complaints}"
