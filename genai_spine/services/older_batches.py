"""Batches as older clients send them: operations by name, which become the items of a batch."""

from google.protobuf import json_format

from genai_spine.errors import InvalidFields, WorkNotFound
from genai_spine.runs import names
from genai_spine.v1.batch_pb2 import BatchItem
from genai_spine.v1.item_work_pb2 import ItemWork
from genai_spine.v1.run_service_pb2 import BatchOperation, CreateRunRequest


def read(request: CreateRunRequest) -> None:
    """Moves operations and webhook_url into work and options. Errors: InvalidFields, WorkNotFound."""
    if request.HasField("webhook_url") and not request.options.webhook.url:
        request.options.webhook.url = request.webhook_url
    if not request.operations:
        return
    if request.HasField("work") or request.HasField("name"):
        raise InvalidFields([("operations", "cannot be used together with work or name")])
    request.work.batch.items.extend(_item(operation) for operation in request.operations)
    request.ClearField("operations")


def _item(operation: BatchOperation) -> BatchItem:
    name = names.canonical("task", operation.type)
    if (reader := names.NAMES.get(name)) is None:
        known = ", ".join(one.name for one in sorted(names.NAMES) if one.kind == "task")
        raise WorkNotFound(kind=name.kind, name=name.name, known=known)
    work = reader(json_format.MessageToDict(operation.params))
    item = BatchItem(work=ItemWork.FromString(work.SerializeToString()))  # their fields have the same numbers
    if item.work.WhichOneof("request") is None:
        raise InvalidFields([("operations.type", f"{name.name} cannot be an item of a batch")])
    if operation.HasField("id"):
        item.item_id = operation.id
    return item
