"""Call headers: those that are what they should be are read, the others count as not sent."""

import pytest

from genai_spine.call import Principal
from genai_spine.edge.call_headers import chosen, client_retries, correlation_id, read_timeout_s, trace
from genai_spine.errors import InvalidRequest

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class TestTrace:
    @pytest.mark.parametrize(
        ("parent", "state"),
        [
            (PARENT, None),
            (PARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            (PARENT, "a@b/c*d-e_f=1 2"),
            (PARENT.replace("00-", "01-", 1), None),
            (PARENT.replace("00-", "cc-", 1) + "-what-comes-next", "a=1"),
        ],
    )
    def test_trace_is_sent_on_as_it_came(self, parent: str, state: str | None) -> None:
        came = [("accept", "*/*"), ("traceparent", parent), *([("tracestate", state)] if state else [])]
        assert trace(came) == tuple(came[1:])

    @pytest.mark.parametrize(
        "parent",
        [
            "",
            "00",
            PARENT + "-more",
            PARENT.upper(),
            PARENT.replace("00-", "ff-", 1),
            "00-" + "0" * 32 + "-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
            PARENT + "\r\nx-admin: 1",
            f"{PARENT},{PARENT}",
            PARENT + "\n",
        ],
    )
    def test_trace_that_is_none_is_not_sent_on(self, parent: str) -> None:
        assert trace([("traceparent", parent), ("tracestate", "a=1")]) == ()

    def test_two_parents_are_none(self) -> None:
        assert trace([("traceparent", PARENT), ("traceparent", PARENT)]) == ()

    @pytest.mark.parametrize(
        "state", ["", " , ", "a", "A=1", "a=\x00", "a=b=c", "a=1,é=2", ",".join(["a=1"] * 33)]
    )
    def test_state_that_is_none_is_left_out(self, state: str) -> None:
        assert trace([("traceparent", PARENT), ("tracestate", state)]) == (("traceparent", PARENT),)

    def test_states_of_several_headers_are_one(self) -> None:
        came = [("tracestate", "a=1"), ("traceparent", PARENT), ("tracestate", "b=2 , c=3")]
        assert trace(came) == (("traceparent", PARENT), ("tracestate", "a=1,b=2,c=3"))


@pytest.mark.parametrize(
    ("timeout", "read_timeout", "seconds"),
    [
        ("600", None, 600.0),
        (None, "600", 600.0),
        (None, "0.25", 0.25),
        ("20", "30", 20.0),
        ("30", "20.5", 20.5),
        ("90000", None, 3600.0),
        ("90000", "5", 5.0),
        ("soon", "5", 5.0),
        (None, None, None),
        ("0", None, None),
        ("-5", None, None),
        ("inf", "nan", None),
        ("1e3", None, None),
        ("5s", None, None),
        ("²", None, None),
        ("9" * 400, None, None),
        ("None", "NOT_GIVEN", None),
    ],
)
def test_time_of_the_callers_sdk_is_the_least_that_it_says(
    timeout: str | None, read_timeout: str | None, seconds: float | None
) -> None:
    given = {"x-stainless-timeout": timeout, "x-stainless-read-timeout": read_timeout}
    assert read_timeout_s({name: value for name, value in given.items() if value is not None}) == seconds


@pytest.mark.parametrize(
    ("count", "known"),
    [
        *((None, None), ("0", 0), ("1", 1), ("12", 12)),
        *((no_number, None) for no_number in ("-1", "one", "1.5", "٣", "")),
    ],
)
def test_client_retries_count_where_they_are_a_number(count: str | None, known: int | None) -> None:
    assert client_retries({} if count is None else {"x-stainless-retry-count": count}) == known


@pytest.mark.parametrize("tenant", ["a", "acme-2", "a-", "0" * 63])
def test_chosen_tenant_is_that_of_a_caller_without_a_key(tenant: str) -> None:
    assert chosen(tenant) == Principal(tenant_id=tenant)


@pytest.mark.parametrize("tenant", ["", "A", "a.b", "a\n", "ä", "-", "-a", "0" * 64])
def test_chosen_tenant_that_is_none_is_refused(tenant: str) -> None:
    with pytest.raises(InvalidRequest, match="x-tenant-id: must be 1 to 63 of a-z, 0-9 and -"):
        chosen(tenant)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order-7", "order-7"),
        ("a" * 128, "a" * 128),
        ("", None),
        ("a b", None),
        ("a" * 129, None),
        ("é", None),
    ],
)
def test_correlation_id_is_printable_and_short(text: str, expected: str | None) -> None:
    assert correlation_id({"x-correlation-id": text}) == expected
    assert correlation_id({}) is None
