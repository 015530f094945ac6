"""Who is let in: a row for each of the specification's, then what attackers send."""

import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from door_scene import (
    DEADLINE,
    GUEST,
    NO_PASSWORD,
    OTHER,
    SOME,
    TOKEN,
    USER,
    USERS,
    Scene,
    fake_hash,
)

from pynatsd import auth, bcrypt_pool
from pynatsd.auth import VIOLATION, Door
from pynatsd.authenticator import NEXT, Deny
from pynatsd.connect import note, parse
from pynatsd.core import Admit, ConnectEvent, Refuse
from pynatsd.options import Options, Permissions, User


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


# ---- modes: one row for each of the tables ----


@pytest.mark.parametrize("is_hashed", [False, True], ids=["clear", "bcrypt"])
@pytest.mark.parametrize(
    ("settings", "fields", "is_let_in"),
    [
        # Nobody is configured.
        ({}, {}, True),
        ({}, {"user": "u", "pass": "p"}, True),
        ({}, {"auth_token": "t"}, True),
        # A user and a password.
        (USER, {"user": "u", "pass": "p"}, True),
        (USER, {"user": "u", "pass": "p", "auth_token": "x"}, True),
        (USER, {}, False),
        (USER, {"user": "u"}, False),
        (USER, {"pass": "p"}, False),
        (USER, {"user": "u", "pass": ""}, False),
        (USER, {"user": "u", "pass": "P"}, False),
        (USER, {"user": "U", "pass": "p"}, False),
        (USER, {"user": "u", "pass": "p "}, False),
        (USER, {"user": "u", "pass": "p\0"}, False),
        (USER, {"user": "u\0", "pass": "p"}, False),
        (USER, {"user": "", "pass": "p"}, False),
        (USER, {"user": "p", "pass": "u"}, False),
        (USER, {"user": "u", "pass": None}, False),
        (USER, {"auth_token": "p"}, False),
        (USER, {"auth_token": "u:p"}, False),
        (USER, {"jwt": "x", "nkey": "y", "sig": "z"}, False),
        # A token.
        (TOKEN, {"auth_token": "t"}, True),
        (TOKEN, {"auth_token": "t", "user": "x", "pass": "y"}, True),
        (TOKEN, {}, False),
        (TOKEN, {"auth_token": ""}, False),
        (TOKEN, {"auth_token": "T"}, False),
        (TOKEN, {"auth_token": "t\0"}, False),
        (TOKEN, {"user": "t"}, False),
        (TOKEN, {"pass": "t"}, False),
        (TOKEN, {"user": "", "pass": "t"}, False),
        # Both: the token is ignored.
        ({**USER, **TOKEN}, {"user": "u", "pass": "p"}, True),
        ({**USER, **TOKEN}, {"auth_token": "t"}, False),
        ({**USER, **TOKEN}, {"user": "u", "auth_token": "t"}, False),
        # A user without a password.
        (NO_PASSWORD, {"user": "u"}, True),
        (NO_PASSWORD, {"user": "u", "pass": ""}, True),
        (NO_PASSWORD, {"user": "u", "pass": "x"}, False),
        (NO_PASSWORD, {"user": "x"}, False),
        (NO_PASSWORD, {}, False),
        # Several users.
        (USERS, {"user": "a", "pass": "pa"}, True),
        (USERS, {"user": "b", "pass": "pb"}, True),
        (USERS, {"user": "a", "pass": "pb"}, False),
        (USERS, {"user": "c", "pass": "pa"}, False),
        (USERS, {"auth_token": "pa"}, False),
        (USERS, {}, False),
        # ... of whom one stands for those who say nothing.
        (GUEST, {}, True),
        (GUEST, {"user": "", "pass": "", "auth_token": ""}, True),
        (GUEST, {"name": "n", "jwt": "x"}, True),
        (GUEST, {"user": "a", "pass": "pa"}, True),
        (GUEST, {"user": "b"}, False),
        (GUEST, {"user": "a", "pass": "x"}, False),
        (GUEST, {"pass": "x"}, False),
        (GUEST, {"auth_token": "x"}, False),
        # Any Unicode is compared as it is.
        ({"user": "ü", "password": "é"}, {"user": "ü", "pass": "é"}, True),
        ({"user": "ü", "password": "é"}, {"user": "ü", "pass": "e\u0301"}, False),
        ({"user": "u", "password": "\ufffd"}, {"user": "u", "pass": "\ud800"}, True),
    ],
)
def test_mode(
    scene: Scene,
    settings: dict[str, Any],
    fields: dict[str, Any],
    is_let_in: bool,
    is_hashed: bool,
) -> None:
    if is_hashed:
        settings = {
            key: fake_hash(value) if key in ("password", "token") else value
            for key, value in settings.items()
        }
        if "users" in settings:
            hashed = [User(u.name, fake_hash(u.password)) for u in settings["users"]]
            settings["users"] = tuple(hashed)
    answer = scene.open(**settings).answer(**fields)
    if is_let_in:
        assert isinstance(answer, Admit)
        assert answer.grant > 0
        assert answer.options == 7
    else:
        assert answer == Refuse("Authorization Violation", "Authorization Error")


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
def test_hash_itself_does_not_log_in(scene: Scene, kind: str) -> None:
    secret = fake_hash("p", kind=kind)
    scene.open(user="u", password=secret)
    assert scene.answer(user="u", password=secret) is VIOLATION
    assert isinstance(scene.answer(user="u", password="p"), Admit)


def test_real_bcrypt() -> None:
    import bcrypt

    secret = "$2a$" + bcrypt.hashpw(b"p" * 72, bcrypt.gensalt(4)).decode()[4:]
    answers: queue.Queue[Any] = queue.Queue()
    door = Door(Options(user="u", password=secret), lambda *words: None, answers.put)
    door.start()
    for cid, (password, is_right) in enumerate([("p" * 900, True), ("p\0", False)]):
        connect = parse(json.dumps({"user": "u", "pass": password}).encode())
        event = ConnectEvent(cid, b"", None, "::1:4 - cid:1", False)
        assert door.decide(event, connect, Admit(0, b"{}")) is None
        ((told, answer),) = answers.get(timeout=DEADLINE)
        assert told == cid
        assert isinstance(answer, Admit) is is_right
    door.stop()


# ---- what those may do who are in ----


def test_permits_of_users(scene: Scene) -> None:
    users = (
        User("a", "p", SOME),
        User("b", "p"),
        User("c", "p", Permissions()),
        User("d", fake_hash("p"), OTHER),
    )
    scene.open(users=users)
    assert scene.made == [("a", SOME), ("d", OTHER)]
    permits = {u.name: scene.admit(user=u.name, password="p") for u in users}
    assert permits["a"].permits == "permits 1 of a"
    assert permits["b"].permits is None
    assert permits["c"].permits is None
    assert permits["d"].permits == "permits 2 of d"
    assert len({admit.grant for admit in permits.values()}) == 4
    assert len(scene.made) == 2  # none was made for a login


def test_default_permissions(scene: Scene) -> None:
    users = (User("a", "p"), User("b", "p", SOME), User("c", "p", Permissions()))
    scene.open(users=users, default_permissions=OTHER)
    assert scene.made == [("a", OTHER), ("b", SOME)]
    assert scene.admit(user="a", password="p").permits == "permits 1 of a"
    assert scene.admit(user="c", password="p").permits is None


@pytest.mark.parametrize("settings", [USER, TOKEN, {}])
def test_who_has_no_restrictions(scene: Scene, settings: dict[str, Any]) -> None:
    scene.open(**settings, default_permissions=OTHER)
    admit = scene.admit(user="u", auth_token="t", password="p")
    assert admit.permits is None
    assert scene.made == []


def test_guests_may_do_what_their_user_may(scene: Scene) -> None:
    scene.open(users=(User("a", "p", SOME),), no_auth_user="a")
    assert scene.admit().permits == scene.door.open_permits == "permits 2 of a"
    assert scene.admit().grant == scene.door.open_grant
    assert scene.admit(user="a", password="p").permits == "permits 1 of a"


@pytest.mark.parametrize("settings", [USER, TOKEN, USERS, NO_PASSWORD])
def test_nobody_acts_without_connect(scene: Scene, settings: dict[str, Any]) -> None:
    scene.open(**settings)
    assert scene.door.open_grant is None
    assert scene.door.open_permits is None


def test_open_grant_of_an_open_server(scene: Scene) -> None:
    scene.open()
    assert scene.door.open_grant == scene.admit(user="x").grant
    assert scene.door.open_permits is None


@pytest.mark.parametrize(
    ("settings", "fields", "is_lasting"),
    [
        ({}, {}, True),
        ({}, {"name": "n"}, True),
        ({}, {"user": "u"}, False),
        ({}, {"pass": "u"}, False),
        ({}, {"auth_token": "u"}, False),
        (GUEST, {}, True),
        (GUEST, {"user": "a", "pass": "pa"}, False),
        (USER, {"user": "u", "pass": "p"}, False),
        (TOKEN, {"auth_token": "t"}, False),
    ],
)
def test_which_answers_last(
    scene: Scene, settings: dict[str, Any], fields: dict[str, Any], is_lasting: bool
) -> None:
    assert scene.open(**settings).admit(**fields).is_lasting is is_lasting


# ---- a second CONNECT ----


def test_second_connect_without_credentials_stays_in(scene: Scene) -> None:
    scene.open(users=(User("a", "p", SOME), User("b", "p")), no_auth_user="b")
    first = scene.admit(user="a", name="n", password="p")
    second = scene.admit(first.note, verbose=False)
    third = scene.admit(second.note)
    assert first.grant == second.grant == third.grant
    assert first.permits == second.permits == third.permits
    assert not second.is_lasting
    assert json.loads(third.note or b"") == {
        "name": "n",
        "verbose": False,
        "grant": first.grant,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"pass": "z"},
        {"user": "a"},
        {"user": "a", "pass": "z"},
        {"user": "b", "pass": "p"},
        {"auth_token": "x"},
    ],
)
def test_second_connect_is_judged_by_what_it_says(
    scene: Scene, fields: dict[str, Any]
) -> None:
    scene.open(users=(User("a", "p"),))
    first = scene.admit(user="a", password="p")
    assert scene.answer(first.note, **fields) is VIOLATION


def test_second_connect_as_somebody_else(scene: Scene) -> None:
    scene.open(users=(User("a", "p", SOME), User("b", fake_hash("q"), OTHER)))
    first = scene.admit(user="a", password="p")
    second = scene.admit(first.note, user="b", password="q")
    assert second.permits == "permits 2 of b"
    assert scene.admit(second.note).permits == "permits 2 of b"


def test_second_connect_after_the_user_has_gone(scene: Scene) -> None:
    scene.open(users=(User("a", "p"), User("b", "p")))
    first = scene.admit(user="a", password="p")
    scene.reload(users=(User("b", "p"),))
    assert scene.answer(first.note) is VIOLATION
    scene.reload(users=(User("a", "p"), User("b", "p")))
    assert scene.answer(first.note) is VIOLATION


@pytest.mark.parametrize(
    "fields", [{"grant": 1}, {"Grant": 1}, {"name": '","grant":1,"x":"'}]
)
def test_nobody_grants_it_to_himself(scene: Scene, fields: dict[str, Any]) -> None:
    scene.open()
    first = scene.admit(**fields)
    scene.reload(users=(User("a", "p"),))
    right = scene.admit(user="a", password="p").grant
    again: dict[str, Any] = {key: right for key in fields if key != "name"}
    for prior in (None, first.note, note(parse(json.dumps(fields).encode()))):
        assert scene.answer(prior, **again) is VIOLATION


@pytest.mark.parametrize("settings", [USER, TOKEN, GUEST])
def test_notes_hold_no_secret(scene: Scene, settings: dict[str, Any]) -> None:
    secrets: dict[str, Any] = {"user": "u", "pass": "p", "auth_token": "t"}
    if settings is GUEST:
        secrets = {"user": "a", "pass": "pa"}
    admit = scene.open(**settings).admit(**secrets, name="n")
    assert json.loads(admit.note or b"") == {"name": "n", "grant": admit.grant}


# ---- who exists is not told by the time it takes ----


@pytest.mark.parametrize(
    ("fields", "checked"),
    [
        ({"user": "cheap", "pass": "x"}, fake_hash("p", 4)),
        ({"user": "dear", "pass": "x"}, fake_hash("p" * 20, 5)),
        ({"user": "nobody", "pass": "x"}, "$2b$05$" + "70" * 11 + "." * 31),
        ({"user": "clear", "pass": "x"}, "$2b$05$" + "70" * 11 + "." * 31),
        ({"pass": "x"}, "$2b$05$" + "70" * 11 + "." * 31),
    ],
)
def test_a_failure_costs_a_check(
    scene: Scene, fields: dict[str, Any], checked: str
) -> None:
    scene.open(
        users=(
            User("cheap", fake_hash("p", 4)),
            User("dear", fake_hash("p" * 20, 5)),
            User("clear", "p"),
        )
    )
    assert scene.answer(**fields) is VIOLATION
    assert scene.checks == [(checked, b"x")]


def test_the_dummy_lets_nobody_in(scene: Scene) -> None:
    scene.open(user="u", password=fake_hash("p"))
    scene.before_check = lambda: scene.checks.clear()
    assert scene.answer(user="x", password="p") is VIOLATION
    door = scene.door
    visit = auth._Visit(1, parse(b"{}"), Admit(), None, "", 0, "")
    assert auth._conclude(visit, bcrypt_pool.Verdict.RIGHT) is VIOLATION
    assert door.open_grant is None


def test_right_password_in_clear_needs_no_check(scene: Scene) -> None:
    scene.open(users=(User("a", "p"), User("b", fake_hash("p"))))
    assert isinstance(scene.ask(user="a", password="p"), Admit)
    assert scene.checks == []


def test_empty_credentials_cost_nothing(scene: Scene) -> None:
    scene.open(user="u", password=fake_hash("p"))
    assert scene.ask(user="") is VIOLATION
    assert scene.checks == []


# ---- answers that come later ----


def assert_(fact: bool) -> None:
    assert fact


def test_herd_is_answered_in_one_go(scene: Scene) -> None:
    gate = threading.Event()
    scene.before_check = lambda: assert_(gate.wait(DEADLINE))
    scene.open(user="u", password=fake_hash("p"))
    cids = range(1, 2001)
    for _ in cids:
        assert scene.ask(user="u", password="p") is None
    gate.set()
    answers = scene.answers.get(timeout=DEADLINE)
    assert [cid for cid, _ in answers] == list(cids)
    assert all(isinstance(answer, Admit) for _, answer in answers)
    assert len(scene.checks) == 1
    assert isinstance(scene.ask(user="u", password="p"), Admit)


def test_no_room(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.open(user="u", password=fake_hash("p"))
    pool = scene.door._bcrypt
    assert pool is not None
    monkeypatch.setattr(pool._queue, "push", lambda source, item, now: item)
    answer = scene.ask(user="u", password="p")
    assert answer == Refuse("Authorization Timeout", "Authorization Timeout")


def test_nothing_is_delivered_after_stop(scene: Scene) -> None:
    gate, begun = threading.Event(), threading.Event()

    def check() -> None:
        begun.set()
        gate.wait(DEADLINE)

    scene.before_check = check
    scene.open(user="u", password=fake_hash("p"))
    scene.ask(user="u", password="p")
    assert begun.wait(DEADLINE)
    scene.door.stop()
    gate.set()
    pool = scene.door._bcrypt
    assert pool is not None
    for thread in pool._threads:
        thread.join(DEADLINE)
    assert scene.answers.empty()


def test_nothing_is_delivered_by_one_who_waited_for_stop(scene: Scene) -> None:
    scene.open(user="u", password=fake_hash("p"))
    visit = auth._Visit(1, parse(b"{}"), Admit(), None, "", 0, "")
    scene.door.stop()
    scene.door._on_checked([(visit, bcrypt_pool.Verdict.RIGHT)])
    scene.door._on_asked([(visit, Deny())])
    assert scene.answers.empty()


def test_stop_of_a_door_that_was_not_started() -> None:
    Door(Options(user="u"), lambda *words: None, lambda answers: None).stop()
    secret = fake_hash("p")
    hashed = Options(user="u", password=secret, authenticator=lambda login: NEXT)
    Door(hashed, lambda *words: None, lambda answers: None).stop()


def test_failures_come_last(scene: Scene) -> None:
    scene.open(user="u", password=fake_hash("p"))
    scene.answer(user="u", peer="10.0.0.1:1", password="x")
    pool = scene.door._bcrypt
    assert pool is not None
    assert list(pool._queue._failures) == ["10.0.0.1"]
    scene.answer(user="u", peer="2001:db8::1:2", password="x")
    assert list(pool._queue._failures) == ["10.0.0.1", "2001:db8::/64"]


# ---- secrets ----


def test_no_secret_is_shown(scene: Scene) -> None:
    planted = "planted1secret"
    users = (User("a", planted), User("b", "$2b$04$" + planted.ljust(53, ".")))
    scene.open(users=users)
    visit = auth._Visit(
        1, parse(b'{"pass":"planted1secret"}'), Admit(), None, "", 0, ""
    )
    for thing in (scene.door, scene.door._rights, visit, *users):
        assert planted not in repr(thing)
    for right in scene.door._rights.by_grant.values():
        assert planted not in repr(right)
        assert right.seal.hex() not in repr(right)
