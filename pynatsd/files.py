"""Files that others may look at or wait for: opened and replaced without surprises."""

import errno
import json
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress

_DEVICE_DIRECTORIES = ("/dev", "/dev/fd", "/proc/self/fd")


def open_to_append(path: str) -> int:
    """
    A descriptor that appends to *path*, created for us and our group alone.

    A link is not followed, unless it is one of the system's own names for open
    files, such as /dev/stdout. It never blocks, not even a pipe that nobody reads.

    Raises:
        OSError: the file cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    if os.path.dirname(os.path.abspath(path)) not in _DEVICE_DIRECTORIES:
        flags |= os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o640)
    except OSError as error:
        if error.errno == errno.ELOOP and os.path.islink(path):
            raise OSError("is a symbolic link") from None
        raise


def write_pid_file(path: str) -> None:
    """
    Replace *path* by a file with our process id, all at once.

    Raises:
        OSError: it cannot be written, or is not an ordinary file.

    Source: gnatsd 0.8.0, server/server.go, `logPid`.
    """
    _replace(path, str(os.getpid()), 0o640)


def remove_pid_file(path: str) -> None:
    """Remove *path*, unless another process has put its own there meanwhile."""
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        if file.read(32) == str(os.getpid()):
            os.unlink(path)


def ports_file(directory: str, program: str) -> str:
    """Where the ports file of this process is: *program* is what it was started as."""
    return os.path.join(directory, f"{os.path.basename(program)}_{os.getpid()}.ports")


def write_ports_file(path: str, urls: Mapping[str, Sequence[str]]) -> None:
    """
    Say in *path* where we listen, all at once; everybody may read it.

    *urls* has what belongs to "nats", "monitoring", "cluster" and "profile". What has
    none is left out.

    Raises:
        OSError: it cannot be written, or is not an ordinary file.

    Source: nats-server 2, `ports_file_dir`.
    """
    shown = {name: list(found) for name, found in urls.items() if found}
    _replace(path, json.dumps(shown, separators=(",", ":")), 0o644)


def remove_ports_file(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def reason(error: OSError) -> str:
    """The system's words for *error*, in the original's lower case."""
    text = os.strerror(error.errno) if error.errno else str(error)
    return text[:1].lower() + text[1:]


def _replace(path: str, text: str, mode: int) -> None:
    """Put a file with *text* in the place of *path*: readers see the old or the new."""
    temporary = f"{path}.{os.getpid()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError("not an ordinary file")
    try:
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # of one with our number, who never came to rename it
        fd = os.open(temporary, flags, mode)
    except PermissionError:
        if not os.path.exists(path):
            raise
        _overwrite(path, text)  # the directory is another's, the file may be ours
        return
    try:
        with open(fd, "w", encoding="ascii") as file:
            file.write(text)
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _overwrite(path: str, text: str) -> None:
    """As old init scripts prepare it: a file of ours where we may not create one."""
    flags = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags), "w", encoding="ascii") as file:
        file.write(text)
