"""Library of collections and their documents, as their tenant sees them."""

from collections.abc import Callable
from dataclasses import dataclass

from genai_spine import page_tokens
from genai_spine.errors import CollectionNotFound, DocumentNotFound, EtagMismatch, InvalidFields
from genai_spine.store.rag.collections import CollectionRows, StoredCollection
from genai_spine.store.rag.documents import DocumentRows
from genai_spine.v1 import rag_service_pb2 as pb
from genai_spine.v1.rag_pb2 import RagChunking

DEFAULT_PAGE = 100
CHANGEABLE = ("name", "description", "metadata", "chunking")
DEFAULT_CHUNKING = RagChunking(strategy="semantic", max_tokens=400, overlap_tokens=0)

# Provider and model that would embed, by their names as a caller gave them; empty: the default.
EmbeddingModel = Callable[[str, str], tuple[str, str]]


@dataclass(slots=True)
class CollectionLibrary:
    """Collections of all tenants; each method is about those of one."""

    rows: CollectionRows
    documents: DocumentRows
    embedding_model: EmbeddingModel

    async def found(self, key: str, tenant_id: str) -> StoredCollection:
        """Collection by its id or name. Errors: CollectionNotFound, VectorStoreUnavailable."""
        await self.rows.check_vectors()
        found = await self.rows.get(tenant_id, key)
        if found is None:
            raise CollectionNotFound(collection=key)
        return found

    async def create(self, given: pb.Collection, tenant_id: str, principal: str) -> pb.Collection:
        """New collection; its embedding model is that of now, whatever the default becomes later.

        Errors: InvalidFields, Conflict (its name), ModelNotFound, VectorStoreUnavailable.
        """
        await self.rows.check_vectors()
        if not given.name:
            raise InvalidFields([("collection.name", "must be set")])
        collection = pb.Collection(created_by=principal)
        for field in ("name", "description", "dimensions"):
            if given.HasField(field):
                setattr(collection, field, getattr(given, field))
        collection.metadata.update(given.metadata)
        collection.chunking.CopyFrom(_chunking(given.chunking))
        named = self.embedding_model(given.embedding_provider, given.embedding_model)
        collection.embedding_provider, collection.embedding_model = named
        await self.rows.insert(tenant_id, collection)
        return collection

    async def page(self, request: pb.ListCollectionsRequest, tenant_id: str) -> pb.ListCollectionsResponse:
        """Page of collections, by their names. Errors: InvalidFields, VectorStoreUnavailable."""
        await self.rows.check_vectors()
        size = page_tokens.size(request, DEFAULT_PAGE)
        (after,) = page_tokens.place(request, str) or ("",)
        found = await self.rows.page(tenant_id, after, size + 1)
        response = pb.ListCollectionsResponse(collections=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].name)
        return response

    async def update(self, request: pb.UpdateCollectionRequest, tenant_id: str) -> pb.Collection:
        """Other settings. Errors: InvalidFields, CollectionNotFound, Conflict (its name), EtagMismatch."""
        given = request.settings
        named = [field.name for field, _ in given.ListFields() if field.name in CHANGEABLE]
        paths = list(request.update_mask.paths) or named
        if unknown := [path for path in paths if path not in (*CHANGEABLE, "*")]:
            raise InvalidFields([("update_mask", f"'{unknown[0]}' is no field that can be changed")])
        stored = (await self.found(request.collection, tenant_id)).collection
        etag = stored.etag
        if given.HasField("etag") and given.etag != etag:
            raise EtagMismatch(resource=f"collection '{stored.name}'", etag=etag)
        for path in CHANGEABLE if "*" in paths else paths:
            _take_over(path, given, stored)
        return await self.rows.update(stored, etag)

    async def delete(self, request: pb.DeleteCollectionRequest, tenant_id: str) -> None:
        """Deletes a collection with all that is in it. Errors: CollectionNotFound, EtagMismatch."""
        await self.rows.check_vectors()
        etag = request.etag if request.HasField("etag") else None
        await self.rows.delete(tenant_id, request.collection, etag)

    async def documents_page(
        self, request: pb.ListDocumentsRequest, tenant_id: str
    ) -> pb.ListDocumentsResponse:
        """Page of documents, by their names. Errors: InvalidFields, CollectionNotFound."""
        stored = await self.found(request.collection, tenant_id)
        size = page_tokens.size(request, DEFAULT_PAGE)
        (after,) = page_tokens.place(request, str) or ("",)
        found = await self.documents.page(stored.id, after, size + 1)
        response = pb.ListDocumentsResponse(documents=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].name)
        return response

    async def document(self, key: str, document_id: str, tenant_id: str) -> pb.RagDocument:
        """One document. Errors: CollectionNotFound, DocumentNotFound."""
        stored = await self.found(key, tenant_id)
        found = await self.documents.get(stored.id, document_id)
        if found is None:
            raise DocumentNotFound(document=document_id)
        return found

    async def delete_document(self, key: str, document_id: str, tenant_id: str) -> None:
        """Deletes a document with its chunks. Errors: CollectionNotFound, DocumentNotFound."""
        stored = await self.found(key, tenant_id)
        if not await self.documents.delete(stored.id, document_id):
            raise DocumentNotFound(document=document_id)

    async def chunks_page(self, request: pb.ListChunksRequest, tenant_id: str) -> pb.ListChunksResponse:
        """Page of chunks, in their order. Errors: InvalidFields, CollectionNotFound, DocumentNotFound."""
        document = await self.document(request.collection, request.document_id, tenant_id)
        size = page_tokens.size(request, DEFAULT_PAGE)
        place = page_tokens.place(request, page_tokens.NUMBER)
        found = await self.documents.chunks(document.id, place[0] if place else -1, size + 1)
        response = pb.ListChunksResponse(chunks=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].number)
        return response


def _take_over(path: str, given: pb.Collection, stored: pb.Collection) -> None:
    """Writes one field of a change into a collection. Errors: InvalidFields."""
    if path == "chunking":
        stored.chunking.CopyFrom(_chunking(given.chunking, "settings"))
        return
    if path == "name" and not given.name:
        raise InvalidFields([("settings.name", "must be set")])
    stored.ClearField(path)
    if path == "metadata":
        stored.metadata.update(given.metadata)
    elif given.HasField(path):
        setattr(stored, path, getattr(given, path))


def _chunking(given: RagChunking, of: str = "collection") -> RagChunking:
    """Chunking with its defaults. of: field that it is in. Errors: InvalidFields."""
    found = RagChunking()
    found.CopyFrom(DEFAULT_CHUNKING)
    found.MergeFrom(given)
    if found.overlap_tokens >= found.max_tokens:
        raise InvalidFields([(f"{of}.chunking.overlap_tokens", "must be less than max_tokens")])
    return found
