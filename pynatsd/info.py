"""What a server says of itself: its id, and the INFO object."""

import json
import os
import string
import sys

from pynatsd._version import VERSION
from pynatsd.options import Options


def new_server_id() -> str:
    """22 random letters and digits. By hand, for `secrets` costs 3 MB to import."""
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    number = int.from_bytes(os.urandom(32), "big")
    text = ""
    for _ in range(22):
        number, digit = divmod(number, len(alphabet))
        text += alphabet[digit]
    return text


def info(
    options: Options, server_id: str, port: int, *, is_leaving: bool = False
) -> str:
    """
    The INFO object without its last brace; the engine adds what differs by client.

    Old clients read the first ten fields unasked, today's look for the others.
    *is_leaving* tells clients to look for another server.

    Source: gnatsd 0.8.0, server/server.go, `Info`.
    """
    document = {
        "server_id": server_id,
        "version": VERSION,
        "go": "python" + sys.version.split()[0],
        "host": options.host,
        "port": port,
        "auth_required": options.is_auth_required,
        "ssl_required": False,
        "tls_required": False,
        "tls_verify": False,
        "max_payload": options.max_payload,
        "proto": 1,
        "headers": True,
        "server_name": options.server_name or server_id,
    }
    if is_leaving:
        document["ldm"] = True
    return json.dumps(document, separators=(",", ":")).removesuffix("}")
