"""The benchmark as a command, on real servers: it runs, keeps its results, goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Only this process may find the tree; the servers that it starts take the package.
MAIN = (
    f"import sys; sys.path.append({str(ROOT)!r});"
    " from perf.{module} import main; sys.exit(main(sys.argv[1:]))"
)
SECONDS = 60  # far more than it takes
SCENARIOS = ["pub-16", "rr-1", "connect", "rr-rate", "churn", "memory-sub"]

pytestmark = [
    pytest.mark.skipif(
        not {0, 1} <= os.sched_getaffinity(0), reason="perf needs CPUs 0 and 1"
    ),
    pytest.mark.skipif(not shutil.which("nats-server"), reason="no nats-server"),
    pytest.mark.skipif(
        not shutil.which(os.environ.get("CC", "cc").split()[0]), reason="no C compiler"
    ),
]


@contextmanager
def started(module: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", MAIN.replace("{module}", module), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def finished(module: str, *words: str) -> tuple[int, str]:
    with started(module, *words) as process:
        output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


def rows(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["rows"]
    return found


def test_a_smoke_run_measures_all_sides(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    words = ["--smoke", "--json", str(path), "--scenario", *SCENARIOS]
    status, output = finished("run", *words)
    assert status == 0, output
    assert "no round failed" in output
    found = rows(path)
    assert list(found) == SCENARIOS
    for row in found.values():
        assert row["complete"]
        sides = [one["side"] for one in row["rounds"]]
        assert sides[0] == "ours"
        assert sides[1].startswith("nats-server ")


def test_a_quick_sweep_has_every_place(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    status, output = finished(
        *("sweep", "--quick", "--curve", "threads", "--json", str(path))
    )
    assert status == 0, output
    assert {one["at"] for one in rows(path)["threads"]["rounds"]} >= {1.0, 2.0}


def test_an_interrupted_run_keeps_its_rounds_and_can_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    words = ["--smoke", "--scenario", "pub-16", "rr-1", "flood"]
    with started("run", *words, "--json", str(path)) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("[2/3]"):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(SECONDS) == 128 + signal.SIGTERM, rest
    assert "interrupted; go on with --resume" in rest
    kept = rows(path)
    assert kept["pub-16"]["complete"]
    status, output = finished("run", "--resume", str(path))
    assert status == 0, output
    assert "[1/3] pub-16: complete already" in output
    again = rows(path)
    assert all(row["complete"] for row in again.values())
    assert again["pub-16"] == kept["pub-16"]
    assert len(again["rr-1"]["rounds"]) == 2


def test_a_server_that_dies_is_a_failed_round(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    dying = "timeout 1 nats-server -a 127.0.0.1 -p {port}"
    status, output = finished(
        *("run", "--rounds", "2", "--scenario", "flood", "--json", str(path)),
        *("--peer", f"dying={dying}", "--ours", dying),
    )
    assert status == 1, output
    assert re.search(
        r"dying: FAILED: |the server has ended|the peak of memory", output
    ), output
    assert "flood" in rows(path)


def test_what_does_not_start_ends_the_command(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    status, output = finished(
        *("run", "--scenario", "pub-16", "--json", str(path), "--ours", "false")
    )
    assert status == 1
    assert "perf: 'false' does not serve" in output
