"""A file and a command line: who wins, for every flag, and what is refused."""

import shlex
from typing import Any

import pytest

from pynatsd import merge
from pynatsd.flags import parse
from pynatsd.options import Cluster, Options, Permissions, Rules, Tls, User
from pynatsd.settings import Settings

SEEN = (
    ": visible to other users of this machine in the list of processes; "
    "prefer the configuration file"
)
USERS = (User("a", "pa"), User("b", "pb"))
TLS: dict[str, Any] = {"cert_file": "f.crt", "key_file": "f.key"}


def file(
    cluster: dict[str, Any] | None = None,
    tls: dict[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
    **values: Any,
) -> Settings:
    return Settings(values, cluster, tls, warnings)


def merged(settings: Settings | None, line: str) -> tuple[dict[str, Any], list[str]]:
    """What differs from the defaults, and the warnings."""
    options, warnings = merge.options(settings, parse(shlex.split(line)))
    plain = Options()
    changed = {
        name: getattr(options, name)
        for name in Options.__slots__
        if getattr(options, name) != getattr(plain, name)
    }
    return changed, warnings


def refusal(settings: Settings | None, line: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - callers compare the text
        merge.options(settings, parse(shlex.split(line)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- every flag overrides the file ----


@pytest.mark.parametrize(
    ("values", "line", "expected"),
    [
        ({}, "", {}),
        # Merged by the original too.
        ({"port": 1}, "", {"port": 1}),
        ({"port": 1}, "-p 2", {"port": 2}),
        ({"port": 1}, "-p -1", {"port": -1}),
        ({"host": "a"}, "-a b", {"host": "b"}),
        ({"user": "u", "password": "p"}, "", {"user": "u", "password": "p"}),
        ({"http_port": 1}, "-m 2", {"http_port": 2}),
        ({"debug": False}, "-D", {"debug": True}),
        ({"trace": False}, "-V", {"trace": True}),
        ({"logtime": True}, "-T=false", {"logtime": False}),
        ({"log_file": "a"}, "-l b", {"log_file": "b"}),
        ({"pid_file": "a"}, "-P b", {"pid_file": "b"}),
        ({"prof_port": 1}, "--profile 2", {"prof_port": 2}),
        # Lost by it.
        ({"syslog": False}, "-s", {"syslog": True}),
        (
            {"remote_syslog": "udp://a:1"},
            "-r udp://b:1",
            {"remote_syslog": "udp://b:1"},
        ),
        # Of later servers.
        ({"server_name": "a"}, "-n b", {"server_name": "b"}),
        ({"ports_file_dir": "a"}, "--ports_file_dir b", {"ports_file_dir": "b"}),
        ({"threads": 60}, "--threads 61", {"threads": 61}),
        ({"log_format": "text"}, "--log_format json", {"log_format": "json"}),
        # 0, "" and false are values like others.
        ({"port": 1}, "-p 0", {}),
        ({"port": 0}, "", {}),
        ({"host": "a"}, "-a ''", {}),
        ({"host": ""}, "", {}),
        ({"http_port": 1}, "-m 0", {}),
        ({"https_port": 1}, "-ms 0", {}),
        ({"prof_port": 1}, "--profile 0", {}),
        ({"debug": True}, "-D=false", {}),
        ({"trace": True}, "-V=0", {}),
        ({"debug": True, "trace": True}, "-DV=false", {}),
        ({"syslog": True}, "-s=false", {}),
        ({"log_file": "a"}, "-l ''", {}),
        ({"pid_file": "a"}, "-P=", {}),
        ({"remote_syslog": "udp://a:1"}, "-r ''", {}),
        ({"server_name": "a"}, "-n ''", {}),
        # Time in the log: what was typed, else the file, else true.
        ({"logtime": False}, "", {"logtime": False}),
        ({"logtime": False}, "-T", {}),
        ({"logtime": False}, "-T=false", {"logtime": False}),
        ({}, "-T=false", {"logtime": False}),
        # The two flags that set two.
        ({"debug": True}, "-V", {"debug": True, "trace": True}),
        ({"trace": True}, "-DV -V=false", {"debug": True}),
        # What no flag says stays.
        (
            {"max_payload": 9, "http_host": "h"},
            "-p 1",
            {"max_payload": 9, "http_host": "h", "port": 1},
        ),
    ],
)
def test_flags_override(values: dict[str, Any], line: str, expected: Any) -> None:
    assert merged(file(**values), line) == (expected, [])


def test_https_port_overrides() -> None:
    changed, _ = merged(file(https_port=1, tls=TLS), "-ms 2")
    assert changed == {"https_port": 2, "tls": Tls(**TLS)}


def test_no_file() -> None:
    assert merged(None, "-p 4333 -D") == ({"port": 4333, "debug": True}, [])
    assert merged(None, "-p 0 -a '' -m 0 -D=false") == ({}, [])


def test_warnings_of_the_file_come_first() -> None:
    settings = file(warnings=("x.conf:1:1: a", "x.conf:2:1: b"))
    assert merged(settings, "--auth t")[1] == [*settings.warnings, "--auth" + SEEN]


def test_the_file_is_not_changed() -> None:
    settings = file(
        {"port": 1}, dict(TLS), users=USERS, no_auth_user="a", host="", token=""
    )
    before = repr((settings.values, settings.cluster, settings.tls))
    merged(settings, "--user z --pass p --cluster nats://h:2 --tlskey k")
    assert repr((settings.values, settings.cluster, settings.tls)) == before


# ---- who may log in ----


ONE: dict[str, Any] = {"user": "u", "password": "p"}
LIST: dict[str, Any] = {"users": USERS, "no_auth_user": "a"}


@pytest.mark.parametrize(
    ("values", "line", "expected", "warnings"),
    [
        ({}, "--user z --pass q", {"user": "z", "password": "q"}, ["--pass" + SEEN]),
        ({}, "--auth t", {"token": "t"}, ["--auth" + SEEN]),
        ({}, "--user z", {"user": "z"}, ["--user: has no password"]),
        # A user of the file.
        (ONE, "--user z", {"user": "z", "password": "p"}, []),
        (ONE, "--pass q", {"user": "u", "password": "q"}, ["--pass" + SEEN]),
        (
            *(ONE, "--user z --pass q"),
            {"user": "z", "password": "q"},
            ["--pass" + SEEN],
        ),
        (
            *(ONE, "--auth t", ONE),
            ["--auth" + SEEN, "--auth: ignored, because users log in by name"],
        ),
        (
            *(ONE, "--user z --auth t", {"user": "z", "password": "p"}),
            ["--auth" + SEEN, "--auth: ignored, because users log in by name"],
        ),
        # Users of the file.
        (LIST, "", LIST, []),
        (
            *(LIST, "--user z --pass q", {"user": "z", "password": "q"}),
            ["--pass" + SEEN, "--user: replaces the users of the file"],
        ),
        (
            *(LIST, "--auth t", LIST),
            ["--auth" + SEEN, "--auth: ignored, because users log in by name"],
        ),
        # A token of the file.
        ({"token": "f"}, "--auth t", {"token": "t"}, ["--auth" + SEEN]),
        (
            *({"token": "f"}, "--user z --pass q", {"user": "z", "password": "q"}),
            ["--pass" + SEEN, "--user: replaces the token of the file"],
        ),
        # Both on the command line.
        (
            *({}, "--user z --pass q --auth t", {"user": "z", "password": "q"}),
            [
                "--pass" + SEEN,
                "--auth" + SEEN,
                "--auth: ignored, because users log in by name",
            ],
        ),
        # A variable that is not set opens nothing.
        (ONE, "--user '' --pass '' --auth ''", ONE, []),
        (LIST, "--user ''", LIST, []),
        ({"token": "f"}, "--auth=", {"token": "f"}, []),
        ({}, "--user '' --pass ''", {}, []),
    ],
)
def test_login(
    values: dict[str, Any], line: str, expected: Any, warnings: list[str]
) -> None:
    assert merged(file(**values), line) == (expected, warnings)


@pytest.mark.parametrize(
    ("values", "line", "text"),
    [
        ({}, "--pass q", "--pass: needs --user, or a user in the file"),
        ({}, "--user '' --pass q", "--pass: needs --user, or a user in the file"),
        ({}, "--pass q --auth t", "--pass: needs --user, or a user in the file"),
        (LIST, "--pass q", "--pass: needs --user, or a user in the file"),
        ({"token": "f"}, "--pass q", "--pass: needs --user, or a user in the file"),
        (
            LIST,
            "--user z",
            "--user: replaces the users of the file, so it needs --pass",
        ),
        (
            *(LIST, "--user z --pass ''"),
            "--user: replaces the users of the file, so it needs --pass",
        ),
        (
            *({"token": "f"}, "--user z"),
            "--user: replaces the token of the file, so it needs --pass",
        ),
    ],
)
def test_login_refused(values: dict[str, Any], line: str, text: str) -> None:
    assert refusal(file(**values), line) == text


def test_permissions_of_the_file_stay() -> None:
    rules = Permissions(publish=Rules(allow=("a",)))
    changed, _ = merged(file(default_permissions=rules, **LIST), "-D")
    assert changed == {**LIST, "default_permissions": rules, "debug": True}


# ---- TLS ----


@pytest.mark.parametrize(
    ("tls", "line", "expected"),
    [
        (None, "", None),
        (None, "--tls=false", None),
        (None, "--tlsverify=false", None),
        (None, "--tls --tlscert c --tlskey k", Tls(cert_file="c", key_file="k")),
        (
            *(None, "--tlsverify --tlscert c --tlskey k --tlscacert a"),
            Tls(cert_file="c", key_file="k", ca_file="a", verify=True),
        ),
        (
            *(None, "--tls=false --tlsverify --tlscert c --tlskey k"),
            Tls(cert_file="c", key_file="k", verify=True),
        ),
        (
            *(None, "--tls --tlsverify=false --tlscert c --tlskey k"),
            Tls(cert_file="c", key_file="k"),
        ),
        # With the block of a file.
        (TLS, "", Tls(**TLS)),
        ({}, "", Tls()),
        (TLS, "--tls", Tls(**TLS)),
        (TLS, "--tls=false", None),
        (TLS, "--tlscert c", Tls(cert_file="c", key_file="f.key")),
        (TLS, "--tlskey k", Tls(cert_file="f.crt", key_file="k")),
        (TLS, "--tlscacert a", Tls(**TLS, ca_file="a")),
        (TLS, "--tlsverify", Tls(**TLS, verify=True)),
        ({**TLS, "verify": True}, "--tlsverify=false", Tls(**TLS)),
        ({**TLS, "verify": True}, "--tls", Tls(**TLS, verify=True)),
        (
            {**TLS, "timeout": 9},
            "--tls --tlskey k",
            Tls(cert_file="f.crt", key_file="k", timeout=9),
        ),
    ],
)
def test_tls(tls: dict[str, Any] | None, line: str, expected: Tls | None) -> None:
    options, warnings = merge.options(file(None, tls), parse(shlex.split(line)))
    assert (options.tls, warnings) == (expected, [])


@pytest.mark.parametrize(
    ("line", "warnings"),
    [
        ("--tlscert c", ["--tlscert: ignored without --tls"]),
        ("--tlskey k --tls=false", ["--tlskey: ignored without --tls"]),
        (
            "--tlscacert a --tlskey k --tlscert c",
            [
                "--tlscert: ignored without --tls",
                "--tlskey: ignored without --tls",
                "--tlscacert: ignored without --tls",
            ],
        ),
        ("--tlscert ''", []),
    ],
)
def test_tls_files_alone(line: str, warnings: list[str]) -> None:
    assert merged(None, line) == ({}, warnings)


CERT = "TLS Server certificate must be present and valid."
KEY = "TLS Server private key must be present and valid."


@pytest.mark.parametrize(
    ("settings", "line", "text"),
    [
        (None, "--tls", CERT),
        (None, "--tls --tlskey k", CERT),
        (None, "--tls --tlscert c", KEY),
        (None, "--tlsverify", CERT),
        (None, "--tlsverify --tlscert c --tlscacert a", KEY),
        (file(tls={}), "--tls", CERT),
        (file(tls={"cert_file": "c"}), "--tlsverify", KEY),
        (file(tls=TLS), "--tlscert ''", CERT),
        (file(tls=TLS), "--tlskey=", KEY),
        (None, "-ms 8443", "TLS cert and key required for HTTPS"),
        (file(https_port=1), "", "TLS cert and key required for HTTPS"),
        (file(https_port=1, tls=TLS), "--tls=0", "TLS cert and key required for HTTPS"),
    ],
)
def test_tls_refused(settings: Settings | None, line: str, text: str) -> None:
    assert refusal(settings, line) == text


# ---- the cluster ----


FILE_CLUSTER: dict[str, Any] = {
    "host": "fh",
    "port": 1,
    "user": "fu",
    "password": "fp",
    "auth_timeout": 3,
    "routes": ("nats://f:1",),
    "tls": Tls(**TLS),
}


@pytest.mark.parametrize(
    ("cluster", "line", "changes", "warnings"),
    [
        (FILE_CLUSTER, "", {}, []),
        (FILE_CLUSTER, "--cluster nats://h:2", {"host": "h", "port": 2}, []),
        (
            *(FILE_CLUSTER, "--cluster nats://u:p@h:2"),
            {"host": "h", "port": 2, "user": "u", "password": "p"},
            ["--cluster" + SEEN],
        ),
        (FILE_CLUSTER, "--cluster nats://:2", {"host": "0.0.0.0", "port": 2}, []),
        (FILE_CLUSTER, "--cluster nats://h:0", {"host": "h", "port": 0}, []),
        (FILE_CLUSTER, "--cluster ''", {}, []),
        (FILE_CLUSTER, "--routes nats://r:1", {"routes": ("nats://r:1",)}, []),
        (FILE_CLUSTER, "--routes ''", {"routes": ()}, []),
        (
            *(FILE_CLUSTER, "--routes nats://u:p@r:1"),
            {"routes": ("nats://u:p@r:1",)},
            ["--routes" + SEEN],
        ),
        (
            *(FILE_CLUSTER, "--cluster nats://h:2 --routes nats://r:1"),
            {"host": "h", "port": 2, "routes": ("nats://r:1",)},
            [],
        ),
        ({}, "--cluster nats://h:2", {"host": "h", "port": 2}, []),
    ],
)
def test_cluster_of_a_file(
    cluster: dict[str, Any], line: str, changes: dict[str, Any], warnings: list[str]
) -> None:
    changed, found = merged(file(cluster), line)
    assert changed == {"cluster": Cluster(**{**cluster, **changes})}
    assert found == warnings


def test_cluster_without_a_file() -> None:
    assert merged(None, "--routes ''")[0] == {"cluster": Cluster()}
    assert merged(file(), "--cluster nats://h:2 --routes nats://r:1") == (
        {"cluster": Cluster(host="h", port=2, routes=("nats://r:1",))},
        [],
    )


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (None, "--routes nats://r:1"),
        (file(), "-routes://r:1"),
        (file({}), "--routes nats://r:1"),
        (file({"host": "h"}), "--routes nats://r:1"),
        (file({"port": 1}), "--routes nats://r:1 --cluster nats://h:0"),
    ],
)
def test_routes_need_a_cluster(settings: Settings | None, line: str) -> None:
    assert refusal(settings, line) == (
        "Solicited routes require cluster capabilities, e.g. --cluster."
    )


def test_routes_of_a_file_without_a_port_are_left_alone() -> None:
    """As in the original: there is no cluster."""
    cluster: dict[str, Any] = {"routes": ("nats://r:1",)}
    assert merged(file(cluster), "") == ({"cluster": Cluster(**cluster)}, [])


# ---- errors of options ----


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("-p 65536", "port: must be from -1 to 65535, not 65536"),
        ("-p -2", "port: must be from -1 to 65535, not -2"),
        ("-m 65536", "http_port: must be from -1 to 65535, not 65536"),
        (
            "-ms -2 --tls --tlscert c --tlskey k",
            "https_port: must be from -1 to 65535, not -2",
        ),
        ("--profile 65536", "prof_port: must be from -1 to 65535, not 65536"),
        ("--threads 0", "threads: must be from 1 to 64, not 0"),
        ("--threads 65", "threads: must be from 1 to 64, not 65"),
        ("--log_format xml", "log_format: text or json, not 'xml'"),
        ("--log_format 'a\nb'", r"log_format: text or json, not 'a\nb'"),
        ("--log_format ''", "log_format: text or json, not ''"),
        ("-n " + "x" * 257, "server_name: at most 256 characters"),
        (
            "--user z --pass '$2a$11$short'",
            "password: looks like a bcrypt hash but is not a valid one",
        ),
        (
            "--auth '$2a$11$short'",
            "token: looks like a bcrypt hash but is not a valid one",
        ),
    ],
)
def test_out_of_range(line: str, text: str) -> None:
    assert refusal(None, line) == text


def test_users_and_token_of_a_program_pass_through() -> None:
    assert refusal(file(users=USERS, token="t"), "-D") == (
        "users: not together with a single user or token"
    )


# ---- parts that are not built yet ----


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ([], "")),
        ({"cluster": Cluster()}, ([], "")),
        ({"cluster": Cluster(routes=("nats://r:1",))}, ([], "")),
        ({"cluster": Cluster(port=1)}, (["clustering is not built yet: ignored"], "")),
        ({"cluster": Cluster(port=-1)}, (["clustering is not built yet: ignored"], "")),
        (
            {"cluster": Cluster(port=1, tls=Tls())},
            (["clustering is not built yet: ignored"], ""),
        ),
        ({"http_port": 1}, (["monitoring is not built yet: ignored"], "")),
        ({"https_port": -1}, (["monitoring is not built yet: ignored"], "")),
        ({"prof_port": 1}, (["profiling is not built yet: ignored"], "")),
        ({"tls": Tls()}, ([], "TLS is not built yet")),
        (
            {
                "cluster": Cluster(port=1),
                "http_port": 1,
                "https_port": 1,
                "prof_port": 1,
                "tls": Tls(),
            },
            (
                [
                    "clustering is not built yet: ignored",
                    "monitoring is not built yet: ignored",
                    "profiling is not built yet: ignored",
                ],
                "TLS is not built yet",
            ),
        ),
    ],
)
def test_missing(settings: dict[str, Any], expected: tuple[list[str], str]) -> None:
    assert merge.missing(Options(**settings)) == expected
