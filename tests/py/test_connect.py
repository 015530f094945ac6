"""The argument of CONNECT: the rows of the specification, then what attackers send."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pynatsd import connect
from pynatsd.connect import NESTING_MAX, ConnectError, ConnectOptions, note, parse

SLOW = HealthCheck.too_slow  # to draw, on a busy machine


def changed(options: ConnectOptions) -> dict[str, Any]:
    """What differs from the defaults."""
    plain = asdict(ConnectOptions())
    return {k: v for k, v in asdict(options).items() if v != plain[k]}


# ---- defaults and options: one row for each of the table ----


def test_defaults_of_the_original() -> None:
    options = parse(b"{}")
    assert options.verbose is True
    assert options.pedantic is True
    assert options.echo is True
    assert options.ssl_required is False
    assert options.tls_required is False
    assert options.headers is False
    assert options.no_responders is False
    assert options.protocol == 0
    assert (options.name, options.lang, options.version) == ("", "", "")
    assert (options.user, options.password, options.auth_token) == ("", "", "")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ('{"verbose":false}', {"verbose": False}),
        ('{"pedantic":false}', {"pedantic": False}),
        ('{"ssl_required":true}', {"ssl_required": True}),
        ('{"auth_token":"t"}', {"auth_token": "t"}),
        ('{"user":"u","pass":"p"}', {"user": "u", "password": "p"}),
        ('{"name":"n1"}', {"name": "n1"}),
        ('{"lang":"py","version":"9"}', {"lang": "py", "version": "9"}),
        ('{"anything":1,"else":[{}],"jwt":"x","nkey":"y","sig":"z"}', {}),
        ('{"protocol":1}', {"protocol": 1}),
        ('{"echo":false}', {"echo": False}),
        ('{"headers":true}', {"headers": True}),
        (
            '{"headers":true,"no_responders":true}',
            {"headers": True, "no_responders": True},
        ),
        ('{"tls_required":true}', {"tls_required": True}),
    ],
)
def test_option(argument: str, expected: dict[str, Any]) -> None:
    assert changed(parse(argument.encode())) == expected


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ('{"VERBOSE":false,"Pedantic":false}', {"verbose": False, "pedantic": False}),
        ('{"verbose":false,"verbose":true}', {}),
        ('{"verbose":true,"verbose":false}', {"verbose": False}),
        ('{"verbose":true,"VERBOSE":false}', {"verbose": False}),
        ('{"verbose":null,"name":null,"protocol":null}', {}),
        ('{"verbose":false,"verbose":null}', {"verbose": False}),
        ("null", {}),
        (' \t{ "verbose" :\r\n false } ', {"verbose": False}),
        (r'{"na\u006de":"\u0061\n\ud83d\ude00"}', {"name": "a\n😀"}),
    ],
)
def test_json_rules(argument: str, expected: dict[str, Any]) -> None:
    assert changed(parse(argument.encode())) == expected


@pytest.mark.parametrize(
    "argument",
    [
        *("{} x", "{}{}", "{},", "[]", '[{"verbose":false}]', "", " "),
        *("{", "}", '{"verbose"}', '{"verbose":}', '{"verbose":false,}', "{'a':1}"),
        *('{"verbose":1}', '{"verbose":"true"}', '{"pedantic":[]}', '{"echo":{}}'),
        *('{"headers":0}', '{"no_responders":"x"}', '{"ssl_required":1.5}'),
        *('{"tls_required":"no"}', '{"name":1}', '{"lang":true}', '{"version":2}'),
        *('{"user":{}}', '{"pass":[]}', '{"auth_token":3}', '{"protocol":"1"}'),
        *('{"protocol":1.0}', '{"protocol":1e0}', '{"protocol":true}'),
        *('{"protocol":-1}', '{"protocol":1e999}'),
        *("true", "1", '"text"', "1.5", "nul", "NaN"),
        *('{"x":NaN}', '{"x":Infinity}', '{"x":-Infinity}', '{"protocol":NaN}'),
        # A wrong value is an error even if a later one of the key is right.
        '{"verbose":1,"verbose":true}',
        '{"name":"a\nb"}',
        r'{"name":"\x41"}',
        r'{"name":"\u12"}',
        '{"x":01}',
        "\ufeff{}",
        "{}\0",
    ],
)
def test_refused(argument: str) -> None:
    with pytest.raises(ConnectError) as caught:
        parse(argument.encode())
    assert caught.value.text == "Parser Error"
    assert caught.value.reason.startswith("Error reading from client: ")
    assert caught.value.reason.isascii()
    assert caught.value.reason.isprintable()


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("0", 0), ("-0", 0), ("1", 1), ("2", 1), ("9" * 4000, 1), (str(2**63), 1)],
)
def test_protocol_numbers(digits: str, expected: int) -> None:
    assert parse(b'{"protocol":%s}' % digits.encode()).protocol == expected


def test_no_responders_needs_headers() -> None:
    with pytest.raises(ConnectError) as caught:
        parse(b'{"no_responders":true}')
    assert caught.value.text == ""
    assert caught.value.reason == (
        "Error reading from client: no_responders needs headers"
    )


# ---- merging ----


def test_a_second_connect_keeps_what_it_does_not_name() -> None:
    first = parse(b'{"verbose":false,"name":"n","headers":true,"protocol":5}')
    second = parse(b'{"echo":false,"NAME":"m"}', note(first))
    assert changed(second) == {
        **{"verbose": False, "headers": True, "protocol": 1},
        **{"echo": False, "name": "m"},
    }


def test_headers_of_the_first_connect_satisfy_the_second() -> None:
    first = note(parse(b'{"headers":true}'))
    assert parse(b'{"no_responders":true}', first).no_responders
    both = note(parse(b'{"headers":true,"no_responders":true}'))
    with pytest.raises(ConnectError):
        parse(b'{"headers":false}', both)


@pytest.mark.parametrize("argument", [b"{}", b"null"])
def test_an_empty_connect_changes_nothing(argument: bytes) -> None:
    kept = note(parse(b'{"verbose":false,"lang":"go"}'))
    assert note(parse(argument, kept)) == kept


# ---- the note ----


def test_note_is_compact_json_without_secrets() -> None:
    argument = b'{"user":"USER","pass":"PASS","auth_token":"TOKEN","verbose":false}'
    kept = note(parse(argument))
    assert kept == b'{"verbose":false}'


def test_secrets_are_not_shown_by_repr() -> None:
    text = repr(parse(b'{"user":"USER","pass":"PASS","auth_token":"TOKEN"}'))
    assert "USER" not in text
    assert "PASS" not in text
    assert "TOKEN" not in text


@pytest.mark.parametrize("character", ["x", "é", "😀", "\u0001", '"', "\ud800"])
def test_note_is_bounded(character: str) -> None:
    text = character * 100_000
    argument = json.dumps({"name": text, "lang": text, "version": text})
    kept = note(parse(argument.encode()))
    assert len(kept) <= 8192
    assert parse(b"{}", kept).name == character.replace("\ud800", "\ufffd") * 256


# ---- hostile ----


def test_lone_surrogate_becomes_the_replacement_character() -> None:
    assert parse(rb'{"name":"a\ud800b\udc00"}').name == "a\ufffdb\ufffd"


def test_unknown_key_may_be_a_lone_surrogate() -> None:
    assert changed(parse(rb'{"\ud800":1}')) == {}


@pytest.mark.parametrize(
    "raw", [b'{"name":"\xff"}', b'{"name":"\xed\xa0\x80"}', b"\x80"]
)
def test_invalid_utf8(raw: bytes) -> None:
    with pytest.raises(ConnectError, match="UTF-8"):
        parse(raw)


def test_keys_fold_as_in_go() -> None:
    # The long s and the Kelvin sign are cases of s and k.
    assert parse('{"ver\u017fion":"1"}'.encode()).version == "1"
    assert parse('{"auth_to\u212aen":"1"}'.encode()).auth_token == "1"
    assert changed(parse('{"pa\u00df":"1"}'.encode())) == {}
    assert changed(parse(b'{"password":"1"}')) == {}


@pytest.mark.parametrize("depth", [3000, 2_000_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting(left: str, right: str, depth: int) -> None:
    for argument in (
        '{"x":' + left * depth + "1" + right * depth + "}",
        left * depth,
    ):
        with pytest.raises(ConnectError):
            parse(argument.encode())


def test_nesting_is_ignored_up_to_its_limit() -> None:
    def nested(depth: int) -> bytes:
        return b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert changed(parse(nested(NESTING_MAX))) == {}
    with pytest.raises(ConnectError, match="nested too deeply"):
        parse(nested(NESTING_MAX + 1))


def test_brackets_in_a_string_are_no_nesting() -> None:
    brackets = "[" * (NESTING_MAX + 1)
    assert parse(f'{{"name":"\\"{brackets}"}}'.encode()).name == '"' + brackets


def test_numbers_of_unknown_keys_are_ignored() -> None:
    assert changed(parse(b'{"x":1e999,"y":%s,"z":-1.5}' % (b"7" * 100_000))) == {}


def test_reason_does_not_repeat_what_the_client_sent() -> None:
    with pytest.raises(ConnectError) as caught:
        parse(b'{"pass":"SECRET",}')
    assert "SECRET" not in str(caught.value)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None, suppress_health_check=[SLOW])
def test_any_bytes(raw: bytes) -> None:
    try:
        options = parse(raw)
    except ConnectError:
        return
    assert len(note(options)) <= 8192


_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_keys = st.sampled_from(["verbose", "NAME", "pass", "protocol", "headers", "x"])


@given(st.dictionaries(_keys, _values, max_size=5))
@settings(max_examples=300, deadline=None, suppress_health_check=[SLOW])
def test_any_object(document: dict[str, Any]) -> None:
    try:
        options = parse(json.dumps(document).encode())
    except ConnectError:
        return
    merged = parse(b"{}", note(options))
    assert merged.verbose == options.verbose
    assert merged.protocol == options.protocol
    assert type(merged.headers) is bool
    assert type(merged.name) is str


# ---- what a trace shows ----


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ('{"verbose" : false,  "user":"u"}', '{"verbose" : false,  "user":"u"}'),
        ('{"protocol":5,"x":1.50}', '{"protocol":5,"x":1.50}'),
        ("null", "..."),
        ('"s3cret"', "..."),
        ('["s3cret"]', "..."),
        (r'{"a":"\u001b\u00e9"}', r'{"a":"\u001b\u00e9"}'),
        ('{"a":"é"}', r'{"a":"\xe9"}'),
        (
            '{"verbose": true,"user":"u","pass":"SECRET","n":[1,{"x":null}]}',
            '{"verbose":true,"user":"u","pass":"[REDACTED]","n":[1,{"x":null}]}',
        ),
    ],
)
def test_shown(argument: str, expected: str) -> None:
    assert connect.shown(argument.encode()) == expected


@pytest.mark.parametrize(
    "argument",
    [
        '{"pass":"SECRET"}',
        '{"PASS" : "SECRET"}',
        r'{"pa\u0073s":"SECRET"}',
        '{"pa\u017fs":"SECRET"}',
        '{"pass":"x","pass":"SECRET"}',
        '{"pass":"SECRET","pass":"x"}',
        '{"auth_token":"SECRET","sig":"SECRET","jwt":"SECRET"}',
        '{"a":{"pass":"SECRET"}}',
        '[{"pass":"SECRET"}]',
        '{"pass":["SECRET"]}',
        '{"pass":{"SECRET":1}}',
        '{"pass":"SECRET"',
        '{"pass":"SECRET"} x',
        '{"pass":"SECRET",}',
        "{'pass':'SECRET'}",
        "pass=SECRET",
        '{"pass":"SECRET","x":%s}' % ("9" * 5000),
        '{"pass":"SECRET","x":%s}' % ("[" * 400 + "]" * 400),
        '{"x":%s,"pass":"SECRET"}' % ("[" * 3000 + "]" * 3000),
        '{"x":"[REDACTED]","pass":"SECRET"}',
    ],
)
def test_secrets_are_never_shown(argument: str) -> None:
    text = connect.shown(argument.encode())
    assert "SECRET" not in text
    assert text.isascii()
    assert text.isprintable()


def test_shown_is_bounded() -> None:
    assert len(connect.shown(b'{"a":"%s"}' % (b"x" * 100_000))) <= 4096


# ---- INFO ----


@pytest.mark.parametrize("argument", [b"{}", b"null", b' {"server_id":"x"} '])
def test_info_that_is_ignored(argument: bytes) -> None:
    connect.check_info(argument)


@pytest.mark.parametrize("argument", [b"", b"[]", b"{", b"{} x", b'{"a":NaN}', b"\xff"])
def test_info_that_is_an_error(argument: bytes) -> None:
    with pytest.raises(ConnectError):
        connect.check_info(argument)
