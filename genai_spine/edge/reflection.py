"""Server reflection of gRPC, by v1 and v1alpha: how grpcurl and its like find the contract."""

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2


def reflect(names: list[str], server: grpc.aio.Server) -> None:
    """Reflection by both names of the service: v1 differs from v1alpha in nothing but the package.

    grpcio-reflection 1.85 has v1alpha alone
    (https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto, 2026-11-29).
    """
    reflection.enable_server_reflection(names, server)
    method = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(
        "grpc.reflection.v1.ServerReflection", {"ServerReflectionInfo": method}
    )
    server.add_generic_rpc_handlers((handlers,))
