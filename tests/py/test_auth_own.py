"""The program's own authenticator at the door."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from door_scene import DEADLINE, GUEST, OTHER, SOME, TOKEN, USER, Scene, fake_hash

from pynatsd import auth
from pynatsd.auth import TIMEOUT, VIOLATION
from pynatsd.authenticator import NEXT, Allow, Deny, Login
from pynatsd.core import Admit, Refuse
from pynatsd.options import Permissions, User


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


DENIAL = Refuse("Authorization Violation", "Authorization Error: no\\nway")


def only(user: str) -> Callable[[Login], Any]:
    """One that lets *user* in, denies `bad`, and knows nobody else."""

    def authenticator(login: Login) -> Any:
        if login.user == user:
            return Allow(user, SOME if login.password == "some" else None)
        return Deny("no\nway") if login.user == "bad" else NEXT

    return authenticator


@pytest.mark.parametrize(
    ("settings", "fields", "expected"),
    [
        ({}, {"user": "mine"}, None),
        ({}, {"user": "mine", "pass": "some"}, "permits 1 of mine"),
        ({"default_permissions": OTHER}, {"user": "mine"}, "permits 1 of mine"),
        ({}, {}, VIOLATION),
        ({}, {"user": "x", "pass": "y"}, VIOLATION),
        ({}, {"user": "bad"}, DENIAL),
        (USER, {"user": "u", "pass": "p"}, None),
        (USER, {"user": "u", "pass": "x"}, VIOLATION),
        ({"user": "bad", "password": "p"}, {"user": "bad", "pass": "p"}, DENIAL),
        (TOKEN, {"auth_token": "t"}, None),
        (
            {"user": "u", "password": fake_hash("p")},
            {"user": "u", "pass": "p"},
            None,
        ),
        (
            {"user": "u", "password": fake_hash("p")},
            {"user": "u", "pass": "x"},
            VIOLATION,
        ),
        (GUEST, {}, None),
        (GUEST, {"user": "mine"}, None),
        (GUEST, {"user": "x"}, VIOLATION),
    ],
)
def test_authenticator(
    scene: Scene, settings: dict[str, Any], fields: dict[str, Any], expected: Any
) -> None:
    scene.open(**settings, authenticator=only("mine"))
    assert scene.ask(**fields) is None
    answer = scene.later()
    if isinstance(answer, Refuse):
        assert answer == expected
    else:
        assert (answer.permits, answer.is_lasting) == (expected, False)


def test_grant_of_an_authenticator(scene: Scene) -> None:
    scene.open(authenticator=only("mine"), users=(User("a", "p"),))
    grants = [
        scene.admit(user="mine").grant,
        scene.admit(user="mine", password="some").grant,
        scene.admit(user="a", password="p").grant,
    ]
    assert grants[0] == grants[1] != grants[2]


def test_second_connect_is_for_the_authenticator_too(scene: Scene) -> None:
    scene.open(authenticator=only("mine"), users=(User("a", "p"),))
    assert scene.answer(scene.admit(user="mine").note) is VIOLATION
    known = scene.admit(user="a", password="p")
    assert scene.admit(known.note).grant == known.grant


def test_permits_for_an_authenticator_are_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "PERMITS_MAX", 2)
    scene.open(authenticator=lambda login: Allow(login.user, SOME))
    for user, number in [("a", 1), ("a", 1), ("b", 2), ("a", 1), ("c", 3), ("b", 4)]:
        assert scene.admit(user=user).permits == f"permits {number} of {user}"


def test_permits_that_cannot_be_made(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str, permissions: Permissions) -> Any:
        raise MemoryError

    scene.open(authenticator=only("mine"))
    scene.door._make_permits = fail
    assert scene.answer(user="mine", password="some") is VIOLATION
    assert "what the authenticator allowed is denied" in caplog.text
    assert isinstance(scene.answer(user="mine"), Admit)


def test_login_has_the_facts(scene: Scene) -> None:
    seen: list[Login] = []
    scene.open(authenticator=seen.append)
    fields: dict[str, Any] = {"name": "n", "lang": "l", "version": "v"}
    fields |= {"user": "u", "pass": "p", "auth_token": "t"}
    scene.answer(peer="2001:db8::1:65535", **fields)
    scene.answer(peer="10.1.2.3:7", user="u")
    scene.answer(peer=":0", user="u")
    assert seen[0] == Login("u", "p", "t", "n", "l", "v", "2001:db8::1", 65535)
    assert [(login.address, login.port) for login in seen[1:]] == [
        ("10.1.2.3", 7),
        ("", 0),
    ]
    assert "'p'" not in repr(seen[0])
    assert "'t'" not in repr(seen[0])


@pytest.mark.parametrize(
    ("after", "is_let_in"),
    [
        ({"authenticator": None}, True),
        ({"token": "t"}, False),
        ({"authenticator": only("nobody")}, False),
        ({"authenticator": only("mine")}, True),
    ],
)
def test_reload_while_the_authenticator_thinks(
    scene: Scene, after: dict[str, Any], is_let_in: bool
) -> None:
    gate, begun = threading.Event(), threading.Event()

    def authenticator(login: Login) -> Any:
        begun.set()
        gate.wait(DEADLINE)
        return Allow("mine")

    scene.open(authenticator=authenticator, authenticator_timeout=DEADLINE)
    assert scene.ask(user="mine") is None
    assert begun.wait(DEADLINE)
    scene.reload(**after)
    gate.set()
    answer = scene.later()
    assert isinstance(answer, Admit) is is_let_in
    if isinstance(answer, Admit):
        assert answer.grant > 1


def test_authenticator_that_takes_too_long(scene: Scene) -> None:
    gate = threading.Event()
    scene.open(
        authenticator=lambda login: gate.wait(DEADLINE) and NEXT,
        authenticator_timeout=0.02,
    )
    assert scene.answer(user="u") is TIMEOUT
    gate.set()


def test_no_room_to_ask_the_authenticator(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.open(authenticator=only("mine"))
    pool = scene.door._asking
    assert pool is not None
    monkeypatch.setattr(pool._queue, "push", lambda source, item, now: item)
    assert scene.ask(user="mine") is TIMEOUT


def test_async_is_refused(scene: Scene) -> None:
    async def authenticator(login: Login) -> None: ...

    class Called:
        async def __call__(self, login: Login) -> None: ...

    scene.open()
    for each in (authenticator, Called()):
        with pytest.raises(ValueError, match=r"^authenticator: must not be async$"):
            scene.reload(authenticator=each)


@pytest.mark.parametrize(
    ("reason", "logged"),
    [
        ("", "Authorization Error"),
        ("x" * 300, "Authorization Error: " + "x" * 256),
        ("\x1b[31m\nü", "Authorization Error: \\x1b[31m\\n\\xfc"),
    ],
)
def test_reason_of_a_denial(scene: Scene, reason: Any, logged: str) -> None:
    scene.open(authenticator=lambda login: Deny(reason))
    assert scene.answer(user="u") == Refuse("Authorization Violation", logged)
