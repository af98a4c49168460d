"""`genai-spine rag collections`: list, create, show, documents, delete."""

from typing import Annotated, Any, Literal

import typer

from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Tenant,
    harmless,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.v1 import rag_service_pb2 as pb
from genai_spine.v1.rag_pb2 import RagChunking
from genai_spine.v1.rag_service_pb2_grpc import RagServiceStub

COLUMNS = (firm("name"), number("documents"), number("chunks"), Column("embedded by"), Column("description"))
DOCUMENTS = (firm("id"), Column("name"), number("pages"), number("chunks"), firm("type"))

collections = typer.Typer(
    no_args_is_help=True, help="Collections of documents: list, create, show, documents, delete."
)

Name = Annotated[str, typer.Argument(help="Name or id of a collection.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="Most to show.")]
Strategy = Literal["semantic", "structure", "fixed", "speaker"]


@collections.command("list")
def list_collections(
    limit: Limit = 100,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List collections by their names."""
    request = pb.ListCollectionsRequest(page_size=limit, page_token=page_token)
    found = run(_asked(address, tenant, "ListCollections", request))
    if as_json:
        print_listing("collections", list(found.collections), next_page_token=found.next_page_token)
        return
    rows = [
        (
            one.name,
            str(one.document_count),
            str(one.chunk_count),
            f"{one.embedding_provider}:{one.embedding_model}",
            one.description,
        )
        for one in found.collections
    ]
    show_table(COLUMNS, rows)


@collections.command()
def create(
    name: Annotated[str, typer.Argument(help="Its name: lower-case letters, digits, dots and dashes.")],
    description: Annotated[str | None, typer.Option(help="What it holds.")] = None,
    embedding_model: Annotated[str | None, typer.Option(help="Model that embeds; it stays.")] = None,
    embedding_provider: Annotated[str | None, typer.Option(help="Provider of that model.")] = None,
    strategy: Annotated[Strategy, typer.Option(help="How documents are cut.")] = "semantic",
    max_tokens: Annotated[int, typer.Option(min=16, max=8000, help="Most tokens of a chunk.")] = 400,
    overlap_tokens: Annotated[int, typer.Option(min=0, max=4000, help="Tokens that chunks share.")] = 0,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a collection."""
    chunking = RagChunking(strategy=strategy, max_tokens=max_tokens, overlap_tokens=overlap_tokens)
    collection = pb.Collection(
        name=name,
        description=description,
        embedding_model=embedding_model,
        embedding_provider=embedding_provider,
        chunking=chunking,
    )
    request = pb.CreateCollectionRequest(collection=collection)
    _show(run(_asked(address, tenant, "CreateCollection", request)), as_json=as_json)


@collections.command()
def show(
    name: Name, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Show a collection."""
    request = pb.GetCollectionRequest(collection=name)
    _show(run(_asked(address, tenant, "GetCollection", request)), as_json=as_json)


@collections.command()
def documents(
    name: Name,
    limit: Limit = 100,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List the documents of a collection."""
    request = pb.ListDocumentsRequest(collection=name, page_size=limit, page_token=page_token)
    found = run(_asked(address, tenant, "ListDocuments", request))
    if as_json:
        print_listing("documents", list(found.documents), next_page_token=found.next_page_token)
        return
    rows = [
        (
            one.id,
            one.name,
            str(one.page_count) if one.HasField("page_count") else "",
            str(one.chunk_count),
            one.media_type,
        )
        for one in found.documents
    ]
    show_table(DOCUMENTS, rows)


@collections.command()
def delete(
    name: Name,
    document: Annotated[str | None, typer.Option(help="Id of a document: delete that alone.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Delete a collection with all that is in it, or one of its documents."""
    what = f"document {document} of {name}" if document else f"collection {name} with its documents"
    if not yes:
        typer.confirm(f"delete {what}?", abort=True)
    if document:
        gone = pb.DeleteDocumentRequest(collection=name, document_id=document)
        run(_asked(address, tenant, "DeleteDocument", gone))
    else:
        run(_asked(address, tenant, "DeleteCollection", pb.DeleteCollectionRequest(collection=name)))
    typer.echo(harmless(f"{what} is deleted"))


def _show(found: pb.Collection, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    chunking = found.chunking
    typer.echo(harmless(f"{found.name}  {found.id}"))
    if found.description:
        typer.echo(harmless(found.description))
    typer.echo(f"{found.document_count} documents, {found.chunk_count} chunks")
    typer.echo(harmless(f"embedded by {found.embedding_provider}:{found.embedding_model}"))
    typer.echo(f"cut by {chunking.strategy}, {chunking.max_tokens} tokens, overlap {chunking.overlap_tokens}")


async def _asked(address: str, tenant: str | None, method: str, request: Any) -> Any:
    """Answer of a method of RagService."""
    async with connected(address, tenant) as channel:
        return await getattr(RagServiceStub(channel), method)(request)
