"""What the files of one configuration share: how they are read, and their limits."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pynatsd.conf_tree import visible
from pynatsd.files import reason

BYTES_MAX = 4 * 1024 * 1024
FILES_MAX = 256
VALUES_MAX = 64 * 1024  # those behind a variable count each time
NESTING_MAX = 64  # lists, blocks, files and variables in one another


class Refusal(Exception):
    """A file cannot be read, or a limit is passed; the text says which."""


@dataclass(slots=True)
class Session:
    """The reading of one configuration: what is left of its limits, what is open."""

    bytes_left: int = BYTES_MAX
    files_left: int = FILES_MAX
    values_left: int = VALUES_MAX
    levels_left: int = NESTING_MAX
    files: list[tuple[int, int]] = field(default_factory=list)  # device and inode
    variables: list[str] = field(default_factory=list)  # of the environment

    def count_bytes(self, count: int) -> None:
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise Refusal(f"more than {BYTES_MAX} bytes of configuration")

    def count_values(self, count: int) -> None:
        self.values_left -= count
        if self.values_left < 0:
            raise Refusal(f"more than {VALUES_MAX} values")

    @contextmanager
    def nested(self, levels: int = 1) -> Iterator[None]:
        if levels > self.levels_left:
            raise Refusal(f"nested more than {NESTING_MAX} levels deep")
        self.levels_left -= levels
        yield
        self.levels_left += levels

    @contextmanager
    def file(self, path: str) -> Iterator[bytes]:
        """
        What is in the file; inside the `with` it must not be read again.

        Raises:
            Refusal: it cannot be read, is not an ordinary file, or is being read.
        """
        self.files_left -= 1
        if self.files_left < 0:
            raise Refusal(f"more than {FILES_MAX} files")
        identity, data = _read(path, self.bytes_left + 1)
        if identity in self.files:
            raise Refusal(f"'{visible(path)}' includes itself")
        self.count_bytes(len(data))
        self.files.append(identity)
        with self.nested():
            yield data
        self.files.pop()


def _read(path: str, size: int) -> tuple[tuple[int, int], bytes]:
    """Device and inode of an ordinary file, and at most *size* bytes of it."""
    failed, shown = "error opening config file:", visible(path)
    # Without O_NONBLOCK we would wait for the writer of a FIFO.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise Refusal(f"{failed} open {shown}: {reason(error)}") from None
    except ValueError:  # NUL, or letters that file names of this system cannot have
        raise Refusal(f"{failed} open {shown}: invalid argument") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
            raise Refusal(f"{failed} {shown}: not an ordinary file")
        data = b""
        while len(data) < size and (chunk := os.read(descriptor, size - len(data))):
            data += chunk
    except OSError as error:  # it is a directory, for one
        raise Refusal(f"{failed} read {shown}: {reason(error)}") from None
    finally:
        os.close(descriptor)
    return (status.st_dev, status.st_ino), data
