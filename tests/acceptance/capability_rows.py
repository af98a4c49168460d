"""The table of capabilities as tests go through it, and a REST client whose model says what it is given."""

import json
from typing import Any

import pytest

from tests.acceptance.test_rest import Answer, Client
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

MODEL = "gpt-4o"
OSLO = "The council of Oslo voted for a tram line. It costs 40 million euros. Work starts in June."
COMMON = {"provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "usage", "context"}
COMMON |= {"result"}  # all of them in one message, as gRPC callers read it
USAGE = {
    *("input_tokens", "output_tokens", "total_tokens", "cost_usd", "cost_ticks", "price_known", "latency_ms"),
}
CONTEXT = {"omitted_characters", "pieces", "prompt_slug", "prompt_version", "answer_was_cut"}
ENTITIES = json.dumps({"entities": [{"text": "Oslo", "type": "LOCATION", "start": 3, "confidence": 0.9}]})
POLITICS = '{"classifications": [{"category": "politics", "confidence": 0.9}]}'
CHANGES = json.dumps(
    {
        "summary": "It starts later.",
        "similarity_score": 0.9,
        "key_differences": ["The start"],
        "changes": [{"type": "modified", "description": "Start", "before": "June", "after": "July"}],
    }
)

# path -> the smallest body, the model's answer, the response's own fields.
ROWS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "/v1/summarize": (
        {"content": OSLO},
        "Oslo builds a tram.",
        {
            "summary": "Oslo builds a tram.",
            "key_points": [],
            "word_count": 4,
            "compression_ratio": round(1 - 4 / 18, 3),
        },
    ),
    "/v1/extract": (
        {"content": OSLO},
        ENTITIES,
        {
            "entities": [
                {
                    "text": "Oslo",
                    "type": "LOCATION",
                    "start": 15,
                    "end": 19,
                    "confidence": 0.9,
                    "verified": True,
                }
            ],
            "entity_count": 1,
        },
    ),
    "/v1/classify": (
        {"content": OSLO, "categories": ["sport", "politics"]},
        POLITICS,
        {
            "classifications": [{"category": "politics", "confidence": 0.9}],
            "primary_category": "politics",
            "category": "politics",
            "classification": "politics",
        },
    ),
    "/v1/rewrite": (
        {"content": OSLO},
        "Better.",
        {"original": OSLO, "rewritten": "Better.", "content": "Better.", "mode": "clean"},
    ),
    "/v1/infer-title": ({"content": OSLO}, '"A Tram for Oslo"', {"title": "A Tram for Oslo"}),
    "/v1/generate-commit": (
        {"files": [{"path": "src/api/tram.py", "status": "added"}]},
        "feat(api): add trams",
        {
            "commit_message": "feat(api): add trams",
            "message": "feat(api): add trams",
            "feature_groups": [
                {"scope": "api", "description": "1 added file", "files": ["src/api/tram.py"]},
            ],
            "suggested_tags": ["api", "feature"],
            "files_analyzed": 1,
        },
    ),
    "/v1/compare": (
        {"document_a": "Work starts in June.", "document_b": "Work starts in July."},
        CHANGES,
        {
            "summary": "It starts later.",
            "changes": [{"type": "modified", "description": "Start", "before": "June", "after": "July"}],
            "similarity_score": 0.9,
            "key_differences": ["The start"],
        },
    ),
}
WITH_TOKENS = {"/v1/rewrite", "/v1/infer-title", "/v1/generate-commit"}
WITH_CONTENT = [path for path, (body, _, _) in ROWS.items() if "content" in body]
TAGS = {path: path.removeprefix("/v1/") for path in ROWS} | {"/v1/rewrite": "rewrite-clean"}
TEMPERATURES = {
    "/v1/summarize": 0.3,
    "/v1/extract": 0.1,
    "/v1/classify": 0.1,
    "/v1/rewrite": 0.3,
    "/v1/infer-title": 0.5,
    "/v1/generate-commit": 0.4,
}
EVERY = pytest.mark.parametrize("path", ROWS)


class Caller:
    """A REST client whose model says what it is given."""

    def __init__(self, client: Client, openai: UpstreamProcess) -> None:
        self.client = client
        self.openai = openai

    async def post(self, path: str, body: Any, said: str = "x", **headers: str) -> Answer:
        self.openai.script(Reply(text=said))
        return await self.client.post(path, {"model": MODEL, **body}, **headers)

    async def row(self, path: str, **more: Any) -> Answer:
        """The smallest body of a row with more fields."""
        body, said, _ = ROWS[path]
        return await self.post(path, {**body, **more}, said)

    @property
    def asked(self) -> Any:
        """The body of the only call of the upstream."""
        (entry,) = self.openai.bill()
        return entry.body

    @property
    def told(self) -> str:
        return "\n".join(message["content"] for message in self.asked["messages"])


def check_error(answer: Answer, status: int, code: str, field: str = "") -> str:
    """Both shapes; the message."""
    error, detail = answer.json["error"], answer.json["detail"]
    assert (answer.status, error["code"]) == (status, code), answer.body
    assert error["request_id"] == answer.headers["x-request-id"]
    assert isinstance(error["details"], dict)
    message = str(error["message"])
    if status == 422:
        assert [entry["loc"] for entry in detail] == [["body", *field.split(".")]]
        assert all(set(entry) == {"loc", "msg", "type"} for entry in detail)
    else:
        assert detail == message
    assert field in message
    return message
