// The TypeScript client, over gRPC and over gRPC-Web, through Envoy.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { ECHO, HELLO, SPINE, load, now, secondsUntilUpstreamStops, upstream } from "./load.mjs";

const { Code, FinishReason, HealthService, SpineError, connect, createClient } = await load("@genai-spine/client");
const { connect: connectWeb } = await load("@genai-spine/client/web");
const clients = { "gRPC": connect(SPINE), "gRPC-Web": connectWeb(SPINE) };
const model = "gpt-4o";

beforeEach(upstream.reset);

/** Runs a test's body with both transports. */
const both = (body) => async () => {
  for (const [name, spine] of Object.entries(clients)) {
    await upstream.reset();
    try {
      await body(spine);
    } catch (error) {
      throw new Error(`over ${name}`, { cause: error });
    }
  }
};

const failure = (promise) => promise.then(() => assert.fail("no error"), (error) => error);
const collect = async (stream) => {
  const seen = [];
  for await (const piece of stream) seen.push(piece);
  return seen;
};
const textOf = (pieces) => pieces.map((piece) => piece.content).join("");

test("complete takes a text and returns content, usage and cost", both(async (spine) => {
  const answer = await spine.complete({ model, messages: "Hello", temperature: 0.5 }, { requestId: "typescript-1" });
  assert.equal(answer.content, ECHO);
  assert.equal(answer.requestId, "typescript-1");
  assert.deepEqual([answer.model, answer.provider, answer.finishReason], [model, "openai", FinishReason.STOP]);
  const [entry] = await upstream.bill();
  assert.deepEqual([answer.usage.inputTokens, answer.usage.outputTokens], [entry.prompt_tokens, entry.completion_tokens]);
  assert.ok(answer.usage.cost > 0);
  assert.equal(entry.body.temperature, 0.5);
}));

test("complete takes turns with parts, and tools", both(async (spine) => {
  const image = { part: { case: "image", value: { source: { case: "url", value: "https://example.org/a.png" } } } };
  const text = { part: { case: "text", value: "What is this?" } };
  const tools = [{ tool: { case: "function", value: { name: "look", parametersJson: '{"type":"object"}' } } }];
  await upstream.script({ tool_calls: [{ name: "look", arguments: '{"at":1}' }] });
  const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: [text, image] }];
  const answer = await spine.complete({ model, messages, tools });
  assert.deepEqual(answer.toolCalls[0].call.value.arguments, '{"at":1}');
  const [{ body }] = await upstream.bill();
  assert.deepEqual(body.messages.map((turn) => turn.role), ["system", "user"]);
  assert.equal(body.messages[1].content[1].image_url.url, "https://example.org/a.png");
}));

test("stream yields the answer in pieces, and usage in the last", both(async (spine) => {
  await upstream.script({ text: ["a", "b", "c", "d"], interval_s: 0.05 });
  const pieces = await collect(spine.stream({ model, messages: HELLO }));
  assert.equal(textOf(pieces), "abcd");
  assert.ok(pieces.filter((piece) => piece.content).length > 1, "they came one after the other");
  assert.ok(pieces.at(-1).usage.totalTokens > 0);
  assert.ok(pieces.slice(0, -1).every((piece) => piece.usage === undefined));
}));

test("an error has its reason, metadata and request id", both(async (spine) => {
  const error = await failure(spine.complete({ model: "claude-3", messages: "Hello" }, { requestId: "typescript-2" }));
  assert.ok(error instanceof SpineError);
  assert.deepEqual([error.reason, error.code, error.requestId], ["MODEL_NOT_FOUND", Code.NotFound, "typescript-2"]);
  assert.equal(error.metadata.model, "claude-3");
  const wrong = await failure(spine.complete({ model, messages: "Hello", temperature: 3 }));
  assert.deepEqual([wrong.reason, wrong.metadata.field], ["INVALID_FIELDS", "temperature"]);
}));

test("a rate limit says how long to wait", both(async (spine) => {
  const body = { error: { message: "slow down", code: "rate_limit_exceeded" } };
  await upstream.script({ status: 429, headers: { "retry-after": "7" }, body });
  const error = await failure(spine.complete({ model, messages: "Hello" }));
  assert.deepEqual([error.reason, error.retryAfterMs], ["PROVIDER_RATE_LIMITED", 7000]);
}));

test("an error within a stream is thrown after the pieces before it", both(async (spine) => {
  await upstream.script({ text: ["a", "b", "c"], interval_s: 0.02, fault: "close", after: 3 });
  const pieces = [];
  const error = await failure((async () => {
    for await (const piece of spine.stream({ model, messages: HELLO })) pieces.push(piece);
  })());
  assert.ok(error instanceof SpineError);
  assert.equal(error.reason, "PROVIDER_ERROR");
  assert.equal(textOf(pieces), "ab");
}));

test("an aborted call throws the signal's reason", both(async (spine) => {
  await upstream.script({ headers_delay_s: 5 });
  const aborter = new AbortController();
  const reason = new Error("the user left");
  setTimeout(() => aborter.abort(reason), 50);
  assert.equal(await failure(spine.complete({ model, messages: HELLO }, { signal: aborter.signal })), reason);
}));

test("a call that takes too long is DEADLINE_EXCEEDED", both(async (spine) => {
  await upstream.script({ headers_delay_s: 5 });
  const error = await failure(spine.complete({ model, messages: HELLO }, { timeoutMs: 100 }));
  assert.ok(error instanceof SpineError);
  assert.deepEqual([error.reason, error.code], ["DEADLINE_EXCEEDED", Code.DeadlineExceeded]);
}));

test("a server that is not there is a SpineError", async () => {
  const error = await failure(connect("http://127.0.0.1:1").complete({ messages: "Hello" }));
  assert.ok(error instanceof SpineError);
  assert.equal(error.reason, "SERVICE_UNAVAILABLE");
  assert.ok((await failure(connectWeb("http://127.0.0.1:1").complete({ messages: "Hello" }))) instanceof SpineError);
});

const untilFirstText = async (pieces, leave) => {
  let left = 0;
  try {
    for await (const piece of pieces) {
      if (!piece.content) continue;
      left = now();
      if (leave()) break;
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
  return left;
};

test("an aborted stream stops the upstream within 100 ms", both(async (spine) => {
  const seconds = await secondsUntilUpstreamStops(() => {
    const aborter = new AbortController();
    const pieces = spine.stream({ model, messages: HELLO }, { signal: aborter.signal });
    return untilFirstText(pieces, () => aborter.abort());
  });
  assert.ok(seconds < 0.1, `${seconds} s`);
}));

test("a loop that is left stops the upstream within 100 ms", both(async (spine) => {
  const seconds = await secondsUntilUpstreamStops(() => {
    return untilFirstText(spine.stream({ model, messages: HELLO }), () => true);
  });
  assert.ok(seconds < 0.1, `${seconds} s`);
}));

test("embed returns a vector for each text", both(async (spine) => {
  const asked = { model: "openai:text-embedding-3-small", dimensions: 8 };
  const answer = await spine.embed({ ...asked, input: ["a", "b"] });
  assert.deepEqual(answer.vectors.map((vector) => vector.length), [8, 8]);
  assert.deepEqual((await spine.embed({ ...asked, input: "b" })).vectors[0], answer.vectors[1]);
  assert.ok(answer.usage.cost > 0);
}));

test("models lists what can be called", both(async (spine) => {
  const ids = (await spine.models()).map((entry) => entry.id);
  assert.ok(ids.includes("llama3.2:latest") && ids.includes("gpt-4o"));
  assert.ok((await spine.models({ provider: "ollama" })).every((entry) => entry.provider === "ollama"));
}));

test("the transport carries the generated clients of other services", both(async (spine) => {
  assert.equal((await createClient(HealthService, spine.transport).getHealth({})).status, "healthy");
}));
