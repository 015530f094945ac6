"""Defaults, ranges, and the count of CPUs that this process may use."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from pynatsd.cpus import usable_cpus
from pynatsd.options import Options


def test_defaults() -> None:
    options = Options()
    assert (options.host, options.port) == ("0.0.0.0", 4222)
    assert options.max_connections == 65536
    assert options.max_control_line == 1024
    assert options.connect_line == 4096
    assert options.max_payload == 1048576
    assert options.max_pending_size == 10 * 1024 * 1024
    assert (options.ping_interval, options.ping_max) == (120, 2)
    assert (options.write_deadline, options.auth_timeout) == (2, 1)
    assert options.threads == usable_cpus()
    assert (options.debug, options.trace, options.logtime) == (False, False, True)


def test_connect_line_is_never_shorter_than_the_control_line() -> None:
    assert Options(max_control_line=10_000).connect_line == 10_000
    assert Options(max_control_line=10, max_connect_line=99).connect_line == 99


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("port", 65536, "port: must be from -1 to 65535, not 65536"),
        ("port", -2, "port: must be from -1 to 65535, not -2"),
        ("port", "x", "port: must be a whole number, not 'x'"),
        ("port", True, "port: must be a whole number, not True"),
        ("threads", 0, "threads: must be from 1 to 64, not 0"),
        ("threads", 65, "threads: must be from 1 to 64, not 65"),
        (
            "max_connections",
            -1,
            "max_connections: must be from 0 to 4294967295, not -1",
        ),
        (
            "max_control_line",
            0,
            "max_control_line: must be from 1 to 262144, not 0",
        ),
        (
            "max_connect_line",
            2**18 + 1,
            "max_connect_line: must be from 1 to 262144, not 262145",
        ),
        ("max_payload", 0, "max_payload: must not be 0; negative means up to 1 GiB"),
        (
            "max_payload",
            2**30 + 1,
            f"max_payload: must be from {-(2**63)} to {2**30}, not {2**30 + 1}",
        ),
        (
            "max_pending_size",
            0,
            f"max_pending_size: must be from 1 to {2**63 - 1}, not 0",
        ),
        ("ping_max", -1, "ping_max: must be from 0 to 254, not -1"),
        (
            "ping_interval",
            -1,
            "ping_interval: must be from 0.001 to 86400 seconds, not -1",
        ),
        (
            "write_deadline",
            0,
            "write_deadline: must be from 0.001 to 86400 seconds, not 0",
        ),
        (
            "auth_timeout",
            float("nan"),
            "auth_timeout: must be from 0.001 to 86400 seconds, not nan",
        ),
        (
            "auth_timeout",
            "1",
            "auth_timeout: must be a number of seconds, not '1'",
        ),
        ("host", "a\0b", "host: must not contain a NUL character"),
        ("server_name", "x" * 257, "server_name: at most 256 characters"),
    ],
)
def test_out_of_range(name: str, value: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Options(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("port", -1), ("port", 0), ("port", 65535), ("threads", 64)),
        *(("max_payload", -1), ("max_payload", 2**30), ("ping_interval", 0)),
        *(("max_connections", 0), ("ping_max", 0), ("write_deadline", 0.05)),
    ],
)
def test_in_range(name: str, value: Any) -> None:
    assert getattr(Options(**{name: value}), name) == value


# ---- CPUs ----


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight CPUs by affinity, whatever this machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "210000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        # A parent's quota binds its children.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            },
            3,
        ),
        # In a container, the path is one of the host's and the mount is our group.
        (
            {
                "proc/self/cgroup": "0::/host/only\n",
                "sys/fs/cgroup/cpu.max": "400000 100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        ({"proc/self/cgroup": "nonsense\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100 0\n"}, 8),
    ],
)
def test_usable_cpus(tmp_path: Path, files: dict[str, str], cpus: int) -> None:
    assert usable_cpus(tree(tmp_path, files)) == cpus


def test_usable_cpus_is_at_most_64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(256)))
    assert usable_cpus(tmp_path) == 64
