"""Where the wire tests find a server, and how they talk to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from target import Target

TARGET = os.environ.get("PYNATSD_TARGET", "")


@pytest.fixture
def targets() -> Iterator[Callable[..., Target]]:
    """Makes Targets and closes their connections before their servers stop."""
    with contextlib.ExitStack() as stack:

        def make(*args: Any, **options: Any) -> Target:
            target = Target(*args, **options)
            stack.callback(target.close)
            return target

        yield make


@pytest.fixture
def serve(
    embedded: Callable[..., Any], targets: Callable[..., Target]
) -> Callable[..., Target]:
    """Start a server with options inside the test: serve(threads=4, max_payload=9)."""

    def start(*, threads: int = 2, **options: Any) -> Target:
        running = embedded(threads=threads, **options)
        return targets("127.0.0.1", running.port, threads=threads, handle=running)

    return start


@pytest.fixture
def spawn(
    server: Callable[..., Any], targets: Callable[..., Target]
) -> Callable[..., Target]:
    """Start a server as a process of its own; `handle` is that process."""

    def start(*flags: str, threads: int = 2, **options: Any) -> Target:
        process = server(*flags, threads=threads, **options)
        return targets("127.0.0.1", process.port, threads=threads, handle=process)

    return start


@pytest.fixture
def target(request: pytest.FixtureRequest, threads: int) -> Target:
    """The server for tests that need no options: PYNATSD_TARGET, or one of our own
    with *threads* reactors."""
    if not TARGET:
        start: Callable[..., Target] = request.getfixturevalue("serve")
        return start(threads=threads)
    host, _, port = TARGET.rpartition(":")
    make: Callable[..., Target] = request.getfixturevalue("targets")
    target = make(host, int(port))
    target.foreign = "ssl_required" not in target.peer().info
    mark = request.node.get_closest_marker("ours")
    if mark and target.foreign:
        pytest.skip(f"nats-server differs: {mark.args[0]}")
    return target


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads of the test, joined at its end."""
    with ThreadPoolExecutor() as pool:
        yield pool
