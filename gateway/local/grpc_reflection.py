"""gRPC reflection: what there is to call, for tools such as grpcurl. Under both names that tools ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from gateway.local.grpc_service import Context, Tokens, check_token, refuse

NAMES = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)
"""Of one protocol: its messages are the same."""


class _Reflection(grpc.GenericRpcHandler):
    def __init__(self, services: Iterable[str], tokens: Tokens) -> None:
        servicer = reflection.aio.ReflectionServicer((*services, *NAMES))

        async def answer(asked: Any, context: Context) -> None:
            try:
                check_token(context, tokens)
                async for reply in servicer.ServerReflectionInfo(asked, context):
                    await context.write(reply)
            except Exception as error:
                await refuse(context, error)

        self._handler = grpc.stream_stream_rpc_method_handler(
            answer,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self._methods = frozenset(f"/{name}/ServerReflectionInfo" for name in NAMES)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handler if handler_call_details.method in self._methods else None


def reflection_handlers(services: Iterable[str], tokens: Tokens) -> grpc.GenericRpcHandler:
    """For whoever has a token."""
    return _Reflection(services, tokens)
