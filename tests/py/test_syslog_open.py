"""Connecting to a syslog: what is refused, in the words of the original."""

import contextlib
import os
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from log_tools import STREAM, place, receiving

from pynatsd import log as logs
from pynatsd import syslog
from pynatsd.options import Options

PORT = 1  # nobody is there


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        # No such network.
        ("http://x:1", 'error invalid network type: "http"'),
        ("foo", 'error invalid network type: "foo"'),
        ("localhost:514", 'error invalid network type: "localhost"'),
        ("127.0.0.1:514", 'error invalid network type: "127.0.0.1"'),
        ("://x:1", 'error invalid network type: ""'),
        # Nobody there.
        (
            f"tcp://127.0.0.1:{PORT}",
            f"dial tcp 127.0.0.1:{PORT}: connect: connection refused",
        ),
        (
            f"TCP://user:secret@127.0.0.1:{PORT}/x",
            f"dial tcp 127.0.0.1:{PORT}: connect: connection refused",
        ),
        (f"tcp://[::1]:{PORT}", f"dial tcp [::1]:{PORT}: connect: connection refused"),
        ("unix:///nope/x", "dial unix /nope/x: connect: no such file or directory"),
        ("unix:///" + "x" * 200, f"dial unix /{'x' * 200}: connect: "),
        ("udp://no..host:1", "dial udp: lookup no..host: no such host"),
        ("tcp://256.256.256.256.:1", "dial tcp: lookup 256.256.256.256.: "),
        # Nowhere.
        ("udp:", "dial udp: missing address"),
        ("tcp:///x", "dial tcp: missing address"),
        ("unix:", "dial unix: missing address"),
        ("unix://nope", "dial unix: missing address"),
        ("udp://localhost", "dial udp: address localhost: missing port in address"),
        ("udp://localhost:", "dial udp: address localhost:: missing port in address"),
        ("udp://[::1]", "dial udp: address [::1]: missing port in address"),
        ("udp://::1:5", "dial udp: address ::1:5: too many colons in address"),
        ("tcp://h:abc", "dial tcp: address abc: invalid port"),
        ("tcp://h:65536", "dial tcp: address 65536: invalid port"),
        ("tcp://h:-1", "dial tcp: address -1: invalid port"),
        ("tcp://h:\u0661", "dial tcp: address \u0661: invalid port"),
        ("tcp://h:" + "9" * 5000, f"dial tcp: address {'9' * 5000}: invalid port"),
        ('tcp://h:"\\', 'dial tcp: address \\"\\\\: invalid port'),
    ],
)
def test_what_cannot_be_opened(url: str, expected: str) -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with pytest.raises(logs.LogError) as caught:
        logs.open_handler(Options(remote_syslog=url))
    if not expected.startswith("error "):
        expected = f'error connecting to syslog: "{expected}'
        if not expected.endswith(": "):
            expected += '"'
    text = caught.value.text
    assert text == expected or (expected.endswith(": ") and text.startswith(expected))
    assert "secret" not in text
    date = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d "
    assert re.fullmatch(date + re.escape(text), str(caught.value))
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before


def test_socket_with_a_full_queue(tmp_path: Path) -> None:
    """It is a stream; that it takes no datagrams either is not what to say."""
    with (
        receiving(*place("unix", tmp_path)) as receiver,
        contextlib.ExitStack() as waiting,
    ):
        receiver.socket.listen(0)
        for _ in range(2):
            sock = waiting.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            sock.connect_ex(receiver.address)
        with pytest.raises(syslog.SyslogError) as caught:
            syslog.open_remote(receiver.url)
        why = f"dial unix {receiver.address}: connect: resource temporarily unavailable"
    assert str(caught.value) == f'error connecting to syslog: "{why}"'


def test_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    with receiving(*place("unix", tmp_path)) as receiver:
        url, path = receiver.url, receiver.address
    with pytest.raises(syslog.SyslogError) as caught:
        syslog.open_remote(url)
    why = f"dial unix {path}: connect: connection refused"
    assert str(caught.value) == f'error connecting to syslog: "{why}"'


def test_no_syslog_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "LOCAL_PATHS", (str(tmp_path), str(tmp_path / "x")))
    with pytest.raises(logs.LogError) as caught:
        logs.open_handler(Options(syslog=True))
    assert caught.value.text == (
        'error connecting to syslog: "Unix syslog delivery error"'
    )


def test_host_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full lets everybody else wait."""
    monkeypatch.setattr(syslog, "CONNECT_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        with pytest.raises(syslog.SyslogError) as caught:
            syslog.open_remote(f"tcp://127.0.0.1:{port}")
        for sock in waiting:
            sock.close()
    why = f"dial tcp 127.0.0.1:{port}: i/o timeout"
    assert str(caught.value) == f'error connecting to syslog: "{why}"'


def test_every_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def found(*_: Any, **__: Any) -> list[Any]:
            return [
                (socket.AF_INET6, STREAM, 6, "", ("::1", port, 0, 0)),
                (socket.AF_INET, STREAM, 6, "", ("127.0.0.1", port)),
            ]

        monkeypatch.setattr(socket, "getaddrinfo", found)
        syslog.open_remote(f"tcp://both:{port}").close()
        listener.close()
        with pytest.raises(syslog.SyslogError, match=r"dial tcp \[::1\]:"):
            syslog.open_remote(f"tcp://both:{port}")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (socket.EAI_NONAME, "no such host"),
        (socket.EAI_AGAIN, "temporary failure in name resolution"),
    ],
)
def test_names_that_are_not_found(
    monkeypatch: pytest.MonkeyPatch, code: int, why: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(code, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(syslog.SyslogError) as caught:
        syslog.open_remote("udp://logs.example:514")
    why = f"dial udp: lookup logs.example: {why}"
    assert str(caught.value) == f'error connecting to syslog: "{why}"'


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("h:1", ("h", 1)),
        (":514", ("localhost", 514)),
        ("[::1]:0514", ("::1", 514)),
        ("[fe80::1%eth0]:65535", ("fe80::1%eth0", 65535)),
    ],
)
def test_hosts_and_ports(address: str, expected: tuple[str, int]) -> None:
    assert syslog._host_and_port("udp", address) == expected


def test_peer_that_vanishes_is_noticed(tmp_path: Path) -> None:
    with receiving(*place("tcp", tmp_path)) as receiver:
        sink = syslog.open_remote(receiver.url)
        sock = sink._socket
        assert sock is not None
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        assert not sock.get_inheritable()
        assert not sock.getblocking()
        sink.close()
