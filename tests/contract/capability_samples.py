"""For each capability a request, what a model might answer, and what is read from that."""

import json
from typing import Any, NamedTuple

from google.protobuf.message import Message

from genai_spine.v1 import capability_service_pb2 as pb

OSLO = (
    "The city council of Oslo met on 3 May 2024. Mayor Anne Lindboe said the new tram line will cost "
    "40 million euros. The council voted for the line by 31 to 28. Oslo starts the work in June."
)


class Sample(NamedTuple):
    request: Message
    answer: str  # of the model
    read: dict[str, Any]  # fields of the response


SAMPLES: dict[str, Sample] = {
    "summarize": Sample(
        pb.SummarizeRequest(content=OSLO),
        "Oslo will build a tram line for 40 million euros.",
        {"summary": "Oslo will build a tram line for 40 million euros.", "word_count": 10},
    ),
    "extract": Sample(
        pb.ExtractRequest(content=OSLO, entity_types=["LOCATION"]),
        json.dumps({"entities": [{"text": "Oslo", "type": "LOCATION", "start": 20, "confidence": 0.9}]}),
        {"entity_count": 1},
    ),
    "classify": Sample(
        pb.ClassifyRequest(content=OSLO, categories=["Sport", "Politics"]),
        json.dumps({"classifications": [{"category": "Politics", "confidence": 0.9}]}),
        {"primary_category": "Politics", "category": "Politics", "classification": "Politics"},
    ),
    "rewrite": Sample(
        pb.RewriteRequest(content=OSLO, mode="casual"),
        "Oslo gets a tram!\n",
        {
            "original": OSLO,
            "rewritten": "Oslo gets a tram!",
            "content": "Oslo gets a tram!",
            "mode": "casual",
        },
    ),
    "infer-title": Sample(
        pb.InferTitleRequest(content=OSLO),
        '"Oslo Votes for a New Tram Line"',
        {"title": "Oslo Votes for a New Tram Line", "input_tokens": 100, "output_tokens": 10},
    ),
    "generate-commit": Sample(
        pb.GenerateCommitRequest(files=[pb.ChangedFile(path="src/api/lines.py")]),
        "feat(api): list tram lines",
        {
            "commit_message": "feat(api): list tram lines",
            "message": "feat(api): list tram lines",
            "suggested_tags": ["api", "feature"],
            "files_analyzed": 1,
        },
    ),
    "compare": Sample(
        pb.CompareRequest(document_a=OSLO, document_b=OSLO.replace("June", "July")),
        json.dumps(
            {
                "summary": "The work starts later.",
                "similarity_score": 0.95,
                "key_differences": ["Start in July"],
                "changes": [
                    {"type": "modified", "description": "Later", "before": "June", "after": "July"},
                ],
            }
        ),
        {"summary": "The work starts later.", "similarity_score": 0.95, "key_differences": ["Start in July"]},
    ),
}
