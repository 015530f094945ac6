"""What the command prints and how it ends, and which server it starts."""

import subprocess
import sys
from pathlib import Path

import pytest
from daemons import daemon, run

from pynatsd import __version__
from pynatsd.usage import HELP_TLS, USAGE

NEEDS_USER = "--pass: needs --user, or a user in the file"
VERSION = f"pynatsd version {__version__}\n"


@pytest.mark.parametrize(
    ("words", "status", "out", "err"),
    [
        (["-v"], 0, VERSION, ""),
        (["-h"], 0, USAGE, ""),
        (["--help_tls"], 0, HELP_TLS, ""),
        (["foo"], 1, "", 'unrecognized command: "foo"\n'),
        (["--nosuch"], 2, USAGE, "flag provided but not defined: -nosuch\n"),
        (["\udcff"], 1, "", 'unrecognized command: "\\udcff"\n'),
        (["-p", "65536"], 1, "", "port: must be from -1 to 65535, not 65536\n"),
        (["--pass", "s3"], 1, "", f"{NEEDS_USER}\n"),
        (["--tls", "--tlscert=c", "--tlskey=k"], 1, "", "TLS is not built yet\n"),
        (["--signal", "foo"], 1, "", 'unknown signal "foo"\n'),
    ],
)
def test_process_that_only_prints(
    words: list[str], status: int, out: str, err: str
) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("port: 1\nlogtime: true\nserver_name: hub\n")
    with daemon("-c", str(path), "-T=false", "-m", "8222") as process:
        lines = process.end()
    assert [line.split("] ", 1)[1].split(" on ")[0] for line in lines] == [
        f"[INF] Starting pynatsd version {__version__}\n",
        "[WRN] monitoring is not built yet: ignored\n",
        "[INF] Listening for client connections",
        "[INF] Server is ready\n",
        "[INF] Server Exiting..\n",
    ]


@pytest.mark.parametrize(
    ("text", "words", "status", "out", "err"),
    [
        ("port: 1", ["-t"], 0, "configuration file x.conf is valid\n", ""),
        ("", ["-t", "-p", "1"], 0, "configuration file x.conf is valid\n", ""),
        (
            "prot: 1",
            ["-t"],
            0,
            "configuration file x.conf is valid\n",
            'x.conf:1:1: unknown key "prot", did you mean "port"?\n',
        ),
        (
            "prot: 1",
            ["-t", "--strict"],
            1,
            "",
            'x.conf:1:1: unknown key "prot", did you mean "port"?\n',
        ),
        (
            "port: x",
            ["-t"],
            1,
            "",
            "x.conf:1:7: port: must be a whole number, not text\n",
        ),
        ("port: 1", ["-t", "--pass=s3"], 1, "", f"{NEEDS_USER}\n"),
        ("tls { }", ["-t"], 1, "", "TLS is not built yet\n"),
        ("tls { }", [], 1, "", "TLS is not built yet\n"),
    ],
)
def test_check_of_a_file(
    text: str, words: list[str], status: int, out: str, err: str, tmp_path: Path
) -> None:
    (tmp_path / "x.conf").write_text(text)
    done = run("-c", "x.conf", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


@pytest.mark.parametrize(
    ("path", "err"),
    [
        ("/nonexist.conf", "open /nonexist.conf: no such file or directory"),
        ("/", "read /: is a directory"),
    ],
)
def test_file_that_cannot_be_read(path: str, err: str) -> None:
    done = run("-c", path)
    assert done.stderr == f"error opening config file: {err}\n"
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("words", ["-P x.pid", "-c x.conf"])
def test_signal_by_the_pid_file_that_the_command_line_names(
    words: str, tmp_path: Path
) -> None:
    (tmp_path / "x.conf").write_text("pid_file: x.pid")
    with daemon("-P", "x.pid", cwd=tmp_path) as process:
        done = run("--signal", "quit", *words.split(), cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert process.wait() == 0
    done = run("--signal", "quit", *words.split(), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "pid file x.pid: no such file or directory\n"


def test_signal_by_process_id_reads_no_file() -> None:
    with daemon() as process:
        done = run("-sl", f"term={process.pid}", "-c", "/nonexist.conf")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert process.wait() == 0


def test_signal_without_a_process() -> None:
    done = run("--signal", "reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "--signal reload: needs a process id or a pid file\n"


def test_console_script_is_the_same_function() -> None:
    code = "import sys; from pynatsd.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "-v"], capture_output=True, text=True, check=True
    )
    assert done.stdout == VERSION
