"""Permissions: against the tables of today's server, against a naive model, and in
size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_model import is_match

Internals = tuple[Any, Any]
Rule = tuple[bytes, bytes]
"""Subject and queue; an empty queue is for all subscriptions."""

PUBLISH_ALLOW, PUBLISH_DENY, SUBSCRIBE_ALLOW, SUBSCRIBE_DENY = range(4)


def rules(entries: Iterable[bytes]) -> list[Rule]:
    """Entries as they stand in a file: "subject" or "subject queue"."""
    return [(*entry.split(), b"")[:2] for entry in entries]


class Permits:
    def __init__(
        self, internals: Internals, *lists: Sequence[bytes], name: bytes = b"someone"
    ) -> None:
        self.ffi, self.lib = internals
        rows: list[tuple[Any, ...]] = []
        self.lent: list[Any] = []
        for number, entries in enumerate(lists):
            rows += [(number, *self.lend(s), *self.lend(q)) for s, q in rules(entries)]
        raw = self.ffi.new("struct nd_rule[]", rows)
        self.pointer = self.ffi.gc(
            self.lib.nd_permits_new(name, len(name), raw, len(rows)),
            self.lib.nd_permits_release,
        )
        self.lent.clear()  # nothing of it is needed any more
        del raw

    def lend(self, text: bytes) -> tuple[Any, int]:
        self.lent.append(self.ffi.new("char[]", text))
        return self.lent[-1], len(text)

    def slice(self, text: bytes) -> Any:
        self.lent.append(self.ffi.from_buffer("uint8_t[]", text))
        return self.ffi.new("struct nd_slice *", (self.lent[-1], len(text)))[0]

    def publishes(self, subject: bytes) -> bool:
        return bool(self.lib.nd_permits_may_publish(self.pointer, self.slice(subject)))

    def subscribes(self, subject: bytes, queue: bytes = b"") -> bool:
        ask = self.lib.nd_permits_may_subscribe
        return bool(ask(self.pointer, self.slice(subject), self.slice(queue)))

    def filters(self, subject: bytes, queue: bytes = b"") -> bool:
        ask = self.lib.nd_permits_must_filter
        return bool(ask(self.pointer, self.slice(subject), self.slice(queue)))

    def receives(self, subject: bytes, queue: bytes = b"") -> bool:
        ask = self.lib.nd_permits_may_receive
        return bool(ask(self.pointer, self.slice(subject), self.slice(queue)))


# ---- tables: what nats-server 2.9.10 was seen to do, but where a line says better ----

PUBLISH = (
    [b"ok.>", b"req", b"st.*", b"*.end", b"a.*.c.>"],
    [b"ok.bad", b"ok.no.*", b"ok.*.x"],
)

MAY_PUBLISH: list[tuple[bytes, bool]] = [
    (b"req", True),
    (b"req.a", False),
    (b"re", False),
    (b"Req", False),
    (b"bad", False),
    (b"ok", False),
    (b"ok.a", True),
    (b"ok.a.b.c", True),
    (b"ok.", True),
    (b"ok..", True),
    (b"okay.a", False),
    (b"ok.bad", False),
    (b"ok.bad.a", True),
    (b"ok.no", True),
    (b"ok.no.x", False),
    (b"ok.no.", False),
    (b"ok.no.x.y", True),
    (b"ok.a.x", False),
    (b"ok..x", False),
    # Wildcards of a published subject are text, and no way around a rule.
    (b"ok.*", True),
    (b"ok.>", True),
    (b"ok.no.*", False),
    (b"ok.no.>", False),
    (b"ok.*.x", False),
    (b">", False),
    (b"*", False),
    (b"st.*", True),
    (b"st.>", True),
    (b"st.a.b", False),
    (b"st.*.b", False),
    (b"x.end", True),
    (b".end", True),
    (b"end", False),
    (b"x.y.end", False),
    (b"a.b.c.d", True),
    (b"a.b.c.d.e", True),
    (b"a.b.c", False),
    (b"a.b.x.d", False),
    (b"a.b.c.", True),
    (b"", False),
    (b".", False),
    (b".ok.a", False),
]


@pytest.mark.parametrize(("subject", "may"), MAY_PUBLISH)
def test_publish(internals: Internals, subject: bytes, may: bool) -> None:
    assert Permits(internals, *PUBLISH).publishes(subject) == may


SUBSCRIBE = (
    [],
    [],
    [
        *(b"in.>", b"one.*", b"qq grp", b"qq2 v1.*", b"both", b"both g"),
        *(b"deep.*.x.>", b"_INBOX.>"),
    ],
    [
        *(b"in.secret", b"*.hidden", b"in.deep.>", b"in.q dq", b"in.r", b"in.r dq2"),
        *(b"in.v w.*", b"*.*.z"),
    ],
)

MAY_SUBSCRIBE: list[tuple[bytes, bytes, bool]] = [
    (b"foo", b"", False),
    (b"foo", b"q", False),
    (b"in.a", b"", True),
    (b"in.a", b"q", True),
    (b"in.*", b"", True),
    (b"in.>", b"", True),
    (b"in.*.*", b"", True),
    (b"in.*.>", b"", True),
    (b"in", b"", False),
    (b"*", b"", False),
    (b"*.a", b"", False),
    (b">", b"", False),
    (b"one.a", b"", True),
    (b"one.*", b"", True),
    (b"one.>", b"", False),  # 2.9.10 lets it pass, and so more than was allowed
    (b"one.a.b", b"", False),
    (b"deep.a.x.b", b"", True),
    (b"deep.*.x.*", b"", True),
    (b"deep.*.x.>", b"", True),
    (b"deep.>", b"", False),
    (b"deep.*.>", b"", False),
    (b"deep.a.*.b", b"", False),
    (b"_INBOX.abc.*", b"", True),
    # Denied as a whole, or only in part.
    (b"in.secret", b"", False),
    (b"in.secret", b"q", False),
    (b"in.hidden", b"", False),
    (b"in.deep", b"", True),
    (b"in.deep.x", b"", False),
    (b"in.deep.*", b"", False),
    (b"in.deep.>", b"", False),
    (b"in.deep.*.>", b"", False),
    (b"in.a.z", b"", False),
    (b"in.*.z", b"", False),
    (b"in.*.*", b"q", True),
    # Queues.
    (b"qq", b"", False),
    (b"qq", b"grp", True),
    (b"qq", b"grp2", False),
    (b"qq", b"Grp", False),
    (b"qq2", b"v1.x", True),
    (b"qq2", b"v1.*", True),
    (b"qq2", b"v1.>", False),
    (b"qq2", b"v1", False),
    (b"qq2", b"v2", False),
    (b"both", b"", True),
    (b"both", b"g", True),
    (b"both", b"h", False),
    (b"in.q", b"", True),
    (b"in.q", b"dq", False),
    (b"in.q", b"other", True),
    (b"in.r", b"", False),
    (b"in.r", b"dq2", False),
    (b"in.r", b"other", False),  # 2.9.10: any name but dq2 got around the other rule
    (b"in.v", b"w.a", False),
    (b"in.v", b"w.*", False),
    (b"in.v", b"w.>", False),
    (b"in.v", b"w.a.b", True),
    (b"in.v", b"", True),
]


@pytest.mark.parametrize(("subject", "queue", "may"), MAY_SUBSCRIBE)
def test_subscribe(
    internals: Internals, subject: bytes, queue: bytes, may: bool
) -> None:
    assert Permits(internals, *SUBSCRIBE).subscribes(subject, queue) == may


FILTERED: list[tuple[bytes, bytes, bool]] = [
    (b"in.a", b"", False),
    (b"in.*", b"", True),
    (b"in.*", b"q", True),
    (b"in.>", b"", True),
    (b">", b"", True),
    (b"*", b"", False),
    (b"one.*", b"", True),  # one.hidden; 2.9.10 delivered it
    (b"one.a.*", b"", True),
    (b"one.a.*.x", b"", False),
    (b"one.a.b.>", b"", False),
    (b"one.a.>", b"", True),
    (b"x.*.y", b"", False),
    (b"in.deep.*", b"", True),
    (b"*.q.y.*", b"dq", False),
    (b"*.q", b"dq", True),
    (b"*.q", b"", False),
    (b"*.q", b"other", False),
    (b"*.v", b"w.>", True),
]


@pytest.mark.parametrize(("subject", "queue", "is_filtered"), FILTERED)
def test_filters(
    internals: Internals, subject: bytes, queue: bytes, is_filtered: bool
) -> None:
    assert Permits(internals, *SUBSCRIBE).filters(subject, queue) == is_filtered


RECEIVED: list[tuple[bytes, bytes, bool]] = [
    (b"in.a", b"", True),
    (b"foo", b"", True),  # not allowed, but nobody asks: it has no such subscription
    (b"in.secret", b"", False),
    (b"in.secret", b"q", False),
    (b"x.hidden", b"", False),
    (b".hidden", b"", False),
    (b"in.deep", b"", True),
    (b"in.deep.", b"", False),
    (b"in.deep.a.b", b"", False),
    (b"in.q", b"", True),
    (b"in.q", b"dq", False),
    (b"in.q", b"other", True),
    (b"in.r", b"other", False),
    (b"in.v", b"w.a", False),
    (b"in.v", b"w.>", False),
    (b"in.*", b"", True),
    (b"*.hidden", b"", False),
    (b"*.*.z", b"", False),
]


@pytest.mark.parametrize(("subject", "queue", "may"), RECEIVED)
def test_receive(internals: Internals, subject: bytes, queue: bytes, may: bool) -> None:
    assert Permits(internals, *SUBSCRIBE).receives(subject, queue) == may


def test_no_rules_allow_everything(internals: Internals) -> None:
    ffi, lib = internals
    free = Permits(internals)
    nobody = Permits(internals)
    nobody.pointer = ffi.NULL
    for permits in (free, nobody):
        assert permits.publishes(b"a.b")
        assert permits.publishes(b">")
        assert permits.subscribes(b">")
        assert permits.subscribes(b"a", b"q")
        assert not permits.filters(b">")
        assert permits.receives(b"a")
    lib.nd_permits_retain(ffi.NULL)
    lib.nd_permits_release(ffi.NULL)
    assert lib.nd_permits_id(ffi.NULL) == 0
    assert lib.nd_permits_name(ffi.NULL).len == 0


def test_everything_denied(internals: Internals) -> None:
    nothing = Permits(internals, [], [b">"], [], [b">"])
    for subject in (b"a", b"a.b", b"", b".", b">", b"*"):
        assert not nothing.publishes(subject)
        assert not nothing.receives(subject)
    for subject in (b"a", b"a.b", b">", b"*", b"*.>"):
        assert not nothing.subscribes(subject)
        assert not nothing.subscribes(subject, b"q")


def test_the_lists_are_apart(internals: Internals) -> None:
    permits = Permits(internals, [b"a"], [b"b"], [b"c"], [b"d"])
    assert [s for s in (b"a", b"b", b"c", b"d") if permits.publishes(s)] == [b"a"]
    assert [s for s in (b"a", b"b", b"c", b"d") if permits.subscribes(s)] == [b"c"]
    denied = Permits(internals, [], [b"b"], [], [b"d"])
    for subject in (b"a", b"b", b"c", b"d"):
        assert denied.publishes(subject) == (subject != b"b")
        assert denied.subscribes(subject) == (subject != b"d")


@pytest.mark.parametrize(
    ("number", "subject", "queue"),
    [
        (4, b"a", b""),
        (PUBLISH_ALLOW, b"", b""),
        (PUBLISH_DENY, b"a..b", b""),
        (SUBSCRIBE_ALLOW, b".a", b""),
        (SUBSCRIBE_ALLOW, b"a.", b"q"),
        (SUBSCRIBE_DENY, b"a.>.b", b""),
        (PUBLISH_ALLOW, b"a", b"q"),
        (PUBLISH_DENY, b"a", b"q"),
    ],
)
def test_what_is_no_rule(
    internals: Internals, number: int, subject: bytes, queue: bytes
) -> None:
    ffi, lib = internals
    texts = [ffi.new("char[]", text) for text in (b"fine", subject, queue)]
    rows = [
        (PUBLISH_ALLOW, texts[0], 4, ffi.NULL, 0),
        (number, texts[1], len(subject), texts[2], len(queue)),
    ]
    live = lib.nd_test_alloc_live()
    raw = ffi.new("struct nd_rule[]", rows)
    assert lib.nd_permits_new(b"me", 2, raw, 2) == ffi.NULL
    good = ffi.gc(lib.nd_permits_new(b"me", 2, raw, 1), lib.nd_permits_release)
    assert good != ffi.NULL
    ffi.release(good)
    assert lib.nd_test_alloc_live() == live


def test_no_memory(internals: Internals) -> None:
    ffi, lib = internals
    lib.nd_test_alloc_fail(1, False)
    try:
        assert lib.nd_permits_new(b"", 0, ffi.NULL, 0) == ffi.NULL
    finally:
        lib.nd_test_alloc_fail(0, False)


def test_names_and_numbers(internals: Internals) -> None:
    one, other = Permits(internals, name=b"me"), Permits(internals, name=b"")
    name = one.lib.nd_permits_name(one.pointer)
    assert one.ffi.buffer(name.ptr, name.len)[:] == b"me"
    assert other.lib.nd_permits_name(other.pointer).len == 0
    numbers = [one.lib.nd_permits_id(p.pointer) for p in (one, other)]
    assert 0 < numbers[0] < numbers[1]
    gone = numbers[1]
    del other
    again = Permits(internals)
    assert again.lib.nd_permits_id(again.pointer) > gone


@pytest.mark.parametrize(
    ("a", "b", "subscribe", "filter_"),
    [
        (([], [], [], []), ([], [], [], []), True, True),
        (([b"x"], [b"y"], [], []), ([], [], [], []), True, True),
        (([], [], [b"a"], []), ([], [], [], []), False, True),
        (([], [], [b"a"], []), ([], [], [b"b"], []), False, True),
        (([], [], [b"a"], [b"c"]), ([], [], [b"a"], [b"c"]), True, True),
        (([], [], [b"a q"], []), ([], [], [b"a"], []), False, True),
        (([], [], [b"a q"], []), ([], [], [b"a r"], []), False, True),
        (([], [], [], [b"c q"]), ([], [], [], [b"c"]), False, False),
        (([], [], [], [b"c", b"d"]), ([], [], [], [b"c"]), False, False),
        (([], [], [], [b"c", b"d"]), ([], [], [], [b"c", b"e"]), False, False),
        (([], [], [], [b"a"]), ([], [], [b"a"], []), False, False),
    ],
)
def test_alike(
    internals: Internals, a: Any, b: Any, subscribe: bool, filter_: bool
) -> None:
    one, other = Permits(internals, *a), Permits(internals, *b)
    for left, right in ((one, other), (other, one)):
        lib = left.lib
        pair = left.pointer, right.pointer
        assert lib.nd_permits_subscribe_alike(*pair) == subscribe
        assert lib.nd_permits_filter_alike(*pair) == filter_
    empty = not any(a[2:])
    assert one.lib.nd_permits_subscribe_alike(one.pointer, one.ffi.NULL) == empty


# ---- the naive model ----

TOKEN = st.sampled_from([b"a", b"b", b"*", b"a*", b">b"])
SUBJECT = st.lists(TOKEN | st.sampled_from([b"", b">"]), min_size=1, max_size=4).map(
    b".".join
)
PATTERN = st.builds(
    lambda tokens, end: b".".join(tokens + end),
    st.lists(TOKEN, min_size=1, max_size=3),
    st.sampled_from([[], [], [b">"]]),
) | st.just(b">")
QUEUE = st.sampled_from([b"", b"g", b"h", b"g.*", b"g.x", b"*", b"g.>"])
ENTRY = st.tuples(PATTERN, QUEUE).map(lambda pair: b" ".join(pair).strip())
PLAIN, ENTRIES = st.lists(PATTERN, max_size=5), st.lists(ENTRY, max_size=5)


def covers(pattern: bytes, subject: bytes) -> bool:
    """Is all that *subject* stands for in *pattern*? By trying what tells them apart:
    tokens that no rule knows, one and several in the place of a ">"."""
    tries = [subject.replace(b"*", b"?")]
    if subject == b">" or subject.endswith(b".>"):
        tries = [tries[0][:-1] + rest for rest in (b"?", b"?.?", b"?.?.?.?.?")]
    tokens = [t.split(b".") for t in tries]
    stars = [i for i, t in enumerate(subject.split(b".")) if t == b"*"]
    plain = subject.split(b".")
    for row in tokens:
        for i, token in enumerate(plain):
            if i not in stars and token != b">":
                row[i] = token
    return all(is_match(pattern, b".".join(row)) for row in tokens)


def overlap(a: bytes, b: bytes) -> bool:
    """Is there a subject that both match? By trying all of up to six tokens: a token
    of one of them, or one of neither."""
    one, other = a.split(b"."), b.split(b".")
    longest = max(len(one), len(other)) + 1
    for size in range(1, longest + 1):
        subject = []
        for i in range(size):
            given = [t[i] for t in (one, other) if i < len(t) and not is_wild(t, i)]
            subject.append(given[0] if given else b"?")
        if is_match(a, b".".join(subject)) and is_match(b, b".".join(subject)):
            return True
    return False


def is_wild(tokens: list[bytes], i: int) -> bool:
    return tokens[i] == b"*" or (tokens[i] == b">" and i == len(tokens) - 1)


def denies(deny: list[Rule], queue: bytes) -> list[bytes]:
    """The subjects of the rules that are about a subscription in *queue*."""
    return [s for s, q in deny if not q or (queue and is_match(q, queue))]


@settings(max_examples=600, deadline=None)
@given(allow=PLAIN, deny=PLAIN, subject=SUBJECT)
def test_publish_equals_the_model(
    internals: Internals, allow: list[bytes], deny: list[bytes], subject: bytes
) -> None:
    permits = Permits(internals, allow, deny)
    expected = not allow or any(is_match(p, subject) for p in allow)
    expected = expected and not any(is_match(p, subject) for p in deny)
    assert permits.publishes(subject) == expected


@settings(max_examples=600, deadline=None)
@given(allow=ENTRIES, deny=ENTRIES, subject=PATTERN, queue=QUEUE)
def test_subscribe_equals_the_model(
    internals: Internals,
    allow: list[bytes],
    deny: list[bytes],
    subject: bytes,
    queue: bytes,
) -> None:
    permits = Permits(internals, [], [], allow, deny)
    queues = [q for s, q in rules(allow) if covers(s, subject)]
    named = [q for q in queues if q]
    if queue and named:
        expected = any(covers(q, queue) for q in named)
    else:
        expected = not allow or b"" in queues
    denied = denies(rules(deny), queue)
    expected = expected and not any(covers(s, subject) for s in denied)
    assert permits.subscribes(subject, queue) == expected
    is_wildcard = any(t in (b"*", b">") for t in subject.split(b"."))
    expected = is_wildcard and any(overlap(s, subject) for s in denied)
    assert permits.filters(subject, queue) == expected


@settings(max_examples=600, deadline=None)
@given(deny=ENTRIES, subject=PATTERN, queue=QUEUE, published=SUBJECT)
def test_nothing_denied_is_received(
    internals: Internals,
    deny: list[bytes],
    subject: bytes,
    queue: bytes,
    published: bytes,
) -> None:
    permits = Permits(internals, [], [], [], deny)
    denied = any(is_match(s, published) for s in denies(rules(deny), queue))
    assert permits.receives(published, queue) == (not denied)
    # Whoever is let in and has no filter never gets what is denied.
    if is_match(subject, published) and permits.subscribes(subject, queue):
        assert not denied or permits.filters(subject, queue)


# ---- sizes ----


@pytest.mark.parametrize("form", [b"u.%d", b"u.%d.>", b"u.%d.*", b"%d.x.>", b"*.%d"])
def test_thousands_of_rules(internals: Internals, form: bytes) -> None:
    count = 1000
    permits = Permits(internals, [form % i for i in range(count)])
    subjects = [(form % i).replace(b"*", b"y").replace(b">", b"z") for i in range(1500)]
    assert [permits.publishes(s) for s in subjects] == [True] * count + [False] * 500


def test_deep_subjects(internals: Internals) -> None:
    deep = b".".join([b"*"] * 5000)
    permits = Permits(internals, [deep], [], [b"a." * 5000 + b">"], [deep])
    assert permits.publishes(b"." * 4999)
    assert not permits.publishes(b"." * 5000)
    assert permits.subscribes(b"a." * 5001 + b"*")
    assert not permits.subscribes(b"a." * 4999 + b"*")
    assert permits.filters(b"*.>")
    assert permits.receives(b"." * 5000)
    assert not permits.receives(b"." * 4999)
