"""
The block `authorization`: who may log in, and what they may do.

What it says is honoured or refused, never passed over: to ignore a word of it could
open a door. So an unknown key is an error here.
"""

from collections.abc import Collection
from typing import Any

from pynatsd import convert
from pynatsd.conf import Block, ConfError, Entry
from pynatsd.convert import checked, placed, wrong
from pynatsd.options import Cluster, Options, Permissions, Rules, User
from pynatsd.settings_later import AUTHORIZATION_DOORS
from pynatsd.settings_notes import Notes, last, refused, stray

ALIASES = {
    "username": "user",
    "pass": "password",
    "permissions": "default_permissions",
    "default_permission": "default_permissions",
}
NAMES = ("user", "password", "token", "timeout", "users", "default_permissions")
CLUSTER_NAMES = ("user", "password", "timeout")

USER_ALIASES = {
    "username": "user",
    "pass": "password",
    "permission": "permissions",
    "authorization": "permissions",
}
USER_NAMES = ("user", "password", "permissions")

PERMISSION_ALIASES = {
    "pub": "publish",
    "import": "publish",
    "sub": "subscribe",
    "export": "subscribe",
}
PERMISSION_NAMES = ("publish", "subscribe")
RULE_NAMES = ("allow", "deny")

_OPTIONS = Options(threads=1)
_CLUSTER = Cluster()


def read_authorization(entry: Entry, notes: Notes) -> dict[str, Any]:
    """
    The options of `Options` that the block sets.

    Raises:
        ConfError: a value is wrong, or the block cannot be honoured.
    """
    found = last(convert.block(entry), ALIASES)
    _only(found, (*NAMES, *ALIASES))
    values = _single(found, notes)
    _timeout(found, _OPTIONS, values)
    if "token" in found:
        values["token"] = _token(found, notes)
    if "users" in found:
        values["users"] = _users(found, notes)
    if "default_permissions" in found:
        if not values.get("users"):
            raise _error(found["default_permissions"], "is for users = [ ] only")
        permissions = read_permissions(found["default_permissions"])
        values["default_permissions"] = permissions
    return values


def read_cluster_authorization(entry: Entry, notes: Notes) -> dict[str, Any]:
    """
    The options of `Cluster` that the block sets: one user, for all routes.

    Raises:
        ConfError: a value is wrong, or the block cannot be honoured.
    """
    found = last(convert.block(entry), ALIASES)
    for name, text in (
        ("token", "Cluster authorization does not support tokens"),
        ("users", "Cluster authorization does not allow multiple users"),
        ("default_permissions", "permissions are not supported for a cluster"),
    ):
        if name in found:
            raise wrong(found[name].at, text)
    _only(found, (*CLUSTER_NAMES, *ALIASES))
    values = _single(found, notes)
    if values.get("password") and not values.get("user"):
        raise _error(found["password"], "needs a user")
    _timeout(found, _CLUSTER, values)
    return values


def read_permissions(entry: Entry) -> Permissions:
    """
    What a user may publish and subscribe to.

    Raises:
        ConfError: something is no subject, or a key cannot be honoured.

    Source: nats-server 2, server/opts.go; there an empty list allows everything, here
    nothing.
    """
    found = last(convert.block(entry), PERMISSION_ALIASES)
    _only(found, (*PERMISSION_NAMES, *PERMISSION_ALIASES))
    return Permissions(
        **{
            name: _rules(name, found[name])
            for name in PERMISSION_NAMES
            if name in found
        }
    )


# ---- parts ----


def _single(found: dict[str, Entry], notes: Notes) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "user" in found:
        values["user"] = convert.text(found["user"])
    if "password" in found:
        values["password"] = _secret(found["password"], notes)
    return values


def _secret(entry: Entry, notes: Notes) -> str:
    secret = convert.secret(entry)
    if secret:
        notes.secret(entry.value.at)
    return secret


def _timeout(found: dict[str, Entry], owner: Any, values: dict[str, Any]) -> None:
    if "timeout" in found:
        entry = found["timeout"]
        seconds = convert.seconds(entry) or owner.auth_timeout  # 0: the default
        values["auth_timeout"] = checked(owner, "auth_timeout", seconds, entry)


def _token(found: dict[str, Entry], notes: Notes) -> str:
    entry = found["token"]
    if "user" in found or "password" in found:
        raise wrong(entry.at, "Cannot have a user/pass and token")
    token = _secret(entry, notes)
    if not token:
        raise _error(entry, "must not be empty; leave it out to let everybody in")
    return token


def _users(found: dict[str, Entry], notes: Notes) -> tuple[User, ...]:
    entry = found["users"]
    if "user" in found or "password" in found:
        raise wrong(entry.at, "Can not have a single user/pass and a users array")
    if "token" in found:
        raise wrong(entry.at, "Can not have a token and a users array")
    if not isinstance(entry.value.data, tuple):
        raise convert.unexpected(entry.key, entry.value, "a list of blocks")
    if not entry.value.data:
        raise _error(entry, "must not be empty; leave it out to let everybody in")
    users: dict[str, User] = {}
    for each in convert.items(entry):
        user = _user(each, notes)
        if user.name in users:
            raise wrong(each.at, f"{each.key}: {user.name!r} is there twice")
        users[user.name] = user
    return tuple(users.values())


def _user(entry: Entry, notes: Notes) -> User:
    found = last(convert.block(entry), USER_ALIASES)
    _only(found, (*USER_NAMES, *USER_ALIASES))
    values = _single(found, notes)
    user = User(values.get("user", ""), values.get("password", ""))
    checked(_OPTIONS, "users", (user,), entry)
    if "permissions" not in found:
        return user
    return User(user.name, user.password, read_permissions(found["permissions"]))


def _rules(direction: str, entry: Entry) -> Rules:
    if not isinstance(entry.value.data, Block):
        return Rules(allow=_subjects(direction, entry))
    found = last(entry.value.data, {})
    _only(found, RULE_NAMES)
    return Rules(
        **{
            name: _subjects(direction, found[name])
            for name in RULE_NAMES
            if name in found
        }
    )


def _subjects(direction: str, entry: Entry) -> tuple[str, ...]:
    return tuple(_subject(direction, each) for each in convert.items(entry))


def _subject(direction: str, entry: Entry) -> str:
    subject = convert.text(entry)
    with placed(entry, "permissions: "):
        Permissions(**{direction: Rules(allow=(subject,))})
    return subject


# ---- keys ----


def _only(found: dict[str, Entry], known: Collection[str]) -> None:
    for name, entry in found.items():
        if name in known or entry.is_used:
            continue
        if name in AUTHORIZATION_DOORS:
            raise refused(entry)
        raise stray(entry, known, " in authorization")


def _error(entry: Entry, text: str) -> ConfError:
    return wrong(entry.at, f"{entry.key}: {text}")
