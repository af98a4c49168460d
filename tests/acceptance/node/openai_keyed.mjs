// Calls with an idempotency key by the official OpenAI SDK for Node.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ECHO, HELLO, SPINE, load } from "./load.mjs";

const { default: OpenAI } = await load("openai");
const client = new OpenAI({ baseURL: `${SPINE}/v1`, apiKey: "none" });
const { completions: chat } = client.chat;
const model = "gpt-4o";

test("a repeat of a chat is the same answer", async () => {
  const ask = () => chat.create({ model, messages: HELLO }, { idempotencyKey: "node-1", headers: { "Idempotency-Key": "node-1" } });
  assert.deepEqual(await ask(), await ask());
});

test("a stream has numbers, and goes on after one of them", async () => {
  const read = async (headers) => {
    const seen = [];
    const stream = await chat.create(
      { model, messages: HELLO, stream: true },
      { headers: { "Idempotency-Key": "node-2", "x-genai-event-ids": "true", ...headers } },
    );
    for await (const chunk of stream) seen.push(chunk);
    return seen;
  };
  const whole = await read({});
  assert.deepEqual(whole.map((chunk) => chunk.sequence), whole.map((_, number) => number));
  assert.equal(whole.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), ECHO);
  assert.deepEqual(await read({ "x-genai-resume-after": "0" }), whole.slice(1));
  assert.deepEqual(await read({ "Last-Event-ID": "1" }), whole.slice(2));
});

test("another body under the key is a conflict that is not repeated", async () => {
  const ask = (content) =>
    chat.create({ model, messages: [{ role: "user", content }] }, { headers: { "Idempotency-Key": "node-3" } });
  await ask("a");
  await assert.rejects(ask("b"), (error) => error.status === 409 && error.error.details.reason === "IDEMPOTENCY_KEY_REUSED");
});

test("comments between numbered events are passed over", async () => {
  const frame = (number) =>
    `id: ${number}\ndata: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",` +
    `"choices":[{"index":0,"delta":{"content":"w"},"finish_reason":null}],"sequence":${number}}\n\n`;
  const ping = ": ping\n";
  const body = [ping, frame(0), ping, frame(1), ping, ping, frame(2), ping, "id: 3\ndata: [DONE]\n\n"].join("");
  const fetch = async () => new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  const offline = new OpenAI({ baseURL: "http://spine/v1", apiKey: "none", fetch });
  const seen = [];
  for await (const chunk of await offline.chat.completions.create({ model, messages: HELLO, stream: true })) {
    seen.push(chunk.choices[0].delta.content);
  }
  assert.deepEqual(seen, ["w", "w", "w"]);
});
