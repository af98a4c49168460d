"""`genai-spine rag`: documents ingested into collections, and questions answered from them."""

from typing import Annotated, Any

import typer

from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    Tenant,
    Waiting,
    complain,
    harmless,
    print_json,
    run,
)
from genai_spine.cli.rag.collections import collections
from genai_spine.cli.rag.ingestion import ingest
from genai_spine.v1 import rag_pb2
from genai_spine.v1.rag_service_pb2_grpc import RagServiceStub

EXCERPT = 200  # characters of a source that are shown

group = typer.Typer(no_args_is_help=True, help="Answers from documents: ingest, ask, search, collections.")
group.command()(ingest)
group.add_typer(collections, name="collections")

Collection = Annotated[str, typer.Argument(help="Name or id of a collection.")]
TopK = Annotated[int, typer.Option(min=1, max=100, help="Most passages to look at.")]
Weight = Annotated[
    float | None, typer.Option(min=0, max=1, help="Share of the words in the relevance. Default: 0.3.")
]
Rerank = Annotated[bool, typer.Option("--rerank", help="Let a model put the passages in order once more.")]


@group.command()
def ask(
    collection: Collection,
    question: Annotated[str, typer.Argument(help="The question.")],
    top_k: TopK = 5,
    keyword_weight: Weight = None,
    rerank: Rerank = False,
    model: Annotated[str | None, typer.Option(help="Model that answers.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider that answers.")] = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Answer a question from a collection, with the passages that prove it."""
    request = rag_pb2.AnswerQueryRequest(
        collection=collection,
        query=question,
        top_k=top_k,
        keyword_weight=keyword_weight,
        rerank=rerank,
        model=model,
        provider=provider,
    )
    with Waiting("reading"):
        found: rag_pb2.AnswerQueryResponse = run(_asked(address, tenant, "AnswerQuery", request))
    if as_json:
        print_json(found)
        return
    typer.echo(harmless(found.answer or "The collection holds no answer."))
    for one in found.citations:
        page = f", page {one.page}" if one.HasField("page") else ""
        quote = f': "{one.quote}"' if one.quote else ""
        typer.echo(harmless(f"  [{one.source_number}] {one.document_name}{page}{quote}"))
    if not found.provider:
        return
    cost = f"{found.cost.cost_usd:.6f} USD" if found.cost.price_known else "cost unknown"
    complain(f"{found.provider}:{found.model}, {len(found.sources)} passages, {cost}")


@group.command()
def search(
    collection: Collection,
    query: Annotated[str, typer.Argument(help="What is looked for.")],
    top_k: TopK = 5,
    keyword_weight: Weight = None,
    rerank: Rerank = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Find the passages that a query is about."""
    request = rag_pb2.RetrieveRequest(
        collection=collection, query=query, top_k=top_k, keyword_weight=keyword_weight, rerank=rerank
    )
    found = run(_asked(address, tenant, "Retrieve", request))
    if as_json:
        print_json(found)
        return
    for one in found.sources:
        page = f", page {one.first_page}" if one.HasField("first_page") else ""
        typer.echo(harmless(f"[{one.number}] {one.relevance_score:.2f}  {one.document_name}{page}"))
        typer.echo(harmless(f"    {' '.join(one.content.split())[:EXCERPT]}"))


async def _asked(address: str, tenant: str | None, method: str, request: Any) -> Any:
    """Answer of a method of RagService."""
    async with connected(address, tenant) as channel:
        return await getattr(RagServiceStub(channel), method)(request)
