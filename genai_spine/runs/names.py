"""Names of work: kind and name to the request that Work holds, and back.

Every member of Work is a task of its own name, genai.summarize; further names are those of older dispatchers.
The prefix genai. may be left out, and task:summarize is the kind and the name in one. A name without a kind
is a task, or of whatever kind has it where no task does.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default as DescriptorPool
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from genai_spine.errors import InvalidFields, WorkNotFound
from genai_spine.v1 import rag_service_pb2
from genai_spine.v1.message_pb2 import ROLE_USER
from genai_spine.v1.pipeline_pb2 import PipelineWork
from genai_spine.v1.run_service_pb2 import CreateRunRequest
from genai_spine.v1.work_pb2 import Work

PREFIX = "genai."
KINDS = {"operation": "pipeline"}  # kinds by their other name
MEMBERS = tuple(field.name for field in Work.DESCRIPTOR.oneofs[0].fields)
BATCH = "batch"
PIPELINE = "pipeline"
STEP = "step"  # kind of a task that is a part of another run
SCOPES = {"ingestion": "rag:write", "document_query": "rag:write"}  # of work that no method does at once
BATCH_OPTIONS = (
    *("max_concurrency", "max_failures", "is_sequential", "reuse_results_of"),
    *("provider_batch", "provider_batch_fallback", "provider_batch_pull_back_s"),
)
# Services whose methods do the work, besides RagService.
SERVICES = ("Completion", "Capability", "Media", "Prompt", "Session", "Symbol")

Params = Mapping[str, Any]


class Name(NamedTuple):
    """Kind and canonical name of work."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def of_params(member: str) -> Callable[[Params], Work]:
    """Reads params as the fields of a member's request."""

    def read(params: Params) -> Work:
        work = Work()
        _parse(params, getattr(work, member))
        getattr(work, member).SetInParent()
        return work

    return read


def completion(params: Params) -> Work:
    """Completion of a plain prompt text, beside what CreateCompletionRequest has itself."""
    fields = dict(params)
    work = Work()
    if isinstance(text := fields.get("prompt"), str):
        del fields["prompt"]
        work.completion.messages.add(role=ROLE_USER).content.add(text=text)
    _parse(fields, work.completion)
    return work


def embeddings(params: Params) -> Work:
    """Embeddings of texts."""
    fields = dict(params)
    texts = fields.pop("texts", None)
    if isinstance(texts, list):
        fields["inputs"] = [{"text": text} for text in texts]
    return of_params("embeddings")(fields)


def batch_of(member: str) -> Callable[[Params], Work]:
    """Reads texts, what the batch takes, and what each item's request takes: one item a text."""

    def read(params: Params) -> Work:
        fields = dict(params)
        texts = fields.pop("texts", None)
        if not isinstance(texts, list) or not texts:
            raise InvalidFields([("params.texts", "must be a list of at least one text")])
        work = of_params(BATCH)({name: fields.pop(name) for name in BATCH_OPTIONS if name in fields})
        of_each = Work()
        _parse(fields, getattr(of_each, member))
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise InvalidFields([(f"params.texts[{place}]", "must be a text")])
            request = getattr(work.batch.items.add().work, member)
            request.CopyFrom(getattr(of_each, member))
            if member == "embeddings":
                request.inputs.add(text=text)
            else:
                request.content = text
        return work

    return read


def rag_pipeline(params: Params) -> Work:
    """Question to documents: each an id of a file, an https address, or {name, content}.

    Errors: InvalidFields, which names a document that is none of these.
    """
    fields = dict(params)
    given = fields.pop("documents", None)
    if not isinstance(given, list) or not given:
        raise InvalidFields([("params.documents", "must be a list of at least one document")])
    work = of_params("document_query")(fields)
    for place, one in enumerate(given):
        source = work.document_query.documents.add(name=str(place))
        if isinstance(one, dict) and isinstance(one.get("content"), str):
            source.name, source.text = str(one.get("name") or place), one["content"]
        elif isinstance(one, dict):
            _parse(one, source)
        elif isinstance(one, str) and one.startswith("https://"):
            source.url = source.name = one
        elif isinstance(one, str) and one.startswith("file-"):
            source.file_id = source.name = one
        else:
            problem = f"{str(one)[:80]!r} is no id of a file, no https address and no {{name, content}}"
            raise InvalidFields([(f"params.documents[{place}]", problem)])
    return work


def execute_prompt(params: Params) -> Work:
    """Execution of a prompt by its id or slug."""
    fields = dict(params)
    if "slug" in fields:
        fields["prompt_slug"] = fields.pop("slug")
    return of_params("execute_prompt")(fields)


# What a name stands for, by kind and name: reads params, and makes the work of them.
NAMES: dict[Name, Callable[[Params], Work]] = {
    **{
        Name("task", PREFIX + member): of_params(member)
        for member in MEMBERS
        if member not in (BATCH, PIPELINE)
    },
    Name("workflow", PREFIX + BATCH): of_params(BATCH),
    Name("workflow", "genai.batch_summarize"): batch_of("summarize"),
    Name("workflow", "genai.batch_extract"): batch_of("extract"),
    Name("workflow", "genai.batch_embed"): batch_of("embeddings"),
    Name("task", "genai.completion"): completion,
    Name("task", "genai.embeddings"): embeddings,
    Name("task", "genai.embed"): embeddings,
    Name("task", "genai.execute_prompt"): execute_prompt,
    Name(PIPELINE, "genai.rag_pipeline"): rag_pipeline,
}


def canonical(kind: str, name: str) -> Name:
    """Kind and name as runs have them; a prefix of the name (task:summarize) goes before the kind."""
    prefix, colon, rest = name.partition(":")
    if colon:
        kind, name = prefix, rest
    kind = KINDS.get(kind, kind) or "task"
    return Name(kind, PREFIX + name.removeprefix(PREFIX))


def resolve(request: CreateRunRequest) -> tuple[Name, Work]:
    """Name and work of a request. Errors: WorkNotFound, InvalidFields."""
    if request.HasField("work"):
        member = request.work.WhichOneof("request")
        if member is None:
            raise InvalidFields([("work", "must hold one request")])
        return of_work(request.work), request.work
    if not request.name:
        raise InvalidFields([("work", "must be set, or name")])
    name = canonical(request.kind, request.name)
    if not request.kind and ":" not in request.name and name not in NAMES:
        name = next((known for known in NAMES if known.name == name.name), name)
    if name.kind == PIPELINE and name not in NAMES:
        return name, pipeline(name.name.removeprefix(PREFIX), request.params)
    if (read := NAMES.get(name._replace(kind="task") if name.kind == STEP else name)) is None:
        known = ", ".join(str(one) for one in sorted(NAMES))
        raise WorkNotFound(kind=name.kind, name=name.name, known=known)
    return name, read(json_format.MessageToDict(request.params))


def of_work(work: Work) -> Name:
    """Kind and name of work that is given as itself."""
    member = work.WhichOneof("request") or ""
    if member == PIPELINE:
        name = work.pipeline.pipeline_name or work.pipeline.definition.name
        return Name(PIPELINE, PREFIX + name)
    return Name("workflow" if member == BATCH else "task", PREFIX + member)


def pipeline(name: str, params: Struct) -> Work:
    """Execution of a pipeline that is there; params: what it begins with."""
    return Work(pipeline=PipelineWork(pipeline_name=name, input_data=params))


def request_of(work: Any) -> Message:
    """Request that work holds, of Work or ItemWork."""
    request: Message = getattr(work, work.WhichOneof("request"))
    return request


def method_of(member: str) -> MethodDescriptor | None:
    """Method that does the work of a member at once; None: it has none."""
    descriptor: Any = Work.DESCRIPTOR.fields_by_name[member].message_type
    return _METHODS.get(descriptor.full_name)


def _methods() -> dict[str, MethodDescriptor]:
    """Unary methods of the services by the type of their requests, and speech, which is streamed."""
    found: dict[str, MethodDescriptor] = {}
    services = [DescriptorPool().FindServiceByName(f"genai_spine.v1.{name}Service") for name in SERVICES]
    for service in (*services, rag_service_pb2.DESCRIPTOR.services_by_name["RagService"]):
        for method in service.methods:
            if not method.server_streaming or method.name == "CreateSpeech":
                found.setdefault(method.input_type.full_name, method)
    return found


def _parse(params: Params, into: Message) -> None:
    """Writes params into a request. Errors: InvalidFields."""
    try:
        json_format.ParseDict(whole_numbers(params), into)
    except json_format.ParseError as error:
        raise InvalidFields([("params", str(error)[:300])]) from None


def whole_numbers(value: Any) -> Any:
    """Numbers of a Struct are all floating-point; whole ones become integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: whole_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole_numbers(inner) for inner in value]
    return value


_METHODS = _methods()
