"""INFO: the first and only one, field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from target import Target
from wire import MODERN, PING, PONG, QUIET, connect_line

import pynatsd

OLD = (
    "server_id version go host port auth_required ssl_required tls_required tls_verify"
)
NEW = "proto headers server_name client_id client_ip"
FIELDS = [*OLD.split(), "max_payload", *NEW.split()]


@pytest.mark.ours("its fields are others")
def test_fields_in_order_and_values(target: Target) -> None:
    peer = target.peer(greet=False)
    line = peer.line()
    info = json.loads(line[5:])
    assert line == b"INFO %b \r\n" % json.dumps(info, separators=(",", ":")).encode()
    assert list(info) == FIELDS
    assert re.fullmatch(r"[0-9A-Za-z]{22}", info["server_id"])
    assert info["version"] == pynatsd.__version__
    assert isinstance(info["go"], str)
    assert info["host"] == "127.0.0.1"
    assert info["port"] == target.address[1]
    for name in ("auth_required", "ssl_required", "tls_required", "tls_verify"):
        assert info[name] is False, name
    assert info["max_payload"] == 1048576
    assert info["proto"] == 1
    assert info["headers"] is True
    assert isinstance(info["server_name"], str)
    assert info["server_name"]
    assert type(info["client_id"]) is int
    assert info["client_ip"] == "127.0.0.1"


def test_what_all_servers_say(target: Target) -> None:
    info = target.peer().info
    assert info["proto"] == 1
    assert info["headers"] is True
    assert info["max_payload"] == 1048576
    assert info["client_ip"] == "127.0.0.1"


def test_client_ids_are_dealt_in_order(target: Target) -> None:
    ids = [target.peer().info["client_id"] for _ in range(5)]
    assert ids == list(range(ids[0], ids[0] + 5))
    target.peers[-1].close()
    assert target.peer().info["client_id"] == ids[-1] + 1


def test_first_client_is_number_1(serve: Callable[..., Target], threads: int) -> None:
    assert serve(threads=threads).peer().info["client_id"] == 1


def test_server_id_is_new_on_every_start(serve: Callable[..., Target]) -> None:
    infos = [serve().peer().info for _ in range(3)]
    assert len({info["server_id"] for info in infos}) == 3


def test_same_server_id_for_all_clients(target: Target) -> None:
    assert target.peer().info["server_id"] == target.peer().info["server_id"]


@pytest.mark.parametrize(
    ("configured", "shown"), [(1, 1), (5000, 5000), (-1, -1), (-7, -7)]
)
def test_max_payload(serve: Callable[..., Target], configured: int, shown: int) -> None:
    assert serve(max_payload=configured).peer().info["max_payload"] == shown


def test_host_is_shown_as_configured(serve: Callable[..., Target]) -> None:
    info = serve(host="0.0.0.0").peer().info
    assert info["host"] == "0.0.0.0"


def test_no_second_info(target: Target) -> None:
    """Also to a client that could take one, after PONG and after a second CONNECT."""
    peer = target.client(MODERN)
    for _ in range(3):
        peer.expect_silence_until_pong()
    peer.send(connect_line(MODERN) + PING)
    peer.expect(PONG)
    target.client(QUIET).close()
    peer.expect_silence_until_pong()


def test_random_port_is_the_real_one(spawn: Callable[..., Target]) -> None:
    target = spawn()
    assert target.peer().info["port"] == target.address[1] != 0
