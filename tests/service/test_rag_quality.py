"""Retrieval quality on a fixed corpus: recall at 5 of hybrid retrieval, and of each of its parts."""

from genai_spine.v1 import rag_pb2 as rag
from genai_spine.v1 import rag_service_pb2 as pb
from genai_spine.v1 import rag_service_pb2_grpc
from tests.service.passages import passages, questions
from tests.service.running import Upstreams, running

WEIGHTS = {"hybrid": 0.3, "vectors": 0.0, "words": 1.0}
AT = 5


async def test_hybrid_retrieval_is_at_least_as_good_as_each_part(upstreams: Upstreams, database_url: str):
    async with running(upstreams, database_url) as service:
        client = rag_service_pb2_grpc.RagServiceStub(service.channel)
        made = pb.Collection(name="corpus", embedding_model="builtin:hashing")
        await client.CreateCollection(pb.CreateCollectionRequest(collection=made))
        sources = [rag.RagDocumentSource(name=name, text=text) for name, text in passages().items()]
        assert len(sources) == 200
        for start in range(0, len(sources), 100):
            asked = pb.IngestDocumentsRequest(collection="corpus", documents=sources[start : start + 100])
            asked.wait.seconds = 300
            assert (await client.IngestDocuments(asked)).status == "completed"
        recall = dict.fromkeys(WEIGHTS, 0.0)
        asked_of = list(questions())
        assert len(asked_of) == 100
        for question in asked_of:
            for name, weight in WEIGHTS.items():
                request = rag.RetrieveRequest(
                    collection="corpus", query=question.text, top_k=AT, keyword_weight=weight
                )
                found = (await client.Retrieve(request)).sources
                recall[name] += any(one.document_name == question.passage for one in found) / len(asked_of)
    print(f"recall at {AT}: " + ", ".join(f"{name} {share:.2f}" for name, share in recall.items()))
    assert recall["hybrid"] >= 0.8
    assert recall["hybrid"] >= max(recall.values())
