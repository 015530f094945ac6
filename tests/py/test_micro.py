"""`perf.micro` and `perf.profile`: they build, they run, they read what tools print."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

# Behind everything else: what is installed is tested, and perf never is.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from perf import processes, profile
from perf.micro import callgrind
from perf.micro import run as micro
from perf.scenarios import SPEEDS
from perf.speed import Speed

HEADER = Path("/usr/include/valgrind/callgrind.h")
SUBJECTS = {"parse", "scan", "hash", "cache", "index,", "remove", "encode", "append"}
SUBJECTS |= {"mail,", "timer", "event", "memory,"}
QUICK = ["--quick", "--rounds=2", "--round-ms=1"]

STACKS = """python
\t            9814 copy (inlined)
\t            9810 serve (/x/pynatsd/_core.abi3.so)
\tffffffffffffffff [unknown] ([unknown])

python
\t            9814 copy (inlined)
\t            9810 serve (/x/pynatsd/_core.abi3.so)
\tffffffffffffffff [unknown] ([unknown])

python
\tffffffff81b6a534 _copy_from_iter ([kernel.kallsyms])
\t          10ac4d __libc_sendmsg (/usr/lib/libc.so.6)

"""

ANNOTATED = """\
Profile data file 'out.1' (creator: callgrind-3.19.0)
Events shown:     Ir
--------------------------------------------------------------------------------
Ir
--------------------------------------------------------------------------------
1,360 (100.0%)  PROGRAM TOTALS

--------------------------------------------------------------------------------
Ir             file:function
--------------------------------------------------------------------------------
1,000 (73.53%)  csrc/view.c:serve.lto_priv.0 [/x/pynatsd/_core.abi3.so]
  300 (22.06%)  ./malloc/./malloc/malloc.c:_int_free [/usr/lib/libc.so.6]
   60 ( 4.41%)  csrc/outbuf.h:serve.lto_priv.0
"""


@pytest.fixture(scope="module")
def program() -> Path:
    """The program, up to date."""
    compiler = shlex.split(os.environ.get("CC", "cc"))[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    micro.build()
    return micro.MICRO


def needs_callgrind() -> None:
    if shutil.which("valgrind") is None or not HEADER.exists():
        pytest.skip("no valgrind here")


def needs_two_cpus() -> None:
    if not {profile.SERVER_CPU, profile.LOAD_CPU} <= os.sched_getaffinity(0):
        pytest.skip("server and generator want CPU 0 and CPU 1")


def scenario_of(name: str) -> Speed:
    return next(one for one in SPEEDS if one.name == name)


def test_micro_measures_everything(program: Path, tmp_path: Path) -> None:
    target = tmp_path / "micro.json"
    assert micro.main([*QUICK, "--json", str(target)]) == 0
    found = json.loads(target.read_text())
    names = [row["name"] for row in found["rows"]]
    assert len(set(names)) == len(names) >= 40
    assert {name.split()[0] for name in names} == SUBJECTS
    assert all(row["median"] > 0 and min(row["rounds"]) > 0 for row in found["rows"])
    assert {len(row["rounds"]) for row in found["rows"] if row["unit"] == "ns"} == {2}
    assert found["machine"]["cpu_count"] == os.cpu_count()
    assert found["revision"]


def test_micro_counts_the_same_twice(program: Path) -> None:
    needs_callgrind()
    options = micro.parse([*QUICK, "--filter=parse PUB", "--callgrind"])
    first = micro.count(options)
    assert len(first) >= 3
    assert all(row.middle > 10 and row.unit == "instructions" for row in first)
    assert micro.count(options) == first


def test_micro_says_what_is_wrong(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert micro.main(["--rounds=0"]) == 1
    assert "not a number that will do" in capsys.readouterr().err


def test_micro_says_that_the_compiler_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    with pytest.raises(processes.MeasureError, match="cannot start /nowhere/cc"):
        micro.build(tmp_path / "micro")


def test_stacks_are_counted_and_shown() -> None:
    stacks = profile.fold(STACKS)
    core, kernel = "_core.abi3.so", "kernel.kallsyms"
    copied = profile.Frame("copy", core)
    served = profile.Frame("serve", core)
    unknown = profile.Frame("[unknown]", "unknown")
    written = profile.Frame("_copy_from_iter", kernel)
    sent = profile.Frame("__libc_sendmsg", "libc.so.6")
    assert stacks == {(copied, served, unknown): 2, (written, sent): 1}
    assert profile.folded(stacks) == (
        "[unknown];serve;copy 2\n__libc_sendmsg;_copy_from_iter 1\n"
    )
    lines = profile.flat(stacks, 1).splitlines()
    assert lines[0] == "3 samples"
    assert lines[2:] == [" 66.67%  66.67%  copy [_core.abi3.so]"]


def test_no_samples_are_no_error() -> None:
    assert profile.flat(profile.fold(""), 5).startswith("0 samples")


def test_costs_are_read_and_compared() -> None:
    once = callgrind.costs(ANNOTATED)
    assert once == {
        "view.c:serve": 1000,
        "malloc.c:_int_free": 300,
        "outbuf.h:serve": 60,
    }
    thrice = Counter({name: 3 * value for name, value in once.items()})
    pair = callgrind.Counted.between(once, thrice, 10)
    assert pair.total == 272
    text = profile.counted_table([pair, pair], 1).splitlines()
    assert text[0].startswith("272.0 instructions a message")
    assert "0.00% apart" in text[0]
    assert text[2].split() == ["212.0", "77.94%", "serve"]
    assert text[4].split() == ["200.0", "73.53%", "view.c:serve"]


def test_totals_are_read() -> None:
    assert callgrind.total("events: Ir\nfn=(1)\n12 5\ntotals: 815\n") == 815
    with pytest.raises(processes.MeasureError, match="no totals"):
        callgrind.total("")


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("pub-16", 100_000),
        ("1:100-128", 1000),
        ("32:1-128", 3125),
        ("queue-1:8-128", 100_000),
        ("8:8-128", 12_500),
        ("1:1-64k", 7812),
        ("rr-32", 156),
        ("connect", 100),
    ],
)
def test_counted_loads_are_small(name: str, messages: int) -> None:
    assert profile.counted_messages(scenario_of(name)) == messages


def test_a_missing_tool_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "build_load", lambda: None)
    monkeypatch.setenv("PATH", "")
    assert profile.main(["pub-16"]) == 1
    assert "perf is missing" in capsys.readouterr().err
    assert profile.main(["pub-16", "--callgrind"]) == 1
    assert "valgrind is missing" in capsys.readouterr().err


def test_profile_samples(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs_two_cpus()
    monkeypatch.setattr(profile, "FOLDED", tmp_path)
    status = profile.main(["pub-16", "--seconds=0.2", "--lines=5"])
    said = capsys.readouterr()
    if "perf is missing" in said.err or "perf record" in said.err:
        pytest.skip(said.err.splitlines()[0])
    assert status == 0, said.err
    assert "us of CPU each" in said.out
    assert (tmp_path / "pub-16.folded").read_text()


def test_profile_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_callgrind()
    needs_two_cpus()
    monkeypatch.setattr(profile, "COUNTED", 5000)
    monkeypatch.setattr(processes, "START_SECONDS", 60.0)
    assert profile.main(["1:1-16", "--callgrind", "--lines=5"]) == 0
    said = capsys.readouterr().out
    assert 50 < float(said.split()[1]) < 5000
    assert "conn_read.c" in said
