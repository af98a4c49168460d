from typing import Any

from genai_spine.media import transcripts
from genai_spine.v1.media_service_pb2 import Segment


def piece(start_ms: int, text: str, **fields: Any) -> Segment:
    return Segment(start_ms=start_ms, end_ms=start_ms + 100, text=text, **fields)


def test_pieces_of_one_speaker_are_one_turn() -> None:
    said = [piece(0, "a", speaker="0"), piece(1, "b", speaker="0"), piece(2, "c", speaker="1")]
    assert transcripts.dialogue(said) == "Speaker 0: a b\nSpeaker 1: c"


def test_turns_stand_in_the_order_in_which_they_were_spoken() -> None:
    said = [piece(5, "b", channel=0), piece(0, "a", channel=1), piece(5, "c", channel=1)]
    assert transcripts.dialogue(said) == "Channel 1: a\nChannel 0: b\nChannel 1: c"
    assert [one.text for one in transcripts.in_order(said)] == ["a", "b", "c"]


def test_speaker_and_channel_stand_together() -> None:
    assert transcripts.label(piece(0, "a", channel=1, speaker="A")) == "Channel 1, speaker A"


def test_nobody_told_apart_is_no_dialogue() -> None:
    assert transcripts.dialogue([piece(0, "a"), piece(1, "b")]) == ""
    assert transcripts.dialogue([]) == ""


def test_a_piece_of_nobody_stands_beside_the_others() -> None:
    said = [piece(0, "a"), piece(1, "b", speaker="0"), piece(2, " \n ")]
    assert transcripts.dialogue(said) == "Unknown: a\nSpeaker 0: b"


def test_line_ends_make_no_turn() -> None:
    said = [piece(0, "a\r\nSpeaker 9: b\u2028c", speaker="0")]
    assert transcripts.dialogue(said).splitlines() == ["Speaker 0: a Speaker 9: b c"]


def test_speakers_stand_in_the_order_in_which_they_speak_first() -> None:
    said = [piece(9, "c", speaker="0"), piece(0, "a", speaker="1"), piece(5, "b")]
    assert transcripts.speakers(said) == ["1", "0"]
