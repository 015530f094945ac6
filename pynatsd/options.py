"""Settings of the server: defaults, units, and what may be chosen."""

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 1.0
MINUTES = 60 * SECONDS
KIB = 1024
MIB = 1024 * KIB

REACTORS_MAX = 64
PAYLOAD_CEILING = 1024 * MIB  # what a negative max_payload means
NAME_MAX = 256  # characters of server_name

_UINT32_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    What a server is started with. Sizes are bytes, times are seconds.

    Raises:
        ValueError: a value is out of its range; the text names the option.

    Source: gnatsd 0.8.0, server/const.go and server/opts.go; `threads`,
    `max_control_line` and `max_pending_size` are enforced here, not there.
    """

    host: str = "0.0.0.0"  # this, "" and "::" mean every address, IPv4 and IPv6
    port: int = 4222  # -1 or 0: a free one of the system's choice
    server_name: str = ""  # "": the server id
    threads: int = field(default_factory=lambda: usable_cpus())  # reactors

    max_connections: int = 64 * KIB  # 0: no limit
    max_control_line: int = 1 * KIB  # of the arguments of PUB, SUB and UNSUB
    max_connect_line: int = 4 * KIB  # of CONNECT; never less than the former
    max_payload: int = 1 * MIB  # negative: up to 1 GiB
    max_pending_size: int = 10 * MIB  # owed to one connection before it is cut

    ping_interval: float = 2 * MINUTES  # 0: never
    ping_max: int = 2  # PINGs that may stay unanswered
    write_deadline: float = 2 * SECONDS  # without progress so long: slow consumer
    auth_timeout: float = 1 * SECONDS

    debug: bool = False
    trace: bool = False
    logtime: bool = True  # time stamps in the log
    log_file: str = ""  # "": standard error
    pid_file: str = ""

    def __post_init__(self) -> None:
        _check_range("port", self.port, -1, 65535)
        _check_range("threads", self.threads, 1, REACTORS_MAX)
        _check_range("max_connections", self.max_connections, 0, _UINT32_MAX)
        _check_range("max_control_line", self.max_control_line, 1, 256 * KIB)
        _check_range("max_connect_line", self.max_connect_line, 1, 256 * KIB)
        _check_range("max_payload", self.max_payload, -(2**63), PAYLOAD_CEILING)
        if self.max_payload == 0:
            raise ValueError("max_payload: must not be 0; negative means up to 1 GiB")
        _check_range("max_pending_size", self.max_pending_size, 1, 2**63 - 1)
        _check_range("ping_max", self.ping_max, 0, 254)
        _check_seconds("ping_interval", self.ping_interval, zero=True)
        _check_seconds("write_deadline", self.write_deadline)
        _check_seconds("auth_timeout", self.auth_timeout)
        for name in ("host", "server_name", "log_file", "pid_file"):
            if "\0" in getattr(self, name):
                raise ValueError(f"{name}: must not contain a NUL character")
        if len(self.server_name) > NAME_MAX:
            raise ValueError(f"server_name: at most {NAME_MAX} characters")

    @property
    def connect_line(self) -> int:
        """Bytes that the argument of CONNECT may have."""
        return max(self.max_control_line, self.max_connect_line)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}: must be a whole number, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name}: must be from {low} to {high}, not {value}")


def _check_seconds(name: str, value: float, *, zero: bool = False) -> None:
    """The engine counts milliseconds in 32 bits, so a day is the most we take."""
    longest = 24 * 60 * MINUTES
    if zero and value == 0:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: must be a number of seconds, not {value!r}")
    if not 0.001 <= value <= longest:
        raise ValueError(
            f"{name}: must be from 0.001 to {longest:.0f} seconds, not {value}"
        )


def usable_cpus(root: Path = Path("/")) -> int:
    """
    The number of CPUs that this process may use, from 1 to 64.

    That is the smaller of its affinity and the CPU quota of its control group,
    rounded up. *root* is where /proc and /sys are found.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
    try:
        quota = _cgroup_quota(root)
    except (OSError, ValueError):
        quota = math.inf
    return max(1, min(cpus, REACTORS_MAX, math.ceil(min(quota, REACTORS_MAX))))


def _cgroup_quota(root: Path) -> float:
    """CPUs that the control group and its parents leave us; infinite if unlimited."""
    quota = math.inf
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        hierarchy, controllers, group = line.split(":", 2)
        if hierarchy == "0":
            mount = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = root / "sys/fs/cgroup/cpu"
        else:
            continue
        # Within a container the group's path may not be below the mount: then
        # the mount itself is our group.
        leaf = mount / group.lstrip("/")
        for path in (leaf, *leaf.parents):
            quota = min(quota, _quota_of(path))
            if path == mount:
                break
    return quota


def _quota_of(group: Path) -> float:
    """CPUs granted by one group's own file: version 2, else version 1."""
    if (group / "cpu.max").exists():
        limit, period = (group / "cpu.max").read_text().split()
    elif (group / "cpu.cfs_quota_us").exists():
        limit = (group / "cpu.cfs_quota_us").read_text().strip()
        period = (group / "cpu.cfs_period_us").read_text().strip()
    else:
        return math.inf
    if not re.fullmatch("[0-9]+", limit) or int(period) <= 0:
        return math.inf  # "max", or -1 in version 1
    return int(limit) / int(period)
