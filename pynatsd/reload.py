"""
What a new configuration changes in a running server, as pure functions.

All or nothing: what needs a restart refuses the whole.
"""

from dataclasses import fields
from typing import Any

from pynatsd.options import Options, User

NAMES_MAX = 20  # users that a line names

_NEEDS_RESTART = (
    *("host", "port", "threads", "server_name", "pid_file", "ports_file_dir"),
    *("http_host", "http_port", "https_port", "prof_port", "cluster", "tls"),
)
# Their values are secrets, or too long to be shown.
_NOT_SHOWN = ("password", "token", "default_permissions", "authenticator")


class ReloadError(Exception):
    """The new configuration cannot be taken over; nothing has changed."""


def changes(old: Options, new: Options) -> list[str]:
    """
    The names of the options that differ.

    Raises:
        ReloadError: one of them cannot change while the server runs.
    """
    names = [
        f.name for f in fields(old) if getattr(old, f.name) != getattr(new, f.name)
    ]
    for name in names:
        if name in _NEEDS_RESTART:
            raise ReloadError(f"{name}: changing it needs a restart")
    return names


def lines(names: list[str], old: Options, new: Options) -> list[str]:
    """
    A line of the log for each change.

    Source: nats-server 2, `Reloaded: max_payload = 2000`.
    """
    return [
        _users_line(old.users, new.users)
        if name == "users"
        else f"Reloaded: {name}{_shown(name, getattr(new, name))}"
        for name in names
    ]


def _shown(name: str, value: Any) -> str:
    if name in _NOT_SHOWN:
        return ""
    return f" = {str(value).lower() if isinstance(value, bool) else value}"


def _users_line(old: tuple[User, ...], new: tuple[User, ...]) -> str:
    before = {user.name: user for user in old}
    after = {user.name: user for user in new}
    parts = [
        ("added", [name for name in after if name not in before]),
        ("removed", [name for name in before if name not in after]),
        (
            "changed",
            [n for n, user in after.items() if n in before and before[n] != user],
        ),
    ]
    told = ", ".join(f"{verb} {_names(names)}" for verb, names in parts if names)
    return f"Reloaded: users: {told or 'in another order'}"


def _names(names: list[str]) -> str:
    more = len(names) - NAMES_MAX
    return " ".join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
