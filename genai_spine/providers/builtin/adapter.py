"""Built-in provider: always there, with no key, no network and no model file.

`extractive` answers with sentences of the text that it is given, `hashing` makes vectors from words,
`pii-patterns` finds personal data. The same
request always gets the same answer, which suits tests and first steps; it is no language model, and says so
in its answers and its list of models.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from itertools import islice
from time import time
from typing import TypeVar
from uuid import uuid4

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from genai_spine.call import Call
from genai_spine.errors import ContextLengthExceeded, InvalidFields, ModelNotFound, UnsupportedOperation
from genai_spine.providers.base import Endpoint, Option, Provider, Route, reported_usage
from genai_spine.providers.builtin import extractive, pii
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, model_service_pb2, usage_pb2

CHAT, EMBEDDING, PII = "extractive", "hashing", "pii-patterns"
MAX_CHARS = 200_000  # of one text; the rest is not read
CONTEXT_TOKENS = MAX_CHARS // 5  # of text with words of four letters and a space
INLINE_BYTES = 300  # of a request; up to here the work takes a few ms and needs no thread
MAX_SENTENCES, MAX_PHRASES = 3, 10
CHUNK_TOKENS = 5  # of one streamed chunk: about four words and a mark
DIMENSIONS, MAX_DIMENSIONS = 256, 4096

# What often stands before the text itself.
INSTRUCTION = re.compile(
    r"\s*+(?:please |can you |could you )?(?:summari[sz]e|sum up|condense|shorten|extract|rewrite|explain)\b"
    r"[^:\n]{0,200}:\s",
    re.IGNORECASE,
)

NOTICE = (
    "This is the built-in extractive processor; no language model answered. Send a text of three or more "
    "sentences, and it picks the most telling ones.{seen} For generated answers configure a provider, for "
    "example with GENAI_OPENAI_API_KEY or GENAI_OLLAMA_URL."
)

# Capabilities that follow instructions, and so need a language model; of "rewrite-" all but one.
NEED_A_MODEL = {
    "analyze-coaching",
    "extract",
    "classify",
    "compare",
    "generate-commit",
    "analyze-sentiment",
    "answer-question",
}
NEED_A_MODEL |= {"tag", "detect-language", "translate", "paraphrase", "correct", "extract-structured"}
NEED_A_MODEL |= {"synthesize", "analyze-coaching"}

SAME = Option("accepted, without effect: there is one answer, and it is always the same")
OPTIONS = {
    # There is nothing to sample, so these have nothing to change. Fixed answers are what a seed asks for.
    "temperature": SAME,
    "top_p": SAME,
    "top_k": SAME,
    "presence_penalty": SAME,
    "frequency_penalty": SAME,
    "seed": SAME,
    "max_tokens": Option("max_tokens"),
    "stop_sequences": Option("stop_sequences"),
    "choice_count": Option("choice_count: all choices are equal"),
    "response_format": Option("response_format: a JSON object with summary and keywords; no schema"),
}

CHAT_CARD = (
    "Not a language model. It answers with up to three sentences of the last user message, word for word, "
    "chosen by key phrases (YAKE) and position, or with a JSON object of summary and keywords; a message of "
    "one or two sentences gets a note on what this is. It follows no instructions. It reads the first "
    f"{MAX_CHARS} characters and knows the stopwords of some thirty languages; in scripts without spaces it "
    "gives the first sentences. Always the same answer, no key, no network."
)
EMBEDDING_CARD = (
    "Not a trained model. It hashes words and their three-letter parts into a vector of length 1, "
    f"{DIMENSIONS} numbers unless dimensions says otherwise (at most {MAX_DIMENSIONS}). Texts are near when "
    "they share words or spellings; synonyms and translations are not near. It reads the first "
    f"{MAX_CHARS} characters. Always the same vector, no key, no network."
)

PII_CARD = (
    "Not a language model. It finds e-mail addresses, phone, card, account and US social security numbers "
    "and IP addresses in the last message by patterns and checksums, and answers with a JSON object of "
    "entities. The message may be a JSON object of content, entity_types and patterns (RE2). No names and no "
    "postal addresses, no key, no network."
)

ResultT = TypeVar("ResultT")


class Builtin(Provider):
    """Adapter without an upstream: answers are computed in this process, long texts in a thread."""

    OPTIONS = OPTIONS
    LOCAL = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        # One long text at a time: the threads of a process share one core with its event loop.
        self._turn = asyncio.Lock()

    def check_options(self, request: pb.CreateCompletionRequest, route: Route) -> None:
        if request.response_format.HasField("json_schema") and route.model != PII:
            self._refuse("response_format.json_schema", "answers of a given schema")
        if request.prompt.suffix:
            self._refuse("prompt.suffix", "a text after the gap")

    async def complete(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        text, reason, usage = await self._answer(request, route, call)
        completion = pb.Completion(id=_id(), create_time=_now(), model=route.model, usage=usage)
        content = [message_pb2.ContentPart(text=text)] if text else []
        for index in _choices(request):
            message = message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, content=content)
            completion.choices.add(index=index, message=message, finish_reason=reason)
        return completion

    async def stream(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        text, reason, usage = await self._answer(request, route, call)
        start = pb.CompletionChunk(id=_id(), create_time=_now(), model=route.model)
        for text_chunk in extractive.token_chunks(text, CHUNK_TOKENS):
            yield _chunk(start, [pb.ChoiceDelta(index=i, content=text_chunk) for i in _choices(request)])
            await asyncio.sleep(0)
        last = _chunk(start, [pb.ChoiceDelta(index=i, finish_reason=reason) for i in _choices(request)])
        last.usage.CopyFrom(usage)
        yield last

    async def embed(
        self, request: pb.CreateEmbeddingsRequest, route: Route, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        self._check_model(route.model, EMBEDDING)
        if request.dimensions > MAX_DIMENSIONS:
            problem = f"must be at most {MAX_DIMENSIONS} for {self.name}, got {request.dimensions}"
            raise InvalidFields([("dimensions", problem)])
        for index, entry in enumerate(request.inputs):
            if entry.WhichOneof("input") == "tokens":
                self._refuse(f"inputs[{index}].tokens", "inputs of token ids")
        return await self._work(request.ByteSize(), partial(_embeddings, request, route.model))

    async def list_models(self) -> list[model_service_pb2.Model]:
        return [
            _model(CHAT, "chat", "Built-in extractive processor", CHAT_CARD),
            _model(EMBEDDING, "embeddings", "Built-in hashed bag of words", EMBEDDING_CARD),
            _model(PII, "chat", "Built-in patterns of personal data", PII_CARD),
        ]

    async def health(self) -> None:
        """Always well: there is nothing that could be down."""

    def _check_model(self, model: str, known: str) -> None:
        if model != known:
            hint = f"{self.name} has {CHAT} and {PII} for completions and {EMBEDDING} for embeddings"
            raise ModelNotFound(model=model, hint=hint)

    async def _answer(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> "ExtractiveAnswer":
        if route.model == PII:
            return await self._work(request.ByteSize(), partial(_pii, request))
        self._check_model(route.model, CHAT)
        work = call.attribution.capability if call.attribution else ""
        if work in NEED_A_MODEL or (work.startswith("rewrite-") and work != "rewrite-summarize"):
            raise UnsupportedOperation(provider=self.name, operation=f"{work}: it is no language model")
        return await self._work(request.ByteSize(), partial(_answer, request, self.name, explain=not work))

    async def _work(self, size: int, work: Callable[[], ResultT]) -> ResultT:
        """The result of work, done in a thread where the size says that it would hold up the event loop."""
        if size <= INLINE_BYTES:
            return work()
        async with self._turn:
            return await asyncio.to_thread(work)


# The text, why it ends, what was consumed.
ExtractiveAnswer = tuple[str, pb.FinishReason, usage_pb2.Usage]


def _answer(request: pb.CreateCompletionRequest, provider: str, *, explain: bool) -> ExtractiveAnswer:
    """told: a text that is too short to choose from gets the notice, and of one that is too long the
    beginning is read; otherwise the one is its own answer, and the other is refused."""
    texts = [_text(message) for message in request.messages] or [request.prompt.text]
    user_texts = [
        _text(message) for message in request.messages if message.role == message_pb2.ROLE_USER
    ] or texts
    if not explain and len(user_texts[-1]) > MAX_CHARS:
        raise ContextLengthExceeded(
            provider=provider,
            provider_code="context_length_exceeded",
            provider_message=f"it reads {MAX_CHARS} characters, got {len(user_texts[-1])}",
        )
    text, reason = _reply(user_texts[-1][:MAX_CHARS], request, explain)
    input_tokens = sum(map(extractive.count_tokens, texts))
    return text, reason, reported_usage(input_tokens, extractive.count_tokens(text) * len(_choices(request)))


def _pii(request: pb.CreateCompletionRequest) -> ExtractiveAnswer:
    texts = [_text(message) for message in request.messages] or [request.prompt.text]
    text, reason = pii.answer(texts[-1]), pb.FINISH_REASON_STOP
    tokens = extractive.count_tokens(text)
    if request.max_tokens and tokens > request.max_tokens:
        text, tokens = extractive.first_tokens(text, request.max_tokens), request.max_tokens
        reason = pb.FINISH_REASON_LENGTH
    input_tokens = sum(map(extractive.count_tokens, texts))
    return text, reason, reported_usage(input_tokens, tokens * len(_choices(request)))


def _text(message: message_pb2.Message) -> str:
    return "\n\n".join(part.text or part.refusal for part in message.content)


def _reply(text: str, request: pb.CreateCompletionRequest, explain: bool) -> tuple[str, pb.FinishReason]:
    """The most sentences that max_tokens has room for, at least one, and whether that one was cut."""
    instruction = INSTRUCTION.match(text)
    sentences = extractive.sentences(text[instruction.end() :] if instruction else text)
    phrases = extractive.keywords(sentences)
    ranked = extractive.ranked(sentences, phrases)
    keywords = list(islice(extractive.distinct(phrases), MAX_PHRASES))
    reply = ""
    for count in range(MAX_SENTENCES, 0, -1):
        chosen = extractive.joined(sentences[index] for index in sorted(ranked[:count]))
        if request.response_format.kind == pb.ResponseFormat.KIND_JSON_OBJECT:
            reply = msgspec.json.encode({"summary": chosen, "keywords": keywords}).decode()
        elif sentences and (len(sentences) >= MAX_SENTENCES or not explain):
            reply = chosen
        else:
            seen = f" Key phrases seen: {', '.join(keywords)}." if keywords else ""
            reply = NOTICE.format(seen=seen)
        reply = _before_stop(reply, request.stop_sequences)
        if not request.max_tokens or extractive.count_tokens(reply) <= request.max_tokens:
            return reply, pb.FINISH_REASON_STOP
    return extractive.first_tokens(reply, request.max_tokens), pb.FINISH_REASON_LENGTH


def _before_stop(text: str, stops: Iterable[str]) -> str:
    """Text before the first of the stop sequences."""
    return text[: min((at for at in map(text.find, stops) if at >= 0), default=len(text))]


def _choices(request: pb.CreateCompletionRequest) -> range:
    return range(request.choice_count or 1)


def _now() -> Timestamp:
    return Timestamp(seconds=int(time()))


def _chunk(start: pb.CompletionChunk, deltas: list[pb.ChoiceDelta]) -> pb.CompletionChunk:
    return pb.CompletionChunk(id=start.id, create_time=start.create_time, model=start.model, choices=deltas)


def _embeddings(request: pb.CreateEmbeddingsRequest, model: str) -> pb.CreateEmbeddingsResponse:
    texts = [entry.text for entry in request.inputs]
    vectors = [extractive.vector(text[:MAX_CHARS], request.dimensions or DIMENSIONS) for text in texts]
    return pb.CreateEmbeddingsResponse(
        model=model,
        embeddings=[pb.Embedding(index=index, values=values) for index, values in enumerate(vectors)],
        usage=reported_usage(sum(map(extractive.count_tokens, texts)), 0),
    )


def _id() -> str:
    return f"builtin-{uuid4().hex[:24]}"


def _model(name: str, capability: str, title: str, card: str) -> model_service_pb2.Model:
    return model_service_pb2.Model(
        id=name,
        object="model",
        owned_by="genai-spine",
        name=name,
        display_name=title,
        description=card,
        context_length=CONTEXT_TOKENS if name != PII else None,
        context_window=CONTEXT_TOKENS if name != PII else None,
        capabilities=[capability],
        supports_vision=False,
        supports_streaming=name != EMBEDDING,
    )
