"""
The `pynatsd` command: from words to what they ask for.

What there is to print goes to the descriptors themselves, for they may have been closed
when Python started.
"""

import os
import sys
from contextlib import suppress

from pynatsd import argv, control, daemon, merge, settings
from pynatsd.flags import Command, Exit, parse
from pynatsd.options import Options


def main() -> int:
    """The command. Returns the exit status."""
    _claim_standard_descriptors()
    try:
        return _obey(parse(sys.argv[1:]))
    except Exit as end:
        _print(1, end.out)
        _print(2, end.err)
        return end.status
    except (ValueError, daemon.StartError) as error:
        _print(2, f"{error}\n")
        return 1


def _obey(command: Command) -> int:
    argv.hide_secrets()
    if command.signal:
        pid_file = "" if "=" in command.signal else load(command)[0].pid_file
        status, text = control.send(command.signal, pid_file)
        _print(2, text)
        return status
    options, warnings = load(command)
    if command.is_test:
        _print(2, "".join(f"{warning}\n" for warning in warnings))
        _print(1, f"configuration file {command.config} is valid\n")
        return 0
    loader = (lambda: load(command)) if command.config else None
    return daemon.run(options, warnings, loader)


def load(command: Command) -> tuple[Options, list[str]]:
    """
    The options that a command line and its file ask for, and warnings.

    Raises:
        ValueError: they cannot be honoured.
    """
    file = None
    if command.config:
        file = settings.load(command.config, strict=command.is_strict)
    options, warnings = merge.options(file, command)
    ignored, error = merge.missing(options)
    if error:
        raise ValueError(error)
    return options, [*warnings, *ignored]


def _claim_standard_descriptors() -> None:
    """Open 0, 1 and 2 if they are closed, or a client's socket would get the number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _print(fd: int, text: str) -> None:
    with suppress(OSError):
        os.write(fd, text.encode(errors="backslashreplace"))
