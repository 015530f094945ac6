"""
URLs of other servers: where they listen, and with what name to log in there.

An error shows nothing that may be a password, even where the URL is none.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([^/?#]*)@)?([^/?#@]*)/?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:%]*)(?::(.*))?")
_PORT = re.compile("-?[0-9]{1,5}")
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_SHOWN_MAX = 100  # characters of a URL in an error


@dataclass(frozen=True, slots=True)
class Peer:
    """What a URL says; "" where it says nothing. *host* is without brackets."""

    scheme: str  # in lower case
    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)


def parse_route(url: str) -> Peer:
    """
    A server to connect to.

    Raises:
        ValueError: it is no URL, or has no scheme of ours, no host or no port.

    Source: gnatsd 0.8.0, server/opts.go and server/route.go; it takes any scheme.
    """
    peer = _parse(url, "route", port_min=1)
    if peer.scheme not in ("nats-route", "nats"):
        raise _error(url, "route", "must begin with nats-route:// or nats://")
    if not peer.host:
        raise ValueError(f"address :{peer.port}: missing host in address")
    return peer


def parse_listen(url: str) -> Peer:
    """
    Where this server listens for others, and what they must log in with.

    Port -1 means a free one, and 0 that there is no clustering.

    Raises:
        ValueError: it is no URL, has no port, or a user or a password alone.

    Source: gnatsd 0.8.0, main.go, `configureClusterOpts`; it crashes on some.
    """
    peer = _parse(url, "cluster", port_min=-1)
    if peer.user and not peer.password:
        raise ValueError("Expected cluster password to be set.")
    if peer.password and not peer.user:
        raise ValueError("Expected cluster user to be set.")
    return peer


def _parse(url: str, what: str, *, port_min: int) -> Peer:
    found = _URL.fullmatch(url)
    if found is None:
        if ":" not in url:
            raise ValueError("missing port in address")
        raise _error(url, what, "must be like nats://host:port")
    scheme, login, address = found.groups()
    parts = _ADDRESS.fullmatch(address)
    if parts is None or not address.isprintable():
        raise _error(url, what)
    host, port = parts.groups()
    if not port:
        where = f"address {host}: " if host else ""
        raise ValueError(f"{where}missing port in address")
    if not (_PORT.fullmatch(port) and port_min <= int(port) <= 65535):
        raise _error(url, what, f"the port must be from {port_min} to 65535")
    user, _, password = (login or "").partition(":")
    try:
        user, password = _decode(user), _decode(password)
    except ValueError:
        raise _error(url, what) from None
    return Peer(scheme.lower(), host.strip("[]"), int(port), user, password)


def _decode(text: str) -> str:
    """Raises ValueError; its text must not be shown."""
    if _BAD_ESCAPE.search(text):
        raise ValueError
    return unquote(text, errors="strict")


def _error(url: str, what: str, reason: str = "") -> ValueError:
    text = f'error parsing {what} url ["{_shown(url)}"]'
    return ValueError(f"{text}: {reason}" if reason else text)


def _shown(url: str) -> str:
    """*url* without what stands before an @ or after a colon."""
    found = _SCHEME.match(url)
    scheme = found[0] if found else ""
    _, at, address = url.removeprefix(scheme).rpartition("@")
    host, colon, _ = address.partition(":")
    text = scheme + ("...@" if at else "") + host + (":..." if colon else "")
    return "".join(c if c.isprintable() else "?" for c in text[:_SHOWN_MAX])
