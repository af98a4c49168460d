"""Azure's chat completions: OpenAI's, with what its filters found where no choice is."""

from tests.upstreams.sloppy.exchange import Exchange, Protocol, Table, entry
from tests.upstreams.sloppy.openai import TABLE, picks, write
from tests.upstreams.sloppy.wire import HTTP, SSE, sse_body

FILTERS: Table = {}


@entry(FILTERS)
def filters_of_the_prompt(x: Exchange) -> bool:
    x.events.insert(0, {"choices": [], "id": "", "model": "", "created": 0, "prompt_filter_results": []})
    return x.as_stream and not x.failed


@entry(FILTERS)
def filters_of_the_choice(x: Exchange) -> bool:
    for pick in picks(x):
        pick["content_filter_results"] = {"hate": {"filtered": False, "severity": "safe"}}
    return not x.failed


@entry(FILTERS)
def offsets_of_filters(x: Exchange) -> bool:
    odd = {"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}
    x.events.insert(x.place(), {"id": "", "choices": [odd]})
    return x.as_stream and not x.failed


AZURE = Protocol(write, sse_body, TABLE | FILTERS | SSE | HTTP, choices=True, logprobs=True)
