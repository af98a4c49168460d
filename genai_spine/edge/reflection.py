"""Server reflection of gRPC, by v1 and v1alpha: how grpcurl and its like find the contract."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from genai_spine.access.authentication import Authenticator
from genai_spine.errors import SpineError, Unauthenticated

PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")


def reflect(names: list[str], server: grpc.aio.Server, authenticator: Authenticator | None) -> None:
    """Reflection by both names of the service: v1 differs from v1alpha in nothing but the package.

    grpcio-reflection 1.85 has v1alpha alone
    (https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto, 2026-11-29).
    authenticator: who asks needs a key of any scope; None: nobody is asked.
    """
    answer = reflection.aio.ReflectionServicer(names).ServerReflectionInfo
    method = grpc.stream_stream_rpc_method_handler(
        answer if authenticator is None else _guarded(answer, authenticator),
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for package in PACKAGES:
        service = f"{package}.ServerReflection"
        handlers = grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": method})
        server.add_generic_rpc_handlers((handlers,))


def _guarded(answer: Any, authenticator: Authenticator) -> Any:
    """Handler that only callers with a key reach."""

    async def guarded(requests: AsyncIterable[Any], context: Any) -> AsyncIterator[Any]:
        try:
            await authenticator.principal(dict(context.invocation_metadata() or ()))
        except SpineError as error:
            code = grpc.StatusCode.UNAVAILABLE
            if isinstance(error, Unauthenticated):
                code = grpc.StatusCode.UNAUTHENTICATED
            await context.abort(code, str(error))
        async for response in answer(requests, context):
            yield response

    return guarded
