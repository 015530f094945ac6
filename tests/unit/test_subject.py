"""Subjects: tokens, what may be subscribed to, what may be published to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# subject, may be subscribed to, may be published to, holds a wildcard
TABLE = [
    (b"foo", True, True, False),
    (b"foo.bar", True, True, False),
    (b"a.b.c.d.e.f.g.h", True, True, False),
    # section 5.1: empty tokens
    (b"foo..bar", False, False, False),
    (b".foo", False, False, False),
    (b"foo.", False, False, False),
    (b".", False, False, False),
    (b"..", False, False, False),
    (b"", False, False, False),
    # section 5.1: something after '>'
    (b"foo.>.bar", False, False, True),
    (b">.foo", False, False, True),
    (b">.", False, False, True),
    (b">.>", False, False, True),
    # section 5.2: wildcard tokens
    (b"*", True, False, True),
    (b">", True, False, True),
    (b"foo.*", True, False, True),
    (b"foo.>", True, False, True),
    (b"*.foo", True, False, True),
    (b"*.*", True, False, True),
    (b"*.>", True, False, True),
    (b"foo.*.bar", True, False, True),
    # section 5.2 and the quirk of 5.3: not a wildcard unless it is the whole token
    (b"fo*", True, True, False),
    (b"foo.*bar", True, True, False),
    (b"foo.**", True, True, False),
    (b"**", True, True, False),
    (b">>", True, True, False),
    (b"foo.>bar", True, True, False),
    (b"foo.>bar.x", True, True, False),
    (b"foo*", True, True, False),
    (b"foo>", True, True, False),
    (b"foo>.bar", True, True, False),
    # P-11
    (b"a..b", False, False, False),
    (b".a", False, False, False),
    (b"a.", False, False, False),
    (b"a.>.b", False, False, True),
    (b"foo.bar,*,>", True, True, False),
    (b"a\0b", True, True, False),
    (b"\0.\x7f.\xff", True, True, False),
    (b"*\0", True, True, False),
    # empty and wildcard tokens together
    (b"*..a", False, False, True),
    (b"..>", False, False, True),
]


def naive(subject: bytes) -> tuple[bool, bool, bool]:
    tokens = subject.split(b".")
    return (
        b"" not in tokens and b">" not in tokens[:-1],
        not {b"", b"*", b">"} & set(tokens),
        bool({b"*", b">"} & set(tokens)),
    )


def ask(internals: tuple[Any, Any], edge: Any, subject: bytes) -> tuple[bool, ...]:
    _, lib = internals
    slice_ = (edge.place(subject), len(subject))
    return (
        lib.nd_subject_is_subscribable(slice_),
        lib.nd_subject_is_publishable(slice_),
        lib.nd_subject_has_wildcard(slice_),
    )


def tokens_of(internals: tuple[Any, Any], edge: Any, subject: bytes) -> list[bytes]:
    ffi, lib = internals
    rest = ffi.new("struct nd_slice *", (edge.place(subject), len(subject)))
    token = ffi.new("struct nd_slice *")
    more = ffi.new("bool *", True)
    found = []
    while lib.nd_subject_next(rest, more, token):
        found.append(ffi.buffer(token.ptr, token.len)[:])
    assert not more[0]
    assert rest.len == 0
    assert not lib.nd_subject_next(rest, more, token)
    return found


@pytest.mark.parametrize(("subject", "can_sub", "can_pub", "has_wildcard"), TABLE)
def test_validity(
    internals: tuple[Any, Any],
    edge: Any,
    subject: bytes,
    can_sub: bool,
    can_pub: bool,
    has_wildcard: bool,
) -> None:
    assert ask(internals, edge, subject) == (can_sub, can_pub, has_wildcard)


@pytest.mark.parametrize(
    ("subject", "tokens"),
    [
        (b"", [b""]),
        (b"a", [b"a"]),
        (b"a.", [b"a", b""]),
        (b".a", [b"", b"a"]),
        (b".", [b"", b""]),
        (b"a..b", [b"a", b"", b"b"]),
        (b"foo.bar.*.>", [b"foo", b"bar", b"*", b">"]),
    ],
)
def test_tokens(
    internals: tuple[Any, Any], edge: Any, subject: bytes, tokens: list[bytes]
) -> None:
    assert tokens_of(internals, edge, subject) == tokens


def test_no_bytes_at_all(internals: tuple[Any, Any]) -> None:
    ffi, lib = internals
    nothing = (ffi.NULL, 0)
    assert not lib.nd_subject_is_subscribable(nothing)
    assert not lib.nd_subject_is_publishable(nothing)
    assert not lib.nd_subject_has_wildcard(nothing)


def test_half_a_million_tokens(internals: tuple[Any, Any], edge: Any) -> None:
    """P-7: depth costs neither stack nor more than one pass."""
    subject = b".".join([b"a"] * 500_000)
    assert ask(internals, edge, subject) == (True, True, False)
    assert ask(internals, edge, subject + b".>") == (True, False, True)
    assert ask(internals, edge, b">." + subject) == (False, False, True)


many = settings(
    max_examples=1000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
subjects = st.one_of(
    st.lists(st.sampled_from([b"", b"a", b"foo", b"*", b">", b"*a", b"a>"])).map(
        b".".join
    ),
    st.text("a.*>", max_size=12).map(str.encode),
    st.binary(max_size=40),
)


@many
@given(subject=subjects)
def test_agrees_with_split(
    internals: tuple[Any, Any], edge: Any, subject: bytes
) -> None:
    assert ask(internals, edge, subject) == naive(subject)
    assert tokens_of(internals, edge, subject) == subject.split(b".")
