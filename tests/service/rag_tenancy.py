"""Collections as another tenant tries to reach them."""

from typing import Any

from google.protobuf.message import Message

from genai_spine.v1 import rag_pb2 as rag
from genai_spine.v1 import rag_service_pb2 as pb

TEXT = rag.RagDocumentSource(name="x", text="x")
DOCUMENT = "01a22ee7-ca26-7f30-8b47-de8e172425f5"  # of nobody


def collection(name: str) -> Message:
    """Collection that a tenant makes."""
    return pb.CreateCollectionRequest(collection=pb.Collection(name=name, embedding_model="builtin:hashing"))


BY_ID: dict[str, list[Any]] = {
    f"RagService/{name}": [("collection", request)]
    for name, request in {
        "GetCollection": lambda id: pb.GetCollectionRequest(collection=id),
        "UpdateCollection": lambda id: pb.UpdateCollectionRequest(
            collection=id, settings=pb.Collection(description="x")
        ),
        "IngestDocuments": lambda id: pb.IngestDocumentsRequest(collection=id, documents=[TEXT]),
        "ListDocuments": lambda id: pb.ListDocumentsRequest(collection=id),
        "GetDocument": lambda id: pb.GetDocumentRequest(collection=id, document_id=DOCUMENT),
        "DeleteDocument": lambda id: pb.DeleteDocumentRequest(collection=id, document_id=DOCUMENT),
        "ListChunks": lambda id: pb.ListChunksRequest(collection=id, document_id=DOCUMENT),
        "Retrieve": lambda id: rag.RetrieveRequest(collection=id, query="x"),
        "AnswerQuery": lambda id: rag.AnswerQueryRequest(collection=id, query="x"),
        "DeleteCollection": lambda id: pb.DeleteCollectionRequest(collection=id),
    }.items()
}
