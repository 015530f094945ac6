"""The whole engine in one C program, with all its threads, under the sanitizers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sanitized

THREAD = "thread"
MEMORY = "address,undefined"  # and leaks, see sanitized.environment


def engine_parts() -> list[str]:
    names = (path.stem for path in sanitized.CSRC.glob("[a-z]*.c"))
    return [n for n in sorted(names) if not n.startswith("poll_") or n == "poll_epoll"]


@pytest.mark.parametrize(("kinds", "seconds"), [(THREAD, 4), (MEMORY, 2)])
def test_churn(kinds: str, seconds: int, tmp_path: Path) -> None:
    printed = sanitized.run(
        "tsan_engine", engine_parts(), kinds, tmp_path, ["1", str(seconds)]
    )
    counted = re.match(r"ok in (\d+) out (\d+) ", printed)
    assert counted is not None, printed
    assert min(map(int, counted.groups())) > 0, printed
