"""Ids of the rows of a batch."""

from uuid import UUID

from genai_spine.inference.batch_settlement import row_id
from genai_spine.v1 import provider_batch_service_pb2 as pb

BATCH = pb.ProviderBatch(id="batch_1", times=pb.BatchTimes(create_time={"seconds": 1763683200}))


def test_a_lines_id_is_the_same_for_whoever_makes_it() -> None:
    first = row_id("openai", BATCH, "a")
    assert first == row_id("openai", pb.ProviderBatch(id="batch_1", times=BATCH.times), "a")
    found = UUID(first)
    assert (found.version, found.variant) == (8, UUID("0" * 8 + "-0000-8000-8000-000000000000").variant)
    assert found.int >> 80 == 1763683200_000, "rows stand in the order of time"


def test_lines_batches_and_providers_have_ids_of_their_own() -> None:
    other = pb.ProviderBatch(id="batch_2", times=BATCH.times)
    ids = [
        *(row_id("openai", BATCH, str(number)) for number in range(1000)),
        row_id("azure", BATCH, "0"),
        row_id("openai", other, "0"),
    ]
    assert len(set(ids)) == len(ids)
