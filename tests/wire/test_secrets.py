"""
Nothing that a server is told in confidence comes out of it again.

Secrets are planted in the configuration and in every spelling of CONNECT that we could
think of, right and wrong; then all that the server has written is searched.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
from target import Target

USER = "u53r"
PASSWORD = "pl4nted-passw0rd"
HASHED = "pl4nted-hashed-0ne"
ROUTE = "pl4nted-r0ute"
DIALLED = "pl4nted-d1alled"
WRONG = "pl4nted-wr0ng"
TOKEN = "pl4nted-t0ken"
JWT = "pl4nted-jwt"
SIG = "pl4nted-s1g"
CONFIG = f"""
authorization {{
  users = [
    {{ user: {USER}, password: "{PASSWORD}" }}
    {{ user: hashed, password: "%s" }}
  ]
}}
cluster {{
  port: -1
  authorization {{ user: r, password: "{ROUTE}" }}
  routes = [ nats-route://r:{DIALLED}@127.0.0.1:1 ]
}}
pid_file: "%s"
"""

PAIRS = f'"user":"{USER}","pass":"{PASSWORD}"'
OTHERS = f'"auth_token":"{TOKEN}","jwt":"{JWT}","sig":"{SIG}"'

VARIANTS = [
    f"CONNECT {{{PAIRS}}}",
    f'CONNECT {{"user":"{USER}","pass":"{WRONG}"}}',
    f'CONNECT {{"user":"hashed","pass":"{HASHED}"}}',
    f'CONNECT {{"user":"hashed","pass":"{HASHED} and more"}}',
    f'CONNECT {{"user":"nobody","pass":"{WRONG}"}}',
    f'CONNECT {{"auth_token":"{TOKEN}"}}',
    f'CONNECT {{"auth_token":"{TOKEN}",{PAIRS}}}',
    f'CONNECT {{"jwt":"{JWT}","sig":"{SIG}","nkey":"U"}}',
    f"CONNECT {{{PAIRS},{OTHERS}}}",
    f"CONNECT {{{OTHERS},{PAIRS}}}",
    f"connect {{{PAIRS}}}",
    f"CoNnEcT {{{PAIRS}}}",
    f"CONNECT\t{{{PAIRS}}}",
    f"CONNECT    {{{PAIRS}}}   ",
    f'CONNECT {{ "user" : "{USER}" , "pass" : "{PASSWORD}" }}',
    f'CONNECT {{"pass"\t:\t"{PASSWORD}",\t"user":"{USER}"}}',
    f'CONNECT {{"PASS":"{PASSWORD}","USER":"{USER}"}}',
    f'CONNECT {{"Pass":"{PASSWORD}","uSer":"{USER}"}}',
    f'CONNECT {{"pa\u017fs":"{PASSWORD}","u\u017fer":"{USER}"}}',
    f'CONNECT {{"\\u0070ass":"{PASSWORD}","user":"{USER}"}}',
    f'CONNECT {{"\\u0050\\u0041\\u0053\\u0053":"{PASSWORD}","user":"{USER}"}}',
    f'CONNECT {{"pass":"{WRONG}",{PAIRS}}}',
    f'CONNECT {{{PAIRS},"pass":"{WRONG}"}}',
    f'CONNECT {{"pass":"{WRONG}","pass":"{PASSWORD}","pass":null,"user":"{USER}"}}',
    f'CONNECT {{"pass":["{WRONG}"],"user":"{USER}"}}',
    f'CONNECT {{"pass":{{"pass":"{WRONG}"}},"user":"{USER}"}}',
    f'CONNECT {{"nested":{{"pass":"{WRONG}","deep":[{{"sig":"{SIG}"}}]}},{PAIRS}}}',
    f'CONNECT {{"list":[{{"auth_token":"{TOKEN}"}}],{PAIRS}}}',
    f'CONNECT {{"user":"{USER}","pass":"{PASSWORD}","lang":"a\\"b","name":"\\\\"}}',
    f'CONNECT {{"pass":"\\"{PASSWORD}\\"","user":"{USER}"}}',
    f'CONNECT {{"pass":"\\u0070l4nted-passw0rd","user":"{USER}"}}',
    f'CONNECT {{"verbose":1,"pass":"{PASSWORD}"}}',
    f'CONNECT {{"user":7,"pass":"{PASSWORD}"}}',
    f"CONNECT {{{PAIRS}",
    f"CONNECT {{{PAIRS}}}}}",
    f"CONNECT {{{PAIRS},}}",
    f'CONNECT {{"user":"{USER}","pass":"{PASSWORD}',
    f"CONNECT {PAIRS}",
    f"CONNECT [{{{PAIRS}}}]",
    f'CONNECT "{PASSWORD}"',
    f"CONNECT {PASSWORD}",
    f"CONNECT '{PASSWORD}'",
    f'CONNECT {{pass:"{PASSWORD}"}}',
    f"CONNECT {{'user':'{USER}','pass':'{PASSWORD}'}}",
    f"CONNECT{{{PAIRS}}}",
    f"CONNECTX {{{PAIRS}}}",
    f"CONNE {{{PAIRS}}}",
    f"CNNECT {{{PAIRS}}}",
    f"{{{PAIRS}}}",
    f"INFO {{{PAIRS}}}",
    f"CONNECT {{{PAIRS}}}\r\nCONNECT {{{OTHERS}}}",
    f'CONNECT {{{PAIRS}}}\r\nCONNECT {{"pass":"{WRONG}"}}',
    f"CONNECT {{{PAIRS}}}\r\nCONNECTX {{{OTHERS}}}",
    f"CONNECT {{{PAIRS}}}\r\nINFO {{{OTHERS}}}",
    f"CONNECT {{{PAIRS}}}\r\n{{{OTHERS}}}",
    f"CONNECT {{{PAIRS},\r\n{OTHERS}}}",
    f'CONNECT {{{PAIRS},"name":"{"n" * 3000}"}}',
    f'CONNECT {{{PAIRS},"name":"{"n" * 9000}"}}',
    f'CONNECT {{{PAIRS},"name":"\x01\x1b[31m"}}',
    f'CONNECT {{{PAIRS},"name":"{"[" * 200}"}}',
    f"CONNECT {{{PAIRS},{'[' * 200}}}",
]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_ever_written(
    spawn: Callable[..., Target], tmp_path: Path, log_format: str
) -> None:
    config, pid = tmp_path / "conf", tmp_path / "pid"
    hashed = bcrypt.hashpw(HASHED.encode(), bcrypt.gensalt(4)).decode()
    config.write_text(CONFIG % (hashed, pid))
    target = spawn("-c", str(config), "-DV", "--log_format", log_format)
    answers = b""
    for variant in VARIANTS:
        # In one go, and cut where no reader expects it.
        raw = variant.encode() + b"\r\nPING\r\n"
        for cut in (len(raw), 20):
            answers += answer(target, [raw[:cut], raw[cut:]])
    told = pid.read_text() + answers.decode("latin-1")
    target.handle.stop()
    told += target.handle.stderr
    assert told.count("CONNECT ") > len(VARIANTS)  # they were traced
    assert "pl4nted" not in told
    assert hashed[:20] not in told


def answer(target: Target, pieces: list[bytes]) -> bytes:
    """All that the server says to *pieces*, each sent by itself."""
    found = b""
    with socket.create_connection(target.address, timeout=10) as link:
        try:
            for piece in pieces:
                link.sendall(piece)
            link.shutdown(socket.SHUT_WR)
            while data := link.recv(65536):
                found += data
        except ConnectionError:
            pass
    return found
