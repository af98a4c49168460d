"""Errors in answers that look good, and the ends of streams."""

import json
from typing import Any

import pytest

from genai_spine.chunks import completion
from genai_spine.errors import (
    ProviderAuthentication,
    ProviderError,
    ProviderFailure,
    ProviderQuotaExceeded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
)
from genai_spine.providers.openai.adapter import CHAT
from genai_spine.providers.openai.chat_response import GRACE_S, USAGE_GRACE_S, ChatReader
from genai_spine.v1 import completion_service_pb2 as pb
from tests.unit.providers.openai.chats import (
    COUNTS,
    HELLO,
    HTTP,
    STOPS,
    call,
    event,
    read,
    said,
    streamed,
    text,
)

FAULT = {"message": "out of memory", "code": 500}


class TestErrorsInAnswers:
    @pytest.mark.parametrize(
        "body",
        [
            {"error": FAULT},
            {"error": "out of memory"},
            {"error": {**FAULT, "code": "500"}, "choices": [{"delta": {}}]},
            {"error": [FAULT], "choices": None},
            [{"error": FAULT}],
            {"object": "error", **FAULT},
            {"object": "error", "message": "out of memory", "type": "internal_error", "choices": []},
            {"detail": "out of memory"},
            {"detail": [{"msg": "out of memory", "loc": ["body"]}]},
            {"message": "out of memory", "code": 500},
            {"errors": [FAULT], "success": False},
            {"type": "error", "error": FAULT},
            {"choices": [{"finish_reason": "error", "error": FAULT}]},
            {"choices": [{"delta": {"content": ""}, "finish_reason": "error", "error": FAULT}]},
            {"choices": [{"message": {"content": ""}, "error": FAULT}]},
            {"choices": [{"finish_reason": {"type": "abort", "message": "out of memory"}}]},
        ],
    )
    def test_error_within_an_answer_is_one(self, body: Any) -> None:
        for failing in (lambda: read(json.dumps(body)), lambda: streamed(json.dumps(body), "[DONE]")):
            with pytest.raises(ProviderUnavailable, match="out of memory"):
                failing()

    @pytest.mark.parametrize(
        "reason",
        [
            *("error", "abort", "ABORT", "failed", "insufficient_system_resource", "network_error"),
            "function_call_filter: MALFORMED_FUNCTION_CALL",
        ],
    )
    def test_finish_reason_of_a_failure_is_an_error(self, reason: str) -> None:
        with pytest.raises(ProviderUnavailable, match=reason):
            streamed(event(said("cut")), event(said(finish=reason)), "[DONE]")
        with pytest.raises(ProviderUnavailable, match=reason):
            read(json.dumps({"choices": [{"message": {"content": "cut"}, "finish_reason": reason}]}))

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (429, ProviderRateLimited),
            ("429", ProviderRateLimited),
            (401, ProviderAuthentication),
            ("402", ProviderQuotaExceeded),
            (502, ProviderUnavailable),
            ("529", ProviderUnavailable),
            ("rate_limit_exceeded", ProviderRateLimited),
            ("400", ProviderRejected),
            (None, ProviderUnavailable),
            (7, ProviderUnavailable),
        ],
    )
    def test_code_of_an_error_says_what_it_is(self, code: Any, kind: Any) -> None:
        fault = {"message": "x", "code": code}
        for body in ({"error": fault}, {"object": "error", **fault}, {"choices": [{"error": fault}]}):
            with pytest.raises(kind):
                read(json.dumps(body))

    @pytest.mark.parametrize("error", ["null", '""', "{}", "[]", "false"])
    def test_error_that_is_none_is_none(self, error: str) -> None:
        body = '{"choices":[{"message":{"content":"Hi"},"error":%s}],"error":%s}' % (error, error)  # noqa: UP031
        assert read(body).choices[0].content == "Hi"

    @pytest.mark.parametrize("late", [False, True])
    @pytest.mark.parametrize(
        "failed",
        [
            {"choices": [{"delta": {"content": "B"}, "finish_reason": "error"}]},
            {
                "choices": [
                    {
                        "delta": {"content": "B", "tool_calls": [call(0, "c", ..., "{}")]},
                        "finish_reason": "tool_calls",
                    }
                ]
            },
        ],
        ids=["failure", "nameless call"],
    )
    def test_what_came_before_an_error_is_the_callers_with_its_usage(self, failed: Any, late: bool) -> None:
        reader = ChatReader(HTTP, CHAT)
        usage = {"choices": [], "usage": COUNTS}
        events = [failed, usage] if late else [failed | usage | failed]
        chunk, error = reader.chunk([event(said("A")), *(json.dumps(each).encode() for each in events)])
        assert error is None
        assert reader.grace_s(1) == GRACE_S
        assert chunk is not None
        assert (chunk.choices[0].content, chunk.choices[0].finish_reason) == ("AB", 0)
        rest, error = reader.last_chunk(1)
        assert rest is None
        assert error is not None
        assert error.usage is not None
        assert error.usage.total_tokens == 12

    def test_usage_of_an_answer_that_failed_is_waited_for_within_bounds(self) -> None:
        reader = ChatReader(HTTP, CHAT)
        reader.chunk([event(said("A")), event(said(finish="error"))])
        assert reader.grace_s(2) == USAGE_GRACE_S
        assert isinstance(reader.last_chunk(2)[1], ProviderUnavailable)

    @pytest.mark.parametrize(
        "body",
        [
            b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}',
            b'{"usage":{"prompt_tokens":7,"completion_tokens":"5"},'
            b'"choices":[{"message":{"content":"what it said',
            b'{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"arguments":"{}"}}]}}],'
            b'"usage":{"prompt_tokens":7,"completion_tokens":5}}',
            b'{"choices":[{"error":{"message":"x"}}],"usage":{"prompt_tokens":7,"completion_tokens":5}}',
            b'{"choices":[{"finish_reason":"abort"}],"usage":{"prompt_tokens":7,"completion_tokens":5}}',
        ],
    )
    def test_answer_that_cannot_be_used_tells_its_usage_and_not_its_text(self, body: bytes) -> None:
        with pytest.raises(ProviderFailure) as failure:
            ChatReader(HTTP, CHAT).read(body)
        assert failure.value.usage is not None
        assert (failure.value.usage.input_tokens, failure.value.usage.output_tokens) == (7, 5)
        assert "what it said" not in str(failure.value)

    def test_error_without_words_does_not_repeat_the_answer(self) -> None:
        with pytest.raises(ProviderUnavailable) as failure:
            read('{"choices":[{"message":{"content":"what it said"}}],"error":{"x":1}}')
        assert "what it said" not in str(failure.value)

    def test_role_alone_does_not_reach_the_caller(self) -> None:
        reader = ChatReader(HTTP, CHAT)
        assert reader.chunk([event({"index": 0, "delta": {"role": "assistant", "content": ""}})]) == (
            None,
            None,
        )
        assert reader.chunk([event(said(finish="error"))]) == (None, None)
        assert isinstance(reader.last_chunk(1)[1], ProviderUnavailable)


class TestEndsOfStreams:
    @pytest.mark.parametrize("done", ["[DONE]", " [DONE] ", '"[DONE]"', "DONE"])
    def test_done_has_several_forms(self, done: str) -> None:
        assert text(streamed(event(HELLO), done)) == "Hi"

    @pytest.mark.parametrize("nothing", ["", " ", "null", "{}", '{"type":"ping"}', '{"choices":[]}'])
    def test_event_that_says_nothing_is_passed_over(self, nothing: str) -> None:
        assert text(streamed(nothing, event(HELLO), nothing, event(STOPS), nothing)) == "Hi"

    def test_more_is_waited_for_only_while_it_may_come(self) -> None:
        reader = ChatReader(HTTP, CHAT)
        waits = [reader.grace_s(1)]
        for payload in (event(HELLO), event(STOPS), event(usage=COUNTS), b"[DONE]"):
            reader.chunk([payload])
            waits.append(reader.grace_s(1))
        assert waits == [None, None, USAGE_GRACE_S, GRACE_S, GRACE_S]
        assert reader.grace_s(2) == GRACE_S

    def test_all_choices_end_before_nothing_more_is_waited_for(self) -> None:
        reader = ChatReader(HTTP, CHAT)
        reader.chunk([event(HELLO, usage=COUNTS), event(STOPS)])
        assert (reader.grace_s(1), reader.grace_s(2)) == (GRACE_S, None)

    @pytest.mark.parametrize("blank", [b"", b"\xef\xbb\xbf", b": ping\n\n", b"\r\n"])
    def test_stream_in_the_place_of_an_answer_is_folded(self, blank: bytes) -> None:
        events = [event(HELLO), event(STOPS), event(usage=COUNTS), b"[DONE]"]
        body = blank + b"".join(b"data: %b\n\n" % payload for payload in events)
        answer = completion(ChatReader(HTTP, CHAT).read(body))
        assert (text(answer), answer.usage.total_tokens) == ("Hi", 12)

    def test_stream_that_is_cut_in_the_place_of_an_answer_is_unusable(self) -> None:
        with pytest.raises(ProviderError, match="before it was complete"):
            ChatReader(HTTP, CHAT).read(b"data: %b\n\n" % event(HELLO))

    def test_whole_answer_without_a_finish_reason_is_finished(self) -> None:
        assert (
            read('{"choices":[{"message":{"content":"Hi"}}]}').choices[0].finish_reason
            == pb.FINISH_REASON_STOP
        )


class TestOneEnd:
    def test_finish_reason_that_comes_twice_is_one(self) -> None:
        reader, reasons = ChatReader(HTTP, CHAT), []
        for payload in (event(HELLO), event(STOPS), event(said(finish="length"), usage=COUNTS), b"[DONE]"):
            chunk, _ = reader.chunk([payload])
            reasons += [delta.finish_reason for delta in chunk.choices] if chunk is not None else []
        assert [reason for reason in reasons if reason] == [pb.FINISH_REASON_STOP]
        assert reader.usage is not None

    @pytest.mark.parametrize("finish", [None, "", "stop"])
    def test_whole_answer_to_a_stream_request_needs_no_finish_reason(self, finish: Any) -> None:
        reader = ChatReader(HTTP, CHAT)
        choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": finish}
        payloads = [*reader.frames.feed(event(choice)), *reader.frames.rest()]
        answer = streamed(*payloads, reader=reader)
        assert (text(answer), answer.choices[0].finish_reason) == ("Hi", pb.FINISH_REASON_STOP)

    def test_first_piece_of_a_stream_is_no_whole_answer(self) -> None:
        reader = ChatReader(HTTP, CHAT)
        payloads = [*reader.frames.feed(event(HELLO)), *reader.frames.rest()]
        with pytest.raises(ProviderError, match="before it was complete"):
            streamed(*payloads, reader=reader)

    @pytest.mark.parametrize("finish", [None, "tool_calls"])
    def test_call_without_a_name_is_booked_by_its_answer(self, finish: Any) -> None:
        message = {"tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]}
        with pytest.raises(ProviderError, match="without naming it") as failure:
            read(event({"message": message, "finish_reason": finish}, usage=COUNTS).decode())
        assert failure.value.usage is not None
        assert failure.value.usage.output_tokens == COUNTS["completion_tokens"]
