"""A door with an engine made of Python: for the tests of who is let in."""

import json
import os
import queue
from collections.abc import Callable
from typing import Any, Self

from pynatsd.auth import Door
from pynatsd.connect import note, parse
from pynatsd.core import Admit, ConnectEvent, Refuse, Regrant
from pynatsd.options import Options, Permissions, Rules, User

DEADLINE = 10.0 * float(os.environ.get("PYNATSD_SLOW_FACTOR", "1"))

SOME = Permissions(publish=Rules(allow=("a.>",)))
OTHER = Permissions(subscribe=Rules(deny=("b",)))

# Settings, one for each mode.
USER = {"user": "u", "password": "p"}
TOKEN = {"token": "t"}
USERS = {
    "users": (User("a", "pa"), User("b", "pb")),
}
GUEST = {**USERS, "no_auth_user": "b"}
NO_PASSWORD = {"user": "u"}


def fake_hash(password: str, cost: int = 4, kind: str = "2b") -> str:
    """What `Scene` takes for the hash of *password*."""
    return f"${kind}${cost:02}$" + password.encode().hex().ljust(53, ".")


class Scene:
    """A door, its engine made of Python, and a bcrypt that takes no time."""

    def __init__(self) -> None:
        self.answers: queue.Queue[list[tuple[int, Admit | Refuse]]] = queue.Queue()
        self.made: list[tuple[str, Permissions]] = []
        self.checks: list[tuple[str, bytes]] = []
        self.before_check: Callable[[], None] = lambda: None
        self.door: Door
        self._cid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.door.stop()

    def open(self, **settings: Any) -> Self:
        self.door = Door(
            Options(**settings),
            self.make_permits,
            self.answers.put,
            check=self._check,
        )
        self.door.start()
        return self

    def make_permits(self, name: str, permissions: Permissions) -> Any:
        self.made.append((name, permissions))
        return f"permits {len(self.made)} of {name}"

    def _check(self, secret: str, offered: bytes) -> bool:
        self.checks.append((secret, offered))
        self.before_check()
        return secret[7:].rstrip(".") == offered.hex() != ""

    def ask(
        self, prior: bytes | None = None, peer: str = "10.0.0.1:1000", **fields: Any
    ) -> Admit | Refuse | None:
        """Send CONNECT with these fields, *password* is `pass`; the answer at once."""
        self._cid += 1
        if "password" in fields:
            fields["pass"] = fields.pop("password")
        argument = json.dumps(fields).encode()
        connect = parse(argument, prior)
        event = ConnectEvent(self._cid, argument, prior, f"{peer} - cid:1", False)
        return self.door.decide(event, connect, Admit(7, note(connect), True))

    def later(self) -> Admit | Refuse:
        ((cid, answer),) = self.answers.get(timeout=DEADLINE)
        assert cid == self._cid
        return answer

    def answer(self, prior: bytes | None = None, **fields: Any) -> Admit | Refuse:
        """As `ask`, but waits for an answer that comes later."""
        return self.ask(prior, **fields) or self.later()

    def admit(self, prior: bytes | None = None, **fields: Any) -> Admit:
        answer = self.answer(prior, **fields)
        assert isinstance(answer, Admit)
        assert answer.options == 7
        return answer

    def reload(self, **settings: Any) -> list[Regrant]:
        return self.door.reload(Options(**settings))
