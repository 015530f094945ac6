"""The steps of tests/clients with nats-py."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import nats
import nats.errors
from steps import MEGABYTE, check, restart, run, say

WAIT_SECONDS = 5


async def publish_subscribe(nc: Any) -> None:
    sub = await nc.subscribe("news")
    for number in range(100):
        await nc.publish("news", b"%d" % number)
    for number in range(100):
        message = await sub.next_msg(WAIT_SECONDS)
        check((message.subject, message.data) == ("news", b"%d" % number), message)
    await sub.unsubscribe()


async def fence(nc: Any) -> None:
    """All that was published before has arrived. (Its flush sends the PING first.)"""
    sub = await nc.subscribe("fence")
    await nc.publish("fence", b"")
    await sub.next_msg(WAIT_SECONDS)
    await sub.unsubscribe()


async def wildcard(nc: Any) -> None:
    one, all_ = await nc.subscribe("wild.*.x"), await nc.subscribe("wild.>")
    for subject in ("wild.a.x", "wild.a.y", "wild.a.b.x"):
        await nc.publish(subject, subject.encode())
    seen = [(await all_.next_msg(WAIT_SECONDS)).subject for _ in range(3)]
    check(seen == ["wild.a.x", "wild.a.y", "wild.a.b.x"], seen)
    check((await one.next_msg(WAIT_SECONDS)).subject == "wild.a.x", "one token")
    check(one.pending_msgs == 0, "one too many")
    await one.unsubscribe()
    await all_.unsubscribe()


async def queue_group(nc: Any) -> None:
    members = [await nc.subscribe("work", queue="workers") for _ in range(3)]
    for number in range(300):
        await nc.publish("work", b"%d" % number)
    await fence(nc)
    seen: list[int] = []
    for member in members:
        check(member.pending_msgs > 0, "a member got nothing")
        while member.pending_msgs:
            seen.append(int((await member.next_msg(WAIT_SECONDS)).data))
        await member.unsubscribe()
    check(sorted(seen) == list(range(300)), "not exactly one delivery each")


async def request_reply(nc: Any) -> None:
    async def answer(message: Any) -> None:
        await message.respond(message.data.upper())

    sub = await nc.subscribe("upper", cb=answer)
    for _ in range(10):
        reply = await nc.request("upper", b"hello", timeout=WAIT_SECONDS)
        check(reply.data == b"HELLO", reply)
    await sub.unsubscribe()


async def headers(nc: Any) -> None:
    sub = await nc.subscribe("headed")
    await nc.publish("headed", b"body", headers={"Colour": "blue", "Size": "9"})
    message = await sub.next_msg(WAIT_SECONDS)
    check(message.data == b"body", message)
    check(message.headers == {"Colour": "blue", "Size": "9"}, message.headers)
    await sub.unsubscribe()


async def no_responders(nc: Any) -> None:
    start = time.monotonic()
    try:
        await nc.request("nobody.is.here", b"", timeout=WAIT_SECONDS)
    except nats.errors.NoRespondersError:
        check(time.monotonic() - start < WAIT_SECONDS / 2, "not at once")
    else:
        raise AssertionError("an answer from nobody")


async def megabyte(nc: Any) -> None:
    check(nc.max_payload == len(MEGABYTE), nc.max_payload)
    sub = await nc.subscribe("large")
    for _ in range(3):
        await nc.publish("large", MEGABYTE)
    for _ in range(3):
        message = await sub.next_msg(WAIT_SECONDS)
        check(message.data == MEGABYTE, f"{len(message.data)} bytes, or others")
    await sub.unsubscribe()


async def reconnect(nc: Any) -> None:
    sub = await nc.subscribe("again")
    await nc.flush()
    await restart()
    while not nc.is_connected or nc.stats["reconnects"] == 0:
        await asyncio.sleep(0.01)
    await nc.publish("again", b"back")
    check((await sub.next_msg(WAIT_SECONDS)).data == b"back", "another message")


async def main(port: str) -> None:
    async def quiet(error: Exception) -> None:
        print(error, file=sys.stderr)

    nc = await nats.connect(
        f"nats://127.0.0.1:{port}",
        error_cb=quiet,
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
    )
    say({"step": "connect", "ok": nc.is_connected})
    await run(
        [
            publish_subscribe,
            wildcard,
            queue_group,
            request_reply,
            headers,
            no_responders,
            megabyte,
            reconnect,
        ],
        nc,
    )
    await nc.close()


asyncio.run(main(sys.argv[1]))
