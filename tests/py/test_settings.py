"""Keys of the configuration file at top level: values, aliases, ranges, wrong kinds."""

import re
from dataclasses import fields
from typing import Any

import pytest
from reading import error, read

from pynatsd import settings
from pynatsd.conf import ConfError
from pynatsd.options import Options, User
from pynatsd.settings import Settings

BIG = 2**63 - 1


# ---- one row for each key and alias, with what it sets ----

KEYS: list[tuple[str, str, dict[str, Any]]] = [
    ("port", "4333", {"port": 4333}),
    ("port", "-1", {"port": -1}),
    ("port", "0", {"port": 4222}),
    ("host", "127.0.0.1", {"host": "127.0.0.1"}),
    ("net", "'::1'", {"host": "::1"}),
    ("host", '""', {"host": ""}),
    ("listen", '"127.0.0.1:4333"', {"host": "127.0.0.1", "port": 4333}),
    ("listen", "127.0.0.1:4333", {"host": "127.0.0.1", "port": 4333}),
    ("listen", "localhost:4333", {"host": "localhost", "port": 4333}),
    ("listen", '"[::1]:4333"', {"host": "::1", "port": 4333}),
    ("listen", '":4333"', {"port": 4333}),
    ("listen", '"4333"', {"port": 4333}),
    ("listen", "4333", {"port": 4333}),
    ("listen", "-1", {"port": -1}),
    ("listen", '"127.0.0.1:-1"', {"host": "127.0.0.1", "port": -1}),
    ("listen", '"127.0.0.1:0"', {"host": "127.0.0.1", "port": 4222}),
    ("server_name", "n1", {"server_name": "n1"}),
    ("server_name", f'"{"é" * 256}"', {"server_name": "é" * 256}),
    ("threads", "64", {"threads": 64}),
    ("http_port", "8222", {"http_port": 8222}),
    ("http_port", "0", {"http_port": 0}),
    ("monitor_port", "-1", {"http_port": -1}),
    ("http", '"127.0.0.1:-1"', {"http_host": "127.0.0.1", "http_port": -1}),
    ("http", '"127.0.0.1:0"', {"http_host": "127.0.0.1", "http_port": 0}),
    ("http", "8222", {"http_port": 8222}),
    ("https_port", "8443", {"https_port": 8443}),
    ("https", "127.0.0.1:8443", {"http_host": "127.0.0.1", "https_port": 8443}),
    ("prof_port", "6060", {"prof_port": 6060}),
    ("debug", "true", {"debug": True}),
    ("debug", "OFF", {"debug": False}),
    ("trace", "yes", {"trace": True}),
    ("logtime", "false", {"logtime": False}),
    ("log_file", '"/tmp/a b.log"', {"log_file": "/tmp/a b.log"}),
    ("logfile", "/tmp/a.log", {"log_file": "/tmp/a.log"}),
    ("log_format", "json", {"log_format": "json"}),
    ("syslog", "on", {"syslog": True}),
    ("remote_syslog", "udp://localhost:514", {"remote_syslog": "udp://localhost:514"}),
    ("pid_file", "/tmp/a.pid", {"pid_file": "/tmp/a.pid"}),
    ("pidfile", "/tmp/a.pid", {"pid_file": "/tmp/a.pid"}),
    ("ports_file_dir", "/tmp", {"ports_file_dir": "/tmp"}),
    ("max_connections", "100", {"max_connections": 100}),
    ("max_conn", "64k", {"max_connections": 64000}),
    ("max_connections", "0", {"max_connections": 0}),
    ("max_subscriptions", "10", {"max_subscriptions": 10}),
    ("max_subs", "0", {"max_subscriptions": 0}),
    ("max_control_line", "512", {"max_control_line": 512}),
    ("max_control_line", "4kb", {"max_control_line": 4096}),
    ("max_control_line", "0", {"max_control_line": 1024}),
    ("max_connect_line", "8KB", {"max_connect_line": 8192}),
    ("max_connect_line", "0", {"max_connect_line": 4096}),
    ("max_payload", "65536", {"max_payload": 65536}),
    ("max_payload", "0", {"max_payload": 1048576}),
    ("max_payload", "-1", {"max_payload": -1}),
    ("max_payload", "1GB", {"max_payload": 2**30}),
    ("max_pending_size", "10000000", {"max_pending_size": 10_000_000}),
    ("max_pending", "64mb", {"max_pending_size": 64 * 2**20}),
    ("max_pending", "0", {"max_pending_size": 10 * 2**20}),
    ("ping_interval", "30", {"ping_interval": 30}),
    ("ping_interval", '"2m"', {"ping_interval": 120.0}),
    ("ping_interval", "2m", {"ping_interval": 120.0}),
    ("ping_interval", "0", {"ping_interval": 0}),
    ("ping_max", "3", {"ping_max": 3}),
    ("ping_max_out", "254", {"ping_max": 254}),
    ("write_deadline", '"500ms"', {"write_deadline": 0.5}),
    ("write_deadline", "0", {"write_deadline": 2.0}),
    ("lame_duck_duration", '"1m30s"', {"lame_duck_duration": 90.0}),
    ("lame_duck_duration", "0", {"lame_duck_duration": 120.0}),
    ("lame_duck_grace_period", "0", {"lame_duck_grace_period": 0}),
    ("lame_duck_grace_period", "24h", {"lame_duck_grace_period": 86400.0}),
    (
        "no_auth_user",
        "a\nauthorization { users: [{user: a}] }",
        {"no_auth_user": "a", "users": (User("a", ""),)},
    ),
    ("authenticator", '"operator:add"', {"authenticator": __import__("operator").add}),
    ("authenticator_timeout", "1.5", {"authenticator_timeout": 1.5}),
    ("authenticator_timeout", "0", {"authenticator_timeout": 2.0}),
    ("authorization", "{}", {}),
    ("cluster", "{}", {}),
    ("tls", "{}", {}),
]


@pytest.mark.parametrize(("key", "value", "expected"), KEYS)
def test_key(key: str, value: str, expected: dict[str, Any]) -> None:
    found = read(f"{key}: {value}")
    assert found.values == expected
    assert {name: type(each) for name, each in found.values.items()} == {
        name: type(each) for name, each in expected.items()
    }
    assert found.warnings == ()
    assert (found.cluster is None) == (key != "cluster")
    assert (found.tls is None) == (key != "tls")
    Options(**found.values)


@pytest.mark.parametrize("key", settings.KNOWN)
def test_keys_have_no_case(key: str) -> None:
    rows = [row for row in KEYS if row[0] == key]
    assert rows, "each key has a row"
    for _, value, expected in rows:
        assert read(f"{key.upper()}: {value}").values == expected


def test_every_option_can_be_set_by_the_file() -> None:
    reached = {*settings.KINDS, "http_host", "cluster", "tls"}
    reached |= {"user", "password", "token", "users", "default_permissions"}
    reached |= {"auth_timeout"}
    assert reached == {each.name for each in fields(Options)}


def test_an_empty_file_sets_nothing() -> None:
    assert read("") == Settings({}, None, None, ())


def test_a_json_file() -> None:
    found = read('{"port": 4333, "debug": true, "authorization": {"token": "t"}}')
    assert found.values == {"port": 4333, "debug": True, "token": "t"}


# ---- the last one counts ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("port: 1\nport: 2", {"port": 2}),
        ("port: 1\nPORT: 2", {"port": 2}),
        ("host: a\nnet: b", {"host": "b"}),
        ("net: b\nhost: a", {"host": "a"}),
        ("net: b\nhost: a\nnet: c", {"host": "c"}),
        ("max_conn: 1; max_connections: 2", {"max_connections": 2}),
        ("max_connections: 2; max_conn: 1", {"max_connections": 1}),
        ("max_pending: 1; max_pending_size: 2", {"max_pending_size": 2}),
        ("max_subs: 1; max_subscriptions: 2", {"max_subscriptions": 2}),
        ("ping_max: 1; ping_max_out: 2", {"ping_max": 2}),
        ("logfile: a; log_file: b", {"log_file": "b"}),
        ("pidfile: a; pid_file: b", {"pid_file": "b"}),
        ("http_port: 1; monitor_port: 2", {"http_port": 2}),
        ("listen: a:1\nport: 2", {"host": "a", "port": 2}),
        ("port: 2\nlisten: a:1", {"host": "a", "port": 1}),
        ("port: 2\nlisten: a:1\nport: 3", {"host": "a", "port": 3}),
        ("listen: a:1\nport: 0", {"host": "a", "port": 4222}),
        ("host: b\nlisten: 1", {"host": "b", "port": 1}),
        ("http: a:1\nhttps: b:2", {"http_host": "b", "http_port": 1, "https_port": 2}),
        ("http: a:1\nhttp_port: 2", {"http_host": "a", "http_port": 2}),
        ("http: a:1\nmonitor_port: 0", {"http_host": "a", "http_port": 0}),
        ("authorization {token: a}\nauthorization {user: b}", {"user": "b"}),
        ("authorization {token: a}\nAuthorization {}", {}),
        ("debug: 1\ndebug: true", {"debug": True}),
    ],
)
def test_last_in_file_wins(text: str, expected: dict[str, Any]) -> None:
    assert read(text).values == expected


def test_the_last_block_replaces_the_first_as_a_whole() -> None:
    found = read("cluster {port: 1}\ncluster {host: a}\ntls {timeout: 3}\ntls {}")
    assert (found.cluster, found.tls) == ({"host": "a"}, {})


# ---- ranges ----

RANGES: list[tuple[str, str, str]] = [
    ("port", "65536", "must be from -1 to 65535, not 65536"),
    ("port", "-2", "must be from -1 to 65535, not -2"),
    ("listen", '"a:65536"', "must be from -1 to 65535, not 65536"),
    ("listen", "-2", "must be from -1 to 65535, not -2"),
    ("http", '"a:-2"', "must be from -1 to 65535, not -2"),
    ("https", '"a:999999999"', "must be from -1 to 65535, not 999999999"),
    ("http_port", "65536", "must be from -1 to 65535, not 65536"),
    ("monitor_port", "-2", "must be from -1 to 65535, not -2"),
    ("https_port", "65536", "must be from -1 to 65535, not 65536"),
    ("prof_port", "-2", "must be from -1 to 65535, not -2"),
    ("threads", "0", "must be from 1 to 64, not 0"),
    ("threads", "65", "must be from 1 to 64, not 65"),
    ("max_connections", "-1", "must be from 0 to 4294967295, not -1"),
    ("max_conn", "4294967296", "must be from 0 to 4294967295, not 4294967296"),
    ("max_subscriptions", "-1", "must be from 0 to 4294967295, not -1"),
    ("max_subs", "4294967296", "must be from 0 to 4294967295, not 4294967296"),
    ("max_control_line", "-1", "must be from 1 to 262144, not -1"),
    ("max_control_line", "262145", "must be from 1 to 262144, not 262145"),
    ("max_connect_line", "1mb", "must be from 1 to 262144, not 1048576"),
    (
        "max_payload",
        "1073741825",
        f"must be from {-(2**63)} to {2**30}, not 1073741825",
    ),
    ("max_pending_size", "-1", f"must be from 1 to {BIG}, not -1"),
    ("max_pending", "-5", f"must be from 1 to {BIG}, not -5"),
    ("ping_interval", "-1", "must be from 0.001 to 86400 seconds, not -1"),
    ("ping_interval", "0.0001", "must be from 0.001 to 86400 seconds, not 0.0001"),
    ("ping_interval", "24h1s", "must be from 0.001 to 86400 seconds, not 86401.0"),
    ("ping_max", "-1", "must be from 0 to 254, not -1"),
    ("ping_max_out", "255", "must be from 0 to 254, not 255"),
    ("write_deadline", "-0.5", "must be from 0.001 to 86400 seconds, not -0.5"),
    ("write_deadline", '"1us"', "must be from 0.001 to 86400 seconds, not 1e-06"),
    ("lame_duck_duration", "86401", "must be from 0.001 to 86400 seconds, not 86401"),
    ("lame_duck_grace_period", "-1", "must be from 0.001 to 86400 seconds, not -1"),
    ("authenticator_timeout", "-1", "must be from 0.001 to 86400 seconds, not -1"),
    ("server_name", "x" * 257, "at most 256 characters"),
    ("log_format", "xml", "text or json, not 'xml'"),
    ("no_auth_user", "a", "'a' is not among users"),
    ("no_auth_user", "a; authorization {users: [{user: A}]}", "'a' is not among users"),
]


@pytest.mark.parametrize(("key", "value", "text"), RANGES)
def test_out_of_range(key: str, value: str, text: str) -> None:
    assert error(f"{key}: {value}") == f"f.conf:1:{len(key) + 3}: {key}: {text}"


@pytest.mark.parametrize(
    ("key", "value", "low"),
    [
        ("port", "65535", 65535),
        ("threads", "1", 1),
        ("max_connections", "4294967295", 2**32 - 1),
        ("max_control_line", "1", 1),
        ("max_control_line", "256kb", 2**18),
        ("max_payload", "-9223372036854775808", -(2**63)),
        ("max_pending_size", "9223372036854775807", BIG),
        ("ping_interval", "0.001", 0.001),
        ("ping_interval", "86400", 86400),
        ("ping_max", "0", 0),
    ],
)
def test_ends_of_ranges(key: str, value: str, low: float) -> None:
    assert read(f"{key}: {value}").values == {key: low}


# ---- wrong kinds ----

NUMBER = "must be a whole number, not "
TEXT = "must be text, not "
QUOTE = "; put it into quotes"
TIME = 'must be a number of seconds, or a time such as "1m30s"'
SWITCH = "must be true or false, not "
ADDRESS = 'must be text like "host:port", or a port, not '
WHICH = 'must be "host:port", "[ipv6]:port" or a port'

WRONG = {
    "number": [
        ("abc", NUMBER + "text"),
        ('"4222"', NUMBER + "text"),
        ("1.5", NUMBER + "1.5"),
        ("true", NUMBER + "true or false"),
        ("[1]", NUMBER + "a list"),
        ("{a: 1}", NUMBER + "a block"),
        ("2016-05-04T10:11:12Z", NUMBER + "a date"),
    ],
    "text": [
        ("12", TEXT + "a whole number" + QUOTE),
        ("1.5", TEXT + "a number" + QUOTE),
        ("yes", TEXT + "true or false" + QUOTE),
        ("2016-05-04T10:11:12Z", TEXT + "a date" + QUOTE),
        ("[a]", TEXT + "a list"),
        ("{a: 1}", TEXT + "a block"),
    ],
    "switch": [
        ("1", SWITCH + "a whole number"),
        ("0.5", SWITCH + "0.5"),
        ('"true"', SWITCH + "text"),
        ("maybe", SWITCH + "text"),
        ("[true]", SWITCH + "a list"),
        ("{}", SWITCH + "a block"),
    ],
    "seconds": [
        ('"10"', TIME),
        ("soon", TIME),
        ('""', TIME),
        ('"-1s"', TIME),
        ('"1 s"', TIME),
        ('"s"', TIME),
        ('"1.s."', TIME),
        ("5k", TIME),
        ("5mb", TIME),
        ("true", TIME),
        ("[1]", TIME),
        ("{}", TIME),
        ("2016-05-04T10:11:12Z", TIME),
    ],
    "address": [
        ("true", ADDRESS + "true or false"),
        ("1.5", ADDRESS + "1.5"),
        ("[1]", ADDRESS + "a list"),
        ("{}", ADDRESS + "a block"),
        ('""', WHICH),
        ("localhost", WHICH),
        ('"a:b"', WHICH),
        ('"a:"', WHICH),
        ('"::1:4222"', WHICH),
        ('"[::1:4222"', WHICH),
        ('"[::1]"', WHICH),
        ('"a:1:2"', WHICH),
        ('"a: 1"', WHICH),
        ('"a:\u0661"', WHICH),
        ('"a:1\n"', WHICH),
        ('"nats://a:1"', WHICH),
        ('"a:1234567890"', WHICH),
    ],
    "block": [
        ("abc", "must be a block { }, not text"),
        ("true", "must be a block { }, not true or false"),
        ("[]", "must be a block { }, not a list"),
        ("1", "must be a block { }, not a whole number"),
    ],
}
KIND_OF = {
    **dict.fromkeys(settings.KINDS, "text"),
    **{
        each.name: "number"
        for each in fields(Options)
        if each.name in settings.KINDS and each.type is int
    },
    **{
        each.name: "seconds"
        for each in fields(Options)
        if each.name in settings.KINDS and each.type is float
    },
    **dict.fromkeys(("debug", "trace", "logtime", "syslog"), "switch"),
    **dict.fromkeys(settings.ADDRESSES, "address"),
    **dict.fromkeys(settings.BLOCKS, "block"),
}
KIND_OF |= {alias: KIND_OF[name] for alias, name in settings.ALIASES.items()}


@pytest.mark.parametrize("key", settings.KNOWN)
def test_wrong_kind(key: str) -> None:
    for value, text in WRONG[KIND_OF[key]]:
        assert error(f"{key}: {value}") == f"f.conf:1:{len(key) + 3}: {key}: {text}"


def test_the_kinds_are_told_apart() -> None:
    kinds = {kind: sum(each == kind for each in KIND_OF.values()) for kind in WRONG}
    assert kinds == {
        "number": 17,
        "text": 12,
        "switch": 4,
        "seconds": 5,
        "address": 3,
        "block": 3,
    }


def test_the_place_is_that_of_the_value() -> None:
    assert error("debug: true\n\n  port =\t'x'") == (
        "f.conf:3:10: port: must be a whole number, not text"
    )


def test_texts_are_never_shown() -> None:
    for key in ("port", "debug", "ping_interval", "listen", "tls", "cluster"):
        assert "s3cr3t" not in error(f'{key}: "s3cr3t"')


def test_secrets_are_not_in_the_repr() -> None:
    found = read(
        "authorization {user: u, password: s3cr3t}\n"
        "cluster {authorization {user: u, password: s3cr3t}\n"
        "routes: nats://u:s3cr3t@h:1}"
    )
    assert found.values["password"] == "s3cr3t"
    assert found.cluster is not None
    assert "s3cr3t" not in repr(found)


# ---- files ----


def test_load(tmp_path: Any) -> None:
    (tmp_path / "a.conf").write_text("port: 4333\nprot: 1")
    path = str(tmp_path / "a.conf")
    assert settings.load(path) == Settings(
        {"port": 4333},
        warnings=(f'{path}:2:1: unknown key "prot", did you mean "port"?',),
    )
    with pytest.raises(ConfError, match=re.escape(f'{path}:2:1: unknown key "prot"')):
        settings.load(path, strict=True)


def test_load_of_no_file(tmp_path: Any) -> None:
    with pytest.raises(ConfError, match=r"^error opening config file: open "):
        settings.load(str(tmp_path / "none.conf"))
