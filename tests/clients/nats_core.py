"""The steps of tests/clients with nats-core, whose module is `nats.client`."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import nats.client
from nats.client.errors import NoRespondersError
from steps import MEGABYTE, check, restart, run, say

WAIT_SECONDS = 5


async def publish_subscribe(client: Any) -> None:
    async with await client.subscribe("news") as sub:
        for number in range(100):
            await client.publish("news", b"%d" % number)
        for number in range(100):
            message = await sub.next(WAIT_SECONDS)
            check((message.subject, message.data) == ("news", b"%d" % number), message)


async def wildcard(client: Any) -> None:
    one, all_ = await client.subscribe("wild.*.x"), await client.subscribe("wild.>")
    for subject in ("wild.a.x", "wild.a.y", "wild.a.b.x"):
        await client.publish(subject, subject.encode())
    await client.flush()
    seen = [(await all_.next(WAIT_SECONDS)).subject for _ in range(3)]
    check(seen == ["wild.a.x", "wild.a.y", "wild.a.b.x"], seen)
    check((await one.next(WAIT_SECONDS)).subject == "wild.a.x", "one token")
    check(one.pending[0] == 0, "one too many")
    await one.unsubscribe()
    await all_.unsubscribe()


async def queue_group(client: Any) -> None:
    members = [await client.subscribe("work", queue="workers") for _ in range(3)]
    for number in range(300):
        await client.publish("work", b"%d" % number)
    await client.flush()
    seen: list[int] = []
    for member in members:
        check(member.pending[0] > 0, "a member got nothing")
        while member.pending[0]:
            seen.append(int((await member.next(WAIT_SECONDS)).data))
        await member.unsubscribe()
    check(sorted(seen) == list(range(300)), "not exactly one delivery each")


async def request_reply(client: Any) -> None:
    async def answer(sub: Any) -> None:
        async for message in sub:
            await client.publish(message.reply, message.data.upper())

    sub = await client.subscribe("upper")
    answering = asyncio.create_task(answer(sub))
    for _ in range(10):
        reply = await client.request("upper", b"hello", timeout=WAIT_SECONDS)
        check(reply.data == b"HELLO", reply)
    answering.cancel()
    await sub.unsubscribe()


async def headers(client: Any) -> None:
    async with await client.subscribe("headed") as sub:
        given: dict[str, str | list[str]] = {"Colour": "blue", "Size": ["9", "10"]}
        await client.publish("headed", b"body", headers=given)
        message = await sub.next(WAIT_SECONDS)
    check(message.data == b"body", message)
    found = message.headers.asdict()
    check(found == {"Colour": ["blue"], "Size": ["9", "10"]}, found)


async def no_responders(client: Any) -> None:
    start = time.monotonic()
    try:
        await client.request("nobody.is.here", b"", timeout=WAIT_SECONDS)
    except NoRespondersError:
        check(time.monotonic() - start < WAIT_SECONDS / 2, "not at once")
    else:
        raise AssertionError("an answer from nobody")


async def megabyte(client: Any) -> None:
    check(client.server_info.max_payload == len(MEGABYTE), client.server_info)
    async with await client.subscribe("large") as sub:
        for _ in range(3):
            await client.publish("large", MEGABYTE)
        for _ in range(3):
            message = await sub.next(WAIT_SECONDS)
            check(message.data == MEGABYTE, f"{len(message.data)} bytes, or others")


async def reconnect(client: Any) -> None:
    back = asyncio.Event()
    client.add_reconnected_callback(back.set)
    sub = await client.subscribe("again")
    await client.flush()
    await restart()
    await back.wait()
    await client.publish("again", b"back")
    check((await sub.next(WAIT_SECONDS)).data == b"back", "another message")


async def main(port: str) -> None:
    client = await nats.client.connect(
        f"nats://127.0.0.1:{port}", reconnect_time_wait=0.05, reconnect_max_attempts=0
    )
    say({"step": "connect", "ok": client.status.name == "CONNECTED"})
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
        client,
    )
    await client.close()


asyncio.run(main(sys.argv[1]))
