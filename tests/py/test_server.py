"""The embedded server: its life, what it tells its clients, what it leaves behind."""

import json
import logging
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pynatsd
from pynatsd import (
    CoreError,
    ListenError,
    Options,
    Server,
    connect,
    core,
    pollers,
)
from pynatsd.info import new_server_id

ROUNDS = int(os.environ.get("PYNATSD_ROUNDS", "40"))  # 500 in the long form

TEN_FIELDS = [
    *("server_id", "version", "go", "host", "port", "auth_required"),
    *("ssl_required", "tls_required", "tls_verify", "max_payload"),
]


class Client:
    """A connection that has read INFO."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.file = self.socket.makefile("rb")
        self.info_line = self.file.readline()
        self.info: dict[str, Any] = json.loads(self.info_line[5:])

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def lines(self, count: int) -> list[bytes]:
        return [self.file.readline() for _ in range(count)]

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def client_of(server: Server) -> Client:
    return Client(("127.0.0.1", server.port))


def threads_of_servers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("pynatsd")]


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


# ---- what clients are told ----


def test_info() -> None:
    with Server(port=0, max_payload=1000) as server, client_of(server) as client:
        line, info = client.info_line, client.info
        assert line.startswith(b'INFO {"server_id":"')
        assert line.endswith(b'"} \r\n')
        assert b", " not in line
        assert b": " not in line
        assert list(info) == [
            *TEN_FIELDS,
            *("proto", "headers", "server_name", "client_id", "client_ip"),
        ]
        assert re.fullmatch("[0-9A-Za-z]{22}", info["server_id"])
        assert info == {
            "server_id": server.server_id,
            "version": pynatsd.__version__,
            "go": "python" + sys.version.split()[0],
            "host": "127.0.0.1",
            "port": server.port,
            "auth_required": False,
            "ssl_required": False,
            "tls_required": False,
            "tls_verify": False,
            "max_payload": 1000,
            "proto": 1,
            "headers": True,
            "server_name": server.server_id,
            "client_id": 1,
            "client_ip": "127.0.0.1",
        }


def test_server_name_and_unlimited_payload() -> None:
    name = 'hub "é"'
    with (
        Server(port=0, server_name=name, max_payload=-1) as server,
        client_of(server) as client,
    ):
        assert client.info["server_name"] == name
        assert client.info["max_payload"] == -1
        assert client.info_line.isascii()


def test_ids_are_new_at_every_start() -> None:
    server = Server(port=0)
    ids = set()
    for _ in range(3):
        with server:
            ids.add(server.server_id)
    assert len(ids) == 3


def test_server_ids_use_the_whole_alphabet() -> None:
    assert len(set("".join(new_server_id() for _ in range(500)))) == 62


# ---- CONNECT, through the engine ----


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"CONNECT {}\r\nPING\r\n", b"+OK\r\nPONG\r\n"),
        (b'CONNECT {"verbose":false}\r\nPING\r\n', b"PONG\r\n"),
        (b'CONNECT{"VERBOSE":false,"x":[{}]}\r\nPING\r\n', b"PONG\r\n"),
        (b"CONNECT null\r\nPING\r\n", b"+OK\r\nPONG\r\n"),
        (
            b'CONNECT {"verbose":false}\r\nCONNECT {"name":"n"}\r\nPING\r\n',
            b"PONG\r\n",
        ),
        (
            b'CONNECT {"verbose":false}\r\nCONNECT {"verbose":true}\r\nPING\r\n',
            b"+OK\r\nPONG\r\n",
        ),
        (b"INFO {}\r\nPING\r\n", b"PONG\r\n"),
        (b'CONNECT {"verbose":false}\r\nINFO {"a":1}\r\nPING\r\n', b"PONG\r\n"),
    ],
)
def test_admitted(sent: bytes, answer: bytes) -> None:
    with Server(port=0) as server, client_of(server) as client:
        client.send(sent)
        assert client.file.read(len(answer)) == answer


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"CONNECT []\r\n", b"-ERR 'Parser Error'\r\n"),
        (b"CONNECT \xff\r\n", b"-ERR 'Parser Error'\r\n"),
        (b'CONNECT {"verbose":1}\r\n', b"-ERR 'Parser Error'\r\n"),
        (b'CONNECT {"no_responders":true}\r\n', b""),
        (b"INFO x\r\n", b"-ERR 'Parser Error'\r\n"),
    ],
)
def test_refused(sent: bytes, answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with Server(port=0) as server, client_of(server) as client:
        port = client.socket.getsockname()[1]
        client.send(sent)
        assert client.file.read() == answer
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    prefix = f"127.0.0.1:{port} - cid:1 - Error reading from client: "
    assert errors[0].getMessage().startswith(prefix)


def test_echo_headers_and_no_responders_reach_the_engine() -> None:
    with Server(port=0) as server, client_of(server) as client:
        client.send(
            b'CONNECT {"verbose":false,"echo":false,"headers":true,'
            b'"no_responders":true}\r\n'
            b"SUB a 1\r\nSUB r 2\r\nPUB a 1\r\nx\r\nPUB a r 1\r\nx\r\nPING\r\n"
        )
        assert client.lines(1) == [b"HMSG r 2 16 16\r\n"]
        assert client.file.read(18) == b"NATS/1.0 503\r\n\r\n\r\n"
        assert client.lines(1) == [b"PONG\r\n"]


def count_parses(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The CONNECTs that Python is asked about from now on."""
    asked: list[bytes] = []
    parse = connect.parse

    def counting(argument: bytes, prior: bytes | None) -> connect.ConnectOptions:
        asked.append(argument)
        return parse(argument, prior)

    monkeypatch.setattr(connect, "parse", counting)
    return asked


def test_the_same_connect_is_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = count_parses(monkeypatch)
    with Server(threads=1) as server:
        for _ in range(3):
            for name in (b"a", b"b"):
                with client_of(server) as client:
                    line = b'CONNECT {"pedantic":false,"name":"%b"}\r\n' % name
                    client.send(line + b"PUB .x 0\r\n\r\nPING\r\n")
                    # pedantic is off: there is no error among them
                    assert client.lines(3) == [b"+OK\r\n", b"+OK\r\n", b"PONG\r\n"]
    assert len(asked) == 2


def test_a_remembered_connect_is_merged_into_like_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = count_parses(monkeypatch)
    with Server(port=0, threads=1) as server:
        for _ in range(2):
            with client_of(server) as client:
                client.send(b'CONNECT {"verbose":true,"headers":true}\r\n')
                assert client.lines(1) == [b"+OK\r\n"]
                client.send(b'CONNECT {"no_responders":true}\r\n')  # needs headers
                assert client.lines(1) == [b"+OK\r\n"]
    assert len(asked) == 3  # the second of a connection always


def test_connects_with_secrets_are_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = count_parses(monkeypatch)
    secrets = [b'"user":"u"', b'"pass":"p"', b'"auth_token":"t"']
    with Server(threads=1) as server:
        for secret in [*secrets, *secrets]:
            with client_of(server) as client:
                client.send(b"CONNECT {%b}\r\n" % secret)
                assert client.lines(1) == [b"+OK\r\n"]
    assert len(asked) == 6


def test_connect_in_a_trace_has_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, "pynatsd")
    with Server(port=0, trace=True) as server, client_of(server) as client:
        port = client.socket.getsockname()[1]
        client.send(b'CONNECT {"verbose":false,"pass":"SECRET"}\r\nPING\r\n')
        assert client.lines(1) == [b"PONG\r\n"]
    traces = [r.getMessage() for r in caplog.records if r.levelname == "Level 5"]
    prefix = f"127.0.0.1:{port} - cid:1 - "
    assert traces == [
        prefix + '->> [CONNECT {"verbose":false,"pass":"[REDACTED]"}]',
        prefix + "->> [PING]",
        prefix + "<<- [PONG]",
    ]


# ---- life ----


def test_stop_ends_clients_and_threads() -> None:
    before = threads_of_servers()
    server = Server(port=0, threads=2).start()
    assert len(threads_of_servers()) == len(before) + 3
    client = client_of(server)
    server.stop()
    assert client.file.read() == b""
    client.close()
    assert threads_of_servers() == before
    server.stop()
    server.stop()


def test_what_was_accepted_is_flushed() -> None:
    server = Server(port=0).start()
    client = client_of(server)
    client.send(b'CONNECT {"verbose":false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n')
    assert client.lines(1) == [b"MSG a 1 2\r\n"]
    server.stop()
    assert client.file.read() == b"hi\r\nPONG\r\n"
    client.close()


def test_several_side_by_side() -> None:
    with Server(port=0) as one, Server(port=0) as two:
        assert one.port != two.port
        assert one.server_id != two.server_id
        with client_of(one) as first, client_of(two) as second:
            first.send(b'CONNECT {"verbose":false}\r\nSUB a 1\r\nPING\r\n')
            assert first.lines(1) == [b"PONG\r\n"]
            second.send(b'CONNECT {"verbose":false}\r\nPUB a 1\r\nx\r\nPING\r\n')
            assert second.lines(1) == [b"PONG\r\n"]
            assert one.stats().subscriptions == 1
            assert one.stats().in_msgs == 0
            assert two.stats().in_msgs == 1
            assert two.stats().subscriptions == 0


def test_start_twice_is_an_error() -> None:
    with Server(port=0) as server:
        with pytest.raises(RuntimeError, match="running already"):
            server.start()
        with client_of(server) as client:
            assert client.info["port"] == server.port


def test_leaving_the_block_by_an_exception_stops_it() -> None:
    with pytest.raises(ZeroDivisionError), Server(port=0) as server:
        raise ZeroDivisionError
    with pytest.raises(OSError, match="refused"):
        client_of(server)


def test_stats_of_a_server_that_is_not_running() -> None:
    server = Server(port=0)
    with pytest.raises(RuntimeError, match="not running"):
        server.stats()
    with server:
        assert server.stats().connections == 0
    with pytest.raises(RuntimeError, match="not running"):
        server.stats()


def test_wait() -> None:
    server = Server(port=0)
    assert server.wait() is True
    server.start()
    assert server.wait(0) is False
    threading.Timer(0.05, server.stop).start()
    assert server.wait(10) is True


def test_on_end_is_called_once() -> None:
    ends: list[str] = []
    server = Server(port=0).start(on_end=lambda: ends.append(thread_name()))
    assert ends == []
    server.stop()
    assert ends == ["pynatsd-control"]


def thread_name() -> str:
    return threading.current_thread().name


def test_stop_from_many_threads_at_once() -> None:
    server = Server(port=0).start()
    stoppers = [threading.Thread(target=server.stop) for _ in range(8)]
    for thread in stoppers:
        thread.start()
    for thread in stoppers:
        thread.join(10)
    assert not any(thread.is_alive() for thread in stoppers)


def test_stats_while_it_stops() -> None:
    """The memory of the engine outlives a call that is under way."""
    for _ in range(10):
        server = Server(port=0).start()
        reader = threading.Thread(target=read_until_refused, args=(server,))
        reader.start()
        server.stop()
        reader.join(10)
        assert not reader.is_alive()


def read_until_refused(server: Server) -> None:
    try:
        while True:
            server.stats()
    except (CoreError, RuntimeError):
        return


def failing(good: Callable[[core.Engine, int], None]) -> Callable[..., None]:
    def bad(engine: core.Engine, index: int) -> None:
        if index == 1:
            engine.stop()  # so that the good one returns
        good(engine, index)
        if index == 1:
            time.sleep(0.05)  # the engine ends without waiting for this thread
            raise CoreError(-3, "no luck")

    return bad


def test_a_reactor_that_fails_ends_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for owner in (core.Engine, pollers):  # whichever this build uses
        monkeypatch.setattr(owner, "run_reactor", failing(owner.run_reactor))
    server = Server(port=0, threads=2).start()
    with pytest.raises(CoreError, match="no luck"):
        server.wait(10)
    server.stop()
    fatal = [r.getMessage() for r in caplog.records if r.levelno == logging.CRITICAL]
    assert fatal == ["Reactor 1 failed: no luck"]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_thread_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    good = threading.Thread.start
    count = 0

    def start(thread: threading.Thread) -> None:
        nonlocal count
        count += 1
        if count == failing + 1:
            raise RuntimeError("can't start new thread")
        good(thread)

    before = descriptors()
    server = Server(port=0, threads=2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            server.start()
    assert threads_of_servers() == []
    assert descriptors() == before
    with server, client_of(server) as client:
        assert client.info["port"] == server.port


def test_nothing_is_left_behind() -> None:
    """Descriptors, threads, memory: after one round as after many."""

    def cycle() -> None:
        with Server(port=0) as server, client_of(server) as client:
            client.send(b'CONNECT {"name":"n"}\r\nSUB a 1\r\nPUB a 1\r\nx\r\n')
            client.lines(1)

    for _ in range(5):
        cycle()
    before = descriptors(), threading.active_count(), memory_pages()
    for _ in range(ROUNDS):
        cycle()
    assert (descriptors(), threading.active_count()) == before[:2]
    assert memory_pages() - before[2] < 2 * 256 + ROUNDS  # 2 MiB, a page a round


def memory_pages() -> int:
    """Resident pages; 0 where they cannot be known, or AddressSanitizer keeps some."""
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        return 0
    try:
        return int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return 0


def test_process_is_left_alone() -> None:
    def state() -> list[object]:
        return [
            *[signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
            signal.getsignal(signal.SIGHUP),
            resource.getrlimit(resource.RLIMIT_NOFILE),
            sys.getswitchinterval(),
        ]

    before = state()
    with Server(port=0):
        assert state() == before
    assert state() == before


# ---- fork ----


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("leave", ["call", "block"])
def test_forked_child(leave: str) -> None:
    with Server(port=0) as server, client_of(server) as client:
        child = os.fork()
        if child == 0:
            os._exit(as_child(server, leave))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0
        client.send(b'CONNECT {"verbose":false}\r\nPING\r\n')
        assert client.lines(1) == [b"PONG\r\n"]
        assert server.stats().connections == 1


def as_child(server: Server, leave: str) -> int:
    """Exit status: 0, or which call did not do as it should."""
    if leave == "block":
        server.__exit__(None, None, None)
        return 0
    calls: list[Callable[[], object]] = [
        *(server.start, server.stop, server.stats),
        lambda: server.wait(0),
    ]
    for number, call in enumerate(calls, start=1):
        try:
            call()
        except CoreError as error:
            if error.code != core.EFORK:
                return 10 + number
        except BaseException:
            return 20 + number
        else:
            return number
    with Server(port=0) as own, client_of(own) as client:
        return 0 if client.info["port"] == own.port else 30


# ---- addresses ----


@pytest.fixture(scope="module")
def ipv6() -> None:
    """Skip where there is no IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::"])
@pytest.mark.usefixtures("ipv6")
def test_everywhere_is_both_families(host: str) -> None:
    with Server(Options(host=host, port=-1, threads=1)) as server:
        assert server.url == f"nats://127.0.0.1:{server.port}"
        for address, seen in (("127.0.0.1", "127.0.0.1"), ("::1", "::1")):
            with Client((address, server.port)) as client:
                assert client.info["host"] == host
                assert client.info["client_ip"] in (seen, f"::ffff:{seen}")


def test_everywhere_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with Server(host="0.0.0.0", port=0) as server, client_of(server) as client:
        assert client.info["client_ip"] == "127.0.0.1"


@pytest.mark.usefixtures("ipv6")
def test_ipv6_host(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pynatsd")
    with Server(host="::1", port=0) as server:
        assert server.url == f"nats://[::1]:{server.port}"
        with Client(("::1", server.port)) as client:
            assert client.info["host"] == "::1"
        with pytest.raises(OSError, match="refused"):
            Client(("127.0.0.1", server.port))
    messages = [record.getMessage() for record in caplog.records]
    assert f"Listening for client connections on [::1]:{server.port}" in messages


def test_localhost() -> None:
    with Server(host="localhost", port=0) as server, client_of(server) as client:
        assert client.info["host"] == "localhost"
        assert server.url == f"nats://localhost:{server.port}"


def test_default_host_is_loopback_alone() -> None:
    assert Server().options.host == "127.0.0.1"
    assert Server().options.threads == 1
    assert Server(Options()).options.host == "0.0.0.0"
    assert Server(Options(), host="::1", port=5).options == Options(host="::1", port=5)


def test_fixed_port_can_be_used_again_at_once() -> None:
    with Server(port=0) as first, client_of(first) as client:
        port = first.port
        client.send(b"PING\r\n")
        client.lines(1)
    with Server(port=port) as second:
        assert second.port == port


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_port_in_use(host: str) -> None:
    before = descriptors()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(host=host, port=port)
        with pytest.raises(ListenError) as caught:
            server.start()
    text = f"listen tcp {host}:{port}: bind: address already in use"
    assert str(caught.value) == text
    assert threads_of_servers() == []
    assert descriptors() == before
    with server:
        assert server.port == port


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("192.0.2.1", "listen tcp 192.0.2.1:1: bind: cannot assign requested address"),
        ("no.such.invalid", "listen tcp: lookup no.such.invalid: no such host"),
        ("x" * 300, f"listen tcp: lookup {'x' * 300}: no such host"),
        ("\udcff", "listen tcp: lookup \udcff: no such host"),
    ],
)
def test_hosts_that_cannot_be_listened_on(host: str, text: str) -> None:
    with pytest.raises(ListenError) as caught:
        Server(host=host, port=1).start()
    assert str(caught.value) == text


def test_wrong_settings() -> None:
    with pytest.raises(ValueError, match="port: must be from"):
        Server(port=70000)
    with pytest.raises(TypeError):
        Server(prot=1)


# ---- the log ----


def test_log_of_a_life(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, "pynatsd")
    with Server(port=0, debug=True) as server, client_of(server) as client:
        peer = f"127.0.0.1:{client.socket.getsockname()[1]} - cid:1 - "
        client.close()
        deadline = time.monotonic() + 10
        while server.stats().connections and time.monotonic() < deadline:
            time.sleep(0.005)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", f"Listening for client connections on 127.0.0.1:{server.port}"),
        ("DEBUG", f"Server id is {server.server_id}"),
        ("INFO", "Server is ready"),
        ("DEBUG", peer + "Client connection created"),
        ("DEBUG", peer + "Client connection closed"),
    ]
    assert {record.name for record in caplog.records} == {"pynatsd"}
