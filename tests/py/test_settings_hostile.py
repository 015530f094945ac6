"""Files made to show a secret, to take long, or to fill the log."""

import pytest
from reading import error, read

# ---- secrets ----

PLANTED = [
    "authorization: s3cr3t",
    "authorization {token: [s3cr3t]}",
    "authorization {token: {a: s3cr3t}}",
    "authorization {token: s3cr3t; user: s3cr3t}",
    "authorization {pass: [s3cr3t]}",
    "authorization {user: u, pass: $2a$s3cr3t}",
    "authorization {token: '$2b$11$s3cr3t'}",
    "authorization {passwort: s3cr3t}",
    "authorization {nkey: s3cr3t}",
    "authorization {users: s3cr3t}",
    "authorization {users: [s3cr3t]}",
    "authorization {users: [{user: u, pass: s3cr3t}, {user: u, pass: s3cr3t}]}",
    "authorization {users: [{pass: s3cr3t}]}",
    "authorization {users: [{user: u, pass: $2y$s3cr3t}]}",
    "authorization {users: [{user: u, pass: [s3cr3t]}]}",
    "authorization {users: [{user: u, paswd: s3cr3t}]}",
    "authorization {users: [{user: u, pass: s3cr3t}]; token: s3cr3t}",
    "authorisation {token: s3cr3t}",
    "accounts {A {users: [{user: u, pass: s3cr3t}]}}",
    "token: s3cr3t",
    "users: [{user: u, pass: s3cr3t}]",
    "cluster {authorization {pass: s3cr3t}}",
    "cluster {authorization {token: s3cr3t}}",
    "cluster {routes: nats://u:s3cr3t@h}",
    "cluster {routes: [nats://u:s3cr3t@h:x]}",
    "cluster {routes: nats://u:s3cr3t}",
    "cluster {routes: {a: s3cr3t}}",
    "passwrd: s3cr3t",
    "prot: s3cr3t",
]


@pytest.mark.parametrize("text", PLANTED)
def test_no_error_shows_a_secret(text: str) -> None:
    assert "s3cr3t" not in error(text, strict=True)


# ---- hostile files ----


@pytest.mark.parametrize(
    "text",
    [
        f"server_name: '{'x' * 1_000_000}'",
        f"log_format: '{'x' * 1_000_000}'",
        f"listen: '{':' * 1_000_000}'",
        f"listen: '[{'[' * 1_000_000}'",
        f"listen: 'h:{'1' * 1_000_000}'",
        f"ping_interval: '{'1' * 1_000_000}'",
        f"authenticator: '{'a.' * 500_000}a:b'",
        f"authenticator: 'a:{'b' * 1_000_000}'",
        f"cluster {{routes: 'nats://{'u:p@' * 250_000}'}}",
        f"cluster {{routes: '{'%' * 1_000_000}'}}",
        f"tls {{cipher_suites: ['{'x' * 1_000_000}']}}",
        f"tls {{'{'x' * 1_000_000}': 1}}",
        f"authorization {{'{'x' * 1_000_000}': 1}}",
        f"authorization {{users: [{{permissions: {{sub: '{'a.' * 500_000}'}}}}]}}",
        f"no_auth_user: '{'x' * 1_000_000}'",
        f"'{'x' * 1_000_000}': 1",
        f"port: {'[' * 50}1{']' * 50}",
        f"accounts: {'{a: ' * 50}{{users: 1}}{'}' * 50}",
    ],
)
def test_hostile_values_give_one_short_error(text: str) -> None:
    found = error(text, strict=True)
    assert found.startswith("f.conf:1:")
    assert len(found) < 400
    assert found.isprintable()


def test_many_unknown_keys() -> None:
    text = "\n".join(f"unknown{each}: 1" for each in range(20_000))
    assert read(text).warnings[-1] == "... and 19950 more warnings"


def test_many_users() -> None:
    users = "\n".join(
        f"{{user: u{each}, pass: p, permissions: {{pub: 'a.{each}'}}}}"
        for each in range(2_000)
    )
    assert len(read(f"authorization {{ users: [{users}] }}").values["users"]) == 2_000
