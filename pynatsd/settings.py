"""
Keys of the configuration file: from the tree that the language gives to options.

The proper name of a key is that of its option; older and newer spellings are aliases.
The last one in the file counts. What the command line says goes over it elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pynatsd import conf, convert, settings_auth, settings_later
from pynatsd.conf import Block, Entry, Value
from pynatsd.convert import checked, wrong
from pynatsd.options import Options
from pynatsd.settings_notes import Notes, last, refused, shown
from pynatsd.settings_parts import read_address, read_cluster, read_tls


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a file sets, and nothing else.

    *values* are keywords of `Options`, *cluster* of `Cluster`, *tls* of `Tls`; the last
    two are None where the file has no such block. Secrets are not shown.
    """

    values: dict[str, Any] = field(repr=False)
    cluster: dict[str, Any] | None = field(default=None, repr=False)
    tls: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()  # "FILE:LINE:COLUMN: text" each


ALIASES = {
    "net": "host",
    "monitor_port": "http_port",
    "max_conn": "max_connections",
    "max_subs": "max_subscriptions",
    "max_pending": "max_pending_size",
    "ping_max_out": "ping_max",
    "logfile": "log_file",
    "pidfile": "pid_file",
}

# How the value of each option is read. Ranges and defaults are those of `Options`.
KINDS: dict[str, Callable[[Entry], Any]] = {
    "host": convert.text,
    "port": convert.number,
    "server_name": convert.text,
    "threads": convert.number,
    "max_connections": convert.number,
    "max_subscriptions": convert.number,
    "max_control_line": convert.number,
    "max_connect_line": convert.number,
    "max_payload": convert.number,
    "max_pending_size": convert.number,
    "ping_interval": convert.seconds,
    "ping_max": convert.number,
    "write_deadline": convert.seconds,
    "lame_duck_duration": convert.seconds,
    "lame_duck_grace_period": convert.seconds,
    "no_auth_user": convert.text,
    "authenticator": convert.code,
    "authenticator_timeout": convert.seconds,
    "debug": convert.switch,
    "trace": convert.switch,
    "logtime": convert.switch,
    "log_file": convert.text,
    "log_format": convert.text,
    "syslog": convert.switch,
    "remote_syslog": convert.text,
    "pid_file": convert.text,
    "ports_file_dir": convert.text,
    "http_port": convert.number,
    "https_port": convert.number,
    "prof_port": convert.number,
}

# A zero in the file means the default, as in the original.
ZERO_IS_DEFAULT = (
    *("port", "max_control_line", "max_connect_line", "max_payload"),
    *("max_pending_size", "write_deadline", "lame_duck_duration"),
    "authenticator_timeout",
)

# Keys that set a host and a port in one.
ADDRESSES = {
    "listen": ("host", "port"),
    "http": ("http_host", "http_port"),
    "https": ("http_host", "https_port"),
}

BLOCKS = ("authorization", "cluster", "tls")
KNOWN = (*KINDS, *ALIASES, *ADDRESSES, *BLOCKS)
GUARDS = ("authenticator", "authorization", "tls")

# What belongs into `authorization`; alone it would guard nothing.
MISPLACED = frozenset(
    {"nkey", "permissions", *settings_auth.NAMES, *settings_auth.ALIASES} - {"timeout"}
)

_OPTIONS = Options(threads=1)  # for its ranges; 1 saves counting the CPUs


def load(path: str, *, strict: bool = False) -> Settings:
    """
    Read a configuration file.

    *strict*: unknown keys are errors, not warnings.

    Raises:
        ConfError: the file cannot be read, or used as it is.
    """
    return read(conf.load(path), strict=strict)


def read(block: Block, *, strict: bool = False) -> Settings:
    """
    Read what a configuration file says.

    Raises:
        ConfError: a value is wrong, or a key must not be passed over.
    """
    notes = Notes(is_strict=strict)
    values: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    entries = last(block, ALIASES)
    for name, entry in entries.items():
        if name in KINDS:
            values[name] = _value(name, entry)
        elif name in ADDRESSES:
            values |= _address(name, entry)
        elif name == "authorization":
            values |= settings_auth.read_authorization(entry, notes)
        elif name == "cluster":
            parts[name] = read_cluster(entry, notes)
        elif name == "tls":
            parts[name] = read_tls(entry, notes)
        else:
            _other(name, entry, notes)
    guest = entries.get("no_auth_user")
    if guest:
        options = replace(_OPTIONS, users=values.get("users", ()))
        checked(options, "no_auth_user", values["no_auth_user"], guest)
    return Settings(values, parts.get("cluster"), parts.get("tls"), notes.warnings())


def _value(name: str, entry: Entry) -> Any:
    value = KINDS[name](entry)
    if value == 0 and name in ZERO_IS_DEFAULT:
        return getattr(_OPTIONS, name)
    if name == "no_auth_user":
        return value  # checked at the end, when the users are known
    return checked(_OPTIONS, name, value, entry)


def _address(name: str, entry: Entry) -> dict[str, Any]:
    host, port = ADDRESSES[name]
    values = read_address(entry, _OPTIONS, host, port)
    values[port] = values[port] or getattr(_OPTIONS, port)  # 0: the default
    return values


def _other(name: str, entry: Entry, notes: Notes) -> None:
    """
    A key that sets nothing.

    Raises:
        ConfError: to pass over it could open a door, or checking is strict.
    """
    if entry.is_used:
        return
    has_users = name == "accounts" and _has_users(entry.value)
    if has_users or name in settings_later.TOP_DOORS:
        raise refused(entry)
    if name in MISPLACED:
        raise wrong(entry.at, f"{shown(entry.key)} belongs into authorization {{ }}")
    if name in settings_later.TOP:
        notes.ignored(entry)
    else:
        notes.unknown(entry, KNOWN, GUARDS)


def _has_users(value: Value) -> bool:
    """Whether there are users anywhere in it."""
    match value.data:
        case Block(entries):
            return any(
                entry.key.lower() == "users" or _has_users(entry.value)
                for entry in entries
            )
        case tuple():
            return any(map(_has_users, value.data))
        case _:
            return False
