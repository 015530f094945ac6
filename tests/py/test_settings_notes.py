"""Beside the settings: unknown keys, later keys, secrets that others can read."""

import os
from pathlib import Path

import pytest
from reading import error, read

from pynatsd import settings, settings_later
from pynatsd.settings import Settings
from pynatsd.settings_notes import WARNINGS_MAX, shown

# ---- unknown keys ----

UNKNOWN = [
    ("prot", ', did you mean "port"?'),
    ("prt", ', did you mean "port"?'),
    ("ports", ', did you mean "port"?'),
    ("PROT", ', did you mean "port"?'),
    ("hots", ', did you mean "host"?'),
    ("max_payoad", ', did you mean "max_payload"?'),
    ("maxpayload", ', did you mean "max_payload"?'),
    ("max_conections", ', did you mean "max_connections"?'),
    ("max_pendin", ', did you mean "max_pending"?'),
    ("http_prot", ', did you mean "http_port"?'),
    ("log_fiel", ', did you mean "log_file"?'),
    ("lisen", ', did you mean "listen"?'),
    ("pingmax", ', did you mean "ping_max"?'),
    ("ping_intervall", ', did you mean "ping_interval"?'),
    ("write_dead_line", ', did you mean "write_deadline"?'),
    ("clustr", ', did you mean "cluster"?'),
    ("authenticator_timeot", ', did you mean "authenticator_timeout"?'),
    ("foo", ""),
    ("xyzzy", ""),
    ("a", ""),
    ("é", ""),
    ("include", ""),
]


@pytest.mark.parametrize(("key", "hint"), UNKNOWN)
def test_unknown_key(key: str, hint: str) -> None:
    text = f'f.conf:2:3: unknown key "{key}"{hint}'
    assert read(f"port: 1\n  {key}: 2\n") == Settings({"port": 1}, warnings=(text,))
    assert error(f"port: 1\n  {key}: 2\n", strict=True) == text


def test_a_variable_is_no_unknown_key() -> None:
    text = "prot = 4333\nport: $prot"
    assert read(text, strict=True) == Settings({"port": 4333})


def test_a_later_key_may_be_a_variable() -> None:
    assert read("root = /var\nlog_file: $root") == Settings({"log_file": "/var"})


def test_doubled_unknown_keys_are_named_once() -> None:
    assert read("foo: 1\nFoo: 2").warnings == ('f.conf:2:1: unknown key "Foo"',)


def test_long_and_unprintable_keys() -> None:
    assert shown("k" * 65) == f'"{"k" * 64}..."'
    assert shown("a\x1b[31m\né") == '"a\\x1b[31m\\n\\xe9"'


def test_warnings_are_bounded() -> None:
    keys = [f"foo{each}: 1" for each in range(WARNINGS_MAX + 7)]
    found = read("\n".join([*keys, "mqtt: 1"])).warnings
    assert len(found) == WARNINGS_MAX + 1
    assert found[0] == 'f.conf:1:1: unknown key "foo0"'
    assert found[-1] == "... and 8 more warnings"


def test_strict_looks_beyond_the_bound() -> None:
    lines = [f"{key}: 1" for key in settings_later.TOP]
    lines += ["cluster {", *(f"{key}: 1" for key in settings_later.CLUSTER), "}"]
    assert len(lines) > WARNINGS_MAX + 3
    text = "\n".join(lines)
    assert len(read(text, strict=True).warnings) == WARNINGS_MAX + 1
    assert error(f"{text}\nfoo: 1", strict=True).endswith(': unknown key "foo"')


# ---- keys of later servers ----


@pytest.mark.parametrize("key", sorted(settings_later.TOP))
@pytest.mark.parametrize("value", ["x", "{ a: [1, {b: c}] }", "[a, {b: 1}]"])
@pytest.mark.parametrize("strict", [False, True])
def test_keys_of_later_servers(key: str, value: str, strict: bool) -> None:
    text = f'f.conf:1:1: "{key}" is not supported, ignored'
    assert read(f"{key}: {value}", strict=strict) == Settings({}, warnings=(text,))


@pytest.mark.parametrize(
    "key", ["server_tags", "leafnodes", "websocket", "jetstream", "accounts", "gateway"]
)
def test_the_usual_ones_are_among_them(key: str) -> None:
    assert key in settings_later.TOP


def test_no_key_is_two_things() -> None:
    groups = (
        set(settings.KNOWN),
        settings_later.TOP,
        settings_later.TOP_DOORS,
        settings.MISPLACED,
    )
    assert sum(map(len, groups)) == len(set().union(*groups))


# ---- files that others can read ----


def write(path: Path, text: str, mode: int) -> str:
    path.write_text(text)
    os.chmod(path, mode)
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        "authorization {user: u, pass: p}",
        "authorization {token: t}",
        "authorization {users: [{user: u, pass: p}]}",
        "authorization {user: u, pass: "
        "$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG}",
        "cluster {authorization {user: u, pass: p}}",
        "cluster {routes: nats://u:p@h:1}",
    ],
)
def test_secrets_that_others_can_read(text: str, tmp_path: Path) -> None:
    for mode, others in ((0o644, 1), (0o604, 1), (0o640, 0), (0o600, 0), (0o666, 1)):
        path = write(tmp_path / "a.conf", text, mode)
        line = f"{path}: holds secrets and is readable by others (mode {mode:04o})"
        assert settings.load(path).warnings == (line,) * others
        assert settings.load(path, strict=True).warnings == (line,) * others


@pytest.mark.parametrize(
    "text",
    [
        "port: 1",
        "authorization {user: u}",
        "authorization {user: u, pass: ''}",
        "authorization {timeout: 1}",
        "cluster {routes: nats://h:1}",
        "tls {key_file: a}",
    ],
)
def test_files_without_secrets(text: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.conf", text, 0o644)
    assert settings.load(path).warnings == ()


def test_it_is_the_included_file_that_counts(tmp_path: Path) -> None:
    main = write(tmp_path / "a.conf", "include 'b.conf'", 0o644)
    secret = "authorization {user: u, pass: p}"
    inner = write(tmp_path / "b.conf", secret, 0o600)
    assert settings.load(main).warnings == ()
    os.chmod(inner, 0o644)
    assert settings.load(main).warnings == (
        f"{inner}: holds secrets and is readable by others (mode 0644)",
    )


def test_a_text_that_is_no_file() -> None:
    assert read("authorization {token: t}").warnings == ()
