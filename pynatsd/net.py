"""The sockets that a server listens on."""

import errno
import socket
from typing import Any

from pynatsd.files import reason

BACKLOG = 4096  # connections that the kernel may hold before we accept them
EVERYWHERE = ("", "0.0.0.0", "::")


class ListenError(OSError):
    """The address cannot be listened on; the text says which and why."""

    def __str__(self) -> str:
        return str(self.strerror)


def listen(host: str, port: int) -> socket.socket:
    """
    Open the socket on which clients arrive.

    *port* 0 or -1 lets the system choose. A host that means every address is
    listened on with IPv4 and IPv6 alike, as Go does it.

    Raises:
        ListenError: the address is taken or not ours.

    Source: gnatsd 0.8.0, server/server.go, `AcceptLoop`.
    """
    port = max(port, 0)
    try:
        if host not in EVERYWHERE:
            return _bind(*_resolve(host, port))
        if socket.has_dualstack_ipv6():
            try:
                return _bind(socket.AF_INET6, ("::", port))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
        return _bind(socket.AF_INET, ("0.0.0.0", port))
    except (socket.gaierror, UnicodeError):
        text = f"listen tcp: lookup {host}: no such host"
        raise ListenError(errno.EADDRNOTAVAIL, text) from None
    except OSError as error:
        text = f"listen tcp {join(host, port)}: bind: {reason(error)}"
        raise ListenError(error.errno, text) from None


def _resolve(host: str, port: int) -> tuple[int, Any]:
    """The first IPv4 address of *host*, else its first one."""
    # Bytes, because a string makes Python import a megabyte of IDNA tables.
    name = host.encode("ascii") if host.isascii() else host
    found = socket.getaddrinfo(
        name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[0][0], found[0][4]


def _bind(family: int, address: Any) -> socket.socket:
    everywhere = family == socket.AF_INET6 and address[0] == "::"
    return socket.create_server(
        address, family=family, backlog=BACKLOG, dualstack_ipv6=everywhere
    )


def join(host: str, port: int) -> str:
    """Host and port as one word, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
