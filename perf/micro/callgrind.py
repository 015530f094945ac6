"""What callgrind counted: its dumps, and the tools that come with it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.processes import MeasureError

COST = re.compile(r"^\s*([\d,]+) \(\s*[\d.]+%\)\s+(.+)$")
TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
TRIMMED = re.compile(r"[^\s:]*/|\.lto_priv\.\d+| \[.*")


def tool(name: str, package: str) -> str:
    """
    Return *name* if it can be started.

    Raises:
        MeasureError: it is not there; the message names its *package*.
    """
    if shutil.which(name) is None:
        raise MeasureError(f"{name} is missing; on Debian the package is {package}")
    return name


def output(command: list[str]) -> str:
    """
    Run a program and return what it printed.

    Raises:
        MeasureError: it cannot be started, or failed.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise MeasureError(f"cannot start {command[0]}: {error}") from error
    if done.returncode:
        raise MeasureError(f"{shlex.join(command)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def under_callgrind(out: Path) -> str:
    """
    Return the words before a command to be counted, which has not begun yet.

    Dumps become *out* with the suffixes .1, .2 and so on.

    Raises:
        MeasureError: valgrind is missing.
    """
    name = tool("valgrind", "valgrind")
    target = f"--callgrind-out-file={out}"
    return shlex.join([name, "-q", "--tool=callgrind", "--instr-atstart=no", target])


def total(text: str) -> int:
    """
    Return the instructions of a whole dump.

    Raises:
        MeasureError: this is no dump.
    """
    found = TOTALS.search(text)
    if found is None:
        raise MeasureError("callgrind left no totals")
    return int(found[1])


def costs(text: str) -> Counter[str]:
    """Return the instructions of each function from ``callgrind_annotate``."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        matched = COST.match(line)
        if matched and not matched[2].startswith("PROGRAM TOTALS"):
            # "/x/view.c:serve.lto_priv.0 [/y/z.so]" becomes "view.c:serve".
            found[TRIMMED.sub("", matched[2])] += int(matched[1].replace(",", ""))
    return found


def annotated(dump: Path) -> Counter[str]:
    """
    Return the instructions of each function in a dump.

    Raises:
        MeasureError: callgrind_annotate is missing or failed.
    """
    command = ["callgrind_annotate", "--auto=no", "--threshold=100", str(dump)]
    return costs(output(command))


@dataclass(frozen=True, slots=True)
class Counted:
    """Instructions a message, of each ``file:function``; one pair of loads."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        """Instructions a message in all."""
        return sum(self.parts.values())

    @staticmethod
    def between(shorter: Counter[str], longer: Counter[str], messages: int) -> Counted:
        """Take the difference of two loads, *messages* apart."""
        names = shorter.keys() | longer.keys()
        return Counted({n: (longer[n] - shorter[n]) / messages for n in names})

    @staticmethod
    def mean(pairs: Sequence[Counted]) -> Counted:
        """Return the mean of all pairs, part by part."""
        names = {name for pair in pairs for name in pair.parts}
        return Counted(
            {
                n: sum(pair.parts.get(n, 0.0) for pair in pairs) / len(pairs)
                for n in names
            }
        )
