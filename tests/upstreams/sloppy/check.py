"""What must be true of every exchange, by the adapter and by OpenAI's API, and of its row in the ledger."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, completion
from genai_spine.errors import SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, message_pb2
from tests.direct import Direct
from tests.service.running import TIMEOUTS, Posted, Running
from tests.upstreams import aws_wire
from tests.upstreams.azure import API_VERSION
from tests.upstreams.sloppy import PROTOCOLS, exchange
from tests.upstreams.sloppy.exchange import Exchange
from tests.upstreams.sloppy.server import SloppyUpstream

CONCURRENCY = 24
Choice = dict[str, Any]  # text, reasoning, calls, logprobs, finish
TOOLS = [{"type": "function", "function": {"name": n}} for n in ("weather", "clock", "search_web", "add-2")]


@asynccontextmanager
async def endpoints() -> AsyncIterator[dict[str, Endpoint]]:
    """Endpoints of a sloppy upstream for each protocol."""
    async with AsyncExitStack() as stack:
        found = {}
        for name in PROTOCOLS:
            url = (await stack.enter_async_context(SloppyUpstream(name))).url
            further = {"azure": {"api_version": API_VERSION}, "bedrock": {"control_url": url}}.get(name, {})
            key = aws_wire.BEARER if name == "bedrock" else "sk-test-1"
            base_url = f"{url}/v1" if name == "openai" else url
            found[name] = Endpoint(name, base_url, key, timeouts=TIMEOUTS, further=further)
        yield found


class Check:
    """Run over the exchanges of one protocol. faults: what was wrong, each with its seed."""

    def __init__(self, protocol: str, endpoint: Endpoint, service: Running) -> None:
        self.protocol, self.service = protocol, service
        self.provider: Provider = PROVIDERS[protocol].make(endpoint)
        self.fired: Counter[str] = Counter()
        self.faults: list[str] = []

    async def run(self, seeds: Iterable[int]) -> None:
        """Some exchanges are made at the same time."""
        waiting = iter(seeds)

        async def worker() -> None:
            for seed in waiting:
                await self._one(seed)

        await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
        await self.provider.close()

    async def _one(self, seed: int) -> None:
        x = exchange(self.protocol, seed)
        self.fired.update(x.fired)
        problems = [f"adapter: {problem}" for problem in await self._by_adapter(x)]
        problems += [f"facade: {problem}" for problem in await self._by_facade(x)]
        if problems:
            self.faults.append(
                f"{self.protocol} seed {seed} {'streamed' if x.stream else 'whole'} {x.fired}\n  "
                + "\n  ".join(problems)
            )

    async def _by_adapter(self, x: Exchange) -> list[str]:
        adapter = Direct(self.provider)
        request = pb.CreateCompletionRequest(model=f"sloppy-{x.seed}", choice_count=len(x.choices))
        request.messages.add(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="Hello")])
        if x.with_logprobs:
            request.logprobs = True
        whole, finishes = ChunkBuilder(), Counter[int]()
        try:
            if x.stream:
                async for chunk in adapter.stream(request, Call()):
                    finishes.update(d.index for d in chunk.choices if d.finish_reason)
                    whole.add(chunk)
                answer = completion(whole.build())
            else:
                answer = await adapter.complete(request, Call())
        except SpineError as error:
            return [] if x.failed and x.words in str(error) else [f"{type(error).__name__}: {error}"]
        except Exception as fault:
            return [f"{fault!r}"]
        if x.failed:
            return ["a failure that looks like an answer"]
        problems = compared(x, [_choice_of(choice) for choice in answer.choices])
        if any(count != 1 for count in finishes.values()):
            problems.append(f"finished {dict(finishes)}")
        if x.counts.known:
            counts = answer.usage
            problems += usage_of(x, counts.input_tokens, counts.output_tokens, counts.cache_read_tokens)
        return problems

    async def _by_facade(self, x: Exchange) -> list[str]:
        fields: dict[str, Any] = {"model": f"{self.protocol}:sloppy-{x.seed}", "tools": TOOLS}
        fields |= {"n": len(x.choices)} if len(x.choices) > 1 else {}
        fields |= {"logprobs": True} if x.with_logprobs else {}
        if x.stream:
            fields["stream_options"] = {"include_usage": True}
        posted = await self.service.chat(stream=x.stream, **fields)
        found, usage, failed, problems = read(x, posted)
        if failed is not x.failed:
            return [*problems, f"failed is {failed}: {posted.error or posted.parts[-2:]}"]
        problems += [] if failed else compared(x, found)
        return problems + await self._ledger(x, posted, usage)

    async def _ledger(self, x: Exchange, posted: Posted, usage: dict[str, Any] | None) -> list[str]:
        rows = await self.service.rows(posted.headers["x-request-id"])
        if len(rows) != 1:
            return [f"{len(rows)} rows"]
        [row] = rows
        state = execution_pb2.EXECUTION_STATE_FAILED if x.failed else execution_pb2.EXECUTION_STATE_SUCCEEDED
        if row.state != state:
            return [f"the row is {execution_pb2.ExecutionState.Name(row.state)}"]
        if x.failed:
            counts = row.usage
            booked = (counts.input_tokens, counts.output_tokens, counts.cache_read_tokens)
            return [f"booked: {problem}" for problem in usage_of(x, *booked)] if x.billed else []
        if usage is None:
            return ["no usage"]
        counts, cached = row.usage, usage["prompt_tokens_details"]["cached_tokens"]
        answered = (usage["prompt_tokens"], usage["completion_tokens"], cached)
        if answered != (counts.input_tokens, counts.output_tokens, counts.cache_read_tokens):
            return [f"the row has other usage than the answer: {answered}"]
        return usage_of(x, *answered) if x.counts.known else []


def usage_of(x: Exchange, given: int, made: int, cached: int) -> list[str]:
    wanted = (x.counts.input, x.counts.output, x.counts.cached)
    if "usage_in_every_chunk" in x.fired:  # its totals so far have no details
        cached = cached or x.counts.cached
    return [] if (given, made, cached) == wanted else [f"usage {(given, made, cached)}, not {wanted}"]


def compared(x: Exchange, found: list[Choice]) -> list[str]:
    """Differences between what was said and what was read."""
    if len(found) != len(x.choices):
        return [f"{len(found)} choices, not {len(x.choices)}"]
    problems = []
    for said, choice in zip(x.choices, found, strict=True):
        wanted = {"text": said.text, "reasoning": said.reasoning, "logprobs": said.logprobs}
        # An object is passed on as it stands, with its spaces and escapes.
        spaced = (x.framing.several_lines or x.ascii) and x.protocol in ("anthropic", "bedrock", "ollama")
        wanted["calls"] = [(call.name, _compact(call.arguments, spaced)) for call in said.calls]
        wanted["finish"] = "tool_calls" if said.calls else "stop"
        seen = {
            **choice,
            "calls": [(name, _compact(arguments or "{}", spaced)) for _, name, arguments in choice["calls"]],
        }
        problems += [f"{n}: {seen[n]!r}, not {wanted[n]!r}" for n in wanted if seen[n] != wanted[n]]
        ids = [id for id, _, _ in choice["calls"]]
        if len({id for id in ids if id}) != len(ids):
            problems.append(f"ids {ids}")
    return problems


def _compact(arguments: str, spaced: bool) -> str:
    return json.dumps(json.loads(arguments)) if spaced else arguments


def _choice_of(choice: pb.Choice) -> Choice:
    message = choice.message
    return {
        "text": "".join(part.text for part in message.content),
        "reasoning": message.reasoning,
        "calls": [(c.id, c.function.name, c.function.arguments_json) for c in message.tool_calls],
        "logprobs": [token.token for token in choice.logprobs.content],
        "finish": "tool_calls" if choice.finish_reason == pb.FINISH_REASON_TOOL_CALLS else "stop",
    }


def read(x: Exchange, posted: Posted) -> tuple[list[Choice], dict[str, Any] | None, bool, list[str]]:
    """Choices, usage, whether it failed, and what is wrong with the form of an answer to a caller."""
    if posted.error is not None:
        return [], None, True, ["an answer after an error"] if not x.stream and posted.parts else []
    if not x.stream:
        body = posted.json
        found = []
        for choice in body["choices"]:
            message = choice["message"]
            calls = [(c["id"], *c["function"].values()) for c in message.get("tool_calls") or ()]
            tokens = (choice["logprobs"] or {}).get("content") or ()
            found.append(_read(message, calls, [t["token"] for t in tokens], choice["finish_reason"]))
        return found, body["usage"], False, []
    return _streamed(posted.events)


def _read(message: dict[str, Any], calls: list[Any], logprobs: list[str], finish: str) -> Choice:
    reasoning = message.get("reasoning_content") or ""
    text = message["content"] or ""
    return {"text": text, "reasoning": reasoning, "calls": calls, "logprobs": logprobs, "finish": finish}


def _streamed(events: list[Any]) -> tuple[list[Choice], dict[str, Any] | None, bool, list[str]]:
    *frames, last = events
    failed = isinstance(last, dict) and "error" in last
    problems = [] if failed or last == "[DONE]" else ["the stream has no end"]
    if "[DONE]" in frames or any("error" in frame for frame in frames):
        problems.append("the stream has two ends")
    usage, choices, finishes = None, {}, Counter[int]()
    for frame in frames:
        if frame == "[DONE]":
            continue
        usage = frame.get("usage") or usage
        for pick in frame.get("choices", ()):
            choice = choices.setdefault(pick["index"], _read({"content": ""}, [], [], ""))
            _add(choice, pick)
            finishes[pick["index"]] += pick["finish_reason"] is not None
    if not failed and any(count != 1 for count in finishes.values()):
        problems.append(f"finished {dict(finishes)}")
    return [choices[index] for index in sorted(choices)], usage, failed, problems


def _add(choice: Choice, pick: dict[str, Any]) -> None:
    delta = pick["delta"]
    choice["text"] += delta.get("content") or ""
    choice["reasoning"] += delta.get("reasoning_content") or ""
    choice["finish"] = pick["finish_reason"] or choice["finish"]
    choice["logprobs"] += [t["token"] for t in (pick["logprobs"] or {}).get("content") or ()]
    for fragment in delta.get("tool_calls") or ():
        if fragment["index"] == len(choice["calls"]):
            choice["calls"].append((fragment["id"], fragment["function"]["name"], ""))
        id, name, arguments = choice["calls"][fragment["index"]]
        added = fragment["function"]["arguments"]
        choice["calls"][fragment["index"]] = (id, name, arguments + added)
