"""The built-in provider: an extractive text processor. Always there: no key, no network, no model file.

`extractive` answers with sentences of the text it is given, `hashing` makes vectors by hashing words.
The same request always gives the same answer. Keywords come from YAKE (pypi.org/project/yake), sentence
ends from segtok; both work on the text alone and bring their word lists with them.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import islice
from math import log, sqrt
from pathlib import Path
from time import time
from unicodedata import normalize
from uuid import uuid4

import msgspec
import yake
from segtok.segmenter import split_multi

from genai_spine.call import Call
from genai_spine.errors import InvalidFields, ModelNotFound, UnsupportedOption
from genai_spine.providers.base import Endpoint, Option, Provider
from genai_spine.v1 import completion_service_pb2 as pb

CHAT, EMBEDDING = "extractive", "hashing"
MAX_CHARS = 200_000  # of one text; what follows is not read
KEYWORD_CHARS = 40_000  # that YAKE sees; of a longer text every n-th sentence
INLINE_CHARS = 1_000  # texts up to here take a few ms and are not worth a thread
SENTENCE_CHARS = 1_000  # longer ones are cut
BLOCK_CHARS = 8_000  # given to segtok at once, whose time grows with the square of it
SENTENCES = 3
DIMENSIONS, MAX_DIMENSIONS = 256, 4096
PIECE_TOKENS = 5  # of one streamed chunk: about four words and a punctuation mark

NOTICE = (
    "This is the built-in extractive processor; no language model answered. Send it a text of three or "
    "more sentences and it picks the most telling ones.{seen} For generated answers configure a provider, "
    "for example with GENAI_OPENAI_API_KEY or GENAI_OLLAMA_BASE_URL."
)

# One token: a character of a script without spaces, at most 32 characters of a word, or another mark.
_WHOLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_WHOLE}]|(?:(?![{_WHOLE}])\w){{1,32}}|[^\w\s]")
_WORD = re.compile(r"[^\W_][\w'’-]{0,40}")
_BLOCK_END = re.compile(r"[.!?。！？]\s+|\n")
_FULL_STOP = re.compile(r"([。！？]+[」』”）]*)(?=[^\s。！？」』”）])")
_LIST_ITEM = re.compile(r"\n(?=\s*(?:[-*•#|>]|\d+[.)]\s))")
_NO_STATEMENT = (":", "?", "：", "？", "؟", ";")

# YAKE logs the beginning of a text that it fails on; texts do not belong in logs.
logging.getLogger("yake").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    finish_reason: pb.FinishReason
    usage: pb.Usage


class Builtin(Provider):
    _ANY = Option("accepted: the answer is the same whatever it is")
    # The sampling options ask for a place between more likely and more varied; there is one answer only.
    OPTIONS = {  # noqa: RUF012  # ClassVar in the base
        "temperature": _ANY,
        "top_p": _ANY,
        "top_k": _ANY,
        "presence_penalty": _ANY,
        "frequency_penalty": _ANY,
        "seed": _ANY,
        "max_tokens": Option("max_tokens"),
        "stop_sequences": Option("stop_sequences"),
        "choice_count": Option("choice_count"),  # equal choices
        "response_format": Option("response_format"),  # a JSON object; no schema
    }
    LOCAL = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        # One extraction at a time: Python threads share one core, and the event loop needs its share.
        self._turn = asyncio.Lock()

    def check_options(self, request: pb.CreateCompletionRequest) -> None:
        super().check_options(request)
        if request.response_format.HasField("json_schema"):
            self._refuse("response_format.json_schema", "answers of a given schema")
        if request.prompt.suffix:
            self._refuse("prompt.suffix", "text after the gap")

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        answer = await self._answer(request)
        completion = pb.Completion(id=_id(), created=int(time()), model=request.model, usage=answer.usage)
        for index in range(request.choice_count or 1):
            choice = completion.choices.add(index=index, finish_reason=answer.finish_reason)
            choice.message.role = pb.ROLE_ASSISTANT
            if answer.text:
                choice.message.content.add(text=answer.text)
        return completion

    async def stream(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncIterator[pb.CompletionChunk]:
        answer = await self._answer(request)
        same = {"id": _id(), "created": int(time()), "model": request.model}
        choices = range(request.choice_count or 1)
        for piece in _pieces(answer.text):
            deltas = [pb.ChoiceDelta(index=index, content=piece) for index in choices]
            yield pb.CompletionChunk(choices=deltas, **same)
            await asyncio.sleep(0)
        deltas = [pb.ChoiceDelta(index=index, finish_reason=answer.finish_reason) for index in choices]
        yield pb.CompletionChunk(choices=deltas, usage=answer.usage, **same)
