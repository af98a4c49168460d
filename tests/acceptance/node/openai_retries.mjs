// Retries that the official OpenAI SDK for Node makes by itself, where a third of the answers is lost.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SPINE, load, upstream } from "./load.mjs";

const { default: OpenAI } = await load("openai");
let dropped = 0;

/** Every third answer is lost on the way, half of these after all of it was sent. */
function losing() {
  let sent = 0;
  return async (url, init) => {
    const answer = await fetch(url, init);
    if (sent++ % 3) return answer;
    if (++dropped % 2) await answer.arrayBuffer();
    else await answer.body?.cancel();
    throw new TypeError("dropped");
  };
}

const client = new OpenAI({ baseURL: `${SPINE}/v1`, apiKey: process.env.SPINE_KEY, fetch: losing(), maxRetries: 12 });
const ask = (content, more) =>
  client.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content }], ...more });

test("answers that are lost are paid once", async () => {
  await upstream.reset();
  const texts = await Promise.all(
    Array.from({ length: 12 }, async (_, number) => (await ask(`Number ${number}`)).choices[0].message.content),
  );
  assert.deepEqual(texts, texts.map((_, number) => `You said: Number ${number}`));
  assert.ok(dropped > 3);
  assert.equal((await upstream.bill()).length, 12);
});

test("streams that are lost are paid once", async () => {
  await upstream.reset();
  const read = async (number) => {
    let text = "";
    for await (const chunk of await ask(`Stream ${number}`, { stream: true })) text += chunk.choices[0]?.delta.content ?? "";
    return text;
  };
  const texts = await Promise.all(Array.from({ length: 12 }, (_, number) => read(number)));
  assert.deepEqual(texts, texts.map((_, number) => `You said: Stream ${number}`));
  assert.equal((await upstream.bill()).length, 12);
});
