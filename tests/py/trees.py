"""What a configuration says, as plain dictionaries and lists that compare exactly."""

from typing import Any

import pytest

from pynatsd.conf import Block, ConfError, Value, parse

EOL = "Expected a top-level value to end with a new line, comment or EOF, but got "
MAP_END = 'Expected a map value terminator "," or a map terminator "}", but got '
LIST_END = 'Expected an array value terminator "," or an array terminator "]", but got '
ESCAPES = (
    "Only the following escape characters are allowed: "
    r"\xXX, \t, \n, \r, \", \\."
)


def plain(block: Block) -> dict[str, Any]:
    """The last of doubled keys, as the reader of settings takes it."""
    return {entry.key: _plain(entry.value) for entry in block.entries}


def _plain(value: Value) -> Any:
    if isinstance(value.data, Block):
        return plain(value.data)
    if isinstance(value.data, tuple):
        return [_plain(each) for each in value.data]
    return value.data


def expect(text: str | bytes, expected: dict[str, Any]) -> None:
    # By repr: 1, 1.0 and True are equal, but not the same.
    assert repr(plain(parse(text, "n"))) == repr(expected)


def expect_error(text: str | bytes, expected: str) -> None:
    """*expected*: LINE:COLUMN: TEXT."""
    with pytest.raises(ConfError) as caught:
        parse(text, "n")
    assert str(caught.value) == f"n:{expected}"
