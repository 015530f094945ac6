"""
Who may come in, by which right, and what becomes of rights when settings change.

A right has a number, the grant, by which the engine knows who came in with it. It keeps
the number from one configuration to the next while what one has to say for it stays
the same, so that a reload closes nobody else.
"""

import inspect
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pynatsd.connect import ConnectOptions
from pynatsd.core import Regrant
from pynatsd.options import Options, Permissions, is_bcrypt
from pynatsd.secret import Sealer, to_bytes

MakePermits = Callable[[str, Permissions], Any]

_Key = tuple[str, str, str]  # kind, name and secret: what one has to say


@dataclass(frozen=True, slots=True, eq=False)
class Right:
    """One way to come in."""

    grant: int
    name: str
    permissions: Permissions
    permits: Any  # *permissions* as the engine has them; None: everything
    secret: str = field(repr=False)  # a bcrypt hash, or ""
    seal: bytes = field(repr=False)  # of a secret in clear, else equal to no other


@dataclass(frozen=True, slots=True, eq=False)
class Rights:
    """
    All rights of one configuration; immutable.

    *dummy* is a bcrypt hash that nobody has, as costly to check as the costliest one;
    it is empty where there are no hashes.
    """

    options: Options = field(repr=False)
    sealer: Sealer | None  # None: nobody has a secret
    by_key: dict[_Key, Right] = field(repr=False)
    by_grant: dict[int, Right]
    users: dict[bytes, Right] = field(repr=False)  # by the seal of the name
    token: Right | None
    anyone: Right | None  # of those who do not say who they are
    authenticated: int  # the grant of those whom the authenticator lets in, or 0
    dummy: str = field(repr=False)

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked anything."""
        return self.anyone is not None and not self.options.no_auth_user

    def claim(self, connect: ConnectOptions) -> tuple[Right | None, bytes]:
        """The right that somebody wants, and the secret offered for it."""
        if self.token is not None:
            return self.token, to_bytes(connect.auth_token)
        offered = to_bytes(connect.password)
        if self.sealer is None:
            return None, offered
        return self.users.get(self.sealer.seal(to_bytes(connect.user))), offered

    def proved(self, right: Right | None, offered: bytes) -> Right | None:
        """
        *right*, if *offered* is its secret in clear.

        It takes as long where the secret is a hash, and where there is no right.
        """
        if self.sealer is None:
            return None
        seal = self.sealer.nothing if right is None else right.seal
        return right if self.sealer.are_equal(self.sealer.seal(offered), seal) else None


class Registry:
    """Makes rights of options. Not for several threads at once."""

    def __init__(self, make_permits: MakePermits) -> None:
        self._make_permits = make_permits
        self._grants = itertools.count(1)
        self._sealer: Sealer | None = None

    def build(self, options: Options, prior: Rights | None = None) -> Rights:
        """
        The rights that *options* give, numbered like those of *prior*.

        Raises:
            ValueError: the authenticator is of a kind that cannot be called here.
            Exception: what *make_permits* raised.
        """
        keyed: dict[_Key, Right] = {}
        for key, name, permissions in _wanted(options):
            known = prior.by_key.get(key) if prior is not None else None
            keyed[key] = self._right(key, name, permissions, known)
        users = {
            self._sealed(name): right
            for (kind, name, _), right in keyed.items()
            if kind == "user"
        }
        tokens = [right for (kind, *_), right in keyed.items() if kind == "token"]
        hashes = [right.secret for right in keyed.values() if right.secret]
        return Rights(
            options=options,
            sealer=self._sealer,
            by_key=keyed,
            by_grant={right.grant: right for right in keyed.values()},
            users=users,
            token=tokens[0] if tokens else None,
            anyone=keyed.get(_ANYONE),
            authenticated=self._authenticated(options, prior),
            dummy=_dummy(hashes),
        )

    def _right(
        self, key: _Key, name: str, permissions: Permissions, known: Right | None
    ) -> Right:
        if known and (known.name, known.permissions) == (name, permissions):
            return known
        is_restricted = permissions != Permissions()
        permits = self._make_permits(name, permissions) if is_restricted else None
        if known:
            return replace(known, name=name, permissions=permissions, permits=permits)
        kind, _, secret = key
        is_hashed = is_bcrypt(secret)
        has_clear = kind != "anyone" and not is_hashed
        return Right(
            grant=next(self._grants),
            name=name,
            permissions=permissions,
            permits=permits,
            secret=secret if is_hashed else "",
            seal=self._sealed(secret) if has_clear else os.urandom(32),
        )

    def _sealed(self, text: str) -> bytes:
        if self._sealer is None:
            self._sealer = Sealer()
        return self._sealer.seal(to_bytes(text))

    def _authenticated(self, options: Options, prior: Rights | None) -> int:
        authenticator = options.authenticator
        if authenticator is None:
            return 0
        for function in (authenticator, type(authenticator).__call__):
            if inspect.iscoroutinefunction(function):
                raise ValueError("authenticator: must not be async")
        if prior is not None and prior.options.authenticator == authenticator:
            return prior.authenticated
        return next(self._grants)


def changes(prior: Rights, current: Rights) -> list[Regrant]:
    """What becomes of the clients that came in by the rights of *prior*."""
    orders = []
    for key, right in prior.by_key.items():
        heir = current.by_key.get(key)
        if heir is None:
            orders.append(Regrant(right.grant, is_revoked=True))
        elif heir is not right:
            orders.append(Regrant(right.grant, permits=heir.permits))
    if prior.authenticated and prior.authenticated != current.authenticated:
        orders.append(Regrant(prior.authenticated, is_revoked=True))
    return orders


_ANYONE: _Key = ("anyone", "", "")


def _wanted(options: Options) -> Iterator[tuple[_Key, str, Permissions]]:
    """
    The rights that *options* speak of: their key, the user's name, permissions.

    Source: gnatsd 0.8.0, server/server.go and auth/, for one user or a token; a user
    goes before a token. nats-server 2 for several.
    """
    everything = Permissions()
    if options.user:
        yield ("user", options.user, options.password), options.user, everything
    elif options.token:
        yield ("token", "", options.token), "", everything
    elif not options.users and options.authenticator is None:
        yield _ANYONE, "", everything
    for user in options.users:
        permissions = user.permissions or options.default_permissions
        yield ("user", user.name, user.password), user.name, permissions
        if user.name == options.no_auth_user:
            yield _ANYONE, user.name, permissions


def _dummy(hashes: list[str]) -> str:
    """The salt of the costliest hash, with a digest that no password has."""
    if not hashes:
        return ""
    return max(hashes, key=lambda each: each[4:6])[:29] + "." * 31
