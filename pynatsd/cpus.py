"""How many CPUs this process may use: the default number of reactors."""

import math
import os
import re
from pathlib import Path

CPUS_MAX = 64  # more are not counted


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
    return max(1, min(cpus, CPUS_MAX, math.ceil(min(quota, CPUS_MAX))))


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
