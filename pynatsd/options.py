"""
Settings of the server: defaults, units, ranges, and where they come from.

What a file, the command line or a program gives is checked here, with the same words.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from pynatsd.cpus import CPUS_MAX, usable_cpus

SECONDS = 1.0
MINUTES = 60 * SECONDS
HOURS = 60 * MINUTES
KIB = 1024
MIB = 1024 * KIB

REACTORS_MAX = CPUS_MAX
PAYLOAD_CEILING = 1024 * MIB  # what a negative max_payload means
NAME_MAX = 256  # characters of server_name
SUBJECT_MAX = 1024  # characters of a subject or queue in a permission

_UINT32_MAX = 2**32 - 1
_LONGEST = 24 * HOURS  # the engine counts milliseconds in 32 bits
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_LIKE_BCRYPT = re.compile(r"\$2[a-z]?\$")


# ---- what a value may be ----


def _number(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"check": (_check_range, low, high)})


def _seconds(default: float, *, zero: bool = False) -> Any:
    return field(default=default, metadata={"check": (_check_seconds, zero)})


def _text(default: str = "", *, shown: bool = True) -> Any:
    return field(default=default, repr=shown, metadata={"check": (_check_text,)})


def _check_range(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}: must be a whole number, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name}: must be from {low} to {high}, not {value}")


def _check_seconds(name: str, value: object, zero: bool) -> None:
    if zero and value == 0 and not isinstance(value, bool):
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: must be a number of seconds, not {value!r}")
    if not 0.001 <= value <= _LONGEST:
        raise ValueError(
            f"{name}: must be from 0.001 to {_LONGEST:.0f} seconds, not {value}"
        )


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name}: must be text, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{name}: must not contain a NUL character")


def _check_fields(settings: Any) -> None:
    for each in fields(settings):
        if "check" in each.metadata:
            check, *limits = each.metadata["check"]
            check(each.name, getattr(settings, each.name), *limits)


# ---- users ----


@dataclass(frozen=True, slots=True)
class Rules:
    """
    Subjects, wildcards included, that somebody may use in one direction.

    A subject must be allowed, and not denied. For subscriptions, `"subject queue"` is
    a rule for that queue group alone.

    Source: nats-server 2, `authorization`.
    """

    allow: tuple[str, ...] | None = None  # None: every subject; (): none
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Permissions:
    """
    What a user may do. By default, everything.

    Raises:
        ValueError: an entry is no subject.
    """

    publish: Rules = Rules()
    subscribe: Rules = Rules()

    def __post_init__(self) -> None:
        for rules, words in ((self.publish, 1), (self.subscribe, 2)):
            for entry in (*(rules.allow or ()), *rules.deny):
                _check_rule(entry, words)


def _check_rule(entry: object, words_max: int) -> None:
    if not isinstance(entry, str):
        raise ValueError(f"permissions: must be subjects, not {entry!r}")
    words = entry.split()
    if not 1 <= len(words) <= words_max or not is_pattern(words[0]):
        raise ValueError(f"permissions: {entry!r} is not a subject")
    if not all(word.isprintable() and len(word) <= SUBJECT_MAX for word in words):
        raise ValueError("permissions: a subject is too long, or not printable")


def is_pattern(subject: str) -> bool:
    """Whether one may subscribe to it: no empty token, and `>` only at the end."""
    tokens = subject.split(".")
    return all(tokens) and ">" not in tokens[:-1]


@dataclass(frozen=True, slots=True)
class User:
    """
    Somebody who may log in; *password* is in clear or a bcrypt hash.

    *permissions* None: those of `Options.default_permissions`.
    """

    name: str
    password: str = field(repr=False)
    permissions: Permissions | None = None


def is_bcrypt(secret: str) -> bool:
    """
    Whether a configured password or token is a bcrypt hash.

    Raises:
        ValueError: it looks like one, but is none.
    """
    if not _LIKE_BCRYPT.match(secret):
        return False
    if not _BCRYPT.fullmatch(secret):
        raise ValueError("looks like a bcrypt hash but is not a valid one")
    return True


# ---- parts that have settings of their own ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """
    Source: gnatsd 0.8.0, server/opts.go, `TLSConfigOpts`.
    """

    cert_file: str = _text()
    key_file: str = _text()
    ca_file: str = _text()
    verify: bool = False  # ask clients for a certificate, and verify it
    timeout: float = _seconds(0.5)
    cipher_suites: tuple[str, ...] = ()  # the original's names; (): its defaults

    def __post_init__(self) -> None:
        _check_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """
    Source: gnatsd 0.8.0, server/opts.go, `parseCluster`.
    """

    host: str = _text("0.0.0.0")
    port: int = _number(0, -1, 65535)  # 0: no clustering; -1: a free one
    user: str = _text()
    password: str = _text(shown=False)
    auth_timeout: float = _seconds(1 * SECONDS)
    routes: tuple[str, ...] = field(default=(), repr=False)  # URLs, with secrets
    tls: Tls | None = None

    def __post_init__(self) -> None:
        _check_fields(self)


# ---- all of it ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    What a server is started with. Sizes are bytes, times are seconds.

    Raises:
        ValueError: a value is out of its range; the text names the option.

    Source: gnatsd 0.8.0, server/const.go and server/opts.go; `threads`, the limits on
    connections, control lines and pending bytes are enforced here, not there.
    `ping_interval`, `write_deadline`, `users` and what is beside them: nats-server 2.
    """

    host: str = _text("0.0.0.0")  # this, "" and "::" mean every address, IPv4 and IPv6
    port: int = _number(4222, -1, 65535)  # -1 or 0: a free one of the system's choice
    server_name: str = _text()  # "": the server id
    threads: int = field(
        default_factory=lambda: usable_cpus(),
        metadata={"check": (_check_range, 1, REACTORS_MAX)},
    )  # reactors

    max_connections: int = _number(64 * KIB, 0, _UINT32_MAX)  # 0: no limit
    max_subscriptions: int = _number(0, 0, _UINT32_MAX)  # of a connection; 0: no limit
    max_control_line: int = _number(1 * KIB, 1, 256 * KIB)  # arguments of PUB, SUB ...
    max_connect_line: int = _number(4 * KIB, 1, 256 * KIB)  # CONNECT; at least as much
    max_payload: int = _number(1 * MIB, -(2**63), PAYLOAD_CEILING)  # < 0: up to 1 GiB
    max_pending_size: int = _number(10 * MIB, 1, 2**63 - 1)  # owed to a connection

    ping_interval: float = _seconds(2 * MINUTES, zero=True)  # 0: never
    ping_max: int = _number(2, 0, 254)  # PINGs that may stay unanswered
    write_deadline: float = _seconds(2 * SECONDS)  # without progress: slow consumer
    lame_duck_duration: float = _seconds(2 * MINUTES)  # over which clients are closed
    lame_duck_grace_period: float = _seconds(10 * SECONDS, zero=True)  # before that

    user: str = _text()  # with *password*: one user without restrictions
    password: str = _text(shown=False)  # in clear, or a bcrypt hash
    token: str = _text(shown=False)  # likewise; not with a user
    users: tuple[User, ...] = ()  # not with the three above
    default_permissions: Permissions = Permissions()  # of users that have none
    no_auth_user: str = _text()  # who those are that give no credentials
    auth_timeout: float = _seconds(1 * SECONDS)  # to a complete CONNECT
    authenticator: Callable[..., Any] | None = None  # see pynatsd.authenticator
    authenticator_timeout: float = _seconds(2 * SECONDS)

    debug: bool = False
    trace: bool = False
    logtime: bool = True  # time stamps in the log
    log_file: str = _text()  # "": standard error, or a syslog
    log_format: str = _text("text")  # or "json": an object on each line
    syslog: bool = False
    remote_syslog: str = _text()  # udp://host:port, tcp://host:port, unix:///path
    pid_file: str = _text()
    ports_file_dir: str = _text()  # "": no file that says which ports were found

    http_host: str = _text()  # "": as *host*
    http_port: int = _number(0, -1, 65535)  # 0: no monitoring; -1: a free one
    https_port: int = _number(0, -1, 65535)
    prof_port: int = _number(0, -1, 65535)
    cluster: Cluster | None = None
    tls: Tls | None = None

    def __post_init__(self) -> None:
        _check_fields(self)
        if self.max_payload == 0:
            raise ValueError("max_payload: must not be 0; negative means up to 1 GiB")
        if len(self.server_name) > NAME_MAX:
            raise ValueError(f"server_name: at most {NAME_MAX} characters")
        if self.log_format not in ("text", "json"):
            raise ValueError(f"log_format: text or json, not {self.log_format!r}")
        if self.authenticator is not None and not callable(self.authenticator):
            raise ValueError("authenticator: must be callable")
        self._check_credentials()

    def _check_credentials(self) -> None:
        if self.password and not self.user:
            raise ValueError("password: needs a user")
        if self.users and (self.user or self.token):
            raise ValueError("users: not together with a single user or token")
        names: set[str] = set()
        for user in self.users:
            _check_text("users", user.name)
            _check_text(f"users: {user.name}: password", user.password)
            if not user.name:
                raise ValueError("users: every user needs a name")
            if user.name in names:
                raise ValueError(f"users: {user.name!r} is there twice")
            names.add(user.name)
        if self.no_auth_user and self.no_auth_user not in names:
            raise ValueError(f"no_auth_user: {self.no_auth_user!r} is not among users")
        for name, secret in (
            ("password", self.password),
            ("token", self.token),
            *((f"users: {user.name}: password", user.password) for user in self.users),
        ):
            try:
                is_bcrypt(secret)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    @property
    def connect_line(self) -> int:
        """Bytes that the argument of CONNECT may have."""
        return max(self.max_control_line, self.max_connect_line)

    @property
    def is_auth_required(self) -> bool:
        """Whether a client has to say who it is."""
        needs = self.user or self.token or self.users or self.authenticator is not None
        return bool(needs) and not self.no_auth_user
