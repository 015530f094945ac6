"""The blocks `cluster` and `tls`, and the URLs of routes."""

from typing import Any

import pytest
from reading import error, read

from pynatsd import ciphers, settings_later
from pynatsd.options import Cluster, Tls
from pynatsd.settings import Settings

DOOR = "is not supported, and to ignore it could open a door"
TLS_ERROR = "error parsing tls config,"
GCM = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
RC4 = "TLS_RSA_WITH_RC4_128_SHA"


def block_error(block: str, inside: str, *, strict: bool = False) -> str:
    """The error of a block's second line, without file and line."""
    found = error(f"{block} {{\n{inside}\n}}", strict=strict)
    assert found.startswith("f.conf:2:")
    return found.removeprefix("f.conf:2:")


# ---- cluster ----


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("", {}),
        ("host: 127.0.0.1", {"host": "127.0.0.1"}),
        ("net: 127.0.0.1", {"host": "127.0.0.1"}),
        ("net: a; host: b", {"host": "b"}),
        ("host: b; NET: a", {"host": "a"}),
        ("port: 4244", {"port": 4244}),
        ("port: 0", {"port": 0}),
        ("port: -1", {"port": -1}),
        ("listen: 127.0.0.1:4244", {"host": "127.0.0.1", "port": 4244}),
        ("listen: '[::1]:-1'", {"host": "::1", "port": -1}),
        ("host: a; listen: 4244", {"host": "a", "port": 4244}),
        ("listen: a:1; port: 2", {"host": "a", "port": 2}),
        ("authorization {}", {}),
        ("authorization {user: a, pass: b}", {"user": "a", "password": "b"}),
        ("authorization {username: a, password: b}", {"user": "a", "password": "b"}),
        ("authorization {timeout: 0.5}", {"auth_timeout": 0.5}),
        ("authorization {timeout: 0}", {"auth_timeout": 1.0}),
        ("routes: []", {"routes": ()}),
        ("routes: [nats-route://a:1]", {"routes": ("nats-route://a:1",)}),
        ("routes: nats://a:1", {"routes": ("nats://a:1",)}),
        ("routes: [nats://a:1\nnats://b:2]", {"routes": ("nats://a:1", "nats://b:2")}),
        ("tls {}", {"tls": Tls(verify=True)}),
        ("tls {verify: false}", {"tls": Tls(verify=True)}),
        ("tls {ca_file: x}", {"tls": Tls(ca_file="x", verify=True)}),
        ("P = 4244; port: $P", {"port": 4244}),
    ],
)
def test_cluster(inside: str, expected: dict[str, Any]) -> None:
    found = read(f"cluster {{ {inside} }}")
    assert found == Settings({}, cluster=expected)
    Cluster(**expected)


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("port: 65536", "7: port: must be from -1 to 65535, not 65536"),
        ("port: -2", "7: port: must be from -1 to 65535, not -2"),
        ("port: x", "7: port: must be a whole number, not text"),
        ("listen: -2", "9: listen: must be from -1 to 65535, not -2"),
        ("listen: x", '9: listen: must be "host:port", "[ipv6]:port" or a port'),
        ("host: 1", "7: host: must be text, not a whole number; put it into quotes"),
        ("authorization: x", "16: authorization: must be a block { }, not text"),
        ("tls: true", "6: tls: must be a block { }, not true or false"),
        (
            "routes: 1",
            "9: routes: must be text, not a whole number; put it into quotes",
        ),
        ("routes: [[]]", "10: routes: must be text, not a list"),
        ("routes: {a: b}", "9: routes: must be text, not a block"),
        ("permissions {}", f'1: "permissions" {DOOR}'),
        ("accounts: [a]", f'1: "accounts" {DOOR}'),
        (
            "authorization {token: t}",
            "16: Cluster authorization does not support tokens",
        ),
        (
            "authorization {users: []}",
            "16: Cluster authorization does not allow multiple users",
        ),
        (
            "authorization {permissions {}}",
            "16: permissions are not supported for a cluster",
        ),
        ("authorization {pass: p}", "16: pass: needs a user"),
        ("authorization {user: '', pass: p}", "26: pass: needs a user"),
        (
            "authorization {user: a, pass: 1}",
            "31: pass: must be text, not a whole number; put it into quotes",
        ),
        (
            "authorization {user: a, pass: $2a$}",
            "31: pass: looks like a bcrypt hash but is not a valid one",
        ),
        (
            "authorization {timeout: -1}",
            "25: timeout: must be from 0.001 to 86400 seconds, not -1",
        ),
        (
            "authorization {usr: a}",
            '16: unknown key "usr" in authorization, did you mean "user"?',
        ),
        ("authorization {nkey: a}", f'16: "nkey" {DOOR}'),
    ],
)
def test_cluster_errors(inside: str, text: str) -> None:
    assert block_error("cluster", inside) == text


@pytest.mark.parametrize("key", sorted(settings_later.CLUSTER))
@pytest.mark.parametrize("strict", [False, True])
def test_cluster_keys_of_later_servers(key: str, strict: bool) -> None:
    found = read(f"cluster {{ {key}: x }}", strict=strict)
    assert found == Settings(
        {}, {}, warnings=(f'f.conf:1:11: "{key}" is not supported, ignored',)
    )


def test_cluster_unknown_key() -> None:
    text = 'unknown key "rotes", did you mean "routes"?'
    assert read("cluster { rotes: x }").warnings == (f"f.conf:1:11: {text}",)
    assert block_error("cluster", "rotes: x", strict=True) == f"1: {text}"


@pytest.mark.parametrize(
    ("key", "meant"),
    [("authorisation", "authorization"), ("auth", "authorization"), ("tsl", "tls")],
)
def test_a_mistyped_guard_of_a_cluster_is_an_error(key: str, meant: str) -> None:
    text = f'unknown key "{key}", did you mean "{meant}"?'
    assert block_error("cluster", f"{key} {{}}") == f"1: {text}"


# ---- URLs of routes ----


@pytest.mark.parametrize(
    "url",
    [
        "nats-route://127.0.0.1:4245",
        "nats-route://user1:pass1@127.0.0.1:4245",
        "nats-route://127.0.0.1:4245/",
        "nats-route://user@h:1",
        "nats://h:65535",
        "nats://[::1]:4245",
        "nats://u:p@[::1]:4245",
        "nats://u:p%40%2f@h:1",
        "nats://u:p@q@h:1",
        "nats://u:p:q@h:1",
    ],
)
def test_route(url: str) -> None:
    forms = [f"'{url}'", f"['{url}']", f'["{url}",]']
    if "]" not in url:  # which would end the list
        forms += [url, f"[{url}]", f"[\n{url}\n]"]
    for form in forms:
        found = read(f"cluster {{ routes: {form}\n }}")
        assert found == Settings({}, {"routes": (url,)})


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nats-route://%zz", 'error parsing route url ["nats-route://%zz"]'),
        ("nats-route://127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("foo", "missing port in address"),
        ("", "missing port in address"),
        ("nats://u:s3cr3t@h", "address h: missing port in address"),
        ("nats://u:s3cr3t@h:x", 'error parsing route url ["nats://...@h:..."]: PORT'),
        ("nats://u:s3cr3t%@h:1", 'error parsing route url ["nats://...@h:..."]'),
        ("nats://u:s3cr/3t@h:1", 'error parsing route url ["nats://...@h:..."]: LIKE'),
        ("nats://h:s3cr3t", 'error parsing route url ["nats://h:..."]: PORT'),
    ],
)
def test_route_errors(url: str, text: str) -> None:
    text = text.replace("PORT", "the port must be from 1 to 65535")
    text = text.replace("LIKE", "must be like nats://host:port")
    assert (
        block_error("cluster", f"routes: ['nats://a:1', '{url}']")
        == f"24: routes: {text}"
    )
    assert block_error("cluster", f"routes: '{url}'") == f"9: routes: {text}"


# ---- tls ----


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("", {}),
        ("cert_file: a.pem", {"cert_file": "a.pem"}),
        ("key_file: './a b.pem'", {"key_file": "./a b.pem"}),
        ("ca_file: ''", {"ca_file": ""}),
        ("CERT_FILE: a.pem", {"cert_file": "a.pem"}),
        ("verify: true", {"verify": True}),
        ("verify: no", {"verify": False}),
        ("timeout: 2", {"timeout": 2}),
        ("timeout: 0.25", {"timeout": 0.25}),
        ("timeout: '3s'", {"timeout": 3.0}),
        ("timeout: 0", {"timeout": 0.5}),
        ("cert_file: a; cert_file: b", {"cert_file": "b"}),
        ("V = yes; verify: $V", {"verify": True}),
        *(
            (f"cipher_suites: [{name}]", {"cipher_suites": (name,)})
            for name in ciphers.SUPPORTED
        ),
        (f"cipher_suites: {GCM}", {"cipher_suites": (GCM,)}),
    ],
)
def test_tls(inside: str, expected: dict[str, Any]) -> None:
    assert read(f"tls {{ {inside} }}") == Settings({}, tls=expected)
    Tls(**expected)


@pytest.mark.parametrize("name", ciphers.RETIRED)
def test_retired_ciphers_are_left_out(name: str) -> None:
    assert read(f"tls {{ cipher_suites: [{name}, {GCM}] }}") == Settings(
        {},
        tls={"cipher_suites": (GCM,)},
        warnings=(f"f.conf:1:23: {name} is not supported any more, ignored",),
    )


BAD_FILE = [
    (
        f"{name}: {value}",
        f"{len(name) + 3}: {TLS_ERROR} expected '{name}' to be filename",
    )
    for name in ("cert_file", "key_file", "ca_file")
    for value in ("1", "true", "[a]", "{}")
]


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        *BAD_FILE,
        ("verify: 1", f"9: {TLS_ERROR} expected 'verify' to be a boolean"),
        ("verify: 'true'", f"9: {TLS_ERROR} expected 'verify' to be a boolean"),
        (
            "timeout: x",
            '10: timeout: must be a number of seconds, or a time such as "1m30s"',
        ),
        ("timeout: -1", "10: timeout: must be from 0.001 to 86400 seconds, not -1"),
        ("cipher_suites: []", f"16: {TLS_ERROR} 'cipher_suites' cannot be empty"),
        ("cipher_suites: [X]", "17: Unrecognized cipher X"),
        (f"cipher_suites: [{GCM}, BAD]", "56: Unrecognized cipher BAD"),
        (f"cipher_suites: [{GCM.lower()}]", f"17: Unrecognized cipher {GCM.lower()}"),
        (
            "cipher_suites: [1]",
            "17: cipher_suites: must be text, not a whole number; put it into quotes",
        ),
        (
            f"cipher_suites: [{RC4}]",
            f"16: {TLS_ERROR} none of 'cipher_suites' is supported any more",
        ),
        ("foo: 1", f'1: {TLS_ERROR} unknown field ["foo"]'),
        ("insecure: true", f'1: {TLS_ERROR} unknown field ["insecure"]'),
        ("'a\x1b': 1", f'1: {TLS_ERROR} unknown field ["a\\x1b"]'),
    ],
)
@pytest.mark.parametrize("block", ["tls", "cluster { tls"])
def test_tls_errors(block: str, inside: str, text: str) -> None:
    close = " }" if "cluster" in block else ""
    assert error(f"{block} {{\n{inside}\n}}{close}") == f"f.conf:2:{text}"
