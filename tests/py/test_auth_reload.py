"""What becomes of those who are in, and of those on their way, when settings change."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from door_scene import DEADLINE, OTHER, SOME, Scene, fake_hash

from pynatsd.auth import VIOLATION
from pynatsd.authenticator import Login
from pynatsd.core import Admit, Refuse, Regrant
from pynatsd.options import Permissions, User


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


def test_reload_without_a_change(scene: Scene) -> None:
    settings = {
        "users": (User("a", "p", SOME), User("b", fake_hash("p"))),
        "no_auth_user": "b",
        "authenticator": str,
    }
    scene.open(**settings)
    made = len(scene.made)
    assert scene.reload(**settings) == []
    assert scene.reload(**settings, max_payload=100) == []
    assert len(scene.made) == made


A, B = User("a", "p"), User("b", "q")


@pytest.mark.parametrize(
    ("before", "after", "orders"),
    [
        # The user a has grant 1.
        ({"users": (A, B)}, {"users": (B,)}, [Regrant(1, is_revoked=True)]),
        (
            {"users": (A, B)},
            {"users": (User("a", "x"), B)},
            [Regrant(1, is_revoked=True)],
        ),
        (
            {"users": (A,)},
            {"users": (User("a", fake_hash("p")),)},
            [Regrant(1, is_revoked=True)],
        ),
        ({"users": (A,)}, {"users": (B, A)}, []),
        (
            {"users": (A, B)},
            {"users": (User("a", "p", SOME), B)},
            [Regrant(1, permits="permits 1 of a")],
        ),
        (
            {"users": (User("a", "p", SOME), B)},
            {"users": (User("a", "p", OTHER), B)},
            [Regrant(1, permits="permits 2 of a")],
        ),
        ({"users": (User("a", "p", SOME),)}, {"users": (A,)}, [Regrant(1)]),
        (
            {"users": (A, B)},
            {"users": (A, B), "default_permissions": SOME},
            [
                Regrant(1, permits="permits 1 of a"),
                Regrant(2, permits="permits 2 of b"),
            ],
        ),
        # One user, or a list of them: what counts is what has to be said.
        ({"user": "a", "password": "p"}, {"users": (A,)}, []),
        (
            {"user": "a", "password": "p"},
            {"user": "a", "password": "x"},
            [Regrant(1, is_revoked=True)],
        ),
        # Tokens.
        ({"token": "t"}, {"token": "t"}, []),
        ({"token": "t"}, {"token": "x"}, [Regrant(1, is_revoked=True)]),
        ({"token": "t"}, {"users": (A,)}, [Regrant(1, is_revoked=True)]),
        # Those who say nothing.
        ({}, {"token": "t"}, [Regrant(1, is_revoked=True)]),
        ({}, {"authenticator": str}, [Regrant(1, is_revoked=True)]),
        ({"token": "t"}, {}, [Regrant(1, is_revoked=True)]),
        ({}, {"users": (A,), "no_auth_user": "a"}, [Regrant(1)]),
        (
            {},
            {"users": (User("a", "p", SOME),), "no_auth_user": "a"},
            [Regrant(1, permits="permits 2 of a")],
        ),
        (
            {"users": (A, B), "no_auth_user": "a"},
            {"users": (A, B)},
            [Regrant(2, is_revoked=True)],
        ),
        (
            {"users": (A, User("b", "q", SOME)), "no_auth_user": "a"},
            {"users": (A, User("b", "q", SOME)), "no_auth_user": "b"},
            [Regrant(2, permits="permits 2 of b")],
        ),
        # An authenticator.
        ({"authenticator": str}, {"authenticator": str}, []),
        ({"authenticator": str}, {"authenticator": int}, [Regrant(1, is_revoked=True)]),
        ({"authenticator": str}, {}, [Regrant(1, is_revoked=True)]),
    ],
)
def test_reload(
    scene: Scene,
    before: dict[str, Any],
    after: dict[str, Any],
    orders: list[Regrant],
) -> None:
    scene.open(**before)
    assert scene.reload(**after) == orders


def test_bound_methods_are_the_same_authenticator(scene: Scene) -> None:
    class Mine:
        def decide(self, login: Login) -> None: ...

    mine = Mine()
    scene.open(authenticator=mine.decide)
    assert scene.reload(authenticator=mine.decide) == []


def test_numbers_are_never_used_again(scene: Scene) -> None:
    scene.open()
    grants = [scene.admit().grant]
    for _ in range(3):
        scene.reload(token="t")
        grants.append(scene.admit(auth_token="t").grant)
        scene.reload()
        grants.append(scene.admit().grant)
    assert len(set(grants)) == 7


def test_reload_decides_who_comes_next(scene: Scene) -> None:
    scene.open(users=(User("a", "p", SOME),))
    before = scene.admit(user="a", password="p")
    scene.reload(users=(User("a", "p", OTHER),))
    after = scene.admit(user="a", password="p")
    assert after.grant == before.grant
    assert after.permits == "permits 2 of a"
    scene.reload(token="t")
    assert scene.answer(user="a", password="p") is VIOLATION
    assert scene.door.open_grant is None
    scene.reload()
    assert scene.admit().grant == scene.door.open_grant


def test_reload_forgets_what_was_right(scene: Scene) -> None:
    settings = {"user": "u", "password": fake_hash("p")}
    scene.open(**settings)
    scene.admit(user="u", password="p")
    scene.reload(**settings)
    assert scene.ask(user="u", password="p") is None
    scene.later()
    assert len(scene.checks) == 2


def test_reload_that_fails_changes_nothing(scene: Scene) -> None:
    def fail(name: str, permissions: Permissions) -> Any:
        raise MemoryError

    scene.open(user="a", password="p")
    grant = scene.admit(user="a", password="p").grant
    scene.door._registry._make_permits = fail
    with pytest.raises(MemoryError):
        scene.reload(users=(User("b", "q", SOME),))
    assert scene.admit(user="a", password="p").grant == grant
    assert scene.answer(user="b", password="q") is VIOLATION


def test_reload_to_hashes_starts_workers(scene: Scene) -> None:
    scene.open()
    assert scene.door._bcrypt is None
    scene.reload(user="u", password=fake_hash("p"))
    assert scene.ask(user="u", password="p") is None
    assert isinstance(scene.later(), Admit)


def test_reload_without_threads_changes_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    scene.open()
    grant = scene.admit().grant
    monkeypatch.setattr(threading.Thread, "start", fail)
    for settings in (
        {"user": "u", "password": fake_hash("p")},
        {"authenticator": str},
    ):
        with pytest.raises(RuntimeError, match="thread"):
            scene.reload(**settings)
    assert scene.admit().grant == grant
    monkeypatch.undo()
    scene.reload(user="u", password=fake_hash("p"))
    assert isinstance(scene.answer(user="u", password="p"), Admit)


@pytest.mark.parametrize(
    ("after", "is_let_in"),
    [
        ({"users": (User("u", fake_hash("p"), SOME),)}, True),
        ({"user": "u", "password": "p"}, True),
        ({"user": "u", "password": fake_hash("q")}, False),
        ({"token": "t"}, False),
        ({}, True),
    ],
)
def test_reload_while_a_hash_is_checked(
    scene: Scene, after: dict[str, Any], is_let_in: bool
) -> None:
    """The answer is one by the new settings, whatever the check says."""
    gate, begun = threading.Event(), threading.Event()

    def check() -> None:
        begun.set()
        gate.wait(DEADLINE)

    scene.before_check = check
    scene.open(user="u", password=fake_hash("p"))
    assert scene.ask(user="u", password="p") is None
    assert begun.wait(DEADLINE)
    scene.reload(**after)
    gate.set()
    answer = scene.later()
    assert isinstance(answer, Admit) is is_let_in
    if isinstance(answer, Admit):
        assert answer.grant in scene.door._rights.by_grant
        assert answer.permits == ("permits 1 of u" if "users" in after else None)


def test_reload_waits_for_a_delivery_under_way(scene: Scene) -> None:
    """So that the orders it returns come after every answer by the old settings."""
    order: list[str] = []
    delivering, go_on = threading.Event(), threading.Event()

    def deliver(answers: list[tuple[int, Admit | Refuse]]) -> None:
        delivering.set()
        go_on.wait(DEADLINE)
        order.append("delivered")

    scene.open(user="u", password=fake_hash("p"))
    scene.door._deliver = deliver
    scene.ask(user="u", password="p")
    assert delivering.wait(DEADLINE)

    def reload() -> None:
        scene.reload(token="t")
        order.append("reloaded")

    thread = threading.Thread(target=reload)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    assert scene.ask() is VIOLATION  # the control thread does not wait for it
    go_on.set()
    thread.join(DEADLINE)
    assert order == ["delivered", "reloaded"]
