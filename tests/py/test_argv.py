"""Secrets among the arguments: which they are, and that nobody else reads them."""

import subprocess
import sys
from pathlib import Path

import pytest

from pynatsd import argv


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("-p 4222 --user derek", []),
        ("--pass s3cret", [b"s3cret"]),
        ("-pass=s3cret", [b"s3cret"]),
        ("--pass=a=b", [b"a=b"]),
        ("--auth tok -D", [b"tok"]),
        (
            "--cluster nats://u:p@h:1 --routes nats://a:b@h:2",
            [b"nats://u:p@h:1", b"nats://a:b@h:2"],
        ),
        ("--cluster_listen=nats://u:p@h:1", [b"nats://u:p@h:1"]),
        ("--pass", []),
        ("--pass=", []),
        ("pass word", []),
        ("--passage x", []),
    ],
)
def test_secrets(line: str, found: list[bytes]) -> None:
    assert argv.secrets(line.split()) == found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"pynatsd\0--pass\0abc\0", b"pynatsd\0--pass\0***\0"),
        (b"pynatsd\0--pass=abc\0-D\0", b"pynatsd\0--pass=***\0-D\0"),
        (b"pynatsd\0--pass=abcd\0xabc\0", b"pynatsd\0--pass=abcd\0xabc\0"),
        (b"pynatsd\0--user\0abc\0", b"pynatsd\0--user\0***\0"),
        (b"", b""),
    ],
)
def test_masked(before: bytes, after: bytes) -> None:
    assert argv.masked(before, [b"abc"]) == after


SHOWN = """
import sys
from pathlib import Path
from pynatsd import argv
argv.hide_secrets(*map(Path, sys.argv[3:]))
print(repr(Path("/proc/self/cmdline").read_bytes().split(b"\\0")[3:5]), sys.argv[2])
"""


def shown(*more: str) -> str:
    command = [sys.executable, "-c", SHOWN, "--pass", "s3cret", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux shows it so")
def test_the_process_table_does_not_show_them() -> None:
    assert shown() == "[b'--pass', b'******'] s3cret"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux shows it so")
@pytest.mark.parametrize("stat", [None, "", "1 (x) S 1", "1 (x) " + "x " * 60])
def test_a_system_that_does_not_tell_where_they_are(
    tmp_path: Path, stat: str | None
) -> None:
    if stat is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/stat").write_text(stat)
    assert shown(str(tmp_path)) == "[b'--pass', b's3cret'] s3cret"
