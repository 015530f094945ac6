"""What a new configuration changes, and what it may not."""

from typing import Any

import pytest

from pynatsd import reload
from pynatsd.options import Cluster, Options, Permissions, Rules, Tls, User
from pynatsd.reload import ReloadError

OLD = Options(
    threads=1, users=(User("a", "pa"), User("b", "pb"), User("c", "pc")), port=4000
)
TIGHT = Permissions(publish=Rules(allow=("x",)))


def told(**settings: Any) -> list[str]:
    values = {"threads": 1, "users": OLD.users, "port": 4000, **settings}
    new = Options(**values)
    return reload.lines(reload.changes(OLD, new), OLD, new)


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({}, []),
        ({"max_payload": 2000}, ["Reloaded: max_payload = 2000"]),
        ({"max_connections": 0}, ["Reloaded: max_connections = 0"]),
        ({"ping_interval": 0.5}, ["Reloaded: ping_interval = 0.5"]),
        ({"debug": True}, ["Reloaded: debug = true"]),
        ({"logtime": False}, ["Reloaded: logtime = false"]),
        ({"log_file": "/x/y"}, ["Reloaded: log_file = /x/y"]),
        ({"auth_timeout": 3}, ["Reloaded: auth_timeout = 3"]),
        ({"no_auth_user": "a"}, ["Reloaded: no_auth_user = a"]),
        ({"default_permissions": TIGHT}, ["Reloaded: default_permissions"]),
        ({"authenticator": print}, ["Reloaded: authenticator"]),
        (
            {"users": (), "token": "tttt", "trace": True},
            [
                "Reloaded: token",
                "Reloaded: users: removed a b c",
                "Reloaded: trace = true",
            ],
        ),
        (
            {"users": (), "user": "u", "password": "pppp"},
            [
                "Reloaded: user = u",
                "Reloaded: password",
                "Reloaded: users: removed a b c",
            ],
        ),
        (
            {"users": (User("a", "px"), User("c", "pc", TIGHT), User("d", "pd"))},
            ["Reloaded: users: added d, removed b, changed a c"],
        ),
        (
            {"users": OLD.users[::-1]},
            ["Reloaded: users: in another order"],
        ),
        (
            {"users": OLD.users + tuple(User(f"u{i}", "p") for i in range(22))},
            [
                "Reloaded: users: added "
                + " ".join(f"u{i}" for i in range(20))
                + " and 2 more"
            ],
        ),
    ],
)
def test_lines(settings: dict[str, Any], lines: list[str]) -> None:
    assert told(**settings) == lines


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "127.0.0.1"),
        ("port", 4001),
        ("threads", 2),
        ("server_name", "x"),
        ("pid_file", "x"),
        ("ports_file_dir", "x"),
        ("http_host", "x"),
        ("http_port", 8222),
        ("https_port", 8222),
        ("prof_port", 1),
        ("cluster", Cluster(port=1)),
        ("tls", Tls(cert_file="x")),
    ],
)
def test_what_needs_a_restart_refuses_the_whole(name: str, value: Any) -> None:
    with pytest.raises(ReloadError) as caught:
        told(**{"max_payload": 2000, name: value})
    assert str(caught.value) == f"{name}: changing it needs a restart"
