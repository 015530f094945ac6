"""
Build ``_internals``: the engine's own functions, opened to the unit tests.

The same sources as the product, with asserts on, behind a wider cffi declaration:
``csrc/nd_api.h`` and every ``tests/unit/internals_*.h``. An ``internals_x.c`` beside
an ``internals_x.h`` holds helpers that only tests need. Never shipped.

Environment:
    CC: the compiler, with flags if need be; default ``cc``.
    PYNATSD_POLLER: which ``csrc/poll_*.c`` is compiled in; default ``epoll``.
    PYNATSD_SANITIZE: a list for ``-fsanitize=``, such as ``address,undefined``.
    PYNATSD_INTERNALS_ONLY: names such as ``parser,scan,subject``; limits sources,
        headers and declarations to those, while other parts do not compile yet.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cffi
from cffi.recompiler import make_c_source

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent.parent / "csrc"
PLAIN_FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-pthread", "-fPIC"]
DEBUG_FLAGS = ["-O1", "-g", "-UNDEBUG"]
STRICT_FLAGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
# What internals_engine.c takes over, to count it and to make it fail.
WRAPPED = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "free"]
WRAPPED += ["accept4"]
# From nd.h, which has too much C in it for cffi; every internals_*.h may use it.
BASE = "struct nd_slice { const uint8_t *ptr; size_t len; };"


def only() -> frozenset[str]:
    """The names that the build is limited to; empty = no limit."""
    return frozenset(filter(None, os.getenv("PYNATSD_INTERNALS_ONLY", "").split(",")))


def sanitize_flags() -> list[str]:
    kinds = os.getenv("PYNATSD_SANITIZE")
    if not kinds:
        return []
    return [
        f"-fsanitize={kinds}",
        "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
        "-fno-wrapv",
    ]


def compiler() -> list[str]:
    return shlex.split(os.getenv("CC", "cc"))


def wrap_flags() -> list[str]:
    has_wrappers = not only() or "engine" in only()
    return [f"-Wl,--wrap={name}" for name in WRAPPED if has_wrappers]


def poller() -> str:
    return os.getenv("PYNATSD_POLLER", "epoll")


def wanted(paths: Iterable[Path], prefix: str = "") -> list[Path]:
    """Those of *paths* that PYNATSD_INTERNALS_ONLY lets through, sorted."""
    names = only()
    return sorted(p for p in paths if not names or p.stem.removeprefix(prefix) in names)


def engine_sources() -> list[Path]:
    chosen = f"poll_{poller()}"
    return [
        path
        for path in wanted(CSRC.glob("[a-z]*.c"))
        if not path.stem.startswith("poll_") or path.stem == chosen
    ]


def declarations() -> list[Path]:
    return wanted(HERE.glob("internals_*.h"), "internals_")


def prelude() -> str:
    """What the generated C begins with; names the sources, so that it changes when
    one comes or goes."""
    headers = [p for p in wanted(CSRC.glob("*.h")) if p.name != "nd_api.h"]
    helpers = wanted(HERE.glob("internals_*.c"), "internals_")
    lines = ['#include "nd.h"']
    lines += [f'#include "{path.name}"' for path in headers + helpers]
    lines += [f"/* {path.name} */" for path in engine_sources()]
    return "\n".join(lines)


def generate(folder: Path) -> Path:
    """Write the module's own C file; left alone if nothing changed."""
    ffi = cffi.FFI()
    ffi.cdef(BASE)
    for path in [CSRC / "nd_api.h", *declarations()]:
        ffi.cdef(path.read_text(encoding="utf-8"))
    target = folder / "_internals.c"
    make_c_source(ffi, "_internals", prelude(), str(target))
    return target


def is_older(target: Path, inputs: Iterable[Path]) -> bool:
    if not target.exists():
        return True
    made = target.stat().st_mtime_ns
    return any(path.stat().st_mtime_ns > made for path in inputs)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def compile_stale(folder: Path, generated: Path) -> list[Path]:
    """Compile what is older than its source or any header; return all objects."""
    common = [*PLAIN_FLAGS, *DEBUG_FLAGS, *sanitize_flags(), f"-I{CSRC}", f"-I{HERE}"]
    python = [f"-I{sysconfig.get_path('include')}"]
    shared = [*CSRC.glob("*.h"), Path(__file__)]
    helpers = list(HERE.glob("internals_*.c"))
    commands, objects = [], []
    for source in [*engine_sources(), generated]:
        is_ours = source != generated
        target = folder / f"{source.stem}.o"
        objects.append(target)
        if is_older(target, [source, *shared, *([] if is_ours else helpers)]):
            flags = STRICT_FLAGS if is_ours else python
            commands.append(
                [*compiler(), *common, *flags, "-c", str(source), "-o", str(target)]
            )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, commands))
    return objects


def build() -> Path:
    """
    Bring the module up to date and return its path. Safe to call from several
    processes at once.

    Raises:
        RuntimeError: the compiler refused something; the text is its output.
    """
    variant = "-".join([poller(), *sorted(only()), *sanitize_flags()[:1]])
    folder = HERE / "_build" / variant.replace("-fsanitize=", "").replace(",", "-")
    folder.mkdir(parents=True, exist_ok=True)
    module = folder / f"_internals{sysconfig.get_config_var('EXT_SUFFIX')}"
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        objects = compile_stale(folder, generate(folder))
        if is_older(module, objects):
            fresh = module.with_suffix(".new")
            linker = [*compiler(), "-shared", "-pthread", *sanitize_flags()]
            run([*linker, *wrap_flags(), *map(str, objects), "-o", str(fresh)])
            os.replace(fresh, module)
    return module


def load(path: Path) -> Any:
    """Import the module. Symbols are bound late, because the declarations may name
    functions that are not written yet."""
    spec = importlib.util.spec_from_file_location("_internals", path)
    assert spec is not None
    assert spec.loader is not None
    before = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_LAZY)
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.setdlopenflags(before)
    return module


if __name__ == "__main__":
    print(build())
