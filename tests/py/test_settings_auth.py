"""The block `authorization`: users, secrets, permissions; nothing is passed over."""

from typing import Any

import pytest
from reading import error, read

from pynatsd import settings_auth, settings_later
from pynatsd.options import Options, Permissions, Rules, User

HASH = "$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"
DOOR = "is not supported, and to ignore it could open a door"
EMPTY = "must not be empty; leave it out to let everybody in"


def auth_error(inside: str) -> str:
    """The error of a block's second line, without file and line."""
    found = error("authorization {\n" + inside + "\n}")
    assert found.startswith("f.conf:2:")
    return found.removeprefix("f.conf:2:")


# ---- one user, or a token ----


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("", {}),
        ("user: a", {"user": "a"}),
        ("username: a", {"user": "a"}),
        ("USER: a", {"user": "a"}),
        ("user: ''", {"user": ""}),
        ("user: a, pass: b", {"user": "a", "password": "b"}),
        ("user: a, password: b", {"user": "a", "password": "b"}),
        ("user: a, pass: ''", {"user": "a", "password": ""}),
        ("user: a, pass: '12'", {"user": "a", "password": "12"}),
        ("user: a, pass: b, password: c", {"user": "a", "password": "c"}),
        ("user: a, password: c, pass: b", {"user": "a", "password": "b"}),
        ("username: b, user: a", {"user": "a"}),
        (f"user: a, pass: {HASH}", {"user": "a", "password": HASH}),
        (f"user: a, pass: '{HASH}'", {"user": "a", "password": HASH}),
        ("pass: b", {"password": "b"}),
        ("token: t", {"token": "t"}),
        (f"token: {HASH}", {"token": HASH}),
        (f"token: {HASH.replace('$2a', '$2y')}", {"token": HASH.replace("a", "y", 1)}),
        ("token: '$2 is a price'", {"token": "$2 is a price"}),
        ("timeout: 1", {"auth_timeout": 1}),
        ("timeout: 0.5", {"auth_timeout": 0.5}),
        ("timeout: 0", {"auth_timeout": 1.0}),
        ("timeout: 0.0", {"auth_timeout": 1.0}),
        ("timeout: '2s'", {"auth_timeout": 2.0}),
        ("timeout: 2s", {"auth_timeout": 2.0}),
        ("timeout: 2m", {"auth_timeout": 120.0}),
        ("T = x, token: $T", {"token": "x"}),
    ],
)
def test_single(inside: str, expected: dict[str, Any]) -> None:
    assert read("authorization { " + inside + " }").values == expected


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("pass: 12", "7: pass: must be text, not a whole number; put it into quotes"),
        ("pass: yes", "7: pass: must be text, not true or false; put it into quotes"),
        (
            "password: 1.5",
            "11: password: must be text, not a number; put it into quotes",
        ),
        ("password: [a]", "11: password: must be text, not a list"),
        ("password: {a: b}", "11: password: must be text, not a block"),
        ("token: 12", "8: token: must be text, not a whole number; put it into quotes"),
        ("user: 12", "7: user: must be text, not a whole number; put it into quotes"),
        ("username: []", "11: username: must be text, not a list"),
        ("pass: $2a$11$xx", "7: pass: looks like a bcrypt hash but is not a valid one"),
        (
            "token: $2b$99$x",
            "8: token: looks like a bcrypt hash but is not a valid one",
        ),
        (f"pass: {HASH}x", "7: pass: looks like a bcrypt hash but is not a valid one"),
        ("token: ''", f"1: token: {EMPTY}"),
        ("user: a; token: t", "10: Cannot have a user/pass and token"),
        ("token: t; pass: p", "1: Cannot have a user/pass and token"),
        ("timeout: -1", "10: timeout: must be from 0.001 to 86400 seconds, not -1"),
        (
            "timeout: 86401",
            "10: timeout: must be from 0.001 to 86400 seconds, not 86401",
        ),
        *(
            (
                f"timeout: {each}",
                '10: timeout: must be a number of seconds, or a time such as "1m30s"',
            )
            for each in ("true", "soon", "'1'", "[1]", "{}", "5k")
        ),
    ],
)
def test_single_errors(inside: str, text: str) -> None:
    assert auth_error(inside) == text


# ---- several users ----


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("users = [{user: a, pass: b}]", (User("a", "b"),)),
        ("users = [{username: a, password: b}]", (User("a", "b"),)),
        ("users = [{user: a}]", (User("a", ""),)),
        (
            "users = [{user: a, pass: x}\n{user: b, pass: x}]",
            (User("a", "x"), User("b", "x")),
        ),
        ("users = [{user: a}, {user: A}]", (User("a", ""), User("A", ""))),
        (f"users = [{{user: a, pass: {HASH}}}]", (User("a", HASH),)),
        ("users = [{user: a, permissions: {}}]", (User("a", "", Permissions()),)),
        ("P = b, users = [{user: a, pass: $P}]", (User("a", "b"),)),
        ("users = [{P = b, user: a, pass: $P}]", (User("a", "b"),)),
    ],
)
def test_users(inside: str, expected: tuple[User, ...]) -> None:
    assert read("authorization { " + inside + " }").values == {"users": expected}


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("users = []", f"1: users: {EMPTY}"),
        ("users = a", "9: users: must be a list of blocks, not text"),
        ("users = {user: a}", "9: users: must be a list of blocks, not a block"),
        ("users = [a]", "10: users: must be a block { }, not text"),
        ("users = [[{user: a}]]", "10: users: must be a block { }, not a list"),
        ("users = [{}]", "10: users: every user needs a name"),
        ("users = [{pass: b}]", "10: users: every user needs a name"),
        ("users = [{user: ''}]", "10: users: every user needs a name"),
        ("users = [{user: a}, {user: a}]", "21: users: 'a' is there twice"),
        (
            "users = [{user: 1}]",
            "17: user: must be text, not a whole number; put it into quotes",
        ),
        (
            "users = [{user: a, pass: 1}]",
            "26: pass: must be text, not a whole number; put it into quotes",
        ),
        (
            "users = [{user: a, pass: '$2a$'}]",
            "26: pass: looks like a bcrypt hash but is not a valid one",
        ),
        (
            "users = [{user: a, passwort: x}]",
            '20: unknown key "passwort" in authorization, did you mean "password"?',
        ),
        (
            "users = [{user: a, token: x}]",
            '20: unknown key "token" in authorization',
        ),
        ("users = [{nkey: UDX}]", f'11: "nkey" {DOOR}'),
        (
            "user: a; users = [{user: b}]",
            "10: Can not have a single user/pass and a users array",
        ),
        (
            "users = [{user: b}]; pass: a",
            "1: Can not have a single user/pass and a users array",
        ),
        ("token: a; users = [{user: b}]", "11: Can not have a token and a users array"),
    ],
)
def test_users_errors(inside: str, text: str) -> None:
    assert auth_error(inside) == text


# ---- permissions ----

ALL = Rules()


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("", Permissions()),
        ("publish: x", Permissions(Rules(("x",)), ALL)),
        ("pub: x", Permissions(Rules(("x",)), ALL)),
        ("import: x", Permissions(Rules(("x",)), ALL)),
        ("subscribe: x", Permissions(ALL, Rules(("x",)))),
        ("sub: x", Permissions(ALL, Rules(("x",)))),
        ("export: x", Permissions(ALL, Rules(("x",)))),
        ("PUB: x; publish: y", Permissions(Rules(("y",)), ALL)),
        ("publish: y; pub: x", Permissions(Rules(("x",)), ALL)),
        ("publish: [x]", Permissions(Rules(("x",)), ALL)),
        (
            "publish: ['ok.>', req, 'a.*']",
            Permissions(Rules(("ok.>", "req", "a.*")), ALL),
        ),
        ("publish: []", Permissions(Rules(()), ALL)),
        ("publish: {}", Permissions(ALL, ALL)),
        ("publish: {allow: x}", Permissions(Rules(("x",)), ALL)),
        ("publish: {allow: [x, y]}", Permissions(Rules(("x", "y")), ALL)),
        ("publish: {allow: []}", Permissions(Rules(()), ALL)),
        ("publish: {deny: '>'}", Permissions(Rules(None, (">",)), ALL)),
        ("publish: {deny: []}", Permissions(ALL, ALL)),
        (
            "subscribe: {allow: ['in.>', '_INBOX.>'], deny: [in.secret]}",
            Permissions(ALL, Rules(("in.>", "_INBOX.>"), ("in.secret",))),
        ),
        ("subscribe: {Allow: x, DENY: y}", Permissions(ALL, Rules(("x",), ("y",)))),
        ("subscribe: 'z queue'", Permissions(ALL, Rules(("z queue",)))),
        ("subscribe: [y, 'z queue']", Permissions(ALL, Rules(("y", "z queue")))),
        ("subscribe: {deny: 'z queue'}", Permissions(ALL, Rules(None, ("z queue",)))),
        ("subscribe: '> dev.*'", Permissions(ALL, Rules(("> dev.*",)))),
        (
            "S = [a, b], sub: $S, pub: $S",
            Permissions(Rules(("a", "b")), Rules(("a", "b"))),
        ),
        ("sub: {S = a, allow: $S}", Permissions(ALL, Rules(("a",)))),
    ],
)
@pytest.mark.parametrize("key", ["permissions", "permission", "authorization"])
def test_permissions(key: str, inside: str, expected: Permissions) -> None:
    text = f"authorization {{ users = [{{user: a, {key} {{ {inside} }} }}] }}"
    assert read(text).values == {"users": (User("a", "", expected),)}


@pytest.mark.parametrize(
    "key", ["default_permissions", "default_permission", "permissions"]
)
def test_default_permissions(key: str) -> None:
    found = read(
        f"authorization {{ users = [{{user: a}}]; {key} {{ pub: x }} }}"
    ).values
    assert found == {
        "users": (User("a", ""),),
        "default_permissions": Permissions(Rules(("x",))),
    }


def test_the_example_of_the_specification() -> None:
    found = read(
        """
        authorization {
          default_permissions = { publish: "x", subscribe: ["y", "z queue"] }
          users = [
            { user: a, password: a, permissions: { publish: ["ok.>", "req"],
              subscribe: { allow: ["in.>", "_INBOX.>"], deny: ["in.secret"] } } }
            { user: b, password: b }
          ]
        }
        no_auth_user: b
        """
    ).values
    rights = Permissions(
        Rules(("ok.>", "req")), Rules(("in.>", "_INBOX.>"), ("in.secret",))
    )
    assert found == {
        "users": (User("a", "a", rights), User("b", "b")),
        "default_permissions": Permissions(Rules(("x",)), Rules(("y", "z queue"))),
        "no_auth_user": "b",
    }
    assert not Options(**found).is_auth_required


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (
            "publish: 1",
            "10: publish: must be text, not a whole number; put it into quotes",
        ),
        (
            "publish: [x, 1]",
            "14: publish: must be text, not a whole number; put it into quotes",
        ),
        ("publish: [[x]]", "11: publish: must be text, not a list"),
        ("pub: ''", "6: pub: '' is not a subject"),
        ("pub: a..b", "6: pub: 'a..b' is not a subject"),
        ("pub: '.a'", "6: pub: '.a' is not a subject"),
        ("pub: '>.a'", "6: pub: '>.a' is not a subject"),
        ("pub: 'z queue'", "6: pub: 'z queue' is not a subject"),
        ("publish: {deny: 'z queue'}", "17: deny: 'z queue' is not a subject"),
        ("sub: 'x y z'", "6: sub: 'x y z' is not a subject"),
        ("sub: [a, 'b..c q']", "10: sub: 'b..c q' is not a subject"),
        ("sub: {allow: a, deny: '..'}", "23: deny: '..' is not a subject"),
        (
            "sub: {deny: 1}",
            "13: deny: must be text, not a whole number; put it into quotes",
        ),
        (
            "sub: {allow: x, dany: y}",
            '17: unknown key "dany" in authorization, did you mean "deny"?',
        ),
        ("sub: {foo: y}", '7: unknown key "foo" in authorization'),
        (
            "publisj: x",
            '1: unknown key "publisj" in authorization, did you mean "publish"?',
        ),
        ("foo: x", '1: unknown key "foo" in authorization'),
        ("allow_responses: true", f'1: "allow_responses" {DOOR}'),
        ("allow_responses: {max: 1, expires: '1s'}", f'1: "allow_responses" {DOOR}'),
        ("publish_allow_responses: 1", f'1: "publish_allow_responses" {DOOR}'),
        ("pub: 'a\x01b'", "6: pub: a subject is too long, or not printable"),
        (f"pub: '{'a' * 1025}'", "6: pub: a subject is too long, or not printable"),
    ],
)
def test_permissions_errors(inside: str, text: str) -> None:
    found = error(
        f"authorization {{ users = [{{user: a, permissions {{\n{inside}\n}} }}] }}"
    )
    assert found == f"f.conf:2:{text}"


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("permissions: {pub: x}", "1: permissions: is for users = [ ] only"),
        (
            "user: a; default_permissions {pub: x}",
            "10: default_permissions: is for users = [ ] only",
        ),
        (
            "token: a; default_permission {pub: x}",
            "11: default_permission: is for users = [ ] only",
        ),
        (
            "users = [{user: a}]; default_permissions: x",
            "43: default_permissions: must be a block { }, not text",
        ),
    ],
)
def test_default_permissions_need_users(inside: str, text: str) -> None:
    assert auth_error(inside) == text


def test_an_error_is_never_long() -> None:
    found = auth_error(
        f"users = [{{user: a, permissions {{pub: '{'a b' * 100_000}'}}}}]"
    )
    assert found.startswith("38: pub: 'a ba ba b")
    assert found.endswith("...")
    assert len(found) < 320


# ---- nothing is passed over ----


@pytest.mark.parametrize("key", sorted(settings_later.AUTHORIZATION_DOORS))
def test_keys_of_later_servers_are_errors(key: str) -> None:
    assert auth_error(f"{key}: x") == f'1: "{key}" {DOOR}'


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (
            "passwort: x",
            '1: unknown key "passwort" in authorization, did you mean "password"?',
        ),
        ("usr: x", '1: unknown key "usr" in authorization, did you mean "user"?'),
        ("tokn: x", '1: unknown key "tokn" in authorization, did you mean "token"?'),
        (
            "userss: []",
            '1: unknown key "userss" in authorization, did you mean "users"?',
        ),
        (
            "Timeoud: 1",
            '1: unknown key "Timeoud" in authorization, did you mean "timeout"?',
        ),
        ("foo: x", '1: unknown key "foo" in authorization'),
        ("ssl: x", '1: unknown key "ssl" in authorization'),
        ("publish: x", '1: unknown key "publish" in authorization'),
        ("'a\x1b': x", '1: unknown key "a\\x1b" in authorization'),
    ],
)
def test_unknown_keys_are_errors(inside: str, text: str) -> None:
    assert auth_error(inside) == text


@pytest.mark.parametrize("value", ["abc", "true", "1", "[]", "[{user: a}]"])
def test_it_must_be_a_block(value: str) -> None:
    assert error(f"authorization: {value}").startswith(
        "f.conf:1:16: authorization: must be a block { }, not "
    )


@pytest.mark.parametrize(
    "key", sorted({*settings_auth.NAMES, *settings_auth.ALIASES, "nkey"} - {"timeout"})
)
def test_a_credential_outside_of_the_block(key: str) -> None:
    assert (
        error(f"\n{key}: x") == f'f.conf:2:1: "{key}" belongs into authorization {{ }}'
    )


def test_a_credential_outside_may_be_a_variable() -> None:
    assert read("token = abc\nauthorization { token: $token }").values == {
        "token": "abc"
    }


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("authorisation", "authorization"),
        ("authorizatioon", "authorization"),
        ("authorizations", "authorization"),
        ("Authorizaton", "authorization"),
        ("auth", "authorization"),
        ("authentication", "authorization"),
        ("authenticatorr", "authenticator"),
        ("tsl", "tls"),
        ("ssl", "tls"),
    ],
)
def test_a_mistyped_door_is_an_error(key: str, meant: str) -> None:
    assert error(f"{key} {{ token: x }}") == (
        f'f.conf:1:1: unknown key "{key}", did you mean "{meant}"?'
    )


@pytest.mark.parametrize("key", sorted(settings_later.TOP_DOORS))
def test_other_ways_to_log_in_are_errors(key: str) -> None:
    assert error(f"{key}: x") == f'f.conf:1:1: "{key}" {DOOR}'


@pytest.mark.parametrize(
    "value",
    [
        "{A: {users: [{user: a, pass: b}]}}",
        "{A: {Users: []}}",
        "{A: {nested: [{users: []}]}}",
    ],
)
def test_accounts_with_users_are_an_error(value: str) -> None:
    assert error(f"accounts: {value}") == f'f.conf:1:1: "accounts" {DOOR}'
