"""Files that others may look at: modes, links, and never half of one."""

import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_tools import PID, piped

from pynatsd import files


@pytest.fixture(autouse=True)
def _no_mask() -> Iterator[None]:
    mask = os.umask(0)
    yield
    os.umask(mask)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- opening to append ----


def test_log_file_is_for_us_and_our_group_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for text in (b"one\n", b"two\n"):
        fd = files.open_to_append(str(path))
        assert not os.get_inheritable(fd)
        os.write(fd, text)
        os.close(fd)
    assert mode(path) == 0o640
    assert path.read_bytes() == b"one\ntwo\n"


def test_mask_takes_more_away(tmp_path: Path) -> None:
    os.umask(0o077)
    os.close(files.open_to_append(str(tmp_path / "log")))
    assert mode(tmp_path / "log") == 0o600


def test_mode_that_somebody_gave_stays(tmp_path: Path) -> None:
    (tmp_path / "log").touch(0o644)
    os.close(files.open_to_append(str(tmp_path / "log")))
    assert mode(tmp_path / "log") == 0o644


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("link", "is a symbolic link"),
        ("dangling", "is a symbolic link"),
        ("loop/log", "too many levels of symbolic links"),
        ("nope/log", "no such file or directory"),
        ("file/log", "not a directory"),
        (".", "is a directory"),
        ("fifo", "no such device or address"),
        ("x" * 300, "file name too long"),
    ],
)
def test_what_is_not_opened(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("elsewhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match=r".") as caught:
        files.open_to_append(str(tmp_path / name))
    assert files.reason(caught.value) == expected
    assert not (tmp_path / "elsewhere").exists()


def test_links_in_the_folders_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    os.close(files.open_to_append(str(tmp_path / "link" / "log")))
    assert (tmp_path / "real" / "log").exists()


def test_devices_and_open_files_are_allowed() -> None:
    os.close(files.open_to_append("/dev/null"))
    os.close(files.open_to_append("/dev/stderr"))
    with piped() as pipe:
        fd = files.open_to_append(pipe.path)
        os.write(fd, b"x")
        os.close(fd)
        assert os.read(pipe.read, 9) == b"x"


# ---- the pid file ----


def test_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    files.write_pid_file(str(path))
    assert path.read_bytes() == b"%d" % PID
    assert mode(path) == 0o640
    files.remove_pid_file(str(path))
    assert os.listdir(tmp_path) == []
    files.remove_pid_file(str(path))


def test_pid_file_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1234567890")
    path.chmod(0o666)
    (tmp_path / f"pid.{PID}.tmp").write_text("of one that was killed")
    files.write_pid_file(str(path))
    assert path.read_bytes() == b"%d" % PID
    assert mode(path) == 0o640
    assert os.listdir(tmp_path) == ["pid"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("link", "not an ordinary file"),
        ("folder", "not an ordinary file"),
        ("fifo", "not an ordinary file"),
        ("nope/pid", "no such file or directory"),
        ("file/pid", "not a directory"),
    ],
)
def test_pid_file_that_cannot_be_written(
    tmp_path: Path, name: str, expected: str
) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(OSError, match=r".") as caught:
        files.write_pid_file(str(tmp_path / name))
    assert files.reason(caught.value) == expected
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "file").read_text() == "kept"


def test_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(old: str, new: str) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "pid").write_text("77")
    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_pid_file(str(tmp_path / "pid"))
    assert os.listdir(tmp_path) == ["pid"]
    assert (tmp_path / "pid").read_text() == "77"


def test_pid_file_where_only_the_file_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated, for nothing is forbidden to root."""
    opened = os.open

    def guarded(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", guarded)
    (tmp_path / "pid").write_text("77" * 40)
    files.write_pid_file(str(tmp_path / "pid"))
    assert (tmp_path / "pid").read_text() == str(PID)
    with pytest.raises(PermissionError):
        files.write_pid_file(str(tmp_path / "none"))
    assert os.listdir(tmp_path) == ["pid"]


def test_link_with_the_name_of_the_new_file_is_not_written_through(
    tmp_path: Path,
) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / f"pid.{PID}.tmp").symlink_to("victim")
    files.write_pid_file(str(tmp_path / "pid"))
    assert (tmp_path / "victim").read_text() == "kept"
    assert not (tmp_path / "pid").is_symlink()


@pytest.mark.parametrize("content", ["1", "{}1", "", " {}", "\xff", "9" * 99])
def test_pid_file_of_another_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pid"
    content = content.format(PID)
    path.write_text(content, encoding="latin-1")
    files.remove_pid_file(str(path))
    assert path.read_text(encoding="latin-1") == content


def test_readers_see_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1")
    seen = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(200):
        files.write_pid_file(str(path))
    done.set()
    reader.join()
    assert seen <= {"1", str(PID)}


# ---- the ports file ----


@pytest.mark.parametrize(
    ("program", "name"),
    [("/usr/bin/pynatsd", "pynatsd"), ("pynatsd", "pynatsd"), ("a b.py", "a b.py")],
)
def test_name_of_the_ports_file(program: str, name: str) -> None:
    assert files.ports_file("/run", program) == f"/run/{name}_{PID}.ports"


def test_ports_file(tmp_path: Path) -> None:
    path = tmp_path / "x.ports"
    found = {
        "nats": ["nats://127.0.0.1:4222", "nats://[::1]:4222"],
        "monitoring": ("http://127.0.0.1:8222",),
        "cluster": [],
    }
    files.write_ports_file(str(path), found)
    assert path.read_bytes() == (
        b'{"nats":["nats://127.0.0.1:4222","nats://[::1]:4222"],'
        b'"monitoring":["http://127.0.0.1:8222"]}'
    )
    assert mode(path) == 0o644
    files.remove_ports_file(str(path))
    assert os.listdir(tmp_path) == []
    files.remove_ports_file(str(path))


def test_ports_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        files.write_ports_file(str(tmp_path / "nope" / "x.ports"), {})
    assert files.reason(caught.value) == "no such file or directory"


def test_ports_file_of_a_full_server(tmp_path: Path) -> None:
    path = tmp_path / "x.ports"
    urls = [f"nats://10.0.0.{number}:4222" for number in range(5000)]
    files.write_ports_file(str(path), {"nats": urls})
    assert json.loads(path.read_text()) == {"nats": urls}


# ---- words ----


def test_reason_has_the_case_of_the_original() -> None:
    assert files.reason(FileNotFoundError(2, "x")) == "no such file or directory"
    assert files.reason(OSError("Odd")) == "odd"
    assert not re.search("[A-Z]", files.reason(PermissionError(13, "X")))
