"""Retrieval of a server: its tables, its models, and its service."""

from typing import Any

from genai_spine.catalog.models import Catalog
from genai_spine.errors import SpineError
from genai_spine.inference.inference import Inference
from genai_spine.retrieval.answers import Answers
from genai_spine.retrieval.collections import CollectionLibrary
from genai_spine.retrieval.document_query import DocumentQueries
from genai_spine.retrieval.ingestion import DocumentIngestion
from genai_spine.retrieval.reranking import reranking
from genai_spine.retrieval.search import Retriever
from genai_spine.runs.library import RunLibrary
from genai_spine.security.fetch import Fetcher
from genai_spine.server import outbound
from genai_spine.services.capability import CapabilityService
from genai_spine.services.rag import RagService
from genai_spine.settings import Settings
from genai_spine.store.database import Database
from genai_spine.store.files.files import FileRows
from genai_spine.store.rag.collections import CollectionRows
from genai_spine.store.rag.documents import DocumentRows
from genai_spine.store.rag.postgresql_search import PostgresqlSearch
from genai_spine.store.rag.sqlite_search import SqliteSearch
from genai_spine.store.rag.vectors import ChunkSearch, VectorRows
from genai_spine.v1 import rag_service_pb2
from genai_spine.v1.rag_service_pb2_grpc import add_RagServiceServicer_to_server

FILES = (rag_service_pb2,)
BUILTIN = "builtin"  # provider that embeds where the default one cannot


class Retrieval:
    """Parts of retrieval that no reload replaces."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Parts of the settings' limits and certificates."""
        self.collections, self.documents = CollectionRows(database), DocumentRows(database)
        self.ingestion = DocumentIngestion(
            self.collections,
            self.documents,
            VectorRows(database),
            FileRows(database),
            Fetcher(trust=outbound.trust(settings)),
        )
        self.queries = DocumentQueries(self.ingestion)
        self.search: ChunkSearch = PostgresqlSearch(database)
        if database.dialect == "sqlite":
            self.search = SqliteSearch(database, lambda: settings.rag_matrix_mb << 20)

    def service(
        self, inference: Inference, catalog: Catalog, capabilities: CapabilityService, runs: RunLibrary
    ) -> tuple[Any, Any]:
        """How gRPC adds the service, and the service of one configuration."""
        self.ingestion.embed = inference.embed
        library = CollectionLibrary(self.collections, self.documents, _EmbeddingModels(catalog))
        retriever = Retriever(library, self.search, inference.embed, reranking(inference.complete))
        answers = Answers(retriever, capabilities.Synthesize)
        self.queries.answers, self.queries.embedding_model = answers, library.embedding_model
        service = RagService(library, answers, runs)
        return add_RagServiceServicer_to_server, service


class _EmbeddingModels:
    """Models that embed, by the names that callers give."""

    def __init__(self, catalog: Catalog) -> None:
        self._router = catalog.router

    def __call__(self, provider: str, model: str) -> tuple[str, str]:
        """Provider and model that are kept with a collection. Errors: InvalidRequest, ModelNotFound.

        An alias is kept as it is: its members are the operator's, and so is that they embed alike.
        """
        if model in self._router.aliases:
            self._router.routes(provider, model, embedding=True)
            return provider, model
        try:
            route = self._router.routes(provider, model, embedding=True)[0]
        except SpineError:
            if provider or model or BUILTIN not in self._router.providers:
                raise
            route = self._router.routes(BUILTIN, "", embedding=True)[0]
        return route.provider.name, route.model
