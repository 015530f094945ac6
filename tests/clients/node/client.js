// The steps of tests/clients with the `nats` package of Node; see steps.py for the
// report that the test expects.

import { strict as assert } from "node:assert";
import readline from "node:readline";
import { connect, ErrorCode, Events, headers as newHeaders, StringCodec } from "nats";

const WAIT_MS = 5000;
const text = StringCodec();
const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function say(line) {
  console.log(JSON.stringify(line));
}

// The next messages of a subscription, which stays open.
function reader(sub) {
  const messages = sub[Symbol.asyncIterator]();
  return async () => (await messages.next()).value;
}

async function publish_subscribe(nc) {
  const sub = nc.subscribe("news", { max: 100 });
  for (let number = 0; number < 100; number++) {
    nc.publish("news", text.encode(String(number)));
  }
  let number = 0;
  for await (const message of sub) {
    assert.equal(message.subject, "news");
    assert.equal(text.decode(message.data), String(number++));
  }
  assert.equal(number, 100);
}

async function wildcard(nc) {
  const one = nc.subscribe("wild.*.x");
  const all = nc.subscribe("wild.>");
  const subjects = ["wild.a.x", "wild.a.y", "wild.a.b.x"];
  subjects.forEach((subject) => nc.publish(subject, text.encode(subject)));
  const next = reader(all);
  for (const subject of subjects) {
    assert.equal((await next()).subject, subject);
  }
  assert.equal((await reader(one)()).subject, "wild.a.x");
  assert.equal(one.getReceived(), 1);
  one.unsubscribe();
  all.unsubscribe();
}

async function queue_group(nc) {
  const seen = [];
  const counts = [0, 0, 0];
  const members = counts.map((_, index) =>
    nc.subscribe("work", {
      queue: "workers",
      callback: (_error, message) => {
        counts[index]++;
        seen.push(Number(text.decode(message.data)));
      },
    })
  );
  for (let number = 0; number < 300; number++) {
    nc.publish("work", text.encode(String(number)));
  }
  await nc.flush();
  assert.deepEqual(seen.sort((a, b) => a - b), [...Array(300).keys()]);
  assert.ok(counts.every((count) => count > 0), `a member got nothing: ${counts}`);
  members.forEach((sub) => sub.unsubscribe());
}

async function request_reply(nc) {
  const sub = nc.subscribe("upper", {
    callback: (_error, message) =>
      message.respond(text.encode(text.decode(message.data).toUpperCase())),
  });
  for (let count = 0; count < 10; count++) {
    const reply = await nc.request("upper", text.encode("hello"), { timeout: WAIT_MS });
    assert.equal(text.decode(reply.data), "HELLO");
  }
  sub.unsubscribe();
}

async function headers(nc) {
  const sub = nc.subscribe("headed", { max: 1 });
  const given = newHeaders();
  given.set("Colour", "blue");
  given.append("Size", "9");
  given.append("Size", "10");
  nc.publish("headed", text.encode("body"), { headers: given });
  const message = await reader(sub)();
  assert.equal(text.decode(message.data), "body");
  assert.equal(message.headers.get("Colour"), "blue");
  assert.deepEqual(message.headers.values("Size"), ["9", "10"]);
}

async function no_responders(nc) {
  const start = performance.now();
  await assert.rejects(
    nc.request("nobody.is.here", undefined, { timeout: WAIT_MS }),
    (error) => error.code === ErrorCode.NoResponders,
  );
  assert.ok(performance.now() - start < WAIT_MS / 2, "not at once");
}

async function megabyte(nc) {
  const size = 1024 * 1024;
  assert.equal(nc.info.max_payload, size);
  const payload = Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));
  const sub = nc.subscribe("large", { max: 3 });
  for (let count = 0; count < 3; count++) {
    nc.publish("large", payload);
  }
  let count = 0;
  for await (const message of sub) {
    assert.ok(payload.equals(message.data), `${message.data.length} bytes, or others`);
    count++;
  }
  assert.equal(count, 3);
}

async function reconnect(nc) {
  const next = reader(nc.subscribe("again"));
  await nc.flush();
  const back = (async () => {
    for await (const status of nc.status()) {
      if (status.type === Events.Reconnect) {
        return;
      }
    }
  })();
  say({ ask: "restart" });
  await input.next();
  await back;
  nc.publish("again", text.encode("back"));
  assert.equal(text.decode((await next()).data), "back");
}

async function inTime(step, nc) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("no end within 10 s")), 10000);
  });
  try {
    await Promise.race([step(nc), late]);
  } finally {
    clearTimeout(timer);
  }
}

const nc = await connect({
  servers: `127.0.0.1:${process.argv[2]}`,
  reconnectTimeWait: 50,
  maxReconnectAttempts: -1,
});
say({ step: "connect", ok: !nc.isClosed() });
const steps = [
  publish_subscribe,
  wildcard,
  queue_group,
  request_reply,
  headers,
  no_responders,
  megabyte,
  reconnect,
];
for (const step of steps) {
  try {
    await inTime(step, nc);
    say({ step: step.name, ok: true });
  } catch (error) {
    say({ step: step.name, ok: false, error: error.stack });
  }
}
await nc.close();
process.exit(0);
