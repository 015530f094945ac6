"""What connections may do, from inside: checks, grants and their changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from test_engine import CONNECT, greeted, say
from test_reactor import (
    ECHO,
    HEADERS,
    NO_RESPONDERS,
    PEDANTIC,
    SILENT,
    VERBOSE,
    Internals,
    Peer,
    Rig,
)

VIOLATION = b"-ERR 'Authorization Violation'\r\n"
PUBLISH = b"-ERR 'Permissions Violation for Publish to \"%b\"'\r\n"
SUBSCRIBE = b"-ERR 'Permissions Violation for Subscription to \"%b\"'\r\n"
QUEUE = b'-ERR \'Permissions Violation for Subscription to "%b" using queue "%b"\'\r\n'
BLOCK = b"NATS/1.0\r\nA: b\r\n\r\n"


@pytest.fixture
def rig(internals: Internals) -> Iterator[Rig]:
    with Rig(internals) as made:
        yield made


@pytest.fixture(params=[1, 2])
def crossing(internals: Internals, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """With one reactor, and with two, between which neighbours' messages cross."""
    with Rig(internals, reactors=request.param) as made:
        yield made


def publisher(rig: Rig, options: int = SILENT) -> Peer:
    permits = rig.permits([b"ok.>", b"run"], [b"ok.bad"])
    return rig.client(options=options, grant=1, permits=permits)


def logs(rig: Rig) -> list[tuple[int, int, bytes]]:
    return [
        (e.level, e.cid, e.text) for e in rig.events() if e.kind == rig.lib.ND_EV_LOG
    ]


# ---- publishing ----


def test_refused_publish(rig: Rig) -> None:
    peer, other = publisher(rig), rig.client()
    say(rig, other, b"SUB > 1\r\n")
    sent = (
        b"PUB bad 2\r\nhi\r\nPUB ok.a 2\r\nhi\r\nPUB ok.bad reply 2\r\nhi\r\nPING\r\n"
    )
    assert say(rig, peer, sent) == PUBLISH % b"bad" + PUBLISH % b"ok.bad" + b"PONG\r\n"
    assert other.read() == b"MSG ok.a 1 2\r\nhi\r\n"
    error = rig.lib.ND_LEVEL_ERROR
    assert logs(rig) == [
        (error, 1, b':0 - cid:1 - Publish Violation - User "me", Subject "bad"'),
        (error, 1, b':0 - cid:1 - Publish Violation - User "me", Subject "ok.bad"'),
    ]
    assert (rig.stats().in_msgs, rig.stats().in_bytes) == (3, 6)


def test_the_reply_needs_no_permission(rig: Rig) -> None:
    peer, other = publisher(rig), rig.client()
    say(rig, other, b"SUB > 1\r\n")
    assert say(rig, peer, b"PUB ok.a bad 2\r\nhi\r\nPING\r\n") == b"PONG\r\n"
    assert other.read() == b"MSG ok.a 1 bad 2\r\nhi\r\n"


@pytest.mark.parametrize(
    ("options", "sent", "want"),
    [
        (VERBOSE, b"PUB bad 2\r\nhi\r\n", PUBLISH % b"bad"),
        (
            VERBOSE,
            b"PUB ok.a 0\r\n\r\nPUB bad 0\r\n\r\nPUB ok.a 0\r\n\r\n",
            b"+OK\r\n" + PUBLISH % b"bad" + b"+OK\r\n",
        ),
        (
            PEDANTIC,
            b"PUB bad.* 2\r\nhi\r\n",
            b"-ERR 'Invalid Subject'\r\n" + PUBLISH % b"bad.*",
        ),
        (PEDANTIC, b"PUB ok.* 2\r\nhi\r\n", b"-ERR 'Invalid Subject'\r\n"),
        (HEADERS, b"HPUB bad 18 20\r\n" + BLOCK + b"hi\r\n", PUBLISH % b"bad"),
        (HEADERS, b"HPUB ok.a 18 20\r\n" + BLOCK + b"hi\r\n", b""),
        # Nobody is told of a responder that he may not ask.
        (NO_RESPONDERS | HEADERS, b"SUB r 1\r\nPUB bad r 0\r\n\r\n", PUBLISH % b"bad"),
        (SILENT, b"PUB  bad   2 \r\nhi\r\npub bad 0\r\n\r\n", 2 * (PUBLISH % b"bad")),
        (SILENT, b"PUB ok.* 0\r\n\r\nPUB ok.> 0\r\n\r\n", b""),
        (SILENT, b"PUB * 0\r\n\r\nPUB > 0\r\n\r\n", PUBLISH % b"*" + PUBLISH % b">"),
    ],
)
def test_refusals_among_answers(
    rig: Rig, options: int, sent: bytes, want: bytes
) -> None:
    peer = publisher(rig, options)
    assert say(rig, peer, sent + b"PING\r\n") == want + b"PONG\r\n"


@pytest.mark.parametrize(
    ("size", "piece"), [(10, 1), (10, 7), (5000, 997), (20_000, 4000), (20_000, 30_000)]
)
def test_all_of_a_refused_payload_is_dropped(rig: Rig, size: int, piece: int) -> None:
    """However it comes, and though it looks like operations."""
    peer, other = publisher(rig), rig.client()
    say(rig, other, b"SUB > 1\r\n")
    body = (b"\r\nPUB ok.a 0\r\n\r\n" * size)[:size]
    sent = b"PUB bad %d\r\n%b\r\nPUB ok.b 0\r\n\r\nPING\r\n" % (size, body)
    got = b"".join(
        say(rig, peer, sent[i : i + piece]) for i in range(0, len(sent), piece)
    )
    assert got == PUBLISH % b"bad" + b"PONG\r\n"
    assert other.read() == b"MSG ok.b 1 0\r\n\r\n"


def test_a_refused_payload_must_end_well(rig: Rig) -> None:
    peer = publisher(rig)
    got = say(rig, peer, b"PUB bad 2\r\nhi!!PING\r\n")
    assert got == (b"-ERR 'Unknown Protocol Operation'\r\n-ERR 'Parser Error'\r\n")


def test_too_large_is_worse_than_refused(rig: Rig) -> None:
    got = say(rig, publisher(rig), b"PUB bad 1048577\r\n")
    assert got == b"-ERR 'Maximum Payload Violation'\r\n"


@pytest.mark.parametrize("reply", [b"", b" r"])
def test_runs_of_refused_and_others(crossing: Rig, reply: bytes) -> None:
    rig = crossing
    peer, other = publisher(rig), rig.client()
    say(rig, other, b"SUB > 1\r\n")
    good = b"".join(b"PUB run%b 3\r\n%03d\r\n" % (reply, i) for i in range(150))
    bad = b"PUB bad%b 3\r\nabc\r\n" % reply * 40
    sent = good + bad + b"PUB ok.a 0\r\n\r\n" + bad + good + b"PING\r\n"
    assert say(rig, peer, sent) == PUBLISH % b"bad" * 80 + b"PONG\r\n"
    run = b"".join(b"MSG run 1%b 3\r\n%03d\r\n" % (reply, i) for i in range(150))
    assert other.read() == run + b"MSG ok.a 1 0\r\n\r\n" + run


def test_a_traced_violation(internals: Internals) -> None:
    with Rig(internals, trace=True) as rig:
        peer = publisher(rig)
        assert say(rig, peer, b"PUB bad 2\r\nhi\r\n") == PUBLISH % b"bad"
        assert rig.logs() == [
            b":0 - cid:1 - ->> [PUB bad 2]",
            b":0 - cid:1 - ->> MSG_PAYLOAD: [hi]",
            b':0 - cid:1 - Publish Violation - User "me", Subject "bad"',
        ]


@pytest.mark.parametrize(
    ("subject", "shown", "logged"),
    [
        (b"b\"a'd", b"b\\\"a'd", b"b\\\"a'd"),
        (b"b\\d", b"b\\\\d", b"b\\\\d"),
        (b"b\x00\x01\x1f\x7fd", b"b\\x00\\x01\\x1f\\x7fd", b"b\\x00\\x01\\x1f\\x7fd"),
        (b"\xc3\xa9", b"\xc3\xa9", b"\\xc3\\xa9"),
        (b"%s%n", b"%s%n", b"%s%n"),
        (b"x" * 250, b"x" * 250, b"x" * 250),
        (b"x" * 1000, b"x" * 1000, b"x" * 250),
        (b"\x01" * 1000, b"\\x01" * 1000, b"\\x01" * 63),
        (b'"' * 1000, b'\\"' * 1000, b'\\"' * 125),
    ],
)
def test_odd_subjects_stay_on_one_line(
    rig: Rig, subject: bytes, shown: bytes, logged: bytes
) -> None:
    peer = rig.client(permits=rig.permits([b"ok"], [], [b"ok"], [], name=b'a"b'))
    assert say(rig, peer, b"PUB %b 2\r\nhi\r\n" % subject) == PUBLISH % shown
    assert say(rig, peer, b"SUB %b 7\r\n" % subject) == SUBSCRIBE % shown
    assert rig.logs() == [
        b':0 - cid:1 - Publish Violation - User "a\\"b", Subject "%b"' % logged,
        b':0 - cid:1 - Subscription Violation - User "a\\"b", Subject "%b", SID 7'
        % logged,
    ]


def test_verdicts_of_different_users_do_not_mix(rig: Rig) -> None:
    """They share a reactor, a subject, and what is remembered about it."""
    may, may_not = rig.permits([b"a"]), rig.permits([b"b"])
    peers = [rig.client(permits=p) for p in (may, may_not, rig.ffi.NULL)]
    reader = rig.client()
    say(rig, reader, b"SUB a 1\r\n")
    for _ in range(3):
        for peer, want in zip(peers, [b"", PUBLISH % b"a", b""], strict=True):
            assert say(rig, peer, b"PUB a 0\r\n\r\n") == want
    assert reader.read() == b"MSG a 1 0\r\n\r\n" * 6


# ---- subscribing ----


def subscriber(rig: Rig, options: int = SILENT) -> Peer:
    allow, deny = [b"in.>", b"qq grp"], [b"in.secret", b"*.hidden", b"in.q dq"]
    permits = rig.permits([], [], allow, deny)
    return rig.client(options=options, grant=2, permits=permits)


@pytest.mark.parametrize("options", [SILENT, VERBOSE])
def test_refused_subscriptions(rig: Rig, options: int) -> None:
    peer = subscriber(rig, options)
    ok = b"+OK\r\n" if options == VERBOSE else b""
    for sent, want in [
        (b"SUB foo 1\r\n", SUBSCRIBE % b"foo"),
        (b"SUB foo q 1\r\n", QUEUE % (b"foo", b"q")),
        (b"SUB qq grp2 1\r\n", QUEUE % (b"qq", b"grp2")),
        (b"SUB in.q dq 1\r\n", QUEUE % (b"in.q", b"dq")),
        (b"SUB in.a 1\r\n", ok),
        (b"SUB in.secret 1\r\n", SUBSCRIBE % b"in.secret"),  # also if the sid is taken
        (b"SUB in..x 1\r\n", b"-ERR 'Invalid Subject'\r\n"),
        (b"UNSUB 9\r\n", ok),
    ]:
        assert say(rig, peer, sent) == want, sent
    assert rig.stats().subscriptions == 1
    head = b':0 - cid:1 - Subscription Violation - User "me", Subject '
    assert logs(rig) == [
        (rig.lib.ND_LEVEL_ERROR, 1, head + text)
        for text in (
            b'"foo", SID 1',
            b'"foo", Queue: "q", SID 1',
            b'"qq", Queue: "grp2", SID 1',
            b'"in.q", Queue: "dq", SID 1',
            b'"in.secret", SID 1',
        )
    ]


PUBLISHED = b"".join(
    b"PUB %b 1\r\nx\r\n" % s for s in (b"in.secret", b"in.hidden", b"in.q", b"in.ok")
)


@pytest.mark.parametrize("is_run", [False, True])
@pytest.mark.parametrize(
    ("sub", "subjects"),
    [
        (b"SUB in.* 1\r\n", [b"in.q", b"in.ok"]),
        (b"SUB in.> 1\r\n", [b"in.q", b"in.ok"]),
        (b"SUB in.* group 1\r\n", [b"in.q", b"in.ok"]),
        (b"SUB in.* dq 1\r\n", [b"in.ok"]),
        (b"SUB in.ok 1\r\n", [b"in.ok"]),
    ],
)
def test_what_is_denied_is_not_delivered(
    crossing: Rig, sub: bytes, subjects: list[bytes], is_run: bool
) -> None:
    rig = crossing
    peer, other = subscriber(rig), rig.client()
    assert say(rig, peer, sub) == b""
    lines = PUBLISHED.splitlines(keepends=True)
    sent = PUBLISHED
    if is_run:
        pairs = [b"".join(lines[i : i + 2]) for i in range(0, len(lines), 2)]
        sent = b"".join(pair * 200 for pair in pairs)
    say(rig, other, sent)
    each = 200 if is_run else 1
    assert peer.read() == b"".join(
        b"MSG %b 1 1\r\nx\r\n" % subject * each for subject in subjects
    )
    assert rig.stats().out_msgs == each * len(subjects)


def test_own_messages_are_filtered_too(rig: Rig) -> None:
    peer = subscriber(rig, ECHO)
    got = say(rig, peer, b"SUB in.* 1\r\n" + PUBLISHED + b"PING\r\n")
    assert got == b"MSG in.q 1 1\r\nx\r\nMSG in.ok 1 1\r\nx\r\nPONG\r\n"


def test_a_queue_group_passes_over_who_may_not_have_it(crossing: Rig) -> None:
    rig = crossing
    denied, member, other = subscriber(rig), rig.client(), rig.client()
    for peer in (denied, member):
        assert say(rig, peer, b"SUB in.* group 1\r\n") == b""
    for _ in range(50):
        say(rig, other, b"PUB in.secret 1\r\nx\r\n")
    assert member.read() == b"MSG in.secret 1 1\r\nx\r\n" * 50
    assert denied.read() == b""


@pytest.mark.parametrize("queue", [b"", b"group "])
def test_nobody_responds_where_all_are_denied(crossing: Rig, queue: bytes) -> None:
    rig = crossing
    denied = subscriber(rig)
    peer = rig.client(options=HEADERS | NO_RESPONDERS)
    say(rig, denied, b"SUB in.* %b1\r\n" % queue)
    say(rig, peer, b"SUB inbox 7\r\n")
    status = b"HMSG inbox 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    assert say(rig, peer, b"PUB in.secret inbox 1\r\nx\r\n") == status
    assert say(rig, peer, b"PUB in.ok inbox 1\r\nx\r\n") == b""
    assert denied.read() == b"MSG in.ok 1 inbox 1\r\nx\r\n"


def test_memory_of_a_filter(internals: Internals) -> None:
    """The last holder of the permits may be a subscription."""
    lib = internals[1]
    live = lib.nd_test_alloc_live()
    with Rig(internals, reactors=2) as rig:
        peer = subscriber(rig)
        say(rig, peer, b"SUB in.* 1\r\nSUB in.> q 2\r\n")
        rig.lib.nd_permits_release(rig.held.pop())
        peer.sock.close()
        rig.settle()
    assert lib.nd_test_alloc_live() == live


# ---- grants ----


def test_revoked(crossing: Rig) -> None:
    rig, null = crossing, crossing.ffi.NULL
    gone = [rig.client(grant=5), rig.client(grant=5, permits=rig.permits([b"a"]))]
    stays = [rig.client(grant=6), rig.client(grant=0)]
    for peer in gone + stays:
        say(rig, peer, b"SUB a 1\r\n")
    assert rig.regrant((9, null, True), (5, null, True), (1, null, True)) == 0
    rig.settle()
    assert [p.read() for p in gone] == [VIOLATION] * 2
    assert all(p.ended for p in gone)
    for peer in gone:
        peer.sock.close()
    rig.settle()
    assert [rig.look(p) for p in gone] == [None, None]
    assert rig.stats().subscriptions == 2
    assert sorted(logs(rig)) == [
        (rig.lib.ND_LEVEL_ERROR, p.cid, b":0 - cid:%d - Authorization Error" % p.cid)
        for p in gone
    ]
    for peer in stays:
        assert say(rig, peer, b"PING\r\n") == b"PONG\r\n"


def test_the_revoked_get_what_they_are_owed_first(rig: Rig) -> None:
    peer, other = rig.client(grant=5), rig.client(grant=6)
    say(rig, peer, b"SUB a 1\r\n")
    other.send(b"PUB a 2\r\nhi\r\n")
    rig.turn()
    peer.send(b"PING\r\nPUB a 1\r\nx\r\n")
    rig.regrant((5, rig.ffi.NULL, True))
    rig.settle()
    assert peer.read() == b"MSG a 1 2\r\nhi\r\n" + VIOLATION
    assert rig.stats().in_msgs == 1  # what it sent and we had not read is not run


def test_who_has_no_rights_yet_is_not_touched(rig: Rig) -> None:
    """Neither the greeted nor those whose first answer is awaited have a grant."""
    fresh, waiting = greeted(rig), greeted(rig)
    say(rig, waiting, CONNECT)
    rig.regrant((0, rig.ffi.NULL, True))
    rig.settle()
    assert fresh.read() == waiting.read() == b""
    rig.admit(waiting, VERBOSE, grant=3)
    rig.settle()
    assert waiting.read() == b"+OK\r\n"


def test_revoked_while_it_asks_again(rig: Rig) -> None:
    peer = rig.client(grant=5)
    say(rig, peer, CONNECT)
    assert rig.lib.nd_test_unanswered(rig.engine) == 1
    rig.regrant((5, rig.ffi.NULL, True))
    rig.settle()
    assert peer.read() == VIOLATION
    assert rig.lib.nd_test_unanswered(rig.engine) == 0


def test_other_permits_for_publishing(rig: Rig) -> None:
    peer = rig.client(grant=5, permits=rig.permits([b"a"]))
    assert say(rig, peer, b"PUB a 0\r\n\r\nPUB b 0\r\n\r\n") == PUBLISH % b"b"
    rig.regrant((5, rig.permits([b"b"])))
    rig.settle()
    assert say(rig, peer, b"PUB a 0\r\n\r\nPUB b 0\r\n\r\n") == PUBLISH % b"a"
    rig.regrant((5, rig.ffi.NULL))
    rig.settle()
    assert say(rig, peer, b"PUB a 0\r\n\r\nPUB b 0\r\n\r\nPING\r\n") == b"PONG\r\n"


def test_other_permits_in_the_middle_of_a_message(rig: Rig) -> None:
    peer = rig.client(grant=5, permits=rig.permits([b"a"]))
    assert say(rig, peer, b"PUB a 4\r\nhi") == b""
    rig.regrant((5, rig.permits([b"b"])))
    rig.settle()
    assert say(rig, peer, b"ho\r\nPING\r\n") == PUBLISH % b"a" + b"PONG\r\n"


def test_other_permits_for_subscriptions(crossing: Rig) -> None:
    rig = crossing
    peer, other = rig.client(grant=5), rig.client(grant=6)
    subs = b"SUB a.* 1\r\nSUB a.b q 2\r\nSUB x 3\r\nSUB a.> q 4\r\nSUB > 5\r\n"
    for each in (peer, other):
        assert say(rig, each, subs) == b""
    rig.regrant((5, rig.permits([], [], [b"a.>"], [b"a.b", b"a.x"])))
    rig.settle()
    got = peer.read().splitlines(keepends=True)
    assert sorted(got) == sorted(
        [QUEUE % (b"a.b", b"q"), SUBSCRIBE % b"x", SUBSCRIBE % b">"]
    )
    assert other.read() == b""
    assert rig.stats().subscriptions == 7
    head = b':0 - cid:1 - Subscription Violation - User "me", Subject '
    assert sorted(rig.logs()) == [
        head + b'">", SID 5',
        head + b'"a.b", Queue: "q", SID 2',
        head + b'"x", SID 3',
    ]
    say(rig, other, b"UNSUB 1\r\nUNSUB 2\r\nUNSUB 3\r\nUNSUB 4\r\nUNSUB 5\r\n")
    say(rig, other, b"PUB a.b 0\r\n\r\nPUB x 0\r\n\r\nPUB a.x 0\r\n\r\n")
    assert peer.read() == b""
    say(rig, other, b"PUB a.c 0\r\n\r\n")
    got = peer.read().splitlines(keepends=True)
    assert sorted(got) == [b"\r\n"] * 2 + [b"MSG a.c 1 0\r\n", b"MSG a.c 4 0\r\n"]
    # And back again: what was taken away does not return, filters go.
    rig.regrant((5, rig.ffi.NULL))
    rig.settle()
    say(rig, other, b"PUB a.b 0\r\n\r\nPUB x 0\r\n\r\n")
    got = peer.read().splitlines(keepends=True)
    assert sorted(got) == [b"\r\n"] * 2 + [b"MSG a.b 1 0\r\n", b"MSG a.b 4 0\r\n"]
    assert say(rig, peer, b"UNSUB 1\r\nUNSUB 4\r\nPING\r\n") == b"PONG\r\n"
    assert rig.stats().subscriptions == 0
    rig.check()


def test_filters_follow_the_rules(rig: Rig) -> None:
    peer, other = rig.client(grant=5), rig.client()
    say(rig, peer, b"SUB a.* 1\r\n")
    for deny, seen in [
        ([b"a.b"], [b"c", b"d"]),
        ([b"a.c"], [b"b", b"d"]),
        ([b"a.c", b"a.d"], [b"b"]),
        ([b"a.x"], [b"b", b"c", b"d"]),
        ([b"z.>"], [b"b", b"c", b"d"]),
        ([b"*.b"], [b"c", b"d"]),
        ([], [b"b", b"c", b"d"]),
    ]:
        rig.regrant((5, rig.permits([], [], [], deny)))
        rig.settle()
        say(rig, other, b"".join(b"PUB a.%b 0\r\n\r\n" % s for s in (b"b", b"c", b"d")))
        assert peer.read() == b"".join(b"MSG a.%b 1 0\r\n\r\n" % s for s in seen)


def test_a_limit_outlives_other_filters(rig: Rig) -> None:
    peer, other = rig.client(grant=5), rig.client()
    say(rig, peer, b"SUB a.* 1\r\nUNSUB 1 5\r\n")
    say(rig, other, b"PUB a.c 0\r\n\r\n" * 3)
    assert peer.read() == b"MSG a.c 1 0\r\n\r\n" * 3
    rig.regrant((5, rig.permits([], [], [], [b"a.b"])))
    rig.settle()
    say(rig, other, b"PUB a.b 0\r\n\r\n" * 9 + b"PUB a.c 0\r\n\r\n" * 9)
    assert peer.read() == b"MSG a.c 1 0\r\n\r\n" * 2
    assert rig.stats().subscriptions == 0


@pytest.mark.parametrize("allow", [[b"a.>"], [b"b", b"a.>"], []])
@pytest.mark.parametrize("deny", [b"a.b", b"z"])
def test_the_same_filters_again_lose_nothing(
    internals: Internals, deny: bytes, allow: list[bytes]
) -> None:
    """Messages are on their way from another reactor while the change comes."""
    with Rig(internals, reactors=2) as rig:
        rules = [], [], [b"a.>"], [deny]
        peer, other = rig.client(grant=5, permits=rig.permits(*rules)), rig.client()
        say(rig, peer, b"SUB a.* 1\r\nSUB a.c 2\r\n")
        before = rig.stats().sub_inserts
        other.send(b"PUB a.c 2\r\nhi\r\n")
        rig.turn(other.cid % 2)  # now it lies in the mail of the other one
        rig.regrant((5, rig.permits([], [], allow, [deny])))
        rig.settle()
        got = peer.read().splitlines(keepends=True)
        assert sorted(got) == [b"MSG a.c 1 2\r\n", b"MSG a.c 2 2\r\n"] + [b"hi\r\n"] * 2
        assert rig.stats().sub_inserts == before


@pytest.mark.parametrize("deny", [b"a.*.b", b"z"])
def test_the_same_filters_again_leave_the_records_alone(rig: Rig, deny: bytes) -> None:
    peer = rig.client(grant=5, permits=rig.permits([], [], [], [deny]))
    lines = (b"SUB a.%d.* %d\r\n" % (i, i) for i in range(100))
    assert say(rig, peer, b"".join(lines)) == b""
    rig.regrant((5, rig.permits([], [], [b"a.>"], [deny])))
    rig.lib.nd_test_alloc_fail(0, False)  # counts anew
    rig.settle()
    assert rig.lib.nd_test_alloc_calls() < 50


def test_long_subjects_are_checked_too(internals: Internals) -> None:
    with Rig(internals, max_control_line=100_000) as rig:
        peer = rig.client(grant=5)
        long = [b"a." * n + b"*" for n in (511, 512, 5000)]
        say(rig, peer, b"".join(b"SUB %b %d\r\n" % (s, i) for i, s in enumerate(long)))
        rig.regrant((5, rig.permits([], [], [b"b.>"])))
        rig.settle()
        got = peer.read().splitlines(keepends=True)
        assert sorted(got) == sorted(SUBSCRIBE % s for s in long)
        assert rig.stats().subscriptions == 0


def test_a_second_connect_brings_other_rights(rig: Rig) -> None:
    peer = rig.client(grant=5)
    say(rig, peer, b"SUB a 1\r\nSUB b 2\r\n")
    say(rig, peer, CONNECT)
    rig.admit(peer, grant=6, permits=rig.permits([b"a"], [], [b"a"]))
    rig.settle()
    assert peer.read() == SUBSCRIBE % b"b"
    assert say(rig, peer, b"PUB b 0\r\n\r\n") == PUBLISH % b"b"
    rig.regrant((5, rig.ffi.NULL, True))
    rig.settle()
    assert say(rig, peer, b"PING\r\n") == b"PONG\r\n"
    rig.regrant((6, rig.ffi.NULL, True))
    rig.settle()
    assert peer.read() == VIOLATION


def test_an_answered_info_leaves_the_rights(rig: Rig) -> None:
    peer = rig.client(grant=5, permits=rig.permits([b"a"]))
    say(rig, peer, b"INFO {}\r\n")
    assert rig.answer(peer.cid, rig.lib.ND_VERDICT_ADMIT) == 0
    rig.settle()
    assert say(rig, peer, b"PUB b 0\r\n\r\n") == PUBLISH % b"b"
    rig.regrant((5, rig.ffi.NULL, True))
    rig.settle()
    assert peer.read() == VIOLATION


# ---- answers that were on their way ----


@pytest.mark.parametrize("wait_ms", [0, 9999, 14_999])
def test_late_answers_come_under_the_change(rig: Rig, wait_ms: int) -> None:
    rig.regrant((4, rig.permits([b"a"])), (5, rig.ffi.NULL, True))
    rig.settle()
    rig.advance(wait_ms)
    changed, revoked, other = greeted(rig), greeted(rig), greeted(rig)
    for peer, grant in ((changed, 4), (revoked, 5), (other, 6)):
        say(rig, peer, CONNECT + b"PUB b 0\r\n\r\nPING\r\n")
        rig.admit(peer, grant=grant)
    rig.settle()
    assert changed.read() == PUBLISH % b"b" + b"PONG\r\n"
    assert revoked.read() == VIOLATION
    assert revoked.ended
    assert other.read() == b"PONG\r\n"


def test_changes_are_forgotten_in_the_end(rig: Rig) -> None:
    rig.regrant((4, rig.permits([b"a"])), (5, rig.ffi.NULL, True))
    rig.settle()
    rig.advance(rig.lib.ND_REGRANT_MS)
    for grant in (4, 5):
        peer = rig.client(grant=grant)
        assert say(rig, peer, b"PUB b 0\r\n\r\nPING\r\n") == b"PONG\r\n"


def test_the_last_word_counts(rig: Rig) -> None:
    rig.regrant((4, rig.permits([b"a"])), (5, rig.permits([b"a"])))
    rig.settle()
    rig.advance(5000)
    rig.regrant((4, rig.permits([b"b"])))
    rig.regrant((6, rig.ffi.NULL, True))
    rig.settle()
    sent = b"PUB a 0\r\n\r\nPUB b 0\r\n\r\n"
    assert say(rig, rig.client(grant=4), sent) == PUBLISH % b"a"
    assert say(rig, rig.client(grant=5), sent) == PUBLISH % b"b"
    rig.advance(10_000)  # the first is forgotten, the others are not
    assert say(rig, rig.client(grant=4), sent) == PUBLISH % b"a"
    assert say(rig, rig.client(grant=5), sent + b"PING\r\n") == b"PONG\r\n"


def test_forgotten_changes_give_their_memory_back(internals: Internals) -> None:
    with Rig(internals, reactors=2) as rig:

        def order() -> None:
            assert rig.regrant((5, rig.permits([b"a"]))) == 0
            rig.lib.nd_permits_release(rig.held.pop())
            rig.settle()

        order()
        before = rig.lib.nd_test_alloc_live()
        for _ in range(10):
            rig.advance(rig.lib.ND_REGRANT_MS)
            order()
        assert rig.lib.nd_test_alloc_live() == before


# ---- without a CONNECT ----


def open_rig(internals: Internals, **rules: Any) -> Rig:
    """Whose clients may publish to "a" alone if they do not introduce themselves."""
    ffi, lib = internals
    text = ffi.new("char[]", b"a")
    rule = ffi.new("struct nd_rule *", (0, text, 1, ffi.NULL, 0))
    permits = lib.nd_permits_new(b"open", 4, rule, 1)
    rig = Rig(internals, open_grant=7, open_permits=permits, **rules)
    lib.nd_permits_release(permits)
    return rig


def test_who_does_not_introduce_himself_has_the_open_rights(
    internals: Internals,
) -> None:
    live = internals[1].nd_test_alloc_live()
    with open_rig(internals) as rig:
        peer, waits = greeted(rig), greeted(rig)
        sent = b"PUB b 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n"
        assert say(rig, peer, sent) == PUBLISH % b"b" + b"+OK\r\nPONG\r\n"
        assert rig.logs() == [
            b':0 - cid:1 - Publish Violation - User "open", Subject "b"'
        ]
        rig.regrant((7, rig.ffi.NULL, True))
        rig.settle()
        assert peer.read() == VIOLATION
        assert waits.read() == b""
        assert say(rig, waits, b"PING\r\n") == VIOLATION
    assert internals[1].nd_test_alloc_live() == live


def test_a_connect_replaces_the_open_rights(internals: Internals) -> None:
    with open_rig(internals) as rig:
        peer = greeted(rig)
        assert say(rig, peer, b"PUB b 0\r\n\r\n") == PUBLISH % b"b"
        say(rig, peer, CONNECT)
        rig.admit(peer, grant=8)
        rig.settle()
        rig.regrant((7, rig.ffi.NULL, True))
        rig.settle()
        assert say(rig, peer, b"PUB b 0\r\n\r\nPING\r\n") == b"PONG\r\n"


# ---- answers ----


def test_answers_to_many(rig: Rig) -> None:
    peers = [greeted(rig) for _ in range(4)]
    for peer in peers:
        say(rig, peer, CONNECT + b"PING\r\n")
    ffi, lib = rig.ffi, rig.lib
    note, text, reason = (ffi.new("char[]", t) for t in (b"n", b"No", b"Because"))
    answers = ffi.new(
        "struct nd_answer[]",
        [
            {"verdict": lib.ND_VERDICT_ADMIT, "text": note, "text_len": 1, "grant": 3},
            {
                "verdict": lib.ND_VERDICT_REFUSE,
                "text": text,
                "text_len": 2,
                "reason": reason,
                "reason_len": 7,
            },
            {"verdict": lib.ND_VERDICT_NONE},
            {"verdict": lib.ND_VERDICT_ADMIT, "text": note, "text_len": 1},
        ],
    )
    cids = ffi.new("uint64_t[]", [peer.cid for peer in peers])
    rig.events()
    assert lib.nd_answer_many(rig.engine, cids, answers, 4) == 0
    rig.settle()
    assert [p.read() for p in peers] == [
        b"PONG\r\n",
        b"-ERR 'No'\r\n",
        b"",
        b"PONG\r\n",
    ]
    assert rig.logs() == [b":0 - cid:2 - Because"]
    assert lib.nd_test_unanswered(rig.engine) == 1


@pytest.mark.parametrize("nth", range(1, 4))
def test_no_memory_for_answers(rig: Rig, nth: int) -> None:
    """Those that could be sent are; no reference is lost with the others."""
    permits = rig.permits([b"a"])
    peer = greeted(rig)
    say(rig, peer, CONNECT + b"PING\r\n")
    live = rig.lib.nd_test_alloc_live()
    rig.lib.nd_test_alloc_fail(nth, True)
    code = rig.answer(peer.cid, rig.lib.ND_VERDICT_ADMIT, text=b"note", permits=permits)
    rig.lib.nd_test_alloc_fail(0, False)
    assert code == (rig.lib.ND_ENOMEM if nth == 1 else rig.lib.ND_OK)
    rig.settle()
    if nth > 1:
        assert peer.read() == b"PONG\r\n"
    else:
        assert rig.lib.nd_test_alloc_live() == live


# ---- memory ----


def test_no_memory_for_a_change(internals: Internals) -> None:
    """Then nothing has changed, at no reactor."""
    with Rig(internals, reactors=3) as rig:
        peers = [rig.client(grant=5) for _ in range(3)]
        change = 5, rig.permits([b"a"])
        live = rig.lib.nd_test_alloc_live()
        for nth in range(1, 7):
            rig.lib.nd_test_alloc_fail(nth, False)
            code = rig.regrant(change)
            rig.lib.nd_test_alloc_fail(0, False)
            assert code == rig.lib.ND_ENOMEM
            assert rig.lib.nd_test_alloc_live() == live
            rig.settle()
        for peer in peers:
            assert say(rig, peer, b"PUB b 0\r\n\r\nPING\r\n") == b"PONG\r\n"
        assert rig.regrant(change) == 0
        rig.settle()
        for peer in peers:
            assert say(rig, peer, b"PUB b 0\r\n\r\n") == PUBLISH % b"b"


def test_memory_that_fails_during_a_change(internals: Internals) -> None:
    """It costs the one whose rights could not be seen to, who keeps none of them."""
    lib = internals[1]
    live = lib.nd_test_alloc_live()
    for nth in range(1, 40):
        with Rig(internals, max_control_line=8000) as rig:
            peer, other = rig.client(grant=5), rig.client()
            long = b"a." * 1000 + b"*"
            subs = b"SUB a.* 1\r\nSUB b 2\r\nSUB a.> q 3\r\nSUB %b 4\r\n" % long
            assert say(rig, peer, subs) == b""
            rig.regrant((5, rig.permits([], [], [b"a.>"], [b"a.b", b"a.a.>"])))
            lib.nd_test_alloc_fail(nth, nth % 2 == 0)
            rig.settle()
            calls = lib.nd_test_alloc_calls()
            lib.nd_test_alloc_fail(0, False)
            peer.read()
            say(rig, other, b"PUB a.b 0\r\n\r\nPUB b 0\r\n\r\n")
            assert peer.read() == b""
            say(rig, other, b"PUB a.c 0\r\n\r\n")
            if not peer.ended:
                assert len(peer.read().splitlines()) == 4
            rig.check()
        assert lib.nd_test_alloc_live() == live
    assert nth > calls


def test_mail_about_rights_that_nobody_reads(internals: Internals) -> None:
    lib = internals[1]
    live = lib.nd_test_alloc_live()
    with Rig(internals, reactors=2) as rig:
        permits = rig.permits([b"a"])
        peer = greeted(rig)
        say(rig, peer, CONNECT)
        rig.admit(peer, permits=permits)
        rig.refuse(peer, b"No", b"Because")
        rig.answer(99, lib.ND_VERDICT_ADMIT, text=b"", permits=permits)
        rig.regrant((1, permits), (2, rig.ffi.NULL, True))
    assert lib.nd_test_alloc_live() == live


def test_answers_for_nobody_hold_nothing(internals: Internals) -> None:
    lib = internals[1]
    live = lib.nd_test_alloc_live()
    with Rig(internals) as rig:
        permits = rig.permits([b"a"])
        peer = rig.client()
        for cid in (99, peer.cid):
            rig.answer(cid, lib.ND_VERDICT_ADMIT, text=b"", permits=permits)
            rig.answer(cid, lib.ND_VERDICT_REFUSE, text=b"", permits=permits)
        rig.settle()
        assert say(rig, peer, b"PUB b 0\r\n\r\nPING\r\n") == b"PONG\r\n"
        peer.sock.shutdown(socket.SHUT_WR)
    assert lib.nd_test_alloc_live() == live


# ---- many subscriptions are looked at in slices ----

SLICE = 256


def half_checked(rig: Rig, grant: int = 5) -> Peer:
    """A client of two thousand subscriptions, half of them no longer allowed, at the
    end of the first slice."""
    peer = rig.client(grant=grant)
    lines = (b"SUB %b.%d.* %d\r\n" % ((b"a", b"b")[i % 2], i, i) for i in range(2000))
    assert say(rig, peer, b"".join(lines)) == b""
    rig.regrant((grant, rig.permits([], [], [b"a.>"], [b"*.*.x"])))
    assert rig.turn() == 0
    return peer


def refused(got: bytes) -> int:
    return got.count(b"-ERR 'Permissions Violation for Subscription to \"b.")


def test_slices(rig: Rig) -> None:
    other, peer = rig.client(), half_checked(rig)
    first = refused(peer.read())
    assert 0 < first < SLICE
    assert rig.stats().subscriptions == 2000 - first
    other.send(b"PING\r\n")  # is served meanwhile
    assert rig.turn() == 0
    assert other.read() == b"PONG\r\n"
    rig.settle()
    assert first + refused(peer.read()) == 1000
    assert rig.stats().subscriptions == 1000
    say(rig, other, b"PUB a.0.x 0\r\n\r\nPUB a.2.y 0\r\n\r\nPUB b.1.y 0\r\n\r\n")
    assert peer.read() == b"MSG a.2.y 2 0\r\n\r\n"
    rig.check()


def test_all_sids_are_known_in_the_middle_of_it(rig: Rig) -> None:
    peer = half_checked(rig)
    before = rig.stats().sub_inserts
    peer.send(b"".join(b"SUB a.new %d\r\n" % i for i in range(0, 2000, 2)))
    peer.send(b"".join(b"UNSUB %d\r\n" % i for i in range(0, 2000, 4)))
    rig.settle()
    assert rig.stats().subscriptions == 500
    # None of the sids was free: what came in is filters that were renewed.
    assert rig.stats().sub_inserts == before


def test_limits_are_reached_in_the_middle_of_it(rig: Rig) -> None:
    peer, other = rig.client(grant=5), rig.client()
    lines = (b"SUB a.* %d\r\nUNSUB %d 1\r\n" % (i, i) for i in range(1000))
    assert say(rig, peer, b"".join(lines)) == b""
    rig.regrant((5, rig.permits([], [], [b"a.>"])))
    assert rig.turn() == 0
    say(rig, other, b"PUB a.b 0\r\n\r\n" * 2)
    got = peer.read()
    assert got.count(b"MSG a.b ") == 1000
    assert rig.stats().subscriptions == 0
    assert say(rig, peer, b"PING\r\n") == b"PONG\r\n"


@pytest.mark.parametrize("is_reset", [False, True])
def test_the_end_in_the_middle_of_it(internals: Internals, is_reset: bool) -> None:
    live = internals[1].nd_test_alloc_live()
    with Rig(internals) as rig:
        peer = half_checked(rig)
        if is_reset:
            rig.lib.nd_close(rig.engine, peer.cid)
        else:
            peer.sock.close()
        rig.settle()
        assert rig.look(peer) is None
        assert rig.stats().subscriptions == 0
        half_checked(rig, 6)  # and the engine ends in the middle of it
    assert internals[1].nd_test_alloc_live() == live


def test_the_end_in_the_turn_of_a_slice(rig: Rig) -> None:
    """All but the slice is forgotten in the turn that has it on its list."""
    peer = rig.client(grant=5)
    lines = (b"SUB a.%d %d\r\n" % (i, i) for i in range(SLICE + 300))
    assert say(rig, peer, b"".join(lines)) == b""
    peer.sock.shutdown(socket.SHUT_RD)  # so that telling it fails
    rig.regrant((5, rig.permits([], [], [b"b"])))
    rig.settle()
    assert rig.look(peer) is None
    assert rig.stats().subscriptions == 0


def test_revoked_in_the_middle_of_it(rig: Rig) -> None:
    peer = half_checked(rig)
    rig.regrant((5, rig.ffi.NULL, True))
    rig.settle()
    assert peer.read().endswith(VIOLATION)
    peer.sock.close()
    rig.settle()
    assert rig.stats().subscriptions == 0


def test_changed_again_in_the_middle_of_it(rig: Rig) -> None:
    other, peer = rig.client(), half_checked(rig)
    gone = refused(peer.read())
    rig.regrant((5, rig.permits([], [], [], [b"*.*.y"])))
    rig.settle()
    assert peer.read() == b""
    assert rig.stats().subscriptions == 2000 - gone
    for first in range(0, 2000, 100):  # the first slice was looked at again
        numbers = range(first, first + 100, 2)
        lines = (b"PUB a.%d.y 0\r\n\r\nPUB a.%d.x 0\r\n\r\n" % (n, n) for n in numbers)
        say(rig, other, b"".join(lines))
        want = (b"MSG a.%d.x %d 0\r\n\r\n" % (n, n) for n in numbers)
        assert peer.read() == b"".join(want)


def test_several_take_turns(rig: Rig) -> None:
    """One with very many does not keep the others waiting."""
    long = half_checked(rig)
    short = rig.client(grant=6)
    assert say(rig, short, b"SUB b 1\r\n") == b""
    long.read()
    rig.regrant((5, rig.permits([], [], [b"c"])), (6, rig.permits([], [], [b"c"])))
    rig.turn()
    rig.turn()
    assert short.read() == SUBSCRIBE % b"b"
    assert rig.stats().subscriptions > 0


def test_verdicts_do_not_pass_to_other_subjects(rig: Rig) -> None:
    """What is remembered of one goes with it when another takes its place."""
    peer, count = publisher(rig), 5000  # more than are remembered
    for _ in range(2):
        for form, refused_ in (
            (b"PUB ok.%d 0\r\n\r\n", 0),
            (b"PUB no.%d 0\r\n\r\n", 1),
        ):
            for first in range(0, count, 100):
                lines = (form % i for i in range(first, first + 100))
                got = say(rig, peer, b"".join(lines))
                assert got.count(b"-ERR") == 100 * refused_
