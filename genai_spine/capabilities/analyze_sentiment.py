"""AnalyzeSentiment: polarity of a text, overall, by sentence, about aspects, or by who speaks in it."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genai_spine.capabilities.answer_schemas import NUMBER, TEXT, TEXT_OR_NULL, one_of, record, several
from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context
from genai_spine.text import answer_parsing
from genai_spine.text.chunking import TextChunk
from genai_spine.text.quotes import Quotes
from genai_spine.v1 import capability_service_pb2 as pb

LABELS = ("positive", "negative", "neutral", "mixed")
OTHER_NAMES = {"pos": "positive", "neg": "negative", "neu": "neutral", "good": "positive", "bad": "negative"}
LEANING = 0.2  # a score further from 0 is positive or negative
CONFLICT = 0.25  # share of both good and bad from which a text is mixed
SCORES = {"positive": 0.5, "negative": -0.5}  # where the model gave a label alone
SPOKEN = ("speaker", "channel")  # granularities of a dialogue
TURN = re.compile(r"^((?:channel \d+)?(?:, )?(?:speaker [^:\n]{1,64})?): ", re.IGNORECASE | re.MULTILINE)
MAX_PARTIES = 50
MOOD = {"label": one_of(LABELS), "score": NUMBER, "confidence": NUMBER}

Request = pb.AnalyzeSentimentRequest
Response = pb.AnalyzeSentimentResponse
Weighed = Iterable[tuple[float, pb.Sentiment]]


class AnalyzeSentiment(Capability[Request, Response]):
    """Sentiment analysis: label, polarity from -1 to 1 and confidence from 0 to 1."""

    NAME = "analyze-sentiment"
    METHOD = "AnalyzeSentiment"
    REQUEST = Request
    RESPONSE = Response
    TEMPERATURE = 0.1

    def apply_defaults(self, request: Request) -> None:
        request.granularity = request.granularity or ("aspect" if request.aspects else "document")
        if request.granularity in SPOKEN:
            del request.aspects[:]
            request.aspects.extend(parties(request.content, request.granularity))
            if not request.aspects:
                request.granularity = "document"
        distinct = list(dict.fromkeys(request.aspects))
        del request.aspects[:]
        request.aspects.extend(distinct)

    def shape(self, request: Request) -> Mapping[str, Any]:
        fields: dict[str, Any] = {"sentiment": record(**MOOD)}
        if request.granularity == "sentence":
            fields["sentences"] = several(record(text=TEXT, **MOOD))
        elif request.granularity in ("aspect", *SPOKEN):
            aspect = one_of(request.aspects) if request.aspects else TEXT
            fields["aspects"] = several(record(aspect=aspect, **MOOD, evidence=TEXT_OR_NULL))
        return record(**fields)

    def variables(self, request: Request, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "granularity": request.granularity,
            "aspects": "\n".join(f"- {aspect}" for aspect in request.aspects),
        }

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        response = Response()
        if request.granularity == "sentence":
            response.sentences.extend(_sentences(answer_parsing.items(answer.text, "sentences"), chunk))
        elif request.granularity in ("aspect", *SPOKEN):
            given = answer_parsing.items(answer.text, "aspects")
            response.aspects.extend(_aspects(given, request.aspects, chunk))
        whole = answer_parsing.first_object(answer.text, "sentiment", "label", "score", "polarity")
        mood = _mood(whole) if whole else None
        if mood is None:
            inner = [one.sentiment for one in response.sentences] + [
                one.sentiment for one in response.aspects
            ]
            mood = mean_mood((1.0, result) for result in inner) if inner else _named(answer.text)
        response.sentiment.CopyFrom(mood)
        return response

    async def join(self, results: list[ChunkResult], request: Request, context: Context) -> Response:
        """Means in which the chunks weigh as much as they are long."""
        weighed = [(float(len(result.chunk.text)), result.response) for result in results]
        aspects: dict[str, list[tuple[float, pb.AspectSentiment]]] = {}
        for weight, aspect in [(weight, aspect) for weight, one in weighed for aspect in one.aspects]:
            aspects.setdefault(" ".join(aspect.aspect.casefold().split()), []).append((weight, aspect))
        return Response(
            sentiment=mean_mood((weight, one.sentiment) for weight, one in weighed),
            sentences=[sentence for _, one in weighed for sentence in one.sentences],
            aspects=_in_order([_merged(same) for same in aspects.values()], request.aspects),
        )


def parties(text: str, granularity: str) -> list[str]:
    """Labels of those who speak in a dialogue, in the order in which they speak first, at most MAX_PARTIES.

    granularity: channel, where speakers of one channel are one, or speaker.
    """
    labels = (found[1].strip(", ") for found in TURN.finditer(text))
    if granularity == "channel":
        labels = (label.partition(",")[0] for label in labels)
    return [label for label in dict.fromkeys(labels) if label][:MAX_PARTIES]


def mean_mood(moods: Weighed) -> pb.Sentiment:
    """Weighted mean of sentiments, none of which may be missing."""
    given = list(moods)
    total = sum(weight for weight, _ in given)
    shares = {label: sum(weight for weight, mood in given if mood.label == label) / total for label in LABELS}
    torn = min(shares["positive"], shares["negative"]) >= CONFLICT
    return pb.Sentiment(
        label="mixed" if torn else max(LABELS, key=lambda label: shares[label]),
        score=round(sum(weight * mood.score for weight, mood in given) / total, 6),
        confidence=round(sum(weight * mood.confidence for weight, mood in given) / total, 6),
    )


def _merged(same: list[tuple[float, pb.AspectSentiment]]) -> pb.AspectSentiment:
    evidence = next((aspect.evidence for _, aspect in same if aspect.HasField("evidence")), None)
    mood = mean_mood((weight, aspect.sentiment) for weight, aspect in same)
    return pb.AspectSentiment(aspect=same[0][1].aspect, sentiment=mood, evidence=evidence)


def _in_order(found: list[pb.AspectSentiment], wanted: Sequence[str]) -> list[pb.AspectSentiment]:
    order = {aspect: number for number, aspect in enumerate(wanted)}
    return sorted(found, key=lambda aspect: order.get(aspect.aspect, 0))


def _sentences(given: list[Any], chunk: TextChunk) -> list[pb.SentenceSentiment]:
    quotes, found = Quotes(chunk), []
    for item in given:
        mood = _mood(item) if isinstance(item, dict) else None
        quoted = answer_parsing.text_of(item, "text", "sentence") if mood else ""
        if mood is None or not quoted:
            continue
        place = quotes.find(quoted)
        sentence = pb.SentenceSentiment(text=place.text if place else quoted, sentiment=mood)
        if place:
            sentence.start, sentence.end = place.start, place.end
        found.append(sentence)
    if not found:
        raise answer_parsing.UnreadableAnswer("the answer's list holds no sentences with a sentiment")
    return found


def _aspects(given: list[Any], wanted: Sequence[str], chunk: TextChunk) -> list[pb.AspectSentiment]:
    """Aspect sentiments: requested ones in their order and no others; otherwise one for each."""
    found: dict[str, pb.AspectSentiment] = {}
    for item in given:
        mood = _mood(item) if isinstance(item, dict) else None
        named = answer_parsing.text_of(item, "aspect", "name", "text") if mood else ""
        name = answer_parsing.known(named, wanted) if wanted else named
        if mood is None or not name or name in found:
            continue
        found[name] = pb.AspectSentiment(aspect=name, sentiment=mood)
        if place := Quotes(chunk).find(answer_parsing.text_of(item, "evidence", "quote")):
            found[name].evidence = place.text
    if given and not found:
        raise answer_parsing.UnreadableAnswer("the answer's list holds no aspects with a sentiment")
    return _in_order(list(found.values()), wanted)


def _mood(item: dict[str, Any]) -> pb.Sentiment | None:
    """Sentiment of an object, or of its field `sentiment`. None: it has neither label nor score."""
    inner = item.get("sentiment")
    given = inner if isinstance(inner, dict) else item
    label = _label(answer_parsing.text_of(given, "label", "sentiment", "polarity"))
    score = _score(given.get("score"))
    if label is None:
        if score is None:
            return None
        label = "neutral" if abs(score) <= LEANING else "positive" if score > 0 else "negative"
    if score is None:
        score = SCORES.get(label, 0.0)
    # Some models give the strength alone as the score.
    signed = {"positive": abs(score), "negative": -abs(score)}.get(label, score)
    return pb.Sentiment(label=label, score=signed, confidence=answer_parsing.share(given.get("confidence")))


def _label(sentence: str) -> str | None:
    return OTHER_NAMES.get(sentence.casefold()) or answer_parsing.first_named(sentence, LABELS)


def _score(given: Any) -> float | None:
    """Polarity score from -1 to 1; -40 is -0.4."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return max(-1.0, min(1.0, number / 100 if abs(number) > 1 else number))


def _named(text: str) -> pb.Sentiment:
    label = _label(answer_parsing.plain(text))
    if label is None:
        raise answer_parsing.UnreadableAnswer("the answer names no sentiment")
    return pb.Sentiment(
        label=label, score=SCORES.get(label, 0.0), confidence=answer_parsing.DEFAULT_CONFIDENCE
    )
