"""How lines look: the original's, JSON's, a syslog's; none lets anything through."""

import json
import logging
import time
from collections.abc import Callable, Iterator

import pytest
from log_tools import PID

from pynatsd import log_format
from pynatsd.log_format import TRACE, Form, JsonForm, SyslogForm, TextForm

WHEN = 1446640790.25  # 2015-11-04 12:39:50.25 UTC
LEVELS = [
    (TRACE, "TRC", 33, "trace", 7),
    (logging.DEBUG, "DBG", 36, "debug", 7),
    (logging.INFO, "INF", 32, "info", 5),
    (logging.WARNING, "WRN", 33, "warning", 4),
    (logging.ERROR, "ERR", 31, "error", 3),
    (logging.CRITICAL, "FTL", 31, "fatal", 2),
    (17, "ERR", 31, "error", 3),
]
ZONES = [
    ("UTC", "12:39:50", "Z"),
    ("XYZ-5:30", "18:09:50", "+05:30"),
    ("XYZ+3", "09:39:50", "-03:00"),
]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def change(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    change("UTC")
    yield change
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "vm")


@pytest.mark.parametrize(("level", "label", "colour", "name", "severity"), LEVELS)
def test_levels(level: int, label: str, colour: int, name: str, severity: int) -> None:
    plain = TextForm(logtime=False, colours=False)
    assert plain.line(0, level, "x") == f"[{PID}] [{label}] x\n"
    coloured = TextForm(logtime=False, colours=True)
    assert coloured.line(0, level, "x") == (
        f"[{PID}] [\x1b[{colour}m{label}\x1b[0m] x\n"
    )
    assert JsonForm(logtime=False).line(0, level, "x") == (
        f'{{"level":"{name}","pid":{PID},"message":"x"}}\n'
    )
    for is_local in (False, True):
        line = SyslogForm(is_local=is_local).line(0, level, "x")
        assert line.startswith(f"<{24 + severity}>")


@pytest.mark.parametrize(("name", "hour", "offset"), ZONES)
@pytest.mark.usefixtures("host")
def test_times(zone: Callable[[str], None], name: str, hour: str, offset: str) -> None:
    zone(name)
    text = TextForm(logtime=True, colours=False)
    assert text.line(WHEN, logging.INFO, "x") == (
        f"[{PID}] 2015/11/04 {hour}.250000 [INF] x\n"
    )
    assert JsonForm(logtime=True).line(WHEN, logging.INFO, "x") == (
        f'{{"time":"2015-11-04T{hour}.250000{offset}","level":"info",'
        f'"pid":{PID},"message":"x"}}\n'
    )
    assert SyslogForm(is_local=False).line(WHEN, logging.INFO, "x") == (
        f"<29>2015-11-04T{hour}{offset} vm pynatsd[{PID}]: x\n"
    )
    assert SyslogForm(is_local=True).line(WHEN, logging.INFO, "x") == (
        f"<29>Nov  4 {hour} pynatsd[{PID}]: x\n"
    )


@pytest.mark.usefixtures("zone")
def test_time_follows_the_second() -> None:
    form = TextForm(logtime=True, colours=False)
    stamps = [form.line(WHEN + more, 20, "x")[-21:-9] for more in (0, 0.5, 0.75, 0)]
    assert stamps == ["39:50.250000", "39:50.750000", "39:51.000000", "39:50.250000"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a b\n", "a_b\\n"), ("", "localhost"), ("db-1.example", "db-1.example")],
)
def test_name_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, name: str, shown: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: name)
    line = SyslogForm(is_local=False).line(WHEN, logging.INFO, "x")
    assert line.split(" ", 1)[1] == f"{shown} pynatsd[{PID}]: x\n"


@pytest.mark.parametrize(
    ("text", "about", "message"),
    [
        (
            "127.0.0.1:51184 - cid:1 - Ping",
            '"client":"127.0.0.1:51184","cid":1,',
            "Ping",
        ),
        ("::1:63330 - cid:18 - a - b", '"client":"::1:63330","cid":18,', "a - b"),
        ("127.0.0.1:51184 - cid:1 - ", '"client":"127.0.0.1:51184","cid":1,', ""),
        ("x 127.0.0.1:1 - cid:1 - y", "", "x 127.0.0.1:1 - cid:1 - y"),
        ("127.0.0.1:1 - cid:x - y", "", "127.0.0.1:1 - cid:x - y"),
        ("127.0.0.1:1 - rid:1 - y", "", "127.0.0.1:1 - rid:1 - y"),
        (f"{'1' * 50}:1 - cid:1 - y", "", f"{'1' * 50}:1 - cid:1 - y"),
    ],
)
def test_json_says_whom_it_is_about(text: str, about: str, message: str) -> None:
    assert JsonForm(logtime=False).line(0, logging.DEBUG, text) == (
        f'{{"level":"debug","pid":{PID},{about}"message":"{message}"}}\n'
    )


HOSTILE = [
    "two\nlines\r\n",
    "\x1b[31mred\x07\x7f\x9b",
    "tab\t nul\x00",
    'quotes " \\ " \\\\',
    "\u00e9\u20ac\U0001f600\u2028\u202e",
    "\ud800 alone",
    "} , { ] [",
    "",
    *("x" * n for n in (3900, 4000, 4095, 4096, 4097, 1_000_000)),
    *(odd * n for odd in ('"', "\\", "\x00", "\U0001f600") for n in (340, 3000, 5000)),
    "plain" * 600 + "\x01" * 600,
    "\x01" * 600 + "plain" * 600,
]
FORMS: list[Form] = [
    TextForm(logtime=True, colours=False),
    JsonForm(logtime=True),
    JsonForm(logtime=False),
    SyslogForm(is_local=True),
    SyslogForm(is_local=False),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_one_printable_bounded_line(form: Form, number: int) -> None:
    for text in (HOSTILE[number], "127.0.0.1:51184 - cid:1 - " + HOSTILE[number]):
        line = form.line(WHEN, logging.INFO, text)
        assert line.endswith("\n")
        assert all(0x20 <= ord(char) <= 0x7E for char in line[:-1])
        if isinstance(form, JsonForm):
            assert len(line) <= 4096
            said = json.loads(line)["message"]
            wanted = HOSTILE[number] if "client" in line[:99] else text
            if said != wanted:
                assert said.endswith("...")
                assert wanted.startswith(said[:-3])
                assert len(line) > 2048
        else:
            assert len(line) <= 4096 + 80


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ~", "plain ~"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred\x07\x7f", "\\x1b[31mred\\x07\\x7f"),
        ("tab\tcr\r.", "tab\\tcr\\r."),
        ("\u00e9\u20ac\U0001f600", "\\xe9\\u20ac\\U0001f600"),
        ("\ud800", "\\ud800"),
        ("x" * 4096, "x" * 4096),
        ("x" * 4097, "x" * 4093 + "..."),
        ("\x00" * 4000, ("\\x00" * 4000)[:4096]),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert log_format.printable(text) == expected


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("abc", 5, '"abc"'),
        ("abcdef", 7, '"a..."'),
        ("\x00\x00\x00", 20, '"\\u0000\\u0000\\u0000"'),
        ("\x00\x00\x00", 19, '"\\u0000\\u0000..."'),
        ("\x00\x00\x00", 8, '"..."'),
    ],
)
def test_json_is_cut_between_characters(text: str, room: int, expected: str) -> None:
    assert log_format._quoted(text, room) == expected
