"""Frame decoders: the same events whatever way the bytes were cut, and nothing but the events."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.providers.http import event_stream
from genai_spine.providers.http.event_stream import EventTooLarge, FrameDecoder, JsonLines, ServerSentEvents


def whole(decoder: FrameDecoder, *pieces: bytes) -> list[bytes]:
    """Everything that the pieces hold, the unended rest included."""
    return [payload for piece in pieces for payload in decoder.feed(piece)] + decoder.rest()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(stream) + 1) for place in places})
    return [stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True)]


def one_by_one(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


# JSON has no line ends outside of its strings, where they are escaped.
PAYLOADS = st.lists(st.text(max_size=12).map(msgspec.json.encode), max_size=6)
COMMENTS = st.sampled_from([b"", b": ping", b"event: message", b"id: 7\nretry: 10", b":"])
LINE_ENDS = st.sampled_from([b"\n", b"\r\n"])
SHREDS = (b"data: ", b"data:", b"\n", b"\n", b"\r\n", b"\r", b":", b"x", b"\xc3\xa9")
PLACES = st.lists(st.integers(0, 10_000), max_size=20)


@st.composite
def event_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream of server-sent events, and the payloads in it."""
    payloads, end = draw(PAYLOADS), draw(LINE_ENDS)
    stream = b""
    for payload in payloads:
        if comment := draw(COMMENTS):
            stream += comment.replace(b"\n", end) + (end * 2 if draw(st.booleans()) else end)
        stream += draw(st.sampled_from([b"data: ", b"data:"])) + payload + end * 2
    return stream, payloads


class TestServerSentEvents:
    @settings(deadline=None, max_examples=150)
    @given(event_streams(), PLACES)
    def test_payloads_do_not_depend_on_how_the_bytes_were_cut(
        self, streamed: tuple[bytes, list[bytes]], places: list[int]
    ) -> None:
        stream, payloads = streamed
        assert whole(ServerSentEvents(), *cut(stream, places)) == payloads
        assert whole(ServerSentEvents(), *one_by_one(stream)) == payloads

    @settings(deadline=None, max_examples=150)
    @given(st.lists(st.sampled_from(SHREDS), max_size=20).map(b"".join), PLACES)
    def test_bytes_of_any_kind_give_the_same_however_they_were_cut(
        self, stream: bytes, places: list[int]
    ) -> None:
        assert whole(ServerSentEvents(), *cut(stream, places)) == whole(ServerSentEvents(), stream)

    def test_stream_gives_the_same_whatever_two_parts_it_came_in(self) -> None:
        stream = ": hi\n\ndata: é🙂\n\nevent: x\ndata: 2\n\ndata: [DONE]\n\n".replace("\n", "\r\n").encode()
        for place in range(len(stream) + 1):
            found = whole(ServerSentEvents(), stream[:place], stream[place:])
            assert found == ["é🙂".encode(), b"2", b"[DONE]"], place

    def test_event_is_given_out_with_the_read_that_ends_it(self) -> None:
        decoder = ServerSentEvents()
        assert decoder.feed(b"data: 1\n\ndata: 2\n\ndata:") == [b"1", b"2"]
        assert decoder.feed(b" 3\n") == []
        assert decoder.feed(b"\n") == [b"3"]

    def test_several_data_lines_are_one_payload(self) -> None:
        assert ServerSentEvents().feed(b'data: {"a":\ndata: 1}\n\n') == [b'{"a":\n1}']

    @pytest.mark.parametrize("ending", [b"", b"\n", b"\r", b"\r\n"])
    def test_event_without_its_blank_line_is_what_rests(self, ending: bytes) -> None:
        decoder = ServerSentEvents()
        assert decoder.feed(b"data: 1\n\ndata: [DONE]" + ending) == [b"1"]
        assert decoder.rest() == [b"[DONE]"]

    def test_comments_names_and_ids_are_no_events(self) -> None:
        assert whole(ServerSentEvents(), b": OPENROUTER PROCESSING\n\nid: 3\nevent: ping\n\n") == []


class TestJsonLines:
    @settings(deadline=None, max_examples=200)
    @given(PAYLOADS, LINE_ENDS, PLACES, st.booleans())
    def test_lines_do_not_depend_on_how_the_bytes_were_cut(
        self, payloads: list[bytes], end: bytes, places: list[int], ended: bool
    ) -> None:
        stream = end.join(payloads) + (end if ended else b"")
        for pieces in (cut(stream, places), one_by_one(stream)):
            found = whole(JsonLines(), *pieces)
            assert [msgspec.json.decode(line) for line in found] == [
                msgspec.json.decode(line) for line in payloads
            ]

    def test_blank_lines_are_no_events(self) -> None:
        assert whole(JsonLines(), b'\n\n{"a":1}\n \n') == [b'{"a":1}']


@pytest.mark.parametrize("decoder", [ServerSentEvents, JsonLines])
def test_event_without_end_is_refused_in_time(
    decoder: type[FrameDecoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "MAX_EVENT_BYTES", 1000)
    endless = decoder()
    endless.feed(b"x" * 1000)
    with pytest.raises(EventTooLarge):
        endless.feed(b"x")


class TestOddities:
    @pytest.mark.parametrize("size", [1, 2, 100])
    @pytest.mark.parametrize(
        ("stream", "payloads"),
        [
            (b"\xef\xbb\xbfdata: A\n\ndata: B\n\n", [b"A", b"B"]),
            (b"\xef\xbb\xbf: ping\n\ndata: A\n\n", [b"A"]),
            (b"\n\n\xef\xbb\xbfdata: A\n\ndata: B\n\n", [b"B"]),  # a mark elsewhere is a part of a name
            (b"\r\n\r\ndata: A\r\n\r\n", [b"A"]),
            (b"data:\n\ndata: \n\ndata: A\n\ndata\n\n", [b"A"]),
            (b"data:A\n\ndata:\ndata:\n\nevent: x\ndata:  B\n\n", [b"A", b"B"]),
            (b' \n{"a":\n 1}\n', [b' \n{"a":\n 1}\n']),
            (b'\xef\xbb\xbf{"a":1}', [b'{"a":1}']),
            (b'{"a":1}\n{"a":2}\n\n{"a":3}', [b'{"a":1}', b'{"a":2}', b'{"a":3}']),
            (b"<html>\n\n<title>data: x</title>", [b"<html>\n\n<title>data: x</title>"]),
            (b'[{"a":1}]', [b'[{"a":1}]']),
        ],
    )
    def test_stream_of_events_or_none_is_told_by_its_first_bytes(
        self, stream: bytes, payloads: list[bytes], size: int
    ) -> None:
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert whole(ServerSentEvents(), *pieces) == payloads

    @pytest.mark.parametrize("size", [1, 2, 100])
    @pytest.mark.parametrize(
        ("stream", "payloads"),
        [
            (b'\xef\xbb\xbf{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
            (b'{\n "a": 1\n}\n', [b'{\n "a": 1\n}\n']),
            (
                b'data: {"a":1}\n\n: ping\n\nevent: x\ndata: {"a":2}\n\ndata: [DONE]\n\n',
                [b'{"a":1}', b'{"a":2}'],
            ),
            (b'\r\n{"a":1}\r\n\r\n', [b'{"a":1}']),
            (b"<html>\n</html>", [b"<html>", b"</html>"]),
        ],
    )
    def test_lines_are_read_from_events_and_from_one_value(
        self, stream: bytes, payloads: list[bytes], size: int
    ) -> None:
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [line.rstrip(b"\r") for line in whole(JsonLines(), *pieces)] == payloads

    @pytest.mark.parametrize(
        ("body", "payloads"),
        [
            (b"data: A\n\ndata: B\n\n", [b"A", b"B"]),
            (b"\xef\xbb\xbfevent: x\ndata: A", [b"A"]),
            (b": ping\n\nid: 1\ndata: A\n\n", [b"A"]),
            (b'{"data": "x"}', []),
            (b"", []),
        ],
    )
    def test_events_are_found_where_one_answer_was_asked_for(
        self, body: bytes, payloads: list[bytes]
    ) -> None:
        assert event_stream.events_of(body) == payloads
