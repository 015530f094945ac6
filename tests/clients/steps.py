"""What the client programs have in common: the report of steps, one JSON line each.

A program gets the port as its argument. For each step it prints
`{"step": name, "ok": true}`, or false and an `error`. Before the step `reconnect` it
prints `{"ask": "restart"}` and waits for a line on its standard input, which comes when
the server has been replaced by a new one on the same port.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT_SECONDS = 10.0  # for each step
MEGABYTE = bytes(index * 7 % 251 for index in range(1024)) * 1024


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


async def restart() -> None:
    """Have the server restarted; returns when the new one is ready."""
    say({"ask": "restart"})
    await asyncio.to_thread(sys.stdin.readline)


async def run(steps: list[Callable[..., Awaitable[None]]], connection: Any) -> None:
    """Do the steps in order and report each; one that fails does not stop the rest."""
    for step in steps:
        name = step.__name__
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await step(connection)
            say({"step": name, "ok": True})
        except Exception:
            say({"step": name, "ok": False, "error": traceback.format_exc()})


def check(condition: bool, what: object) -> None:
    """Like assert, but not one that -O removes."""
    if not condition:
        raise AssertionError(what)
