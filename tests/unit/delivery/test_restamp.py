"""What a caller is told of an answer that another call paid for."""

from genai_spine.call import Call
from genai_spine.delivery.restamp import Restamp
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2

PAID = usage_pb2.Cost(cost_usd=0.5, cost_ticks=5 * 10**9, price_known=True, price_book="2026-11")


def test_completion_has_its_own_ids_and_costs_nothing() -> None:
    answer = pb.Completion(
        id="comp_1", request_id="first", execution_id="row", cost=PAID, create_time={"seconds": 7}
    )
    answer.usage.total_tokens = 9
    restamped = Restamp(Call(request_id="second"), pb.CACHE_STATUS_HIT).restamped(answer)
    assert restamped.id.startswith("comp_")
    assert len(restamped.id) == len("comp_") + 24
    assert restamped.id != "comp_1"
    assert (restamped.request_id, restamped.execution_id, restamped.create_time.seconds) == (
        "second",
        "row",
        7,
    )
    assert restamped.cost == usage_pb2.Cost(price_known=True, price_book="2026-11")
    assert restamped.usage.total_tokens == 9
    assert restamped.cache_status == pb.CACHE_STATUS_HIT


def test_chunks_of_one_call_share_an_id_and_only_the_last_says_what_was_spent() -> None:
    restamp = Restamp(Call(request_id="second"), pb.CACHE_STATUS_COALESCED)
    first = restamp.restamped(pb.CompletionChunk(id="comp_1", request_id="first"))
    last = restamp.restamped(pb.CompletionChunk(id="comp_1", request_id="first", cost=PAID, latency_ms=9))
    assert first.id == last.id == restamp.id
    assert (first.request_id, first.cache_status) == ("second", 0)
    assert not first.HasField("cost")
    assert not first.HasField("latency_ms")
    assert (last.cost.cost_ticks, last.cost.price_known) == (0, True)
    assert last.cache_status == pb.CACHE_STATUS_COALESCED


def test_price_that_was_not_known_is_known_to_be_nothing_now() -> None:
    answer = pb.CreateEmbeddingsResponse(request_id="first", cost=usage_pb2.Cost())
    restamped = Restamp(Call(request_id="second"), pb.CACHE_STATUS_HIT).restamped(answer)
    assert (restamped.cost.price_known, restamped.request_id) == (True, "second")


def test_two_calls_get_two_ids() -> None:
    assert Restamp(Call(), pb.CACHE_STATUS_HIT).id != Restamp(Call(), pb.CACHE_STATUS_HIT).id
