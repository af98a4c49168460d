"""Processes that ingest a document are killed: no batch that has ended is paid again."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from genai_spine.v1 import rag_pb2 as rag
from genai_spine.v1 import rag_service_pb2 as pb
from genai_spine.v1 import run_service_pb2
from genai_spine.v1.rag_service_pb2_grpc import RagServiceStub
from tests.acceptance.test_run_deaths import LEASE_S, Server, maker, servers
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

PARAGRAPHS = 600
BATCH = 64
TEXT = "\n\n".join(f"Paragraph {number} is about subject {number * 7}." for number in range(PARAGRAPHS))


@pytest.fixture
def variables(openai_upstream: UpstreamProcess) -> dict[str, str]:
    openai_upstream.script(default=Reply(["x"], first_delay_s=0.4))
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_LEASE_TTL": str(LEASE_S),
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "0.5",
    }


def batches(upstream: UpstreamProcess) -> Counter[str]:
    """How often each batch was asked for, by its first text."""
    return Counter(entry.body["input"][0] for entry in upstream.bill())


async def ended_steps(server: Server, run_id: str) -> int:
    listed = await server.runs.ListRunEvents(
        run_service_pb2.ListRunEventsRequest(run_id=run_id, page_size=1000)
    )
    assert [event.sequence for event in listed.events] == list(range(1, len(listed.events) + 1))
    return sum(event.event_type == "step_completed" for event in listed.events)


async def test_batches_that_have_ended_are_not_paid_again_whoever_dies(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    async with servers(2, tmp_path, variables, database_url) as found:
        client: Any = RagServiceStub(found[0].channel)
        chunking = rag.RagChunking(max_tokens=16)
        made = pb.Collection(name="long", embedding_model="openai:text-embedding-3-small", chunking=chunking)
        await client.CreateCollection(pb.CreateCollectionRequest(collection=made))
        source = rag.RagDocumentSource(name="long.txt", text=TEXT)
        asked = pb.IngestDocumentsRequest(collection="long", documents=[source])
        run_id = (await client.IngestDocuments(asked)).run_id
        making, other = await maker(found, run_id)

        async def is_between_batches() -> bool:
            return await ended_steps(other, run_id) >= 5

        await until(is_between_batches)
        making.process.kill()
        done, asked_for = await ended_steps(other, run_id), batches(openai_upstream)
        run = await other.wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1), run.error
        [document] = run.response.ingestion.documents
        paid = batches(openai_upstream)
        again = [text for text, count in paid.items() if count > 1]
        assert all(paid[text] <= 2 for text in again)
        assert len(again) <= sum(asked_for.values()) - done, "only what was in flight is asked for again"
        assert len(paid) == -(-document.chunk_count // BATCH)
        client = RagServiceStub(other.channel)
        found_chunks = await client.Retrieve(
            rag.RetrieveRequest(collection="long", query="subject 700", keyword_weight=1.0)
        )
        assert any("subject 700." in one.content for one in found_chunks.sources)
        again_asked = pb.IngestDocumentsRequest(collection="long", documents=[source], wait={"seconds": 60})
        unchanged = await client.IngestDocuments(again_asked)
        assert unchanged.response.ingestion.unchanged == 1
        assert batches(openai_upstream) == paid
