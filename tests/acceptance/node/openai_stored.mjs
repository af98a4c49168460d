// Stored chat completions by the official OpenAI SDK for Node.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ECHO, HELLO, SPINE, load } from "./load.mjs";

const { default: OpenAI } = await load("openai");
const client = new OpenAI({ baseURL: `${SPINE}/v1`, apiKey: "none", maxRetries: 0 });
const { completions: chat } = client.chat;
const model = "gpt-4o";

const stored = async (metadata) => {
  const ids = [];
  for (let n = 0; n < 3; n++) ids.push((await chat.create({ model, messages: HELLO, store: true, metadata })).id);
  return ids;
};

test("a stored answer is retrieved, labelled and deleted", async () => {
  const answer = await chat.create({ model, messages: HELLO, store: true, metadata: { run: "node-1" } });
  assert.deepEqual(await chat.retrieve(answer.id), { ...answer, metadata: { run: "node-1" } });
  const updated = await chat.update(answer.id, { metadata: { team: "a" } });
  assert.deepEqual(updated.metadata, { team: "a" });
  assert.deepEqual(await chat.delete(answer.id), { object: "chat.completion.deleted", id: answer.id, deleted: true });
  await assert.rejects(chat.retrieve(answer.id), OpenAI.NotFoundError);
});

test("a streamed answer is found when it has ended", async () => {
  const stream = chat.stream({ model, messages: HELLO, store: true });
  const { id } = await stream.finalChatCompletion();
  assert.equal((await chat.retrieve(id)).choices[0].message.content, ECHO);
});

test("a list follows its pages, filtered by metadata", async () => {
  const metadata = { "key & [odd]": "a=b% ü" };
  const ids = await stored(metadata);
  const seen = [];
  for await (const found of chat.list({ limit: 2, metadata, model })) seen.push(found.id);
  assert.deepEqual(seen, ids);
  const page = await chat.list({ limit: 1, order: "desc", metadata });
  assert.deepEqual(page.data.map((found) => found.id), ids.slice(2));
});

test("a list whose answers are deleted on the way comes to its end", async () => {
  const metadata = { run: "node-2" };
  const ids = await stored(metadata);
  const gone = [];
  for await (const found of chat.list({ limit: 1, metadata })) gone.push((await chat.delete(found.id)).id);
  assert.deepEqual(gone, ids);
  assert.deepEqual((await chat.list({ metadata })).data, []);
});

test("the messages of an answer come in pages", async () => {
  const messages = ["a", "b", "c"].map((content) => ({ role: "user", content }));
  const { id } = await chat.create({ model, messages, store: true });
  const seen = [];
  for await (const message of chat.messages.list(id, { limit: 2 })) seen.push([message.id, message.content]);
  assert.deepEqual(seen, [[`${id}-0`, "a"], [`${id}-1`, "b"], [`${id}-2`, "c"]]);
});
