"""Syslog as a target: the one of this machine, or one that a URL names."""

import errno
import re
import select
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from pynatsd.files import reason
from pynatsd.sinks import PATIENCE

CONNECT_TIMEOUT = 3.0  # seconds

LOCAL_PATHS = ("/dev/log", "/var/run/syslog", "/var/run/log")

_UNHEARD_MAX = 30_000  # ms that a TCP peer may leave bytes unconfirmed
_SHORT = 1024  # bytes that every syslog takes in one message

_Address = tuple[Any, ...]  # as `socket` has it


class SyslogError(OSError):
    """A syslog cannot be reached, or its URL is none; the text is the original's."""


class Syslog:
    """
    A connection that is made again when it fails, by who writes.

    On a stream, a line that was not sent whole is sent again.
    """

    retries = True

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        """
        Raises:
            SyslogError: it cannot be reached.
        """
        self._connect = connect
        self._socket: socket.socket | None = connect()
        self._begun = 0  # bytes of the first line that are sent

    def write(self, lines: deque[bytes]) -> None:
        try:
            if self._socket is None:
                self._socket = self._connect()
            if self._has_room(self._socket):
                self._send(self._socket, lines)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EMSGSIZE and len(lines[0]) > _SHORT:
                lines[0] = lines[0][: _SHORT - 1] + b"\n"
                return
            self.close()
            raise

    def abandon(self) -> None:
        if self._begun:
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._begun = 0

    def _has_room(self, sock: socket.socket) -> bool:
        """
        Raises:
            ConnectionResetError: the peer has closed.
        """
        poll = select.poll()
        poll.register(sock, select.POLLIN | select.POLLOUT)
        ready = sum(events for _, events in poll.poll(1000 * PATIENCE))
        if ready & select.POLLIN:  # nothing that we have a use for
            is_over = not sock.recv(4096) and sock.type == socket.SOCK_STREAM
            if is_over:
                raise ConnectionResetError(errno.ECONNRESET, "closed by the syslog")
        return bool(ready & ~select.POLLIN)

    def _send(self, sock: socket.socket, lines: deque[bytes]) -> None:
        self._begun += sock.send(lines[0][self._begun :])
        if self._begun == len(lines[0]):
            lines.popleft()
            self._begun = 0


def open_local() -> Syslog:
    """
    Raises:
        SyslogError: no socket of this machine's syslog takes connections.
    """
    return Syslog(_connect_local)


def open_remote(url: str) -> Syslog:
    """
    The syslog at `udp://host:port`, `tcp://host:port` or `unix:///path`.

    Raises:
        SyslogError: the URL is none of these, or nobody can be reached there.
    """
    network, rest = split(url)
    if network == "unix":
        return Syslog(partial(_connect_path, rest))
    return Syslog(partial(_connect_host, network, rest))


def split(url: str) -> tuple[str, str]:
    """
    The network of *url*, and the path or `host:port`; user and password are ignored.

    Raises:
        SyslogError: there is no such network.
    """
    network, _, rest = url.partition(":")
    network = network.lower()
    if network not in ("udp", "tcp", "unix"):
        raise SyslogError(f'error invalid network type: "{network}"')
    authority, slash, path = rest.removeprefix("//").partition("/")
    if network == "unix":
        return network, slash + path
    return network, authority.rpartition("@")[2]


# ---- connecting ----


def _connect_local() -> socket.socket:
    for path in LOCAL_PATHS:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            try:
                return _connected(socket.AF_UNIX, kind, path)
            except OSError:
                continue
    raise _unreachable("Unix syslog delivery error")


def _connect_path(path: str) -> socket.socket:
    """As a stream, or as datagrams, which /dev/log takes; the first error counts."""
    if not path:
        raise _unreachable("dial unix: missing address")
    failure = ""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            return _connected(socket.AF_UNIX, kind, path)
        except OSError as error:
            failure = failure or f"dial unix {path}: connect: {reason(error)}"
    raise _unreachable(failure)


def _connect_host(network: str, address: str) -> socket.socket:
    """To the first address of the host that answers; the first error counts."""
    failure = ""
    kind = socket.SOCK_DGRAM if network == "udp" else socket.SOCK_STREAM
    for family, found in _resolve(network, address, kind):
        try:
            return _connected(family, kind, found)
        except TimeoutError:
            why = "i/o timeout"
        except OSError as error:
            why = f"connect: {reason(error)}"
        host = f"[{found[0]}]" if family == socket.AF_INET6 else found[0]
        failure = failure or f"dial {network} {host}:{found[1]}: {why}"
    raise _unreachable(failure)


def _connected(family: int, kind: int, address: _Address | str) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(CONNECT_TIMEOUT)
        sock.connect(address)
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM and family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD_MAX
                )
    except BaseException:
        sock.close()
        raise
    return sock


def _resolve(network: str, address: str, kind: int) -> list[tuple[int, _Address]]:
    """The families and addresses that *address* has."""
    host, port = _host_and_port(network, address)
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except (socket.gaierror, UnicodeError) as error:
        why = "no such host"
        if isinstance(error, socket.gaierror) and error.errno != socket.EAI_NONAME:
            why = str(error.strerror).lower()
        raise _unreachable(f"dial {network}: lookup {host}: {why}") from None
    return [(entry[0], entry[4]) for entry in found]


def _host_and_port(network: str, address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not address:
        raise _unreachable(f"dial {network}: missing address")
    if not colon or not port or address.endswith("]"):
        raise _unreachable(
            f"dial {network}: address {address}: missing port in address"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _unreachable(
            f"dial {network}: address {address}: too many colons in address"
        )
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise _unreachable(f"dial {network}: address {port}: invalid port")
    return host or "localhost", int(port)


def _unreachable(why: str) -> SyslogError:
    quoted = why.replace("\\", "\\\\").replace('"', '\\"')
    return SyslogError(f'error connecting to syslog: "{quoted}"')
