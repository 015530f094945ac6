"""Reactors on platforms without epoll: Python waits, C does the rest."""

import selectors
import time

from pynatsd.core import Engine, Watch

_STEP_MAX = 256
"""Descriptors that one step takes; the engine ignores what exceeds it."""


def run_reactor(engine: Engine, index: int) -> None:
    """
    Be the thread of reactor *index* until the engine stops.

    Raises:
        CoreError: the reactor failed.
    """
    # No epoll here, even where it exists: with poll and select the kernel remembers
    # nothing about a descriptor, so one that C closed needs no care.
    kind = getattr(selectors, "PollSelector", selectors.SelectSelector)
    with kind() as selector:
        ready: list[Watch] = []
        while True:
            now_ms = time.monotonic_ns() // 1_000_000
            due_ms = engine.step(index, now_ms, ready[:_STEP_MAX])
            if due_ms is None:
                return
            for change in engine.wants(index):
                _apply(selector, change)
            del ready[:_STEP_MAX]
            if ready:
                continue
            timeout = None if due_ms < 0 else due_ms / 1000
            ready = [
                Watch(
                    key.fd,
                    readable=bool(events & selectors.EVENT_READ),
                    writable=bool(events & selectors.EVENT_WRITE),
                )
                for key, events in selector.select(timeout)
            ]


def _apply(selector: selectors.BaseSelector, change: Watch) -> None:
    events = change.readable * selectors.EVENT_READ
    events |= change.writable * selectors.EVENT_WRITE
    known = change.fd in selector.get_map()
    if events and known:
        selector.modify(change.fd, events)
    elif events:
        selector.register(change.fd, events)
    elif known:
        selector.unregister(change.fd)
