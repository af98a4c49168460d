// Images, sound, files and batches by the official OpenAI SDK for Node, which streams its forms.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { SPINE, load, upstream } from "./load.mjs";

const { default: OpenAI, toFile } = await load("openai");
const client = new OpenAI({ baseURL: `${SPINE}/v1`, apiKey: "none", maxRetries: 0 });
const SOUND = Buffer.from(Array.from({ length: 70000 }, (_, number) => number % 256));
const LINE = JSON.stringify({
  custom_id: "a",
  method: "POST",
  url: "/v1/chat/completions",
  body: { model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello" }] },
});

beforeEach(upstream.reset);

test("an image comes back", async () => {
  const answer = await client.images.generate({ model: "gpt-image-1", prompt: "A red fox", n: 2 });
  assert.equal(answer.data.length, 2);
  assert.equal(Buffer.from(answer.data[0].b64_json, "base64").subarray(1, 4).toString(), "PNG");
  assert.ok(answer.usage.total_tokens > 0);
});

test("recorded sound arrives byte by byte", async () => {
  const file = await toFile(SOUND, "talk é.wav");
  const answer = await client.audio.transcriptions.create({ model: "whisper-1", file, response_format: "verbose_json" });
  assert.equal(answer.text, "Hé llo wörld, 日本.");
  assert.equal(answer.segments.length, 2);
  const [entry] = await upstream.bill();
  assert.deepEqual(Buffer.from(entry.body.file.base64, "base64"), SOUND);
  assert.equal(entry.body.file.filename, "talk é.wav");
});

test("speech is bytes", async () => {
  const answer = await client.audio.speech.create({ model: "tts-1", input: "Hello", voice: "nova", response_format: "opus" });
  assert.equal(answer.headers.get("content-type"), "audio/opus");
  const sound = Buffer.from(await answer.arrayBuffer());
  assert.equal(sound.length, 8 * 250);
  assert.deepEqual([...sound.subarray(0, 5)], [0, 255, 0, 13, 10]);
});

test("files and batches are kept at the provider", async () => {
  const provider = client.withOptions({ defaultHeaders: { "x-genai-provider": "openai" } });
  const file = await provider.files.create({ file: await toFile(Buffer.from(LINE), "in.jsonl"), purpose: "batch" });
  assert.equal(await (await provider.files.content(file.id)).text(), LINE);
  const made = await provider.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  });
  assert.equal(made.status, "validating");
  assert.equal((await provider.batches.cancel(made.id)).status, "cancelling");
  const ids = [];
  for await (const batch of provider.batches.list({ limit: 1 })) ids.push(batch.id);
  assert.deepEqual(ids, [made.id]);
  assert.equal((await provider.files.delete(file.id)).deleted, true);
  await assert.rejects(provider.files.retrieve(file.id), (error) => error instanceof OpenAI.NotFoundError);
});
