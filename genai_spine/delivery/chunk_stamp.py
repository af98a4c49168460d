"""Stamp of a stream's chunks: what all chunks of one answer share, as the bytes of a chunk.

To merge the bytes into a chunk costs a third of the time of setting each field, and a stream has many chunks.
"""

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution


def answer_id(execution: Execution, prefix: str) -> str:
    """Id of an answer, made of its ledger row's."""
    return prefix + execution.id.replace("-", "")[-24:]


def made(execution: Execution, model: str, created_s: int) -> bytes:
    """Stamp of the answer of an execution; its fields replace those of the chunk that they are merged into.

    model: as the provider reports it. created_s: Unix time.
    """
    chunk = pb.CompletionChunk()
    chunk.id, chunk.create_time.seconds = answer_id(execution, "comp_"), created_s
    chunk.model, chunk.provider = model, execution.provider
    chunk.request_id, chunk.execution_id = execution.request_id, execution.id
    return chunk.SerializeToString()
