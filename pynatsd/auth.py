"""
Who is let in: the door between CONNECT and a connection that may act.

What costs little is decided at once, on the control thread. bcrypt and the program's
own authenticator take their time on threads of their own, and the answer comes later.
"""

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from pynatsd.authenticator import Allow, Deny, Login
from pynatsd.authenticator_pool import AuthenticatorPool, Late, Result
from pynatsd.bcrypt_pool import BcryptPool, Verdict
from pynatsd.connect import ConnectOptions
from pynatsd.core import Admit, ConnectEvent, Refuse, Regrant
from pynatsd.fair_queue import source_of
from pynatsd.log_format import printable
from pynatsd.options import Options, Permissions
from pynatsd.rights import MakePermits, Registry, Right, Rights, changes
from pynatsd.secret import check_bcrypt

log = logging.getLogger("pynatsd")

PERMITS_MAX = 256  # of an authenticator's answers, kept for the next ones
REASON_MAX = 256  # characters of a denial's reason in the log

Answers = list[tuple[int, Admit | Refuse]]

# Source: gnatsd 0.8.0, server/client.go: the log does not say who failed, or why.
VIOLATION = Refuse("Authorization Violation", "Authorization Error")
TIMEOUT = Refuse("Authorization Timeout", "Authorization Timeout")


@dataclass(slots=True, eq=False)
class _Visit:
    """A CONNECT on its way. Secrets in it do not outlive its answer."""

    cid: int
    connect: ConnectOptions
    admit: Admit
    prior: bytes | None
    address: str
    port: int
    source: str
    rights: Rights | None = None  # by which it was judged last
    right: Right | None = None  # whose hash is being checked; None: nobody's


class Door:
    """
    One door for each life of an engine; every method may be called by any thread.

    *make_permits* turns a user's name and permissions into what the engine understands;
    it is called when settings are loaded, and for what an authenticator allows.
    *deliver* takes answers that could not be given at once, many together, and is
    called on threads of the door, by one of them at a time.

    Raises:
        ValueError: the authenticator is of a kind that cannot be called here.
    """

    def __init__(
        self,
        options: Options,
        make_permits: MakePermits,
        deliver: Callable[[Answers], None],
        *,
        check: Callable[[str, bytes], bool] = check_bcrypt,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_permits = make_permits
        self._deliver = deliver
        self._check, self._now = check, now
        # Held while answers are delivered and while rights change, so that no answer
        # by the old ones comes after. The control thread never takes it.
        self._lock = threading.Lock()
        self._bcrypt: BcryptPool[_Visit] | None = None  # where there are hashes
        self._asking: AuthenticatorPool[_Visit] | None = None
        self._permits: OrderedDict[tuple[str, Permissions], Any] = OrderedDict()
        self._is_started = False
        self._is_stopped = False
        self._registry = Registry(make_permits)
        self._rights = self._registry.build(options)
        self._prepare(self._rights)

    # ---- life ----

    def start(self) -> None:
        """
        Start the threads that the settings ask for.

        Raises:
            RuntimeError: no thread can be had.
        """
        with self._lock:
            self._is_started = True
            self._prepare(self._rights)

    def stop(self) -> None:
        """
        Nothing is delivered any more when this returns.

        It does not wait for a check that is under way.
        """
        with self._lock:
            self._is_stopped = True
            for pool in (self._bcrypt, self._asking):
                if pool is not None:
                    pool.stop()

    def reload(self, options: Options) -> list[Regrant]:
        """
        Judge by *options* from now on. Returns the orders that the engine has to get.

        Raises:
            ValueError, RuntimeError: as from the constructor and `start`.
            Exception: what *make_permits* raised. Nothing has changed then.
        """
        with self._lock:
            prior = self._rights
            rights = self._registry.build(options, prior)
            self._prepare(rights)
            self._rights = rights
            if self._bcrypt is not None:
                self._bcrypt.forget()
            return changes(prior, rights)

    def _prepare(self, rights: Rights) -> None:
        """Have the threads that judging by *rights* takes."""
        if rights.dummy:
            if self._bcrypt is None:
                self._bcrypt = BcryptPool(
                    self._on_checked, check=self._check, now=self._now
                )
            if self._is_started:
                self._bcrypt.start()
        if rights.authenticated:
            if self._asking is None:
                self._asking = AuthenticatorPool(self._on_asked)
            if self._is_started:
                self._asking.start()

    # ---- facts ----

    @property
    def open_grant(self) -> int | None:
        """The grant of clients that act without CONNECT; None: they must not."""
        anyone = self._rights.anyone
        return None if anyone is None else anyone.grant

    @property
    def open_permits(self) -> Any:
        """What those may do; None: everything."""
        anyone = self._rights.anyone
        return None if anyone is None else anyone.permits

    # ---- decisions ----

    def decide(
        self, event: ConnectEvent, connect: ConnectOptions, admit: Admit
    ) -> Admit | Refuse | None:
        """
        The answer to a CONNECT; None: it will be delivered. Never waits.

        *admit* is what the engine shall hear of its options; who may come in gets it
        with the grant and permits of the right by which it does.
        """
        rights = self._rights
        if rights.is_open:
            return _enter_unnamed(rights, connect, admit)
        address, port = _address(event.peer)
        source = source_of(address)
        return self._judge(
            _Visit(event.cid, connect, admit, event.prior, address, port, source)
        )

    def _judge(self, visit: _Visit) -> Admit | Refuse | None:
        rights = self._rights
        if not rights.authenticated:
            return self._judge_by_users(visit, rights)
        assert self._asking is not None
        visit.rights = rights
        options = rights.options
        assert options.authenticator is not None
        has_room = self._asking.ask(
            options.authenticator,
            _login(visit),
            options.authenticator_timeout,
            visit.source,
            visit,
        )
        return None if has_room else TIMEOUT

    def _judge_by_users(self, visit: _Visit, rights: Rights) -> Admit | Refuse | None:
        if rights.is_open or not _says_who(visit.connect):
            return _judge_unnamed(visit, rights)
        right, offered = rights.claim(visit.connect)
        proved = rights.proved(right, offered)
        if proved is not None:
            return _enter(visit.admit, proved)
        if not rights.dummy:
            return VIOLATION
        # A failure takes as long for everybody, so that it does not tell who exists.
        assert self._bcrypt is not None
        visit.rights = rights
        visit.right = right if right is not None and right.secret else None
        secret = visit.right.secret if visit.right is not None else rights.dummy
        verdict = self._bcrypt.ask(secret, offered, visit.source, visit)
        return None if verdict is None else _conclude(visit, verdict)

    # ---- answers that come later, on threads of the pools ----

    def _on_checked(self, verdicts: list[tuple[_Visit, Verdict]]) -> None:
        with self._lock:
            self._send(
                (visit, _conclude(visit, verdict))
                if visit.rights is self._rights
                else (visit, self._judge(visit))
                for visit, verdict in verdicts
            )

    def _on_asked(self, results: list[tuple[_Visit, Result]]) -> None:
        with self._lock:
            self._send((visit, self._weigh(visit, result)) for visit, result in results)

    def _weigh(self, visit: _Visit, result: Result) -> Admit | Refuse | None:
        rights = self._rights
        assert visit.rights is not None
        if visit.rights.authenticated != rights.authenticated:
            return self._judge(visit)
        if isinstance(result, Late):
            return TIMEOUT
        if isinstance(result, Deny):
            return _denial(result)
        if isinstance(result, Allow):
            return self._allow(visit, rights, result)
        return self._judge_by_users(visit, rights)

    def _allow(self, visit: _Visit, rights: Rights, allow: Allow) -> Admit | Refuse:
        permissions = allow.permissions or rights.options.default_permissions
        try:
            permits = self._permits_of(allow.user, permissions)
        except Exception:
            log.exception("Internal error, what the authenticator allowed is denied")
            return VIOLATION
        return replace(
            visit.admit,
            grant=rights.authenticated,
            permits=permits,
            is_lasting=False,
        )

    def _permits_of(self, name: str, permissions: Permissions) -> Any:
        if permissions == Permissions():
            return None
        key = name, permissions
        if key not in self._permits:
            self._permits[key] = self._make_permits(name, permissions)
            if len(self._permits) > PERMITS_MAX:
                self._permits.popitem(last=False)
        self._permits.move_to_end(key)
        return self._permits[key]

    def _send(self, decided: Iterable[tuple[_Visit, Admit | Refuse | None]]) -> None:
        if self._is_stopped:
            return
        answers = [(visit.cid, answer) for visit, answer in decided if answer]
        if answers:
            self._deliver(answers)


def _judge_unnamed(visit: _Visit, rights: Rights) -> Admit | Refuse:
    """One who says nothing of itself stays who it is, or comes in as anyone may."""
    right = rights.by_grant.get(_grant_of(visit.prior))
    if right is not None:
        return _enter(visit.admit, right)
    return _enter_unnamed(rights, visit.connect, visit.admit)


def _enter_unnamed(
    rights: Rights, connect: ConnectOptions, admit: Admit
) -> Admit | Refuse:
    right = rights.anyone
    if right is None:
        return VIOLATION
    # The engine shall not remember what was said of a user, nor answer for a program.
    is_lasting = not _says_who(connect) and not rights.authenticated
    return replace(
        admit, grant=right.grant, permits=right.permits, is_lasting=is_lasting
    )


def _conclude(visit: _Visit, verdict: Verdict) -> Admit | Refuse:
    if verdict is Verdict.LATE:
        return TIMEOUT
    if verdict is Verdict.RIGHT and visit.right is not None:
        return _enter(visit.admit, visit.right)
    return VIOLATION


def _enter(admit: Admit, right: Right) -> Admit:
    """The answer to one who proved its right; its next CONNECT need not do so again."""
    known = json.loads(admit.note or b"{}")
    note = json.dumps(
        {**known, "grant": right.grant}, ensure_ascii=False, separators=(",", ":")
    )
    return replace(
        admit,
        note=note.encode(),
        grant=right.grant,
        permits=right.permits,
        is_lasting=False,
    )


def _grant_of(prior: bytes | None) -> int:
    """The grant that `_enter` wrote into the note of the last CONNECT, or 0."""
    return 0 if prior is None else int(json.loads(prior).get("grant", 0))


def _denial(deny: Deny) -> Refuse:
    if not deny.reason:
        return VIOLATION
    reason = printable(deny.reason)[:REASON_MAX]
    return replace(VIOLATION, reason=f"{VIOLATION.reason}: {reason}")


def _says_who(connect: ConnectOptions) -> bool:
    return bool(connect.user or connect.password or connect.auth_token)


def _login(visit: _Visit) -> Login:
    connect = visit.connect
    return Login(
        user=connect.user,
        password=connect.password,
        token=connect.auth_token,
        name=connect.name,
        lang=connect.lang,
        version=connect.version,
        address=visit.address,
        port=visit.port,
    )


def _address(peer: str) -> tuple[str, int]:
    """Address and port of a client; *peer* begins as `1.2.3.4:5678` or `::1:5678`."""
    address, _, port = peer.split(" ", 1)[0].rpartition(":")
    return address, int(port)
