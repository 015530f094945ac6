"""Which subjects are valid, and which subscription gets which message."""

from __future__ import annotations

import pytest
from target import Target
from wire import PEDANTIC, SUBJECT, msg, pub

ACCEPTED = (
    b"foo",
    b"foo.bar",
    b"foo.*",
    b"foo.*.bar",
    b"foo.>",
    b"*",
    b">",
    b"*.*",
    b"*.>",
    b"foo*",
    b"foo>",
    b"foo.*bar",
    b"foo.>bar",
    b"foo.>bar.baz",
    b"**",
    b">>",
    b"foo.**",
    b"foo.bar,*,>",
    b"a\x00b.\x7f.\xff",
    b".".join([b"t"] * 200),
)
REFUSED = (b"foo..bar", b".foo", b"foo.", b".", b"..", b"foo.>.bar", b">.foo", b">.*")


@pytest.mark.parametrize("subject", ACCEPTED, ids=ascii)
def test_valid_to_subscribe(target: Target, subject: bytes) -> None:
    """The pattern as it stands is also a literal subject that it matches."""
    target.talk(
        b"SUB " + subject + b" 1\r\n" + pub(subject, b"hi"), msg(subject, b"1", b"hi")
    )


@pytest.mark.parametrize("subject", REFUSED, ids=ascii)
@pytest.mark.parametrize("queue", [b"", b"q "], ids=["plain", "queue"])
def test_invalid_to_subscribe(target: Target, subject: bytes, queue: bytes) -> None:
    target.talk(b"SUB " + subject + b" " + queue + b"1\r\n", SUBJECT)


VALID_TO_PUBLISH = (b"foo", b"foo.bar", b"fo*", b"foo.*bar", b"foo.**", b"foo>", b">>")
INVALID_TO_PUBLISH = (*REFUSED, b"*", b">", b"foo.*", b"foo.>", b"*.foo", b"a.*.b")


@pytest.mark.parametrize("subject", VALID_TO_PUBLISH, ids=ascii)
def test_valid_to_publish(target: Target, subject: bytes) -> None:
    target.talk(pub(subject, b""), b"", hello=PEDANTIC)


@pytest.mark.parametrize("subject", INVALID_TO_PUBLISH, ids=ascii)
@pytest.mark.ours("it says Invalid Publish Subject")
def test_invalid_to_publish(target: Target, subject: bytes) -> None:
    """Said when pedantic, and delivered in either case."""
    want = msg(subject, b"1", b"hi")
    target.talk(b"SUB > 1\r\n" + pub(subject, b"hi"), SUBJECT + want, hello=PEDANTIC)
    target.talk(b"SUB > 1\r\n" + pub(subject, b"hi"), want)


MATCHES = {
    b"foo.bar": (b"foo.bar",),
    b"foo.*": (b"foo.x", b"foo.", b"foo.*", b"foo.>"),
    b"foo.>": (b"foo.x", b"foo.x.y", b"foo.", b"foo..bar", b"foo.*", b"foo.>"),
    b"*": (b"foo", b"x", b"*", b">"),
    b">": (b"foo", b"foo.bar", b".foo", b".", b"..", b"a.b.c.d", b"*", b">"),
    b"*.foo": (b"bar.foo", b".foo", b"*.foo"),
    b"*.*": (b"foo.*", b"a.b", b"."),
    b"*.>": (b"a.b", b"a.b.c", b".", b"a."),
    b"a.*.c": (b"a.b.c", b"a..c", b"a.*.c"),
    b"a.*.*": (b"a.b.c", b"a.."),
    # Wildcards inside a longer token are ordinary characters.
    b"foo.*bar": (b"foo.*bar",),
    b"foo.>bar": (b"foo.>bar",),
    b"**": (b"**",),
    b"foo.**": (b"foo.**",),
    b">>": (b">>",),
    b"foo*": (b"foo*",),
    b"foo>": (b"foo>",),
    b"foo.bar,*,>": (b"foo.bar,*,>",),
    b"a\x00b": (b"a\x00b",),
}
DIFFERS = {
    b"foo.bar": (b"foo", b"foo.ba", b"foo.barx", b"foo.bar.x", b"FOO.BAR", b"foo.*"),
    b"foo.*": (b"foo", b"foo.x.y", b"bar.x", b"fool.x", b"Foo.x"),
    b"foo.>": (b"foo", b"fool.x", b"bar.foo.x"),
    b"*": (b"a.b", b".", b"a.", b".a"),
    b"*.foo": (b"foo", b"a.b.foo", b"bar.foo.", b"bar.fo"),
    b"*.*": (b"a", b"a.b.c"),
    b"*.>": (b"a",),
    b"a.*.c": (b"a.c", b"a.b.d", b"a.b.c.d"),
    b"a.*.*": (b"a.b", b"a.b.c.d"),
    b"foo.*bar": (b"foo.xyz", b"foo.bar", b"foo.xbar", b"foo.*"),
    b"foo.>bar": (b"foo.xyz", b"foo.x.y", b"foo.bar", b"foo.>"),
    b"**": (b"foo", b"*"),
    b"foo.**": (b"foo.x", b"foo.*"),
    b">>": (b"foo", b"a.b", b">"),
    b"foo*": (b"foo", b"foox", b"foo."),
    b"foo>": (b"foo", b"foox", b"foo.bar"),
    b"foo.bar,*,>": (b"foo.bar", b"foo.bar,x,y"),
    b"a\x00b": (b"a", b"a\x00", b"a\x00c", b"ab"),
}
EMPTY = pytest.mark.ours("its wildcards match no empty token")
PAIRS = [
    pytest.param(
        pattern,
        subject,
        hit,
        id=f"{pattern!a}-{'hit' if hit else 'miss'}-{subject!a}".replace("b'", "'"),
        marks=[EMPTY] if b"" in subject.split(b".") else [],
    )
    for table, hit in ((MATCHES, True), (DIFFERS, False))
    for pattern, subjects in table.items()
    for subject in subjects
]


@pytest.mark.parametrize(("pattern", "subject", "hit"), PAIRS)
@pytest.mark.parametrize("queue", [b"", b"q "], ids=["plain", "queue"])
def test_matching(
    target: Target, pattern: bytes, subject: bytes, hit: bool, queue: bytes
) -> None:
    """
    Cold; with the subject in the match cache; after UNSUB; and once more after SUB.

    A cache that follows other rules than the index gives itself away here.
    """
    want = msg(subject, b"1", b"hi") if hit else b""
    subscribe = b"SUB %b %b1\r\n" % (pattern, queue)
    publish = pub(subject, b"hi")
    script = subscribe + publish * 2 + b"UNSUB 1\r\n" + publish
    target.talk(script * 2, want * 4)
    target.talk(publish + script, want * 2)


@pytest.mark.parametrize(("pattern", "subject", "hit"), PAIRS)
def test_matching_elsewhere(
    target: Target, pattern: bytes, subject: bytes, hit: bool
) -> None:
    """Subscriber and publisher on different reactors follow the same rules."""
    subscriber, publisher = target.clients(2)
    for _ in range(2):
        publisher.send(pub(subject, b"hi"))
        publisher.expect_silence_until_pong()
        subscriber.send(b"SUB " + pattern + b" 1\r\n")
        subscriber.expect_silence_until_pong()
        publisher.send(pub(subject, b"hi"))
        publisher.expect_silence_until_pong()
        subscriber.expect(msg(subject, b"1", b"hi") if hit else b"")
        subscriber.send(b"UNSUB 1\r\n")
        subscriber.expect_silence_until_pong()


@pytest.mark.ours("its wildcards match no empty token")
def test_removed_subscription_gets_nothing(target: Target) -> None:
    """In the original a removed `foo.*bar` went on receiving `foo.xyz`."""
    xyz = pub(b"foo.xyz", b"hi")
    target.talk(b"SUB foo.*bar 1\r\n" + xyz + b"UNSUB 1\r\n" + xyz, b"")
    last = pub(b"q.", b"hi")
    target.talk(
        b"SUB q.> 1\r\n" + last + b"UNSUB 1\r\n" + last, msg(b"q.", b"1", b"hi")
    )


@pytest.mark.ours("its wildcards match no empty token")
def test_subscription_after_the_subject_was_published(target: Target) -> None:
    """In the original `r.>` got nothing of `r.` when that was in the cache."""
    last = pub(b"r.", b"hi")
    target.talk(last + b"SUB r.> 1\r\n" + last, msg(b"r.", b"1", b"hi"))


def test_wildcards_16_levels_deep(target: Target) -> None:
    """All 1,024 patterns of stars and words over ten of sixteen levels."""
    peer = target.client()
    words = [b"%c" % (97 + level) for level in range(16)]
    sids = set()
    for mask in range(1024):
        tokens = [
            b"*" if level < 10 and mask >> level & 1 else word
            for level, word in enumerate(words)
        ]
        peer.send(b"SUB %b %d\r\n" % (b".".join(tokens), mask))
        sids.add(b"%d" % mask)
    subject = b".".join(words)
    peer.expect_silence_until_pong()
    for _ in range(3):
        peer.send(pub(subject, b"x"))
        got = set()
        for _ in sids:
            got.add(peer.line().split(b" ")[2])
            peer.expect(b"x\r\n")
        assert got == sids
    peer.expect_silence_until_pong()


def test_many_literals_and_patterns_come_and_go(target: Target) -> None:
    """Insert and remove are symmetric: at the end nobody is left in the index."""
    peer = target.client()
    for round_ in range(3):
        for i in range(300):
            peer.send(
                b"SUB lit.%d L%d\r\nSUB lit.*.%d W%d\r\nSUB t%d.> F%d\r\n"
                % (i, i, i, i, i, i)
            )
        peer.expect_silence_until_pong()
        for i in range(0, 300, 37):
            peer.send(pub(b"lit.%d" % i, b""))
            peer.expect(b"MSG lit.%d L%d 0\r\n\r\n" % (i, i))
            peer.send(pub(b"lit.x.%d" % i, b""))
            peer.expect(b"MSG lit.x.%d W%d 0\r\n\r\n" % (i, i))
            peer.send(pub(b"t%d.y" % i, b""))
            peer.expect(b"MSG t%d.y F%d 0\r\n\r\n" % (i, i))
        order = range(300) if round_ % 2 else range(299, -1, -1)
        for i in order:
            peer.send(b"UNSUB W%d\r\nUNSUB L%d\r\nUNSUB F%d\r\n" % (i, i, i))
        for i in range(0, 300, 37):
            peer.send(pub(b"lit.%d" % i, b"") + pub(b"lit.x.%d" % i, b""))
            peer.send(pub(b"t%d.y" % i, b""))
        peer.expect_silence_until_pong()
