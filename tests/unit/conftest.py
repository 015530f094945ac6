"""Fixtures of the unit tests: the engine's internals, and a page that ends memory."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from typing import Any

import build_internals
import pytest


class Edge:
    """Readable memory that ends right before a page which must not be touched."""

    def __init__(self, ffi: Any, pages: int = 512) -> None:
        self._ffi = ffi
        self._room = pages * mmap.PAGESIZE
        self._map = mmap.mmap(-1, self._room + mmap.PAGESIZE)
        self._base = ffi.from_buffer("uint8_t[]", self._map, require_writable=True)
        self._protect(0)

    def _protect(self, access: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        address = int(self._ffi.cast("uintptr_t", self._base)) + self._room
        if libc.mprotect(
            ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), access
        ):
            raise OSError(ctypes.get_errno(), "mprotect")

    def place(self, data: bytes) -> Any:
        """A pointer to a copy of *data* whose last byte is the last readable one.
        Valid until the next call."""
        assert len(data) <= self._room
        self._ffi.memmove(self._base + (self._room - len(data)), data, len(data))
        return self._base + (self._room - len(data))

    def close(self) -> None:
        self._protect(mmap.PROT_READ | mmap.PROT_WRITE)
        self._ffi.release(self._base)
        self._map.close()


@pytest.fixture(scope="session")
def internals() -> tuple[Any, Any]:
    """(ffi, lib) of the engine's internals, built if need be."""
    module = build_internals.load(build_internals.build())
    return module.ffi, module.lib


@pytest.fixture(scope="session")
def edge(internals: tuple[Any, Any]) -> Iterator[Edge]:
    ffi, _ = internals
    memory = Edge(ffi)
    yield memory
    memory.close()
