"""
The argument of CONNECT: what a client may say about itself.

Pure functions: bytes in, options or a refusal out. JSON is read as the original
reads it: keys match in any case, the last of a doubled key wins, null leaves an
option as it was.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pynatsd.log_format import printable

NOTE_TEXT_MAX = 256  # characters kept of name, lang and version
NESTING_MAX = 128  # arrays and objects in one another; Python's own limit varies

_PARSER_ERROR = "Parser Error"
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


class ConnectError(Exception):
    """
    A CONNECT or INFO that must not be let in.

    *text* goes to the client, and is empty if the connection closes silently;
    *reason* goes to the log. Neither holds anything that the client sent.
    """

    def __init__(self, reason: str, text: str = _PARSER_ERROR) -> None:
        super().__init__(reason)
        self.text = text
        self.reason = f"Error reading from client: {reason}"


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """
    The merged options of a client; the defaults are those of one that sent none.

    Source: gnatsd 0.8.0, server/client.go, `clientOpts`; from `echo` to
    `no_responders` as in later servers.
    """

    verbose: bool = True
    pedantic: bool = True
    ssl_required: bool = False
    tls_required: bool = False
    echo: bool = True
    headers: bool = False
    no_responders: bool = False
    protocol: int = 0  # 0, or 1: may be sent INFO at any time
    name: str = ""
    lang: str = ""
    version: str = ""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    auth_token: str = field(default="", repr=False)


_NOT_KEPT = ("user", "password", "auth_token")
_NOT_SHOWN = ("pass", "auth_token", "sig", "jwt")  # keys as they are sent


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs: doubled keys survive, arrays are told apart."""


def parse(argument: bytes, prior: bytes | None = None) -> ConnectOptions:
    """
    The options of a client after this CONNECT.

    *prior* is the note that its last CONNECT left; options that the new one does
    not name keep their values from there.

    Raises:
        ConnectError: the argument is not one that a server accepts.

    Source: gnatsd 0.8.0, server/client.go, `processConnect`.
    """
    options = ConnectOptions()
    if prior is not None:
        options = _merge(options, _load(prior))
    options = _merge(options, _load(argument))
    if options.no_responders and not options.headers:
        raise ConnectError("no_responders needs headers", text="")
    return options


def check_info(argument: bytes) -> None:
    """
    Look at an INFO that a client sent: it has no effect, but must be an object.

    Raises:
        ConnectError: it is not.
    """
    _load(argument)


def note(options: ConnectOptions) -> bytes:
    """
    What the engine shall keep of *options*, itself a CONNECT argument.

    Never a secret: the engine's memory outlives the check of credentials. At most
    5 KiB, whatever the client sent.
    """
    kept = {
        f.name: value[:NOTE_TEXT_MAX] if isinstance(value, str) else value
        for f in fields(options)
        if f.name not in _NOT_KEPT and (value := getattr(options, f.name)) != f.default
    }
    text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def shown(argument: bytes) -> str:
    """
    *argument* for a trace of the protocol: one line of ASCII, and never a secret.

    It is as sent, unless a secret has to be left out; one that cannot be read, or is no
    object, is left out whole.
    """
    try:
        text = argument.decode()
        if _nesting(text) > NESTING_MAX:
            return "..."
        document = _SHOWING_DECODER.decode(text)
        if not isinstance(document, _Object):
            return "..."
        shortened = _without_secrets(document)
    except ValueError:
        return "..."
    return printable(text if _HIDDEN not in shortened else shortened)


def _without_secrets(value: Any) -> str:
    if isinstance(value, _Object):
        pairs = [
            f"{json.dumps(key)}:"
            + (_HIDDEN if _fold(key) in _NOT_SHOWN else _without_secrets(inner))
            for key, inner in value
        ]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_without_secrets, value)) + "]"
    return json.dumps(value)


def _nesting(text: str) -> int:
    """How deep arrays and objects stand in one another."""
    if text.count("[") + text.count("{") <= NESTING_MAX:
        return 1  # or a little more; not too many in any case
    depth = deepest = 0
    for token in _STRING_OR_BRACKET.findall(text):
        depth += (token in ("[", "{")) - (token in ("]", "}"))
        deepest = max(deepest, depth)
    return deepest


def _load(argument: bytes) -> Iterable[tuple[str, Any]]:
    """The pairs of a JSON object, in order; none for null."""
    try:
        text = argument.decode()
        if _nesting(text) > NESTING_MAX:
            raise ConnectError("JSON nested too deeply")
        document = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise ConnectError("not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConnectError(f"not valid JSON at offset {error.pos}") from None
    except _Constant:
        raise ConnectError("not valid JSON: not a finite number") from None
    if document is None:
        return ()
    if not isinstance(document, _Object):
        raise ConnectError("JSON, but not an object")
    return document


def _merge(options: ConnectOptions, pairs: Iterable[tuple[str, Any]]) -> ConnectOptions:
    changes: dict[str, Any] = {}
    for key, value in pairs:
        known = _KNOWN.get(_fold(key))
        if known is None or value is None:
            continue
        name, convert = known
        changes[name] = convert(name, value)
    return replace(options, **changes) if changes else options


def _fold(key: str) -> str:
    """One spelling for all cases. The long s is the case that `lower` leaves."""
    return key.lower().replace("\u017f", "s")


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConnectError(f"{name} must be true or false")
    return value


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConnectError(f"{name} must be a string")
    return _LONE_SURROGATE.sub("\ufffd", value)


def _protocol(name: str, value: Any) -> int:
    """A version that we do not know yet is at least the highest that we know."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConnectError(f"{name} must be a whole number from 0")
    return min(value, 1)


class _Constant(Exception):
    """NaN or Infinity, which JSON does not have."""


def _refuse_constant(text: str) -> Any:
    raise _Constant


def _sign(digits: str) -> int:
    """An integer as -1, 0 or 1: all that we ask of one, at any length."""
    if not digits.strip("-0"):
        return 0
    return -1 if digits.startswith("-") else 1


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object, parse_constant=_refuse_constant, parse_int=_sign
)

_SHOWING_DECODER = json.JSONDecoder(object_pairs_hook=_Object)

_HIDDEN = '"[REDACTED]"'

_CONVERTERS: dict[object, Callable[[str, Any], Any]] = {bool: _boolean, str: _string}

# From the folded key to the name here and what turns the value into ours.
_KNOWN: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    ("pass" if f.name == "password" else f.name): (
        f.name,
        _CONVERTERS.get(f.type, _protocol),
    )
    for f in fields(ConnectOptions)
}
