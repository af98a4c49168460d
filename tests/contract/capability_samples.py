"""For each capability a request, what a model might answer, and what is read from that."""

import json
from typing import Any, NamedTuple

from google.protobuf.message import Message

from genai_spine.v1 import capability_service_pb2 as pb

OSLO = (
    "The city council of Oslo met on 3 May 2024. Mayor Anne Lindboe said the new tram line will cost "
    "40 million euros. The council voted for the line by 31 to 28. Oslo starts the work in June."
)

MAYOR = """{"type": "object", "properties": {"name": {"type": "string"}, "city": {"type": "string"}},
  "required": ["name"], "additionalProperties": false}"""


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
        {"title": "Oslo Votes for a New Tram Line"},
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
    "analyze-coaching": Sample(
        pb.AnalyzeCoachingRequest(content="Speaker 0: Hello."),
        json.dumps({"score": 70, "strengths": [], "improvements": [], "advice": "Say more."}),
        {"score": 70, "advice": "Say more."},
    ),
    "analyze-sentiment": Sample(
        pb.AnalyzeSentimentRequest(content="I love this tram."),
        json.dumps({"sentiment": {"label": "positive", "score": 0.9, "confidence": 0.95}}),
        {"sentiment": pb.Sentiment(label="positive", score=0.9, confidence=0.95)},
    ),
    "answer-question": Sample(
        pb.AnswerQuestionRequest(context=OSLO, question="Who is the mayor?"),
        json.dumps(
            {
                "answerable": True,
                "evidence": "Mayor Anne Lindboe",
                "answer": "Anne Lindboe",
                "confidence": 0.9,
            }
        ),
        {
            "answer": "Anne Lindboe",
            "answerable": True,
            "evidence": pb.Evidence(text="Mayor Anne Lindboe", start=44, end=62, verified=True),
        },
    ),
    "tag": Sample(
        pb.TagRequest(content=OSLO, max_tags=1, existing_tags=["Public transport"]),
        json.dumps({"tags": [{"tag": "public transport", "type": "topic", "confidence": 0.9}]}),
        {"tags": [pb.FoundTag(tag="Public transport", type="topic", confidence=0.9, existing=True)]},
    ),
    "detect-language": Sample(
        pb.DetectLanguageRequest(content=OSLO),
        json.dumps({"language": "en", "confidence": 0.99, "alternatives": []}),
        {"language": "en", "language_name": "English", "confidence": 0.99},
    ),
    "translate": Sample(
        pb.TranslateRequest(content="Good morning.", target_language="de"),
        json.dumps({"source_language": "en", "translation": "Guten Morgen."}),
        {"translation": "Guten Morgen.", "source_language": "en", "target_language": "de"},
    ),
    "paraphrase": Sample(
        pb.ParaphraseRequest(content="The tram costs 40 million euros."),
        "The price of the tram is 40 million euros.",
        {"paraphrase": "The price of the tram is 40 million euros."},
    ),
    "correct": Sample(
        pb.CorrectRequest(content="I saw teh tram."),
        json.dumps(
            {"corrected": "I saw the tram.", "corrections": [{"original": "teh", "corrected": "the"}]}
        ),
        {
            "corrected": "I saw the tram.",
            "corrections": [pb.Correction(original="teh", corrected="the", position=6)],
        },
    ),
    "extract-structured": Sample(
        pb.ExtractStructuredRequest(content=OSLO, schema_json=MAYOR),
        '{"name": "Anne Lindboe", "city": "Oslo"}',
        {"data_json": '{"name": "Anne Lindboe", "city": "Oslo"}'},
    ),
    "detect-pii": Sample(
        pb.DetectPiiRequest(content="Ann Lee: ann@example.org"),
        json.dumps({"entities": [{"text": "Ann Lee", "type": "PERSON", "start": 0, "confidence": 0.9}]}),
        {
            "entities": [
                pb.PiiEntity(type="PERSON", start=0, end=7, confidence=0.9, text="Ann Lee"),
                pb.PiiEntity(type="EMAIL_ADDRESS", start=9, end=24, confidence=0.95, text="ann@example.org"),
            ],
            "entity_count": 2,
        },
    ),
    "redact": Sample(
        pb.RedactRequest(content="Ann Lee: ann@example.org", methods={"PERSON": "replace"}),
        json.dumps({"entities": [{"text": "Ann Lee", "type": "PERSON", "start": 0, "confidence": 0.9}]}),
        {"redacted": "[PERSON]: ***************", "entity_count": 2},
    ),
    "synthesize": Sample(
        pb.SynthesizeRequest(documents=[pb.SourceDocument(content=OSLO)], query="What does the tram cost?"),
        json.dumps(
            {
                "synthesis": "It costs 40 million euros [1].",
                "citations": [{"id": "1", "quote": "40 million euros"}],
            }
        ),
        {
            "synthesis": "It costs 40 million euros [1].",
            "citations": [pb.Citation(document_id="1", quote="40 million euros", count=1)],
        },
    ),
}
