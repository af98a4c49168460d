"""Watching of text: what a reader is given as it is written, and what it has to look for."""

import json

from genai_spine.runs.watching import Place, _newest, _taken, _unseen
from genai_spine.store.runs.news import MAX_PAYLOAD_BYTES, MAX_PIECES, RESET, Output, Reader, text_payloads


def taken(reader: Reader, place: Place) -> list[tuple[str, int, bool]]:
    return [(piece.text, piece.offset, piece.is_reset) for piece in _taken(reader, place)]


def test_text_is_passed_on_once_and_in_its_order() -> None:
    reader, place = Reader(), Place()
    for piece in (Output("s", 1, 0, "abc"), Output("s", 1, 0, "abc"), Output("s", 1, 2, "cde")):
        reader.give(piece)
    assert taken(reader, place) == [("abc", 0, False), ("de", 3, False)]
    assert not reader.is_told


def test_missing_text_is_looked_for() -> None:
    reader, place = Reader(), Place()
    reader.give(Output("s", 1, 3, "later"))
    assert taken(reader, place) == []
    assert reader.is_told
    assert reader.event.is_set()


def test_next_attempt_of_a_step_begins_again() -> None:
    reader, place = Reader(), Place()
    for piece in (Output("s", 1, 0, "old"), Output("s", 2, 0, "new"), Output("s", 1, 3, "er")):
        reader.give(piece)
    assert taken(reader, place) == [("old", 0, False), ("new", 0, True)]


def shown(outputs: list[Output], place: Place) -> list[tuple[str, int, bool]]:
    found = [_unseen(output, place) for output in _newest(outputs, place)]
    return [(piece.text, piece.offset, piece.is_reset) for piece in found if piece is not None]


def test_text_of_a_maker_that_was_lost_is_void_at_once_and_for_who_comes_back() -> None:
    old, reset, new = Output("s", 3, 0, "old text"), Output("s", 7, RESET, ""), Output("s", 7, 0, "new")
    watching = Place()
    assert shown([old], watching) == [("old text", 0, False)]
    assert shown([old, reset], watching) == [("", 0, True)]
    assert shown([old, reset, new], watching) == [("new", 0, False)]
    assert shown([old, reset, new], Place()) == [("new", 0, False)]
    # They say how much they have, and not whose it is.
    for offset in (1, 2, 5, 100):
        assert shown([old, reset, new], Place(offsets={"s": offset})) == [("", 0, True), ("new", 0, False)]
    assert shown([new], Place(offsets={"s": 2})) == [("w", 2, False)]


def test_slow_reader_looks_by_itself_and_keeps_nothing() -> None:
    reader = Reader()
    for number in range(MAX_PIECES + 1):
        reader.give(Output("s", 1, number, "x"))
    assert reader.is_told
    assert not reader.pieces


def test_payloads_are_as_long_as_the_database_takes_them() -> None:
    pieces = [(f"run-{number}", Output("step", 1, 0, "ä" * 500)) for number in range(40)]
    pieces.append(("long", Output("step", 1, 0, "x" * MAX_PAYLOAD_BYTES)))
    payloads = text_payloads(pieces)
    assert all(len(payload.encode()) <= MAX_PAYLOAD_BYTES for payload in payloads)
    given = [one for payload in payloads for one in json.loads(payload)]
    assert [run_id for run_id, _ in given] == [run_id for run_id, _ in pieces]
    assert given[0][1] == list(pieces[0][1])
    assert given[-1][1] is None
