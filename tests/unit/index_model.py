"""The index under test beside a naive model of it, for the tests of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Result = tuple[list[list[bytes]], dict[bytes, list[bytes]]]
"""The sids of plain subscriptions for each reactor, and of each queue; all sorted."""


def is_match(pattern: bytes, subject: bytes) -> bool:
    """The whole rule of matching, token by token."""
    wanted, given = pattern.split(b"."), subject.split(b".")
    if wanted[-1] == b">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    if len(wanted) != len(given):
        return False
    return all(a in (b"*", b) for a, b in zip(wanted, given, strict=True))


@dataclass(frozen=True, slots=True)
class Entry:
    sub: Any
    subject: bytes
    queue: bytes
    owner: int
    deny: Sequence[bytes]


class Index:
    """A sublist with one cache, and what should be in it."""

    def __init__(self, internals: tuple[Any, Any], reactors: int = 3) -> None:
        self.ffi, self.lib = internals
        self.reactors = reactors
        self.key = self.ffi.new("struct nd_hash_key *", {"k0": 11, "k1": 42})
        self.list = self.lib.nd_sublist_new(self.key, reactors)
        self.cache = self.lib.nd_cache_new(self.list, self.key)
        self.gate = self.lib.nd_gate_new(7)
        self.entries: dict[bytes, Entry] = {}

    def close(self) -> None:
        self.lib.nd_cache_free(self.cache)
        self.lib.nd_sublist_free(self.list)
        for entry in self.entries.values():
            assert entry.sub.refs == 1
            self.lib.nd_sub_release(entry.sub)
        assert self.gate.refs == 1
        self.lib.nd_gate_release(self.gate)

    def slice(self, data: bytes) -> Any:
        """A slice of *data*, which must stay alive meanwhile (literals and arguments
        do)."""
        return self.ffi.new(
            "struct nd_slice *", (self.ffi.from_buffer("uint8_t[]", data), len(data))
        )[0]

    def text(self, piece: Any) -> bytes:
        return bytes(self.ffi.buffer(piece.ptr, piece.len)) if piece.len else b""

    def make(self, sid: bytes, queue: bytes, owner: int, deny: Sequence[bytes]) -> Any:
        """A subscription that may not get what *deny* matches."""
        permits = self.ffi.NULL
        if deny:
            texts = [self.ffi.new("char[]", subject) for subject in deny]
            rows = [
                (3, t, len(s), self.ffi.NULL, 0)
                for t, s in zip(texts, deny, strict=True)
            ]
            raw = self.ffi.new("struct nd_rule[]", rows)
            permits = self.lib.nd_permits_new(b"", 0, raw, len(rows))
        sid_, queue_ = self.slice(sid), self.slice(queue)
        none = self.ffi.NULL
        sub = self.lib.nd_sub_new(self.gate, none, owner, sid_, queue_, permits)
        self.lib.nd_permits_release(permits)
        return sub

    def insert(
        self,
        sid: bytes,
        subject: bytes,
        queue: bytes = b"",
        owner: int = 0,
        deny: Sequence[bytes] = (),
    ) -> None:
        sub = self.make(sid, queue, owner, deny)
        assert self.lib.nd_sublist_insert(self.list, sub, self.slice(subject)) == 0
        self.entries[sid] = Entry(sub, subject, queue, owner, deny)

    def replace(self, sid: bytes, deny: Sequence[bytes]) -> None:
        """The same subscription, but for what it may not get."""
        old = self.entries[sid]
        fresh = self.make(sid, old.queue, old.owner, deny)
        self.lib.nd_sublist_replace(self.list, old.sub, fresh)
        self.lib.nd_sub_release(old.sub)
        self.entries[sid] = Entry(fresh, old.subject, old.queue, old.owner, deny)

    def subject(self, sid: bytes) -> bytes:
        """What the index says that it is subscribed to."""
        ask, sub = self.lib.nd_sublist_subject, self.entries[sid].sub
        size = ask(self.list, sub, self.ffi.NULL, 0)
        room = self.ffi.new("uint8_t[]", b"#" * (size + 2))
        assert ask(self.list, sub, room + 1, size - 1) == size
        assert self.ffi.buffer(room, size + 2)[:] == b"#" * (size + 2)
        assert ask(self.list, sub, room + 1, size) == size
        found = self.ffi.buffer(room, size + 2)[:]
        assert found[:1] + found[-1:] == b"##"
        return bytes(found[1:-1])

    def remove(self, sid: bytes) -> None:
        entry = self.entries.pop(sid)
        assert self.lib.nd_sublist_remove(self.list, entry.sub)
        assert not self.lib.nd_sublist_remove(self.list, entry.sub)
        self.lib.nd_sub_release(entry.sub)

    def remove_many(self, sids: Iterable[bytes]) -> None:
        subs = [self.entries.pop(sid).sub for sid in sids]
        array = self.ffi.new("struct nd_sub *[]", subs)
        gone = self.lib.nd_sublist_remove_many(self.list, array, len(subs))
        assert gone == len(subs)
        for sub in subs:
            self.lib.nd_sub_release(sub)

    def check(self) -> None:
        fault = self.lib.nd_sublist_check(self.list)
        assert fault == self.ffi.NULL, self.ffi.string(fault).decode()

    def counts(self) -> Any:
        counts = self.ffi.new("struct nd_sublist_counts *")
        self.lib.nd_sublist_count(self.list, counts)
        return counts

    def cache_counts(self) -> Any:
        counts = self.ffi.new("struct nd_cache_counts *")
        self.lib.nd_cache_count(self.cache, counts)
        return counts

    def expected(self, subject: bytes) -> Result:
        plain: list[list[bytes]] = [[] for _ in range(self.reactors)]
        groups: dict[bytes, list[bytes]] = {}
        for sid, entry in self.entries.items():
            if not is_match(entry.subject, subject):
                continue
            if any(is_match(pattern, subject) for pattern in entry.deny):
                continue
            if entry.queue:
                groups.setdefault(entry.queue, []).append(sid)
            else:
                plain[entry.owner].append(sid)
        return [sorted(s) for s in plain], {q: sorted(s) for q, s in groups.items()}

    def read(self, match: Any, subject: bytes) -> Result:
        """A C result as the model tells it; also looks at what the model cannot."""
        plain: list[list[bytes]] = [[] for _ in range(self.reactors)]
        groups: dict[bytes, list[bytes]] = {}
        if match == self.ffi.NULL:
            return plain, groups
        assert self.text(match.prefix) == b"MSG " + subject + b" "
        assert match.starts[0] == 0
        assert match.starts[self.reactors] == match.plain_count
        for reactor in range(self.reactors):
            for i in range(match.starts[reactor], match.starts[reactor + 1]):
                assert match.plain[i].owner == reactor
                plain[reactor].append(self.text(self.lib.nd_sub_sid(match.plain[i])))
        end = 0
        for group in match.groups[0 : match.group_count]:
            assert group.first == end
            assert group.count > 0
            end += group.count
            members = match.members[group.first : end]
            names = {self.text(self.lib.nd_sub_queue(sub)) for sub in members}
            (name,) = names
            assert name not in groups
            groups[name] = sorted(
                self.text(self.lib.nd_sub_sid(sub)) for sub in members
            )
        return [sorted(sids) for sids in plain], groups

    def match(self, subject: bytes) -> Result:
        stamp = self.ffi.new("struct nd_stamp *")
        out = self.ffi.new("struct nd_match **")
        data = self.slice(subject)
        assert (
            self.lib.nd_sublist_match(self.list, data, stamp, self.ffi.NULL, out) == 0
        )
        assert self.lib.nd_sublist_is_current(self.list, stamp)
        result = self.read(out[0], subject)
        if out[0] != self.ffi.NULL:
            self.lib.nd_match_release(out[0])
        return result

    def find(self, subject: bytes) -> Result:
        """What the cache says, which must be the truth at any time."""
        rc = self.ffi.new("int *", 99)
        match = self.lib.nd_cache_find(self.cache, self.slice(subject), rc)
        assert rc[0] == 0
        return self.read(match, subject)

    def sids(self, subject: bytes) -> set[bytes]:
        """Whom *subject* reaches, by index and by cache alike."""
        result = self.match(subject)
        assert self.find(subject) == result
        plain, groups = result
        return {sid for sids in [*plain, *groups.values()] for sid in sids}
