"""Transcripts as dialogues: turns of speakers or channels, made of timed pieces."""

from collections.abc import Iterable, Sequence

from genai_spine.v1.media_service_pb2 import Segment


def in_order(segments: Iterable[Segment]) -> list[Segment]:
    """Segments as they were spoken, whatever channel they were heard in."""
    return sorted(segments, key=lambda segment: (segment.start_ms, segment.channel))


def dialogue(segments: Iterable[Segment]) -> str:
    """A line for each turn: `Speaker 0: ...`, `Channel 0: ...`, or both. Empty: nobody was told apart."""
    turns: list[tuple[str, list[str]]] = []
    for segment in in_order(segments):
        words = " ".join(segment.text.split())  # a line end would look like another turn
        if not words:
            continue
        who = label(segment)
        if turns and turns[-1][0] == who:
            turns[-1][1].append(words)
        else:
            turns.append((who, [words]))
    if not any(who for who, _ in turns):
        return ""
    return "\n".join(f"{who or 'Unknown'}: {' '.join(texts)}" for who, texts in turns)


def label(segment: Segment) -> str:
    """Label of a turn, as a dialogue shows it; empty: nobody knows who spoke."""
    parts = [f"channel {segment.channel}"] if segment.HasField("channel") else []
    parts += [f"speaker {segment.speaker}"] if segment.HasField("speaker") else []
    text = ", ".join(parts)
    return text[:1].upper() + text[1:]


def speakers(segments: Sequence[Segment]) -> list[str]:
    """Labels of speakers, in the order in which they speak first."""
    return list(dict.fromkeys(one.speaker for one in in_order(segments) if one.HasField("speaker")))
