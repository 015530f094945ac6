"""What figures depend on besides the servers: the machine, the revision, the peers."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from perf.bench import Side
from perf.processes import PERF, ROOT, MeasureError, serving

COMMAND = "{python} -m pynatsd -a 127.0.0.1 -p {port} --threads {threads}"
PEER = "nats-server -a 127.0.0.1 -p {port}"
NEWEST = "github.com/nats-io/nats-server/v2@latest"
INSTALL_SECONDS = 600


def describe_machine() -> dict[str, Any]:
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


def probed(name: str, command: str) -> Side:
    """
    Start a server once to see that it works; without *name*, its version gives one.

    Raises:
        MeasureError: it does not.
    """
    with serving(command, None) as server:
        name = name or f"nats-server {server.version}"
        return Side(name, command, server.version)


def newest_command() -> str:
    """
    Build the newest nats-server; return the command that runs it from the root.

    Raises:
        MeasureError: there is no Go here, or it cannot.
    """
    go = shutil.which("go")
    if not go:
        raise MeasureError("go is not on the PATH")
    target = PERF / "_build" / "newest"
    try:
        subprocess.run(
            [go, "install", NEWEST],
            cwd=PERF,
            env=os.environ | {"GOBIN": str(target)},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["without a word"]
        raise MeasureError(f"go install failed: {lines[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeasureError(f"go install failed: {error}") from error
    program = (target / "nats-server").relative_to(ROOT)
    return PEER.replace("nats-server", shlex.quote(str(program)), 1)
