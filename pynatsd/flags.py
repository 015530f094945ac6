"""
The command line: words to a `Command`, or to what to print instead.

Nothing here opens a file; what a file says is joined to it by `pynatsd.merge`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pynatsd import peer_url
from pynatsd.conf_tree import visible
from pynatsd.usage import HELP_TLS, USAGE, VERSION_LINE

# Names of a flag, kind of its value, and what is set to it: fields of `Options`, or of
# what stands before the full stop.
_TABLE: tuple[tuple[str, type, str], ...] = (
    ("a addr net", str, "host"),
    ("p port", int, "port"),
    ("P pid", str, "pid_file"),
    ("m http_port", int, "http_port"),
    ("ms https_port", int, "https_port"),
    ("c config", str, "command.config"),
    ("t", bool, "command.is_test"),
    ("strict", bool, "command.is_strict"),
    ("n server_name name", str, "server_name"),
    ("threads", int, "threads"),
    ("ports_file_dir", str, "ports_file_dir"),
    ("sl signal", str, "command.signal"),
    ("profile", int, "prof_port"),
    ("l log", str, "log_file"),
    ("T logtime", bool, "logtime"),
    ("s syslog", bool, "syslog"),
    ("r remote_syslog", str, "remote_syslog"),
    ("D debug", bool, "debug"),
    ("V trace VV", bool, "trace"),
    ("DV DVV", bool, "debug trace"),
    ("log_format", str, "log_format"),
    ("user", str, "user"),
    ("pass", str, "password"),
    ("auth", str, "token"),
    ("tls", bool, "tls.is_on"),
    ("tlscert", str, "tls.cert_file"),
    ("tlskey", str, "tls.key_file"),
    ("tlsverify", bool, "tls.verify"),
    ("tlscacert", str, "tls.ca_file"),
    ("routes", str, "cluster.routes"),
    ("cluster cluster_listen", str, "cluster.listen"),
    ("h help", bool, "text.help"),
    ("v version", bool, "text.version"),
    ("help_tls", bool, "text.tls"),
)
_FLAGS = {
    name: (kind, sets.split()) for names, kind, sets in _TABLE for name in names.split()
}

_INTEGER = re.compile("[+-]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


@dataclass(frozen=True, slots=True)
class Command:
    """
    What a command line asks for.

    *settings* are fields of `Options`, *cluster* of `Cluster`, *tls* of `Tls` and
    `is_on` for --tls. They hold what was typed, be it 0, "" or False, and nothing else.
    """

    config: str = ""  # path of the configuration file; "": none
    settings: dict[str, Any] = field(default_factory=dict, repr=False)  # has secrets
    cluster: dict[str, Any] = field(default_factory=dict, repr=False)  # likewise
    tls: dict[str, Any] = field(default_factory=dict)
    is_test: bool = False  # check the configuration and exit
    is_strict: bool = False  # unknown keys in the file are errors
    signal: str = ""  # for `pynatsd.control`; "": run a server


class Exit(Exception):
    """The command line asks for a text instead of a server, or is wrong."""

    def __init__(self, status: int, *, out: str = "", err: str = "") -> None:
        super().__init__(err or out)
        self.status = status
        self.out = out
        self.err = err


def parse(words: Sequence[str]) -> Command:
    """
    What a command line asks for; *words* are without the program's name.

    Raises:
        Exit: there is something to print, and no server to run.

    Source: gnatsd 0.8.0, main.go; unknown words and flags are refused here.
    """
    typed: dict[str, Any] = {}
    rest = list(words)
    while (found := _next_flag(rest)) is not None:
        names, value = found
        typed.update(dict.fromkeys(names, value))
        if typed.get("text.help"):
            raise Exit(0, out=USAGE)
    _act_on_texts(typed, rest)
    command = Command(
        settings={name: typed[name] for name in typed if "." not in name},
        cluster=_cluster(_part(typed, "cluster.")),
        tls=_part(typed, "tls."),
        **_part(typed, "command."),
    )
    if "command.signal" in typed and not command.signal:
        raise _error('unknown signal ""')  # and do not start a server instead
    if command.is_test and not command.config:
        raise _error("-t: needs a configuration file (-c)")
    return command


def _part(typed: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value
        for name, value in typed.items()
        if name.startswith(prefix)
    }


def _act_on_texts(typed: dict[str, Any], words: Sequence[str]) -> None:
    if typed.get("text.version"):
        raise Exit(0, out=VERSION_LINE)
    if typed.get("text.tls"):
        raise Exit(0, out=HELP_TLS)
    if not words:
        return
    if words[0].lower() == "version":
        raise Exit(0, out=VERSION_LINE)
    if words[0].lower() == "help":
        raise Exit(0, out=USAGE)
    raise _error(f'unrecognized command: "{words[0]}"')


# ---- one flag ----


def _next_flag(rest: list[str]) -> tuple[list[str], str | int | bool] | None:
    """
    Take the next flag and its value off *rest*; None where the flags end.

    Returns what the flag sets, and to what.
    """
    if not rest or not rest[0].startswith("-") or rest[0] == "-":
        return None
    word = rest.pop(0)
    if word == "--":
        return None
    text = word[2:] if word.startswith("--") else word[1:]
    if text[:1] in ("-", "="):
        raise _misuse(f"bad flag syntax: {word}")
    if text.startswith("routes://"):  # as in the original's README
        text = "routes=nats-route" + text.removeprefix("routes")
    name, equals, value = text.partition("=")
    if name not in _FLAGS:
        shown, url, _ = name.partition("://")  # a URL may have a password
        dots = "://..." if url else ""
        raise _misuse(f"flag provided but not defined: -{shown}{dots}")
    kind, sets = _FLAGS[name]
    if not equals:
        if kind is bool:
            return sets, True
        if not rest:
            raise _misuse(f"flag needs an argument: -{name}")
        value = rest.pop(0)
    return sets, _convert(name, kind, value)


def _convert(name: str, kind: type, text: str) -> str | int | bool:
    if kind is bool:
        if text not in _BOOLEANS:
            raise _misuse(f'invalid boolean value "{text}" for -{name}: parse error')
        return _BOOLEANS[text]
    if kind is str:
        return text
    if not _INTEGER.fullmatch(text):
        raise _misuse(f'invalid value "{text}" for flag -{name}: parse error')
    number = _integer(text)
    if not -(2**63) <= number < 2**63:
        raise _misuse(f'invalid value "{text}" for flag -{name}: value out of range')
    return number


def _integer(text: str) -> int:
    """As Go reads it: a leading 0 alone means octal."""
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    if len(digits) > 100:
        return 2**63  # out of range, whatever it is
    number = int(digits, 8 if octal else 0)
    return -number if text.startswith("-") else number


def _misuse(text: str) -> Exit:
    return Exit(2, out=USAGE, err=_line(text))


def _error(text: str) -> Exit:
    return Exit(1, err=_line(text))


def _line(text: str) -> str:
    """One line for a terminal, whatever was typed."""
    return visible(text) + "\n"


# ---- the cluster ----


def _cluster(typed: dict[str, str]) -> dict[str, Any]:
    """
    Fields of `Cluster` from the texts of --routes and --cluster.

    An empty list of routes replaces that of the file; an empty --cluster is as none.
    """
    settings: dict[str, Any] = {}
    try:
        if typed.get("listen"):
            peer = peer_url.parse_listen(typed["listen"])
            settings |= {"host": peer.host or "0.0.0.0", "port": peer.port}
            if peer.user:  # else those of the file stay
                settings |= {"user": peer.user, "password": peer.password}
        if "routes" in typed:
            urls = [url.strip() for url in typed["routes"].split(",")]
            settings["routes"] = tuple(filter(None, urls))
            for url in settings["routes"]:
                peer_url.parse_route(url)
    except ValueError as error:
        raise _error(str(error)) from None
    return settings
