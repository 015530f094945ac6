"""The cffi build script of `pynatsd._core`; setup.py names it, nothing imports it.

The environment may choose:

    PYNATSD_POLLER=epoll|external       instead of the best one of the platform
    PYNATSD_DEV=1                       asserts, warnings as errors, -Og
    PYNATSD_SANITIZE=address,undefined  as of the compiler's -fsanitize
"""

import os
import sys
from pathlib import Path

from cffi import FFI

CSRC = Path("csrc")  # build commands run in the directory of setup.py

# The one way from C into Python. Its type is nd_on_events of nd_api.h.
CALLBACKS = """
extern "Python" void nd_py_on_events(void *context, const struct nd_event *events,
                                     struct nd_answer *answers, int32_t count);
"""

# What cffi generates after this has parameters that it does not use.
PREAMBLE = """
#include "nd.h"
#pragma GCC diagnostic ignored "-Wunused-parameter"
"""

COMMON = ["-std=c11", "-D_GNU_SOURCE", "-pthread", "-fvisibility=hidden"]
RELEASE = [
    *("-O3", "-flto", "-DNDEBUG", "-fstack-protector-strong"),
    *("-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"),
]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
DEV = ["-UNDEBUG", "-U_FORTIFY_SOURCE", "-Og", "-g", *WARNINGS]
SANITIZE = [
    *("-UNDEBUG", "-U_FORTIFY_SOURCE", "-O1", "-g"),
    *("-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-fno-wrapv"),
]


def poller() -> str:
    """The name of the poll_*.c to compile in; the others stay out."""
    best = "epoll" if sys.platform.startswith("linux") else "external"
    chosen = os.environ.get("PYNATSD_POLLER", best)
    if chosen not in ("epoll", "external"):
        raise ValueError(f"PYNATSD_POLLER: no poller is called {chosen!r}")
    return chosen


def sources() -> list[str]:
    common = [p for p in CSRC.glob("*.c") if not p.name.startswith(("poll_", "_"))]
    return [path.as_posix() for path in sorted(common)] + [
        (CSRC / f"poll_{poller()}.c").as_posix()
    ]


def flags() -> tuple[list[str], list[str]]:
    """For the compiler and for the linker, after what Python itself gives them."""
    link = ["-pthread", "-Wl,-z,relro,-z,now"] if sys.platform != "darwin" else []
    sanitizers = os.environ.get("PYNATSD_SANITIZE")
    if sanitizers:
        option = f"-fsanitize={sanitizers}"
        return [*COMMON, option, *SANITIZE], [*link, option]
    if os.environ.get("PYNATSD_DEV") == "1":
        return [*COMMON, *DEV], link
    return [*COMMON, *RELEASE], [*link, "-O3", "-flto"]


ffi = FFI()
ffi.cdef((CSRC / "nd_api.h").read_text(encoding="ascii"))
ffi.cdef(CALLBACKS)
compile_args, link_args = flags()
ffi.set_source(
    "pynatsd._core",
    PREAMBLE,
    sources=sources(),
    depends=[path.as_posix() for path in sorted(CSRC.glob("*.h"))],
    include_dirs=[CSRC.as_posix()],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)
