// The official OpenAI SDK for Node against the service: the whole way through Envoy, nothing but the SDK's API.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { ECHO, HELLO, SPINE, load, now, secondsUntilUpstreamStops, upstream } from "./load.mjs";

const { default: OpenAI } = await load("openai");
// Which way Envoy takes: it transcodes what has a content coding.
const defaultHeaders = JSON.parse(process.env.SPINE_HEADERS ?? "{}");
const client = new OpenAI({ baseURL: `${SPINE}/v1`, apiKey: "none", maxRetries: 0, defaultHeaders });
const { completions: chat } = client.chat;
const model = "gpt-4o";
const TOOLS = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const CALLS = [
  { name: "weather", arguments: ['{"city":', '"Bern"}'] },
  { name: "weather", arguments: ['{"city":', '"Oslo"}'] },
];

beforeEach(upstream.reset);

const all = async (stream) => {
  const seen = [];
  for await (const item of stream) seen.push(item);
  return seen;
};
const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

test("a chat answer has OpenAI's fields", async () => {
  const answer = await chat.create({ model, messages: HELLO });
  assert.match(answer.id, /^chatcmpl-/);
  assert.equal(answer.object, "chat.completion");
  assert.ok(Math.abs(answer.created - Date.now() / 1000) < 60);
  const [choice] = answer.choices;
  assert.deepEqual([choice.message.content, choice.message.refusal, choice.logprobs], [ECHO, null, null]);
  assert.equal(choice.finish_reason, "stop");
  const [entry] = await upstream.bill();
  assert.equal(answer.usage.prompt_tokens, entry.prompt_tokens);
  assert.equal(answer.usage.completion_tokens, entry.completion_tokens);
});

test("a stream is the same answer in pieces, without usage", async () => {
  const chunks = await all(await chat.create({ model, messages: HELLO, stream: true }));
  assert.equal(textOf(chunks), ECHO);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
});

test("include_usage adds one chunk with usage and no choices", async () => {
  const stream_options = { include_usage: true };
  const chunks = await all(await chat.create({ model, messages: HELLO, stream: true, stream_options }));
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
  assert.ok(chunks.every((chunk) => chunk.usage === null));
});

test("tool calls come back, and their results are taken", async () => {
  await upstream.script({ tool_calls: CALLS });
  const answer = await chat.create({ model, messages: HELLO, tools: TOOLS });
  const { message, finish_reason } = answer.choices[0];
  assert.equal(finish_reason, "tool_calls");
  assert.equal(message.content, null);
  assert.deepEqual(message.tool_calls.map((call) => JSON.parse(call.function.arguments).city), ["Bern", "Oslo"]);
  const results = message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "sunny" }));
  await chat.create({ model, messages: [...HELLO, message, ...results], tools: TOOLS });
  const sent = (await upstream.bill())[1].body.messages;
  assert.deepEqual(sent.map((turn) => turn.role), ["user", "assistant", "tool", "tool"]);
  assert.deepEqual(sent[1].tool_calls, message.tool_calls);
});

test("the SDK puts streamed tool calls together", async () => {
  await upstream.script({ tool_calls: CALLS });
  const answer = await chat.stream({ model, messages: HELLO, tools: TOOLS }).finalChatCompletion();
  const calls = answer.choices[0].message.tool_calls;
  assert.deepEqual(calls.map((call) => call.function.arguments), ['{"city":"Bern"}', '{"city":"Oslo"}']);
  assert.equal(new Set(calls.map((call) => call.id)).size, 2);
});

test("n answers are numbered, whole and streamed", async () => {
  await upstream.script({ choices: [{ text: "one" }, { text: "two" }] }, { choices: [{ text: "one" }, { text: "two" }] });
  const whole = await chat.create({ model, messages: HELLO, n: 2 });
  assert.deepEqual(whole.choices.map((choice) => [choice.index, choice.message.content]), [[0, "one"], [1, "two"]]);
  const streamed = await chat.stream({ model, messages: HELLO, n: 2 }).finalChatCompletion();
  assert.deepEqual(streamed.choices.map((choice) => choice.message.content), ["one", "two"]);
});

test("parse returns the object of a JSON schema", async () => {
  const schema = {
    type: "object",
    properties: { zip: { type: "string" }, age: { type: "integer", minimum: 7 } },
    required: ["zip", "age"],
    additionalProperties: false,
  };
  const response_format = { type: "json_schema", json_schema: { name: "person", schema, strict: true } };
  const answer = await chat.parse({ model, messages: HELLO, response_format });
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { zip: "text", age: 7 });
  const [entry] = await upstream.bill();
  assert.ok(entry.raw.replaceAll(/\s/g, "").includes(JSON.stringify(schema)), "key order is kept");
});

test("text completions answer every prompt, whole and streamed", async () => {
  const asked = { model: "gpt-3.5-turbo-instruct", prompt: ["red", "blue"], echo: true };
  const whole = await client.completions.create(asked);
  assert.deepEqual(whole.choices.map((choice) => choice.index), [0, 1]);
  assert.ok(whole.choices[0].text.startsWith("red") && whole.choices[1].text.startsWith("blue"));
  const texts = ["", ""];
  for await (const chunk of await client.completions.create({ ...asked, stream: true })) {
    assert.equal(chunk.object, "text_completion");
    for (const choice of chunk.choices) texts[choice.index] += choice.text;
  }
  assert.deepEqual(texts, whole.choices.map((choice) => choice.text));
});

test("embeddings are equal in base64, the default, and as numbers", async () => {
  const asked = { model: "openai:text-embedding-3-small", input: ["a", "b"], dimensions: 16 };
  const packed = await client.embeddings.create(asked);
  const plain = await client.embeddings.create({ ...asked, encoding_format: "float" });
  assert.equal(packed.data.length, 2);
  for (const [at, { embedding }] of packed.data.entries()) {
    assert.deepEqual(Array.from(embedding, Math.fround), plain.data[at].embedding.map(Math.fround));
  }
  assert.deepEqual(Object.keys(plain.usage).sort(), ["prompt_tokens", "total_tokens"]);
});

test("models are listed, and found by ids with colon and slash", async () => {
  const listed = await all(await client.models.list());
  const ids = listed.map((entry) => entry.id);
  assert.ok(ids.includes("llama3.2:latest") && ids.includes("gpt-4o"));
  for (const { id, object, created, owned_by } of listed) {
    assert.deepEqual([typeof id, object, typeof created, typeof owned_by], ["string", "model", "number", "string"]);
  }
  assert.equal((await client.models.retrieve("llama3.2:latest")).id, "llama3.2:latest");
  assert.equal((await client.models.retrieve("org/model")).id, "gpt-4o");
  const prefixed = new OpenAI({ baseURL: `${SPINE}/api/v1`, apiKey: "none", maxRetries: 0 });
  assert.equal((await prefixed.models.retrieve("llama3.2:latest")).id, "llama3.2:latest");
});

const failure = (promise) => promise.then(() => assert.fail("no error"), (error) => error);

test("a bad field is a BadRequestError that names the field", async () => {
  const error = await failure(chat.create({ model, messages: HELLO, temperature: 3 }));
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.deepEqual([error.param, error.type], ["temperature", "invalid_request_error"]);
  assert.match(error.message, /temperature: must be at most 2/);
  assert.equal(error.requestID, error.headers.get("x-request-id"));
});

test("an unknown model is a NotFoundError with OpenAI's code", async () => {
  const error = await failure(chat.create({ model: "claude-3", messages: HELLO }));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
});

const LIMIT = {
  status: 429,
  headers: { "retry-after": "1" },
  body: { error: { message: "slow down", type: "tokens", param: null, code: "rate_limit_exceeded" } },
};

test("a rate limit is a RateLimitError with the provider's Retry-After", async () => {
  await upstream.script(LIMIT);
  const error = await failure(chat.create({ model, messages: HELLO }));
  assert.ok(error instanceof OpenAI.RateLimitError);
  assert.deepEqual([error.code, error.headers.get("retry-after")], ["rate_limit_exceeded", "1"]);
});

test("the SDK waits for Retry-After and tries again", async () => {
  await upstream.script(LIMIT);
  const started = now();
  const answer = await chat.create({ model, messages: HELLO }, { maxRetries: 1 });
  assert.equal(answer.choices[0].message.content, ECHO);
  assert.ok(now() - started >= 1);
});

test("the SDK does not repeat what x-should-retry forbids", async () => {
  await upstream.script({ status: 401, body: { error: { message: "bad key", code: "invalid_api_key" } } });
  const error = await failure(chat.create({ model, messages: HELLO }, { maxRetries: 2 }));
  assert.equal(error.status, 502);
  assert.equal((await upstream.bill()).length, 1);
});

test("an error within a stream is thrown after the text before it", async () => {
  const body = { error: { message: "the model broke", type: "server_error", code: null, param: null } };
  await upstream.script({ text: ["a", "b", "c", "d"], interval_s: 0.02, fault: "error", after: 3, body });
  const seen = [];
  const error = await failure((async () => {
    for await (const chunk of await chat.create({ model, messages: HELLO, stream: true })) seen.push(chunk);
  })());
  assert.ok(error instanceof OpenAI.APIError, String(error));
  assert.match(error.message, /the model broke/);
  assert.equal(textOf(seen), "ab");
});

test("an aborted stream stops the upstream within 100 ms", async () => {
  const seconds = await secondsUntilUpstreamStops(async () => {
    const stream = await chat.create({ model, messages: HELLO, stream: true });
    let left = 0;
    for await (const chunk of stream) {
      if (!chunk.choices[0].delta.content) continue;
      left = now();
      stream.controller.abort();
      break;
    }
    return left;
  });
  assert.ok(seconds < 0.1, `${seconds} s`);
});

test("50 streams run at the same time, each with its own text", async () => {
  const numbers = Array.from({ length: 50 }, (_, number) => number);
  const pace = { interval_s: 0.02, first_delay_s: 0.5 };
  await upstream.script(...numbers.map(() => pace));
  const texts = await Promise.all(numbers.map(async (number) => {
    const messages = [{ role: "user", content: `number ${number}` }];
    return textOf(await all(await chat.create({ model, messages, stream: true })));
  }));
  assert.deepEqual(texts, numbers.map((number) => `You said: number ${number}`));
  const bill = await upstream.bill();
  assert.ok(Math.max(...bill.map((entry) => entry.started_at)) < Math.min(...bill.map((entry) => entry.ended_at)));
});

test("the response's headers say what the call was and cost", async () => {
  const { data, response } = await chat.create({ model, messages: HELLO }, { headers: { "x-request-id": "node-1" } }).withResponse();
  assert.equal(response.headers.get("x-request-id"), "node-1");
  assert.equal(data.request_id, "node-1");
  assert.ok(Number(response.headers.get("openai-processing-ms")) >= 0);
  assert.equal(Number(response.headers.get("x-genai-cost-usd")), data.usage.cost_usd);
  assert.ok(data.usage.cost_usd > 0);
});

test("everything is under /api/v1 too", async () => {
  const prefixed = new OpenAI({ baseURL: `${SPINE}/api/v1`, apiKey: "none", maxRetries: 0, defaultHeaders });
  const answer = await prefixed.chat.completions.create({ model, messages: HELLO });
  assert.equal(answer.choices[0].message.content, ECHO);
  assert.equal(textOf(await all(await prefixed.chat.completions.create({ model, messages: HELLO, stream: true }))), ECHO);
  const error = await failure(prefixed.chat.completions.create({ model: "claude-3", messages: HELLO }));
  assert.equal(error.code, "model_not_found");
});
