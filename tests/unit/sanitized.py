"""C programs of the tests, compiled with a sanitizer of gcc and run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent.parent / "csrc"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-pthread"]
FLAGS += ["-UNDEBUG", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]


def environment() -> dict[str, str]:
    """Ours without what another sanitizer wants loaded first, and with the strictest
    options, whatever the tests themselves run under."""
    kept = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    return kept | {
        "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
        "TSAN_OPTIONS": "",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def execute(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        check=False,
    )


def compiler_for(kinds: str, folder: Path) -> list[str]:
    """gcc with its flags; skips the test if it lacks one of *kinds*."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("no gcc here")
    command = [gcc, *FLAGS, f"-fsanitize={kinds}"]
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    probe = [*command, str(empty), "-o", str(folder / "empty")]
    if execute(probe).returncode:
        pytest.skip(f"gcc has no -fsanitize={kinds} here")
    return command


def run(
    program: str,
    parts: Iterable[str],
    kinds: str,
    folder: Path,
    arguments: Iterable[str] = (),
) -> str:
    """
    Compile *program*.c of this folder with *parts*, names of the engine's files, under
    -fsanitize=*kinds*; run it and return what it printed. Each step has 120 seconds.

    Raises:
        AssertionError: it does not compile, it failed, or a sanitizer reported.
    """
    sources = [HERE / f"{program}.c", *(CSRC / f"{part}.c" for part in parts)]
    target = str(folder / program)
    compiler = [*compiler_for(kinds, folder), f"-I{CSRC}", *map(str, sources)]
    built = execute([*compiler, "-o", target])
    assert built.returncode == 0, built.stderr
    done = execute([target, *arguments])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sanitizer" not in done.stdout + done.stderr
    assert "runtime error" not in done.stderr
    return done.stdout
