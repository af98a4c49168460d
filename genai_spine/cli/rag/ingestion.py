"""`genai-spine rag ingest`: files into a collection, as runs that are watched."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import grpc
import typer

from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    Tenant,
    complain,
    counted,
    fail,
    harmless,
    print_json,
    run,
)
from genai_spine.cli.runs.asked import exit_status, pairs
from genai_spine.cli.runs.progress_view import View, ending
from genai_spine.cli.runs.watching import Watch, watched
from genai_spine.v1 import rag_service_pb2 as pb
from genai_spine.v1.provider_file_service_pb2 import UploadFileRequest
from genai_spine.v1.provider_file_service_pb2_grpc import ProviderFileServiceStub
from genai_spine.v1.rag_pb2 import IngestionResult, RagDocumentSource
from genai_spine.v1.rag_service_pb2_grpc import RagServiceStub
from genai_spine.v1.run_pb2 import Run

MAX_INLINE_BYTES = 4 << 20  # of a file; a larger one is uploaded first
MAX_REQUEST_BYTES = 12 << 20  # of the files of a run
MAX_DOCUMENTS = 100  # of a run
KINDS = {".pdf", ".docx", ".html", ".htm", ".md", ".markdown", ".txt", ".rst", ".csv", ".log"}  # of folders


def ingest(
    collection: Annotated[str, typer.Argument(help="Name or id of a collection.")],
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders of PDF, DOCX, HTML and texts.")],
    create: Annotated[bool, typer.Option("--create", help="Make the collection if it is not there.")] = False,
    embedding_model: Annotated[
        str | None, typer.Option(help="With --create: model that embeds. It stays.")
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", help="What is known of all of them, as name=text.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Submit it, and do not watch.")] = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Read, cut, embed and store files; what is there already costs nothing.

    Ctrl-C leaves it running. Exit status: 0 completed, 1 a file could not be read, 3 failed, 4 cancelled.
    """
    files = list(_files(paths))
    if not files:
        fail("there is no file to ingest")
    if create:
        run(_created(address, tenant, pb.Collection(name=collection, embedding_model=embedding_model)))
    known = pairs(metadata or [], "--metadata")
    status = 0
    for group in _groups(files):
        made: Run = run(_submitted(address, tenant, collection, group, known))
        if detach:
            print_json(made) if as_json else typer.echo(ending(made))
            continue
        if not as_json:
            complain(f"run {made.run_id}, {counted(len(group), 'file')}")
        ended = watched(Watch(address, tenant, made.run_id), View(as_json=as_json))
        _show(ended.response.ingestion, as_json=as_json)
        status = max(status, exit_status(ended) or int(ended.response.ingestion.failed > 0))
    raise typer.Exit(status)


def _files(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Files with their names: those of a folder are named by their paths in it."""
    for path in paths:
        if path.is_dir():
            found = (one for one in sorted(path.rglob("*")) if one.suffix.lower() in KINDS and one.is_file())
            yield from ((one.relative_to(path).as_posix(), one) for one in found)
        elif path.is_file():
            yield path.name, path
        else:
            fail(f"{path} is no file")


def _groups(files: Sequence[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    """Files of one run each."""
    group: list[tuple[str, Path]] = []
    size = 0
    for name, path in files:
        more = min(path.stat().st_size, MAX_INLINE_BYTES)
        if group and (len(group) == MAX_DOCUMENTS or size + more > MAX_REQUEST_BYTES):
            yield group
            group, size = [], 0
        group.append((name, path))
        size += more
    yield group


async def _submitted(
    address: str,
    tenant: str | None,
    collection: str,
    group: Sequence[tuple[str, Path]],
    metadata: dict[str, str],
) -> Run:
    request = pb.IngestDocumentsRequest(collection=collection)
    request.options.trigger_source = "cli"
    async with connected(address, tenant) as channel:
        for name, path in group:
            source = RagDocumentSource(name=name, metadata=metadata)
            data = path.read_bytes()
            if len(data) <= MAX_INLINE_BYTES:
                source.data = data
            else:
                upload = UploadFileRequest(provider="spine", filename=name, data=data, purpose="user_data")
                source.file_id = (await ProviderFileServiceStub(channel).UploadFile(upload)).id
            request.documents.append(source)
        made: Run = await RagServiceStub(channel).IngestDocuments(request)
        return made


async def _created(address: str, tenant: str | None, collection: pb.Collection) -> None:
    """Makes a collection; one of that name may be there."""
    async with connected(address, tenant) as channel:
        try:
            await RagServiceStub(channel).CreateCollection(pb.CreateCollectionRequest(collection=collection))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise


def _show(result: IngestionResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for one in result.documents:
        about = one.error or f"{counted(one.chunk_count, 'chunk')}, {one.embedded_chunks} embedded"
        typer.echo(harmless(f"{one.status:<10} {one.name}  {about}"))
