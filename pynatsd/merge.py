"""
A configuration file and a command line, joined: what was typed wins, be it 0 or false.

Text that was typed empty means the default, except that an empty --user, --pass, --auth
or --cluster is as good as none: a variable that is not set must not open a server.
"""

from typing import Any

from pynatsd.flags import Command
from pynatsd.options import Cluster, Options, Tls
from pynatsd.settings import Settings

_SECRETS = {"password": "--pass", "token": "--auth"}
_LOGIN = ("user", "password", "token")
_FILES = {"cert_file": "--tlscert", "key_file": "--tlskey", "ca_file": "--tlscacert"}


def options(file: Settings | None, command: Command) -> tuple[Options, list[str]]:
    """
    What to start with, and warnings for the log, those of the file first.

    Raises:
        ValueError: a value is out of its range, or goes with another only; one line.

    Source: gnatsd 0.8.0, server/opts.go, `MergeOptions`, which loses a third of the
    flags where there is a file.
    """
    values = dict(file.values) if file else {}
    warnings = list(file.warnings) if file else []
    typed = {
        name: value
        for name, value in command.settings.items()
        if value or name not in _LOGIN
    }
    warnings += _warn_of_secrets(typed, command)
    warnings += _choose_login(values, typed)
    values |= typed
    for name in ("host", "port"):
        if not values.get(name, True):
            del values[name]  # empty and 0 mean the default
    values["tls"] = _tls(file, command)
    if values["tls"] is None:
        warnings += [
            f"{flag}: ignored without --tls"
            for name, flag in _FILES.items()
            if command.tls.get(name)
        ]
    values["cluster"] = _cluster(file, command)
    if values.get("https_port") and values["tls"] is None:
        raise ValueError("TLS cert and key required for HTTPS")
    return Options(**values), warnings


def missing(options: Options) -> tuple[list[str], str]:
    """
    Warnings of what is asked for and not built yet, and an error; "": none.

    It is an error where going on without would open a door.
    """
    wanted = {
        "clustering": options.cluster is not None and options.cluster.port != 0,
        "monitoring": options.http_port or options.https_port,
        "profiling": options.prof_port,
    }
    warnings = [f"{part} is not built yet: ignored" for part in wanted if wanted[part]]
    return warnings, "TLS is not built yet" if options.tls else ""


def _warn_of_secrets(typed: dict[str, Any], command: Command) -> list[str]:
    """Whoever may list processes sees their arguments."""
    flags = [flag for name, flag in _SECRETS.items() if name in typed]
    if "password" in command.cluster:
        flags.append("--cluster")
    if any("@" in url for url in command.cluster.get("routes", ())):
        flags.append("--routes")
    return [
        f"{flag}: visible to other users of this machine in the list of processes; "
        "prefer the configuration file"
        for flag in flags
    ]


def _choose_login(values: dict[str, Any], typed: dict[str, Any]) -> list[str]:
    """
    Settle on one way to log in: a user beats a token, and the typed user the file's.

    Takes what does not count out of *values*, which the file has set, and of *typed*.
    """
    warnings = []
    if "user" in typed:
        for name in ("users", "token"):
            if values.pop(name, None):
                warnings.append(f"--user: replaces the {name} of the file")
        values.pop("no_auth_user", None)  # it was one of these users
        if not (typed.get("password") or values.get("password")):
            if warnings:
                raise ValueError(f"{warnings[0]}, so it needs --pass")
            warnings.append("--user: has no password")
    elif "password" in typed and not values.get("user"):
        raise ValueError("--pass: needs --user, or a user in the file")
    if "token" in typed and (
        "user" in typed or values.get("user") or values.get("users")
    ):
        del typed["token"]
        warnings.append("--auth: ignored, because users log in by name")
    return warnings


def _tls(file: Settings | None, command: Command) -> Tls | None:
    """
    None if clients connect without.

    The flags for files alone do not switch it on; a file with a `tls` block does.

    Source: gnatsd 0.8.0, main.go, `configureTLS`.
    """
    typed = dict(command.tls)
    from_file = file.tls if file else None
    is_on = typed.pop("is_on", from_file is not None)
    if not (is_on or typed.get("verify")):
        return None
    tls = Tls(**{**(from_file or {}), **typed})
    if command.tls:  # a file's mistakes are found when its certificates are loaded
        if not tls.cert_file:
            raise ValueError("TLS Server certificate must be present and valid.")
        if not tls.key_file:
            raise ValueError("TLS Server private key must be present and valid.")
    return tls


def _cluster(file: Settings | None, command: Command) -> Cluster | None:
    """
    None if there is none.

    Source: gnatsd 0.8.0, main.go, `configureClusterOpts`.
    """
    settings = {**((file and file.cluster) or {}), **command.cluster}
    if command.cluster.get("routes") and not settings.get("port"):
        raise ValueError(
            "Solicited routes require cluster capabilities, e.g. --cluster."
        )
    return Cluster(**settings) if settings else None
