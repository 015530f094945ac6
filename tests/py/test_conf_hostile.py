"""Configurations made to break the reader: cut, poisoned, huge, endless."""

from pathlib import Path

import pytest
from trees import EOL, ESCAPES, LIST_END, expect, expect_error, plain

from pynatsd.conf import ConfError, load, parse
from pynatsd.conf_files import BYTES_MAX, FILES_MAX, NESTING_MAX, VALUES_MAX

MIB = 1024 * 1024

# Every kind of value, key, separator and comment. Under each line: `^` where the file
# may end before the character above.
PICTURE = r"""
# comment
^^^^^^^^^^
port: 4222; 'a b' = -1.50 // c
^......^^^^^^.........^.^^^.^^^
host = 127.0.0.1:4222
^.......^^^.^^^^^^^^^^
"x" {
^.....
  on yes
.........
  list [1, 2k, $port, 'q', [x\x41]] , d=2016-05-04T18:53:41Z
.............................................................
  text (
.........
 a )
.....
)
..
}
.^
pass=$2a$11$abc
^........^^^^^^^
"""
LINES = PICTURE[1:].splitlines(keepends=True)
SAMPLE = "".join(LINES[::2])
MAY_END = "".join(line.rstrip("\n") for line in LINES[1::2])


def outcome(text: str | bytes) -> str:
    """The error, or "" for a text that is accepted. Nothing else may come out."""
    try:
        plain(parse(text, "n"))
        return ""
    except ConfError as caught:
        error = caught
    assert str(error) == f"n:{error.line}:{error.column}: {error.text}"
    assert str(error).isprintable()
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    lines = data.split(b"\n")
    assert 1 <= error.line <= len(lines)
    assert 1 <= error.column <= len(lines[error.line - 1]) + 1
    return str(error)


def test_cut_before_every_character() -> None:
    accepted = [outcome(SAMPLE[:size]) == "" for size in range(len(SAMPLE))]
    assert "".join(".^"[each] for each in accepted) == MAY_END
    assert outcome(SAMPLE) == ""


def test_cut_after_every_byte() -> None:
    data = "é='→𝄞'\nü→=1.5;".encode()
    ends = [size for size in range(len(data) + 1) if not outcome(data[:size])]
    assert ends == [0, 12, 13, 20, 22, 23]


@pytest.mark.parametrize("start", range(0, len(SAMPLE), 16))
def test_poisoned_at_every_character(start: int) -> None:
    for pos in range(start, min(start + 16, len(SAMPLE))):
        before, after = SAMPLE[:pos], SAMPLE[pos:]
        outcome(before + after[1:])
        for poison in "'\"{}[](),;=:#/\\$-.0kx \t\n\r\0\x0b\ufeff\u2028\ud800é":
            outcome(before + poison + after)
            outcome(before + poison + after[1:])
        for byte in (b"\xff", b"\x80", b"\xc3", b"\xed\xa0\x80"):
            outcome(before.encode() + byte + after.encode())


# ---- limits ----


@pytest.mark.parametrize(
    ("opening", "closing", "column"),
    [("[", "]", 3), ("{a=", "}", 3), ("{a ", "}", 3), ("[{a=", "}]", 3)],
)
def test_nesting(opening: str, closing: str, column: int) -> None:
    levels = opening.count("[") + opening.count("{")
    times = NESTING_MAX // levels
    parse("a=" + opening * times + "1" + closing * times, "n")
    column += len(opening) * times
    text = f"1:{column}: nested more than {NESTING_MAX} levels deep"
    expect_error("a=" + opening * (times + 1) + "1" + closing * (times + 1), text)
    expect_error("a=" + opening * (MIB // 2), text)


def test_nesting_through_variables() -> None:
    lines = ["a0=[]", *(f"a{i}=[$a{i - 1}]" for i in range(1, NESTING_MAX + 1))]
    parse("\n".join(lines[:NESTING_MAX]), "n")
    text = f"nested more than {NESTING_MAX} levels deep"
    expect_error("\n".join(lines), f"{NESTING_MAX + 1}:6: {text}")
    doubled = "a={b={c=1}}\n" + "b=" + "[" * 62 + "$a" + "]" * 62
    parse(doubled, "n")
    expect_error(doubled.replace("[$a]", "[[$a]]"), f"2:66: {text}")


def test_nesting_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ND_X", "1")
    text = "a=" + "[" * 63 + "$ND_X" + "]" * 63
    parse(text, "n")
    text = text.replace("[$ND_X]", "[[$ND_X]]")
    expect_error(text, f"1:67: nested more than {NESTING_MAX} levels deep")


def test_number_of_values() -> None:
    text = f"more than {VALUES_MAX} values"
    parse("a=1\n" * VALUES_MAX, "n")
    expect_error("a=1\n" * (VALUES_MAX + 1), f"{VALUES_MAX + 1}:3: {text}")
    expect_error("a=[\n" + "1\n" * VALUES_MAX, f"{VALUES_MAX + 1}:1: {text}")


def test_values_behind_variables_count() -> None:
    half = "a=[" + "1," * (VALUES_MAX // 2 - 2) + "]\n"
    expect(half + "b={c=1}", {"a": [1] * (VALUES_MAX // 2 - 2), "b": {"c": 1}})
    parse(half + "b=$a", "n")
    text = f"more than {VALUES_MAX} values"
    expect_error(half + "b=$a\nc=1\nd=1\ne=1", f"5:3: {text}")
    doubling = "".join(f"a{i}={{b=$a{i - 1},c=$a{i - 1}}}\n" for i in range(1, 64))
    expect_error("a0=[1,1]\n" + doubling, f"15:8: {text}")


def test_bytes(tmp_path: Path) -> None:
    text = f"more than {BYTES_MAX} bytes of configuration"
    assert plain(parse(b"#" * BYTES_MAX, "n")) == {}
    for too_long in (b"#" * (BYTES_MAX + 1), "é" * (BYTES_MAX // 2 + 1)):
        with pytest.raises(ConfError) as caught:
            parse(too_long, "n")
        assert str(caught.value) == text

    path = tmp_path / "x.conf"
    path.write_bytes(b"#" * BYTES_MAX)
    assert plain(load(str(path))) == {}
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # without a byte on the disk
    with pytest.raises(ConfError) as caught:
        load(str(path))
    assert str(caught.value) == text


def test_bytes_of_all_files_together(tmp_path: Path) -> None:
    (tmp_path / "y.conf").write_bytes(b"#" * (BYTES_MAX // 2))
    path = tmp_path / "x.conf"
    path.write_text("include y.conf\ninclude y.conf\n")
    with pytest.raises(ConfError) as caught:
        load(str(path))
    text = f"more than {BYTES_MAX} bytes of configuration"
    assert str(caught.value) == f"{path}:2:9: {text}"


def test_number_of_files(tmp_path: Path) -> None:
    (tmp_path / "y.conf").write_text("")
    path = tmp_path / "x.conf"
    path.write_text("include y.conf\n" * (FILES_MAX - 1))
    load(str(path))
    path.write_text("include y.conf\n" * FILES_MAX)
    with pytest.raises(ConfError) as caught:
        load(str(path))
    assert str(caught.value) == f"{path}:{FILES_MAX}:9: more than {FILES_MAX} files"


def test_chain_of_files(tmp_path: Path) -> None:
    for i in range(NESTING_MAX + 1):
        (tmp_path / f"{i}").write_text(f"include '{i + 1}'")
    (tmp_path / f"{NESTING_MAX}").write_text("a=1")
    assert plain(load(str(tmp_path / "1"))) == {"a": 1}
    with pytest.raises(ConfError) as caught:
        load(str(tmp_path / "0"))
    expected = f"{NESTING_MAX - 1}:1:9: nested more than {NESTING_MAX} levels deep"
    assert str(caught.value) == f"{tmp_path}/{expected}"


# ---- a mebibyte of one thing; only what takes linear time ever ends ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'" * MIB, f"1:5: {EOL}''' instead."),
        (
            "a='" + '"' * MIB,
            f"1:{MIB + 4}: Unexpected EOF. The ''' of line 1, column 3 is not closed.",
        ),
        (
            "a=" + "(" * MIB,
            f"1:{MIB + 3}: Unexpected EOF. The '(' of line 1, column 3 is not closed.",
        ),
        (
            "a=(" + "\n) " * MIB,
            f"{MIB + 1}:3: Unexpected EOF. The '(' of line 1, column 3 is not closed.",
        ),
        ("]" * MIB, "1:1: Expected key but found ']'"),
        (
            "a=" + "x" * MIB + "\\",
            f"1:{MIB + 4}: Invalid escape character 'EOF'. {ESCAPES}",
        ),
        ("a=" + "\\\\" * MIB + " b", f"1:{2 * MIB + 4}: {EOL}'b' instead."),
        ("a=" + "\\x41" * (MIB // 2) + " b", f"1:{2 * MIB + 4}: {EOL}'b' instead."),
        ("x" * MIB, f"1:{MIB + 1}: Unexpected EOF."),
        ("a=" + "1" * MIB + "x b", f"1:{MIB + 5}: {EOL}'b' instead."),
        ("a=" + "1k" * MIB, f"1:5: {EOL}'1' instead."),
        ("a=0." + "0" * MIB + " b", f"1:{MIB + 6}: {EOL}'b' instead."),
        ("a=1.2" + "." * MIB + " b", f"1:{MIB + 7}: {EOL}'b' instead."),
        ("a=" + "0" * MIB + "1k b", f"1:{MIB + 6}: {EOL}'b' instead."),
        (" \t" * MIB + "=", f"1:{2 * MIB + 1}: Unexpected key separator '='"),
        ("\n" * MIB + "=", f"{MIB + 1}:1: Unexpected key separator '='"),
        ("\r" * MIB + "=", f"1:{MIB + 1}: Unexpected key separator '='"),
        ("#\n" * MIB + "=", f"{MIB + 1}:1: Unexpected key separator '='"),
        (
            "a=[" + "//\n" * MIB,
            f"{MIB + 1}:1: {LIST_END}'EOF' instead. "
            "The '[' of line 1, column 3 is not closed.",
        ),
        ("/" * MIB + "\n=", "2:1: Unexpected key separator '='"),
        ("\ufeff" * MIB, f"1:{MIB}: Unexpected EOF."),
        ("\u00a0" * MIB, f"1:{MIB + 1}: Unexpected EOF."),
        ("a" * MIB + "\0", f"1:{MIB + 1}: NUL characters are not allowed"),
        (b"\n" * MIB + b"\xff", f"{MIB + 1}:1: not valid UTF-8"),
    ],
)
def test_much_of_one_thing(text: str | bytes, expected: str) -> None:
    expect_error(text, expected)


def test_many_keys_and_variables() -> None:
    count = VALUES_MAX // 2
    keys = "".join(f"k{i}=$k{i - 1}\n" for i in range(1, count))
    block = parse("k0=1\n" + keys, "n")
    assert len(block.entries) == count
    assert [entry.is_used for entry in block.entries] == [True] * (count - 1) + [False]
    assert {entry.value.data for entry in block.entries} == {1}
