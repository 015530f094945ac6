"""
The blocks `cluster` and `tls`.
"""

from collections.abc import Callable
from typing import Any

from pynatsd import ciphers, convert, settings_later
from pynatsd.conf import ConfError, Entry
from pynatsd.convert import checked, placed, wrong
from pynatsd.options import Cluster, Tls
from pynatsd.peer_url import parse_route
from pynatsd.settings_auth import read_cluster_authorization
from pynatsd.settings_notes import Notes, last, refused, shown

CLUSTER_ALIASES = {"net": "host"}
CLUSTER_NAMES = ("host", "port", "listen", "authorization", "routes", "tls")
CLUSTER_GUARDS = ("authorization", "tls")

_TLS_ERROR = "error parsing tls config,"
_CLUSTER = Cluster()
_TLS = Tls()


def read_cluster(entry: Entry, notes: Notes) -> dict[str, Any]:
    """
    The options of `Cluster` that the block sets.

    Raises:
        ConfError: a value is wrong, or authorization cannot be honoured.

    Source: gnatsd 0.8.0, server/opts.go, `parseCluster`; `listen`: nats-server 2.
    """
    values: dict[str, Any] = {}
    for name, each in last(convert.block(entry), CLUSTER_ALIASES).items():
        match name:
            case "host":
                values["host"] = convert.text(each)
            case "port":
                values["port"] = checked(_CLUSTER, "port", convert.number(each), each)
            case "listen":
                values |= read_address(each, _CLUSTER, "host", "port")
            case "authorization":
                values |= read_cluster_authorization(each, notes)
            case "routes":
                values["routes"] = _routes(each, notes)
            case "tls":
                values["tls"] = Tls(**(read_tls(each, notes) | {"verify": True}))
            case _:
                _other(name, each, notes)
    return values


def _other(name: str, entry: Entry, notes: Notes) -> None:
    if name in settings_later.CLUSTER:
        notes.ignored(entry)
    elif name in settings_later.CLUSTER_DOORS:
        raise refused(entry)
    else:
        notes.unknown(entry, (*CLUSTER_NAMES, *CLUSTER_ALIASES), CLUSTER_GUARDS)


def _routes(entry: Entry, notes: Notes) -> tuple[str, ...]:
    for each in convert.items(entry):
        url = convert.text(each)
        with placed(each):
            peer = parse_route(url)
        if peer.password:
            notes.secret(each.at)
    return convert.texts(entry)


def read_address(entry: Entry, owner: Any, host: str, port: str) -> dict[str, Any]:
    """
    What an address sets: two options of *owner*.

    One without a host leaves the host as it is.
    """
    found_host, found_port = convert.address(entry)
    values = {port: checked(owner, port, found_port, entry)}
    if found_host:
        values[host] = found_host
    return values


# ---- TLS ----


def _tls_error(entry: Entry, text: str) -> ConfError:
    return wrong(entry.value.at, f"{_TLS_ERROR} {text}")


def _filename(entry: Entry) -> str:
    if not isinstance(entry.value.data, str):
        raise _tls_error(entry, f"expected '{entry.key}' to be filename")
    return entry.value.data


def _boolean(entry: Entry) -> bool:
    if not isinstance(entry.value.data, bool):
        raise _tls_error(entry, f"expected '{entry.key}' to be a boolean")
    return entry.value.data


def _timeout(entry: Entry) -> float:
    return convert.seconds(entry) or _TLS.timeout  # 0: the default


TLS_KINDS: dict[str, Callable[[Entry], Any]] = {
    "cert_file": _filename,
    "key_file": _filename,
    "ca_file": _filename,
    "verify": _boolean,
    "timeout": _timeout,
}


def read_tls(entry: Entry, notes: Notes) -> dict[str, Any]:
    """
    The options of `Tls` that the block sets; whether its files exist is seen later.

    Raises:
        ConfError: a value or a key is wrong, in the words of the original.

    Source: gnatsd 0.8.0, server/opts.go, `parseTLS`.
    """
    values: dict[str, Any] = {}
    for name, each in last(convert.block(entry), {}).items():
        if name in TLS_KINDS:
            values[name] = checked(_TLS, name, TLS_KINDS[name](each), each)
        elif name == "cipher_suites":
            values[name] = _cipher_suites(each, notes)
        elif not each.is_used:
            raise wrong(each.at, f"{_TLS_ERROR} unknown field [{shown(each.key)}]")
    return values


def _cipher_suites(entry: Entry, notes: Notes) -> tuple[str, ...]:
    if not convert.items(entry):
        raise _tls_error(entry, "'cipher_suites' cannot be empty")
    suites = []
    for each in convert.items(entry):
        name = convert.text(each)
        if name in ciphers.SUPPORTED:
            suites.append(name)
        elif name in ciphers.RETIRED:
            notes.warn(each.at, f"{name} is not supported any more, ignored")
        else:
            raise wrong(each.at, f"Unrecognized cipher {name}")
    if not suites:
        raise _tls_error(entry, "none of 'cipher_suites' is supported any more")
    return tuple(suites)
