"""Tables of bytes sent and bytes expected: a row is one connection's whole talk."""

from __future__ import annotations

from typing import Any

import pytest
from target import Target
from wire import QUIET

SUB = b"SUB foo 1\r\n"
PUB = b"PUB foo 2\r\nhi\r\n"
MSG = b"MSG foo 1 2\r\nhi\r\n"
BLOCK = b"NATS/1.0\r\nA: b\r\n\r\n"
"""A header block of 18 bytes."""


def row(
    name: str,
    sent: bytes,
    want: bytes,
    hello: dict[str, Any] | None = QUIET,
    *,
    closed: bool = False,
    ours: str = "",
) -> Any:
    marks = [pytest.mark.ours(ours)] if ours else []
    return pytest.param(sent, want, hello, closed, id=name, marks=marks)


def table(*rows: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("sent", "want", "hello", "closed"), rows)


def check(target: Target, sent: bytes, want: bytes, hello: Any, closed: bool) -> None:
    target.talk(sent, want, hello=hello, closed=closed)
