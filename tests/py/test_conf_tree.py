"""The tree of a configuration: places, literals, variables, files, secrets."""

import os
import socket
from pathlib import Path

import pytest
from trees import EOL, ESCAPES, MAP_END, expect, expect_error, plain

from pynatsd.conf import At, Block, ConfError, Entry, Value, load, parse


def test_places_and_literals() -> None:
    assert parse("\ufeffa: 2m\r\n é{b=['x']}\n", "n") == Block(
        (
            Entry("a", At("n", 1, 1), Value(2_000_000, At("n", 1, 4), "2m")),
            Entry(
                "é",
                At("n", 2, 2),
                Value(
                    Block(
                        (
                            Entry(
                                "b",
                                At("n", 2, 4),
                                Value((Value("x", At("n", 2, 7)),), At("n", 2, 6)),
                            ),
                        ),
                        At("n", 2, 3),
                    ),
                    At("n", 2, 3),
                ),
            ),
        ),
        At("n", 1, 1),
    )


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("5k", "5k"),
        ("YES", "YES"),
        ("1.50", "1.50"),
        ("10s", "10s"),
        ("x", "x"),
        ("x'", "x"),
        ("2016-05-04T18:53:41Z", "2016-05-04T18:53:41Z"),
        ("'5'", ""),
        ('"x"', ""),
        ("(\n)", ""),
        ("[5]", ""),
        ("{b=5}", ""),
    ],
)
def test_only_bare_values_have_a_literal(text: str, literal: str) -> None:
    assert parse(f"a={text}", "n").entries[0].value.literal == literal


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x", "text"),
        ("1", "a whole number"),
        ("1.5", "a number"),
        ("no", "true or false"),
        ("2016-05-04T18:53:41Z", "a date"),
        ("[]", "a list"),
        ("{}", "a block"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert parse(f"a={text}", "n").entries[0].value.kind == kind


def test_doubled_keys_are_kept_in_order() -> None:
    entries = parse("a=1\nb=2\na=3", "n").entries
    assert [(each.key, each.value.data) for each in entries] == [
        ("a", 1),
        ("b", 2),
        ("a", 3),
    ]


def test_error_attributes() -> None:
    with pytest.raises(ConfError) as caught:
        parse("a=1\n =", "dir/x.conf")
    error = caught.value
    assert (error.file, error.line, error.column) == ("dir/x.conf", 2, 2)
    assert error.text == "Unexpected key separator '='"
    assert str(error) == "dir/x.conf:2:2: Unexpected key separator '='"


def test_errors_are_one_line() -> None:
    with pytest.raises(ConfError) as caught:
        parse("=", "a\n\x1b[0m")
    assert str(caught.value) == r"a\n\x1b[0m:1:1: Unexpected key separator '='"


# ---- variables ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b=1\na=$b", {"b": 1, "a": 1}),
        ("b='x y'\na=$b", {"b": "x y", "a": "x y"}),
        ("b=1;a=$b;c=$b", {"b": 1, "a": 1, "c": 1}),
        ("b=1\na=[$b,2,$b]", {"b": 1, "a": [1, 2, 1]}),
        ("b=1\na={c=$b}", {"b": 1, "a": {"c": 1}}),
        ("b=1\na={d={c=[{e=$b}]}}", {"b": 1, "a": {"d": {"c": [{"e": 1}]}}}),
        ("b=1\na={b=2,c=$b}", {"b": 1, "a": {"b": 2, "c": 2}}),
        ("b=1\na={c=$b,b=2}", {"b": 1, "a": {"c": 1, "b": 2}}),
        ("b=1\nb=2\na=$b", {"b": 2, "a": 2}),
        ("b=1\nc=$b\nb=2", {"b": 2, "c": 1}),
        ("a=1\na=$a", {"a": 1}),
        ("b={x=[1]}\na=$b", {"b": {"x": [1]}, "a": {"x": [1]}}),
        ("b.c-d=1\na=$b.c-d", {"b.c-d": 1, "a": 1}),
        ("'b#c'=1\na=$b#c", {"b#c": 1, "a": 1}),
        ("b=1\na=x$b", {"b": 1, "a": "x$b"}),
        ("b=1\na='$b'", {"b": 1, "a": "$b"}),
        ("{b:1,a:$b}", {"b": 1, "a": 1}),
        ("2x=1\na=$2x", {"2x": 1, "a": 1}),
    ],
)
def test_variables(text: str, expected: dict[str, object]) -> None:
    expect(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=$b", "1:3: variable reference for 'b' can not be found"),
        ("a=$b\nb=1", "1:3: variable reference for 'b' can not be found"),
        ("a=$a", "1:3: variable reference for 'a' can not be found"),
        ("b={c=1}\na= $c", "2:4: variable reference for 'c' can not be found"),
        ("a=[{b=1},$b]", "1:10: variable reference for 'b' can not be found"),
        ("b=1\na=$B", "2:3: variable reference for 'B' can not be found"),
        ("a=$", "1:3: variable reference for '' can not be found"),
        ("a=$x=y", "1:3: variable reference for 'x=y' can not be found"),
        ("a=$é\x0b", r"1:3: variable reference for 'é\x0b' can not be found"),
        (
            "a=$" + "x" * 99,
            f"1:3: variable reference for '{'x' * 40}...' can not be found",
        ),
    ],
)
def test_variables_that_are_not_there(text: str, expected: str) -> None:
    expect_error(text, expected)


def test_a_value_from_a_variable_stands_where_the_variable_does() -> None:
    value = parse("b=2m\n a=$b", "n").entries[1].value
    assert value == Value(2_000_000, At("n", 2, 4), "2m")


def test_used_entries_are_marked() -> None:
    block = parse("a=1\nb=1\nc={a=1\nd=$b\ne=$a}\nb=2", "n")
    inner = block.entries[2].value.data
    assert isinstance(inner, Block)
    assert [(e.key, e.is_used) for e in (*block.entries, *inner.entries)] == [
        ("a", False),
        ("b", True),
        ("c", False),
        ("b", False),
        ("a", True),
        ("d", False),
        ("e", False),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5),
        (" 5k ", 5000),
        ("yes", True),
        ("x", "x"),
        ("'a b'", "a b"),
        ("#x", "#x"),
        ("x # c\n", "x"),
        ("$2a$11$abc", "$2a$11$abc"),
        ("{b=1,c=$b}", {"b": 1, "c": 1}),
        ("[1,2]", [1, 2]),
        ("$ND_OTHER", "other"),
        ("[$ND_OTHER,$ND_OTHER]", ["other", "other"]),
        ("{ND_X=1,c=$ND_X}", {"ND_X": 1, "c": 1}),
    ],
)
def test_environment(
    text: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ND_X", text)
    monkeypatch.setenv("ND_OTHER", "other")
    expect("a=$ND_X", {"a": expected})
    expect("ND_X=7\na=$ND_X", {"ND_X": 7, "a": 7})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "$ND_X:1:1: Expected value but found 'EOF'"),
        ("\n5", "$ND_X:1:1: Expected value but found new line"),
        ("a b", f"$ND_X:1:3: {EOL}'b' instead."),
        ("5\nb=1", "$ND_X:2:1: Expected EOF, but got 'b'."),
        ("'x", "$ND_X:1:3: Unexpected EOF. The ''' of line 1, column 1 is not closed."),
        ("$ND_X", "$ND_X:1:1: variable reference for '...' is a cycle"),
        ("[$ND_Y]", "$ND_Y:1:1: variable reference for '...' is a cycle"),
        ("$a", "$ND_X:1:1: variable reference for '...' can not be found"),
        ("9" * 20, "$ND_X:1:1: Integer '...' is out of the range."),
        ("9" * 400 + ".0", "$ND_X:1:1: Float '...' is out of the range."),
        (
            "2016-13-04T18:53:41Z",
            "$ND_X:1:1: Expected Zulu formatted DateTime, but got '...'.",
        ),
        ("x\udcff", "$ND_X:1:2: not valid UTF-8"),
    ],
)
def test_environment_that_is_not_a_value(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ND_X", text)
    monkeypatch.setenv("ND_Y", "$ND_X")
    with pytest.raises(ConfError) as caught:
        parse("a=1\nb=$ND_X", "n")
    assert str(caught.value) == expected


# ---- files ----

OPENING = "error opening config file: "
NOT_THERE = "no such file or directory"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; it has c/z.conf and c/d/y.conf."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c/d").mkdir(parents=True)
    (tmp_path / "c/z.conf").write_text("z=1")
    (tmp_path / "c/d/y.conf").write_text("y=[$x]\ninclude ../z.conf\nw=$z")
    return tmp_path


def test_load(folder: Path) -> None:
    (folder / "c/x.conf").write_bytes(b"\xef\xbb\xbfx=1\r\n")
    at = At("c/x.conf", 1, 1)
    value = Value(1, At("c/x.conf", 1, 3), "1")
    assert load("c/x.conf") == Block((Entry("x", at, value),), at)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("include z.conf", {"z": 1}),
        ("INCLUDE 'z.conf'", {"z": 1}),
        ('a=1;include "z.conf";b=$z # c', {"a": 1, "z": 1, "b": 1}),
        ("include\tz.conf\ninclude z.conf\nz=2", {"z": 2}),
        ("a {include z.conf}", {"a": {"z": 1}}),
        ("a {b=1, include 'z.conf', c=$z}", {"a": {"b": 1, "z": 1, "c": 1}}),
        ("{include z.conf}", {"z": 1}),
        ("x=1\ninclude d/y.conf", {"x": 1, "y": [1], "z": 1, "w": 1}),
        ("a {x=2\ninclude d/y.conf\n}", {"a": {"x": 2, "y": [2], "z": 1, "w": 1}}),
        ("include j.json", {"j": {"k": True}}),
        ("include ./d/../z.conf", {"z": 1}),
    ],
)
def test_includes(text: str, expected: dict[str, object], folder: Path) -> None:
    (folder / "c/x.conf").write_text(text)
    (folder / "c/j.json").write_text('{"j": {"k": true}}\n')
    assert repr(plain(load("c/x.conf"))) == repr(expected)


def test_includes_of_a_text_are_relative_to_the_working_directory(folder: Path) -> None:
    (folder / "include me").write_text("a=1")
    assert plain(parse("include 'include me'", "c/x.conf")) == {"a": 1}
    assert plain(parse(f"include {folder}/c/z.conf", "n")) == {"z": 1}


def test_places_in_included_files(folder: Path) -> None:
    (folder / "c/x.conf").write_text("x=1\ninclude d/y.conf")
    assert [entry.at for entry in load("c/x.conf").entries] == [
        At("c/x.conf", 1, 1),
        At("c/d/y.conf", 1, 1),
        At("c/d/../z.conf", 1, 1),
        At("c/d/y.conf", 3, 1),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" include nope", f"x.conf:1:10: {OPENING}open nope: {NOT_THERE}"),
        ("include c", f"x.conf:1:9: {OPENING}read c: is a directory"),
        ("include ''", f"x.conf:1:9: {OPENING}open : {NOT_THERE}"),
        ("include fifo", f"x.conf:1:9: {OPENING}fifo: not an ordinary file"),
        ("include x.conf", "x.conf:1:9: 'x.conf' includes itself"),
        ("a {\ninclude link}", "x.conf:2:9: 'link' includes itself"),
        ("include back", "back:1:9: './x.conf' includes itself"),
        ("include bad", "bad:1:3: Expected value but found 'EOF'"),
        ("include c/z.conf b=1", f"x.conf:1:18: {EOL}'b' instead."),
        ("{include c/z.conf b=1}", f"x.conf:1:19: {MAP_END}'b' instead."),
        ("include a\\qb", f"x.conf:1:11: Invalid escape character 'q'. {ESCAPES}"),
    ],
)
def test_includes_that_fail(text: str, expected: str, folder: Path) -> None:
    (folder / "x.conf").write_text(text)
    (folder / "back").write_text("include ./x.conf")
    (folder / "bad").write_text("a=")
    (folder / "link").symlink_to("x.conf")
    os.mkfifo(folder / "fifo")
    with pytest.raises(ConfError) as caught:
        load("x.conf")
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("nope", f"open nope: {NOT_THERE}"),
        ("", f"open : {NOT_THERE}"),
        ("c", "read c: is a directory"),
        ("c/z.conf/x", "open c/z.conf/x: not a directory"),
        ("fifo", "fifo: not an ordinary file"),
        ("/dev/null", "/dev/null: not an ordinary file"),
        ("/dev/zero", "/dev/zero: not an ordinary file"),
        ("unix", "open unix: no such device or address"),
        ("loop", "open loop: too many levels of symbolic links"),
        ("a\0b", r"open a\x00b: invalid argument"),
        ("a\nb\udcff", rf"open a\nb\udcff: {NOT_THERE}"),
    ],
)
def test_files_that_cannot_be_read(path: str, expected: str, folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("unix")
        with pytest.raises(ConfError) as caught:
            load(path)
    error = caught.value
    assert str(error) == error.text == OPENING + expected
    assert (error.file, error.line, error.column) == (path, 0, 0)


def test_no_descriptor_stays_open(folder: Path) -> None:
    before = os.listdir("/proc/self/fd")
    load("c/z.conf")
    for path in ("c", "/dev/null"):
        with pytest.raises(ConfError):
            load(path)
    assert os.listdir("/proc/self/fd") == before


# ---- secrets ----


def test_no_repr_shows_a_value() -> None:
    text = "a=SECRET\nb='SECRET'\nc=[SECRET,{d=SECRET}]\ne=(\nSECRET\n)"
    assert "SECRET" not in repr(parse(text, "n"))
    assert repr(parse("a=SECRET", "n").entries[0]) == (
        "Entry(key='a', at=At(file='n', line=1, column=1), value=Value(text, "
        "At(file='n', line=1, column=3)), is_used=False)"
    )


@pytest.mark.parametrize("key", ["pass", "Password", "'token'"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$hidden", "variable reference for '...' can not be found"),
        ("[$hidden]", "variable reference for '...' can not be found"),
        ("9" * 20, "Integer '...' is out of the range."),
        ("9" * 400 + ".1", "Float '...' is out of the range."),
        ("2016-13-04T18:53:41Z", "Expected Zulu formatted DateTime, but got '...'."),
    ],
)
def test_no_error_shows_a_secret(key: str, value: str, expected: str) -> None:
    with pytest.raises(ConfError) as caught:
        parse(f"x {{ {key}: {value} }}", "n")
    assert caught.value.text == expected


def test_what_follows_a_secret_is_shown() -> None:
    expect_error("pass=x\na=$b", "2:3: variable reference for 'b' can not be found")
