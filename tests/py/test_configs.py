"""What lies in configs/ is true of the program that it configures."""

import os
import re
import shlex
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from pynatsd import conf, merge, settings, settings_auth, settings_parts
from pynatsd.flags import parse
from pynatsd.options import Cluster, Options, Permissions, Rules, Tls, User
from pynatsd.settings import Settings

CONFIGS = Path(__file__).parents[2] / "configs"
MIB = 1024 * 1024

# From the original's README; what they are hashes of is said there.
DEREK = "$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"
ROUTE_USER = "$2a$11$xH8dkGrty1cBNtZjhPeWJewu/YPbSU.rXJWmS6SFilOBXzmZoMk9m"
GENERATED = "$2a$11$3kIDaCxw.Glsl1.u5nKa6eUnNDLV5HV9tIuUp7EHhMt6Nm9myW1aS"


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A copy that nobody else can read: a checkout's files are open to all."""
    copy = Path(shutil.copytree(CONFIGS, tmp_path / "configs"))
    for path in copy.iterdir():
        os.chmod(path, 0o600)
    return copy


def test_the_units_command_line_is_accepted() -> None:
    text = (CONFIGS / "pynatsd.service").read_text()
    (line,) = [text for text in text.splitlines() if text.startswith("ExecStart=")]
    program, *words = shlex.split(line.removeprefix("ExecStart="))
    assert Path(program).name == "pynatsd"
    options, warnings = merge.options(None, parse(words))
    assert warnings == []
    assert (options.host, options.port, options.logtime) == ("0.0.0.0", 4222, False)


# ---- the samples of the original's README ----

SAMPLE = Settings(
    {
        "port": 4242,
        "host": "127.0.0.1",
        "http_port": 8222,
        "user": "derek",
        "password": DEREK,
        "auth_timeout": 1,
        "debug": False,
        "trace": True,
        "logtime": False,
        "log_file": "/tmp/nats-server.log",
        "pid_file": "/tmp/nats-server.pid",
        "max_connections": 100,
        "max_control_line": 512,
        "max_payload": 65536,
        "max_pending_size": 10_000_000,
    },
    cluster={
        "host": "127.0.0.1",
        "port": 4244,
        "user": "route_user",
        "password": ROUTE_USER,
        "auth_timeout": 0.5,
        "routes": (
            "nats-route://user1:pass1@127.0.0.1:4245",
            "nats-route://user2:pass2@127.0.0.1:4246",
        ),
    },
)

# As printed, but for a slip of the pen in "overrides".
README = """

port: 4242      # port to listen for client connections
net: apcera.me  # net interface to listen

http_port: 8222 # HTTP monitoring port

# Authorization for client connections
authorization {
  user:     derek
  # ./util/mkpassword -p T0pS3cr3t
  password: $2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG
  timeout:  1
}

# Cluster definition

cluster {

  host: '127.0.0.1'  # host/net interface
  port: 4244         # port for inbound route connections

  # Authorization for route connections
  authorization {
    user: route_user
    # ./util/mkpassword -p T0pS3cr3tT00!
    password: $2a$11$xH8dkGrty1cBNtZjhPeWJewu/YPbSU.rXJWmS6SFilOBXzmZoMk9m
    timeout: 0.5
  }

  # Routes are actively solicited and connected to from this server.
  # Other servers can connect to us if they supply the correct credentials
  # in their routes definitions from above.

  routes = [
    nats-route://user1:pass1@127.0.0.1:4245
    nats-route://user2:pass2@127.0.0.1:4246
  ]
}

# logging options
debug:   false
trace:   true
logtime: false
log_file: "/tmp/nats-server.log"

# pid file
pid_file: "/tmp/nats-server.pid"

# Some system overrides

# max_connections
max_connections: 100

# maximum protocol control line
max_control_line: 512

# maximum payload
max_payload: 65536

# slow consumer threshold
max_pending_size: 10000000

"""


def test_the_sample_as_printed() -> None:
    found = settings.read(conf.parse(README, "README"), strict=True)
    assert found == Settings(SAMPLE.values | {"host": "apcera.me"}, SAMPLE.cluster)


# ---- every file ----

APP = Rules(("app.>", "_INBOX.>"))

EXPECTED: dict[str, Settings] = {
    "sample.conf": SAMPLE,
    "seed.conf": Settings(
        {"port": 4222, "host": "127.0.0.1", "http_port": 8222},
        cluster={"host": "127.0.0.1", "port": 4248},
    ),
    "seed-second.conf": Settings(
        {"port": 5222, "host": "127.0.0.1"},
        cluster={
            "host": "127.0.0.1",
            "port": 5248,
            "routes": ("nats-route://127.0.0.1:4248",),
        },
    ),
    "seed-third.conf": Settings(
        {"port": 6222, "host": "127.0.0.1"},
        cluster={
            "host": "127.0.0.1",
            "port": 6248,
            "routes": ("nats-route://127.0.0.1:4248",),
        },
    ),
    "bcrypt.conf": Settings({"user": "derek", "password": GENERATED}),
    "tls.conf": Settings(
        {
            "host": "127.0.0.1",
            "port": 4443,
            "user": "derek",
            "password": DEREK,
            "auth_timeout": 1,
        },
        tls={
            "cert_file": "./configs/certs/server-cert.pem",
            "key_file": "./configs/certs/server-key.pem",
            "timeout": 2,
        },
    ),
    "tls-verify.conf": Settings(
        {"host": "127.0.0.1", "port": 4443},
        tls={
            "cert_file": "./configs/certs/server-cert.pem",
            "key_file": "./configs/certs/server-key.pem",
            "ca_file": "./configs/certs/ca.pem",
            "verify": True,
        },
    ),
    "tls-cluster.conf": Settings(
        {},
        cluster={
            "host": "127.0.0.1",
            "port": 4244,
            "tls": Tls(
                cert_file="./configs/certs/srva-cert.pem",
                key_file="./configs/certs/srva-key.pem",
                ca_file="./configs/certs/ca.pem",
                verify=True,
            ),
            "routes": ("nats-route://127.0.0.1:4246",),
        },
    ),
    "minimal.conf": Settings(
        {
            "port": 4222,
            "user": "app",
            "password": "change me",
            "auth_timeout": 2,
            "pid_file": "/var/run/gnatsd.pid",
            "log_file": "/var/log/gnatsd.log",
        }
    ),
    "development.conf": Settings(
        {
            "host": "127.0.0.1",
            "port": 4222,
            "http_host": "127.0.0.1",
            "http_port": 8222,
            "server_name": "development",
            "debug": True,
            "trace": True,
        }
    ),
    "single-user.conf": Settings(
        {"host": "0.0.0.0", "port": 4222, "user": "app", "password": "change me"}
    ),
    "token.conf": Settings({"token": "change me"}),
    "users.conf": Settings(
        {
            "users": (
                User("admin", "change me", Permissions(Rules((">",)), Rules((">",)))),
                User(
                    "orders",
                    "change me, too",
                    Permissions(
                        Rules(("orders.>", "_INBOX.>")),
                        Rules(
                            ("orders.>", "_INBOX.>", "requests.* workers"),
                            ("orders.secret.>",),
                        ),
                    ),
                ),
                User("guest", ""),
            ),
            "default_permissions": Permissions(
                Rules(("public.>",)), Rules(("public.>", "_INBOX.>"))
            ),
            "no_auth_user": "guest",
        }
    ),
    "load-balancer.conf": Settings(
        {
            "host": "0.0.0.0",
            "port": 4222,
            "http_port": 8222,
            "max_connections": 200_000,
            "max_subscriptions": 1000,
            "max_payload": 262144,
            "ping_interval": 30.0,
            "ping_max": 3,
            "lame_duck_grace_period": 5.0,
            "lame_duck_duration": 30.0,
            "syslog": True,
        }
    ),
    "modern.conf": Settings(
        {
            "host": "0.0.0.0",
            "port": 4222,
            "http_host": "127.0.0.1",
            "http_port": 8222,
            "server_name": "n1",
            "ports_file_dir": "/run/pynatsd",
            "max_payload": 8 * MIB,
            "max_pending_size": 64 * MIB,
            "max_control_line": 4096,
            "max_subscriptions": 10_000,
            "ping_interval": 20.0,
            "ping_max": 2,
            "write_deadline": 10.0,
            "lame_duck_duration": 90.0,
            "log_file": "/var/log/pynatsd.log",
            "auth_timeout": 2.0,
            "users": (User("app", DEREK, Permissions(APP, APP)),),
        }
    ),
    "modern-users.conf": Settings(
        {
            "auth_timeout": 2.0,
            "users": (User("app", DEREK, Permissions(APP, APP)),),
        }
    ),
}


def accepted(found: Settings) -> Options:
    """What a server would be started with."""
    options, warnings = merge.options(found, parse([]))
    assert warnings == []
    return options


def test_every_file_is_loaded_by_some_test() -> None:
    names = {path.name for path in CONFIGS.iterdir()}
    assert names == {*EXPECTED, "everything.conf", "pynatsd.service"}


@pytest.mark.parametrize("name", EXPECTED)
def test_file(name: str, configs: Path) -> None:
    found = settings.load(str(configs / name), strict=True)
    assert found == EXPECTED[name]
    accepted(found)


@pytest.mark.parametrize("name", [*EXPECTED, "everything.conf"])
def test_it_begins_with_a_comment(name: str) -> None:
    assert re.match(r"# [A-Z]", (CONFIGS / name).read_text())


@pytest.mark.parametrize(
    ("secret", "password"),
    [
        (DEREK, b"T0pS3cr3t"),
        (ROUTE_USER, b"T0pS3cr3tT00!"),
        (GENERATED, b"#IclkRPHUpsTmACWzmIGXr"),
    ],
)
def test_the_passwords_of_the_comments(secret: str, password: bytes) -> None:
    assert bcrypt.checkpw(password, secret.encode())
    named = [path for path in CONFIGS.glob("*.conf") if secret in path.read_text()]
    assert named
    for path in named:
        assert re.search(
            rf"password is {re.escape(password.decode())}(;|$)",
            path.read_text(),
            re.MULTILINE,
        )


# ---- everything.conf ----


def uncommented(text: str) -> str:
    """With the settings that are commented out: "# " and a word is a comment."""
    return re.sub(r"(?m)^#(?! \S)", "", text)


def test_everything_is_the_defaults(configs: Path) -> None:
    found = settings.load(str(configs / "everything.conf"), strict=True)
    assert found.warnings == ()
    assert found.tls is None
    assert found.cluster == {"host": "0.0.0.0", "port": 0}
    defaults = Options()
    assert found.values == {name: getattr(defaults, name) for name in found.values}
    assert accepted(found) == Options(cluster=Cluster())


def test_everything_that_is_commented_out(
    configs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("mycompany.login")
    module.__dict__["check"] = print
    monkeypatch.setitem(sys.modules, "mycompany", types.ModuleType("mycompany"))
    monkeypatch.setitem(sys.modules, "mycompany.login", module)
    path = configs / "everything.conf"
    path.write_text(uncommented(path.read_text()))
    found = settings.load(str(path), strict=True)
    assert found.warnings == ()
    defaults: dict[str, Any] = {name: getattr(Options(), name) for name in found.values}
    assert found.values == defaults | {
        "server_name": "n1",
        "threads": 4,
        "log_file": "/var/log/pynatsd.log",
        "remote_syslog": "udp://127.0.0.1:514",
        "pid_file": "/run/pynatsd.pid",
        "ports_file_dir": "/run/pynatsd",
        "http_host": "127.0.0.1",
        "http_port": 8222,
        "https_port": 8443,
        "default_permissions": Permissions(
            Rules(("public.>",)), Rules(("public.>", "jobs workers"))
        ),
        "users": (
            User(
                "app",
                "change me",
                Permissions(
                    Rules(("app.>", "_INBOX.>"), ("app.secret",)),
                    Rules((">",), ("app.secret", "$SYS.>")),
                ),
            ),
            User("guest", ""),
        ),
        "no_auth_user": "guest",
        "authenticator": print,
    }
    assert found.tls == {
        "cert_file": "./configs/certs/server-cert.pem",
        "key_file": "./configs/certs/server-key.pem",
        "ca_file": "./configs/certs/ca.pem",
        "verify": False,
        "timeout": 0.5,
        "cipher_suites": (
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ),
    }
    assert found.cluster == {
        "host": "0.0.0.0",
        "port": 4248,
        "user": "route",
        "password": "change me",
        "auth_timeout": 1.0,
        "routes": ("nats-route://route:change%20me@127.0.0.1:4249",),
        "tls": Tls(
            cert_file="./configs/certs/srva-cert.pem",
            key_file="./configs/certs/srva-key.pem",
            ca_file="./configs/certs/ca.pem",
            verify=True,
        ),
    }
    accepted(found)


def test_everything_names_every_key_and_alias() -> None:
    words = set(re.findall(r"\w+", (CONFIGS / "everything.conf").read_text()))
    for names in (
        settings.KNOWN,
        (*settings_auth.NAMES, *settings_auth.ALIASES),
        (*settings_auth.USER_NAMES, *settings_auth.USER_ALIASES),
        (*settings_auth.PERMISSION_NAMES, *settings_auth.PERMISSION_ALIASES),
        settings_auth.RULE_NAMES,
        (*settings_parts.CLUSTER_NAMES, *settings_parts.CLUSTER_ALIASES),
    ):
        assert set(names) <= words
