"""The command line: what each word asks for, exact texts, exact statuses."""

import shlex
from typing import Any

import pytest

from pynatsd import __version__, usage
from pynatsd.flags import Command, Exit, parse

USAGE = usage.USAGE
VERSION = f"pynatsd version {__version__}\n"


def typed(**settings: Any) -> Command:
    return Command(settings=settings)


def end(words: list[str]) -> tuple[int, str, str]:
    with pytest.raises(Exit) as caught:
        parse(words)
    return caught.value.status, caught.value.out, caught.value.err


# ---- syntax ----


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", typed()),
        # One or two dashes.
        ("-p 4333", typed(port=4333)),
        ("--p 4333", typed(port=4333)),
        ("-port 4333", typed(port=4333)),
        ("--port 4333", typed(port=4333)),
        # A value behind = or as a word of its own.
        ("-p=4333", typed(port=4333)),
        ("--port=4333", typed(port=4333)),
        ("--pid=x=y", typed(pid_file="x=y")),
        ("-l -p", typed(log_file="-p")),
        ("-l --", typed(log_file="--")),
        ("-l ''", typed(log_file="")),
        ("-a=", typed(host="")),
        ("--pid= -D", typed(pid_file="", debug=True)),
        # Booleans.
        *(
            (f"-D={yes}", typed(debug=True))
            for yes in ["1", "t", "T", "true", "TRUE", "True"]
        ),
        *(
            (f"-D={no}", typed(debug=False))
            for no in ["0", "f", "F", "false", "FALSE", "False"]
        ),
        ("-D", typed(debug=True)),
        ("-T=false", typed(logtime=False)),
        ("-T", typed(logtime=True)),
        # Integers, as Go reads them.
        ("-p -1", typed(port=-1)),
        ("-p=-1", typed(port=-1)),
        ("-p +5", typed(port=5)),
        ("-p 0", typed(port=0)),
        ("-p 0x7d00", typed(port=32000)),
        ("-p -0X1f", typed(port=-31)),
        ("-p 070000", typed(port=28672)),
        ("-p 0o70000", typed(port=28672)),
        ("-p 0b101", typed(port=5)),
        ("-p 00", typed(port=0)),
        ("-p -0", typed(port=0)),
        ("-p 9223372036854775807", typed(port=2**63 - 1)),
        ("-p -9223372036854775808", typed(port=-(2**63))),
        # The last one wins, whatever its name.
        ("-p 1 -p 2", typed(port=2)),
        ("-p 1 --port 2 -port=3", typed(port=3)),
        ("-D -D=false", typed(debug=False)),
        ("-DV -V=F", typed(debug=True, trace=False)),
        ("-V=F -DV", typed(debug=True, trace=True)),
        ("-c a.conf --config b.conf", Command(config="b.conf")),
        # The end of the flags.
        ("--", typed()),
        ("-D --", typed(debug=True)),
    ],
)
def test_syntax(line: str, expected: Command) -> None:
    assert parse(shlex.split(line)) == expected


@pytest.mark.parametrize(
    ("line", "err"),
    [
        ("foo", 'unrecognized command: "foo"'),
        ("foo -p 31999", 'unrecognized command: "foo"'),
        ("-p 4222 foo", 'unrecognized command: "foo"'),
        ("-T false", 'unrecognized command: "false"'),
        ("-D -", 'unrecognized command: "-"'),
        ("-", 'unrecognized command: "-"'),
        ("-- -p", 'unrecognized command: "-p"'),
        ("-- --", 'unrecognized command: "--"'),
        ("''", 'unrecognized command: ""'),
        ("foo version", 'unrecognized command: "foo"'),
        ("versions", 'unrecognized command: "versions"'),
        ("$'x'", 'unrecognized command: "$x"'),
        ("'a\nb\x1b[1m'", r'unrecognized command: "a\nb\x1b[1m"'),
        ("-c x.conf -t extra", 'unrecognized command: "extra"'),
    ],
)
def test_words_that_are_none_of_ours(line: str, err: str) -> None:
    assert end(shlex.split(line)) == (1, "", f"{err}\n")


# ---- the flags, in the specification's order ----


@pytest.mark.parametrize(
    ("names", "value", "expected"),
    [
        ("-a --addr --net", "127.0.0.1", typed(host="127.0.0.1")),
        ("-a --addr --net", "::1", typed(host="::1")),
        ("-p --port", "4333", typed(port=4333)),
        ("-P --pid", "x.pid", typed(pid_file="x.pid")),
        ("-m --http_port", "8222", typed(http_port=8222)),
        ("-ms --https_port", "8443", typed(https_port=8443)),
        ("-c --config", "x.conf", Command(config="x.conf")),
        ("-l --log", "x.log", typed(log_file="x.log")),
        ("-T --logtime", None, typed(logtime=True)),
        ("-s --syslog", None, typed(syslog=True)),
        ("-r --remote_syslog", "udp://h:1", typed(remote_syslog="udp://h:1")),
        ("-D --debug", None, typed(debug=True)),
        ("-V --trace -VV", None, typed(trace=True)),
        ("-DV -DVV", None, typed(debug=True, trace=True)),
        ("--user", "derek", typed(user="derek")),
        ("--pass", "s3cr3t", typed(password="s3cr3t")),
        ("--auth", "t0k3n", typed(token="t0k3n")),
        ("--tls", None, Command(tls={"is_on": True})),
        ("--tlsverify", None, Command(tls={"verify": True})),
        ("--tlscert", "c.pem", Command(tls={"cert_file": "c.pem"})),
        ("--tlskey", "k.pem", Command(tls={"key_file": "k.pem"})),
        ("--tlscacert", "a.pem", Command(tls={"ca_file": "a.pem"})),
        (
            "--routes",
            "nats-route://a:1,nats://u:p@b:2",
            Command(cluster={"routes": ("nats-route://a:1", "nats://u:p@b:2")}),
        ),
        (
            "--cluster --cluster_listen",
            "nats://127.0.0.1:4248",
            Command(cluster={"host": "127.0.0.1", "port": 4248}),
        ),
        ("--profile", "6060", typed(prof_port=6060)),
        # Of later servers, and ours.
        ("-n --server_name --name", "hub", typed(server_name="hub")),
        ("--threads", "3", typed(threads=3)),
        ("--ports_file_dir", "/run", typed(ports_file_dir="/run")),
        ("-sl --signal", "reload=12", Command(signal="reload=12")),
        ("--strict", None, Command(is_strict=True)),
        ("--log_format", "json", typed(log_format="json")),
    ],
)
def test_every_spelling(names: str, value: str | None, expected: Command) -> None:
    for name in names.split():
        for flag in (f"-{name.lstrip('-')}", f"--{name.lstrip('-')}"):
            if value is None:
                assert parse([flag]) == parse([f"{flag}=true"]) == expected
            else:
                assert parse([flag, value]) == parse([f"{flag}={value}"]) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-t -c x.conf", Command(config="x.conf", is_test=True)),
        ("-t --strict -c x.conf", Command("x.conf", is_test=True, is_strict=True)),
        ("--config ./seed.conf -D", Command("./seed.conf", settings={"debug": True})),
        ("-v=false", typed()),
        ("-h=false", typed()),
        ("--help_tls=false", typed()),
        ("-t=false", typed()),
        ("--tls=false", Command(tls={"is_on": False})),
        ("-m 0 -s=false -c=", typed(http_port=0, syslog=False)),
        ("--user '' --pass ''", typed(user="", password="")),
        # The original's README.
        (
            "-cluster nats://host:4248 -routes://seed:4248",
            Command(
                cluster={
                    "host": "host",
                    "port": 4248,
                    "routes": ("nats-route://seed:4248",),
                }
            ),
        ),
        (
            "--routes://u:p=@seed:4248,nats://b:1",
            Command(cluster={"routes": ("nats-route://u:p=@seed:4248", "nats://b:1")}),
        ),
        (
            "-p 5222 -cluster nats://localhost:5248 -routes nats://localhost:4248 -D",
            Command(
                settings={"port": 5222, "debug": True},
                cluster={
                    "host": "localhost",
                    "port": 5248,
                    "routes": ("nats://localhost:4248",),
                },
            ),
        ),
        (
            "--tls --tlscert=./server-cert.pem --tlskey=./server-key.pem",
            Command(
                tls={
                    "is_on": True,
                    "cert_file": "./server-cert.pem",
                    "key_file": "./server-key.pem",
                }
            ),
        ),
        (
            "--tlsverify --tlscert=s.pem --tlskey=k.pem --tlscacert=ca.pem",
            Command(
                tls={
                    "verify": True,
                    "cert_file": "s.pem",
                    "key_file": "k.pem",
                    "ca_file": "ca.pem",
                }
            ),
        ),
        # Lists of routes.
        (
            "--routes ' nats://a:1 ,\tnats://b:2 '",
            Command(cluster={"routes": ("nats://a:1", "nats://b:2")}),
        ),
        ("--routes nats://a:1,", Command(cluster={"routes": ("nats://a:1",)})),
        ("--routes ''", Command(cluster={"routes": ()})),
        ("--routes ' , '", Command(cluster={"routes": ()})),
        # What other servers must log in with.
        (
            "--cluster nats://u:p%40w@[::1]:-1/",
            Command(
                cluster={"host": "::1", "port": -1, "user": "u", "password": "p@w"}
            ),
        ),
        ("--cluster nats://:4248", Command(cluster={"host": "0.0.0.0", "port": 4248})),
        ("--cluster x://h:0", Command(cluster={"host": "h", "port": 0})),
        ("--cluster ''", typed()),
    ],
)
def test_flags(line: str, expected: Command) -> None:
    assert parse(shlex.split(line)) == expected


def test_no_secret_is_in_the_repr() -> None:
    line = "--pass S1 --auth S2 --cluster nats://u:S3@h:1 --routes nats://u:S4@h:1"
    shown = repr(parse(line.split()))
    assert not any(secret in shown for secret in ("S1", "S2", "S3", "S4"))


def test_an_exit_says_why() -> None:
    assert str(Exit(2, out="usage\n", err="why\n")) == "why\n"
    assert str(Exit(0, out="text\n")) == "text\n"


# ---- what prints and ends well ----


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("-v", VERSION),
        ("--version", VERSION),
        ("--version=true", VERSION),
        ("version", VERSION),
        ("VERSION", VERSION),
        ("-D Version", VERSION),
        ("version foo", VERSION),
        ("version help", VERSION),
        ("-h", USAGE),
        ("--help", USAGE),
        ("-help=1", USAGE),
        ("help", USAGE),
        ("Help", USAGE),
        ("-- help", USAGE),
        ("help version", USAGE),
        ("--help_tls", usage.HELP_TLS),
        # Help acts while flags are read, then version, help_tls, words, the rest.
        ("-v -h", USAGE),
        ("--help_tls -h", USAGE),
        ("-h --nosuch", USAGE),
        ("-h -p", USAGE),
        ("--help_tls -v", VERSION),
        ("-v foo", VERSION),
        ("-v help", VERSION),
        ("--help_tls foo", usage.HELP_TLS),
        ("--help_tls version", usage.HELP_TLS),
        ("-v -c nosuch.conf", VERSION),
        ("version -h", VERSION),
        ("-v --cluster foo", VERSION),
        ("-v --signal foo", VERSION),
        ("-v -t", VERSION),
        ("-p 99999 -v", VERSION),
    ],
)
def test_texts(line: str, out: str) -> None:
    assert end(line.split()) == (0, out, "")


# ---- misuse ----


@pytest.mark.parametrize(
    ("line", "err"),
    [
        # Unknown flags.
        ("-nosuch", "flag provided but not defined: -nosuch"),
        ("--nosuch=1", "flag provided but not defined: -nosuch"),
        ("--nosuch -h", "flag provided but not defined: -nosuch"),
        ("-v --nosuch", "flag provided but not defined: -nosuch"),
        ("-x", "flag provided but not defined: -x"),
        ("-pid4", "flag provided but not defined: -pid4"),
        ("-VD", "flag provided but not defined: -VD"),
        ("-DT", "flag provided but not defined: -DT"),
        ("-A x", "flag provided but not defined: -A"),
        ("--Port 1", "flag provided but not defined: -Port"),
        ("--password=s3cr3t", "flag provided but not defined: -password"),
        ("--jetstream", "flag provided but not defined: -jetstream"),
        ("-cluster://u:s3@h:1", "flag provided but not defined: -cluster://..."),
        ("'-a b'", "flag provided but not defined: -a b"),
        ("'-\x1b[1m'", r"flag provided but not defined: -\x1b[1m"),
        # A value is missing.
        ("-port", "flag needs an argument: -port"),
        ("-p", "flag needs an argument: -p"),
        ("-D -l", "flag needs an argument: -l"),
        ("--routes", "flag needs an argument: -routes"),
        ("--signal", "flag needs an argument: -signal"),
        # A value is no number, or too long.
        ("-p abc", 'invalid value "abc" for flag -p: parse error'),
        ("-p=", 'invalid value "" for flag -p: parse error'),
        ("-p -D", 'invalid value "-D" for flag -p: parse error'),
        ("-p 1_0", 'invalid value "1_0" for flag -p: parse error'),
        ("-p 089", 'invalid value "089" for flag -p: parse error'),
        ("-p 0x", 'invalid value "0x" for flag -p: parse error'),
        ("-p 0b2", 'invalid value "0b2" for flag -p: parse error'),
        ("-p ' 1'", 'invalid value " 1" for flag -p: parse error'),
        ("-p '1\n'", r'invalid value "1\n" for flag -p: parse error'),
        ("-p --1", 'invalid value "--1" for flag -p: parse error'),
        ("-p 1e3", 'invalid value "1e3" for flag -p: parse error'),
        ("--port 1.5", 'invalid value "1.5" for flag -port: parse error'),
        ("-p \u0661", 'invalid value "\u0661" for flag -p: parse error'),
        ("-m x", 'invalid value "x" for flag -m: parse error'),
        ("-ms=x", 'invalid value "x" for flag -ms: parse error'),
        ("--profile x", 'invalid value "x" for flag -profile: parse error'),
        ("--threads x", 'invalid value "x" for flag -threads: parse error'),
        (
            "-p 9223372036854775808",
            'invalid value "9223372036854775808" for flag -p: value out of range',
        ),
        (
            "-p -9223372036854775809",
            'invalid value "-9223372036854775809" for flag -p: value out of range',
        ),
        (
            "-p " + "9" * 5000,
            f'invalid value "{"9" * 5000}" for flag -p: value out of range',
        ),
        # A value is no boolean.
        ("-DV=maybe", 'invalid boolean value "maybe" for -DV: parse error'),
        ("-D=", 'invalid boolean value "" for -D: parse error'),
        ("-T=yes", 'invalid boolean value "yes" for -T: parse error'),
        ("-h=x", 'invalid boolean value "x" for -h: parse error'),
        ("--tls=tRUE", 'invalid boolean value "tRUE" for -tls: parse error'),
        # No flag at all.
        ("---p", "bad flag syntax: ---p"),
        ("---", "bad flag syntax: ---"),
        ("-=3", "bad flag syntax: -=3"),
        ("--=3", "bad flag syntax: --=3"),
        ("-p 1 ---p", "bad flag syntax: ---p"),
    ],
)
def test_misuse(line: str, err: str) -> None:
    assert end(shlex.split(line)) == (2, USAGE, f"{err}\n")


@pytest.mark.parametrize(
    ("line", "err"),
    [
        ("--cluster nats://127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("--cluster nats://u@h:1", "Expected cluster password to be set."),
        (
            "--cluster 127.0.0.1:31998",
            'error parsing cluster url ["127.0.0.1:..."]: must be like nats://host:port',
        ),
        (
            "--cluster_listen nats://h:abc",
            'error parsing cluster url ["nats://h:..."]: '
            "the port must be from -1 to 65535",
        ),
        ("--routes nats://127.0.0.1", "address 127.0.0.1: missing port in address"),
        ("--routes nats://a:1,b", "missing port in address"),
        (
            "--routes nats-route://%zz",
            'error parsing route url ["nats-route://%zz"]',
        ),
        ("-routes://", "missing port in address"),
        (
            "-routes://u:s3cr3t@h:x",
            'error parsing route url ["nats-route://...@h:..."]: '
            "the port must be from 1 to 65535",
        ),
        ("--signal ''", 'unknown signal ""'),
        ("-sl=", 'unknown signal ""'),
        ("-t", "-t: needs a configuration file (-c)"),
        ("-t -c ''", "-t: needs a configuration file (-c)"),
    ],
)
def test_wrong_values(line: str, err: str) -> None:
    assert end(shlex.split(line)) == (1, "", f"{err}\n")
