"""The calls of `mesh.local.v1.Local` over a LocalApi: who may call, what is answered, and how an error crosses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message

from gateway.audit.actor import APPLICATION, acting
from gateway.http.errors import InternalFailure, logged
from gateway.local import grpc_messages as messages
from gateway.local.api import LocalApi
from mesh.errors import MeshError
from mesh.local.errors import ApiTokenRefused, message_of, status_of
from mesh.local.names import ERROR_METADATA, SERVICE, TOKEN_METADATA
from mesh.local.v1 import local_pb2

log = structlog.get_logger()

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Tokens: TypeAlias = Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class LocalService:
    """Each method answers one call."""

    api: LocalApi

    async def publish(self, asked: local_pb2.PublishRequest) -> Message:
        return messages.publish_reply(await self.api.publish(messages.publish_request(asked)))

    async def publish_many(self, asked: AsyncIterator[local_pb2.PublishRequest], context: Context) -> None:
        requests = (messages.publish_request(each) async for each in asked)
        failure: MeshError | None = None
        async for outcome in self.api.publish_many(requests):
            failure = failure or outcome.error
            await context.write(messages.outcome_reply(outcome))
        if failure is not None:
            raise failure

    async def read(self, asked: local_pb2.ReadRequest, context: Context) -> None:
        async with self.api.read(messages.read_query(asked)) as reading:
            await context.write(messages.begun(reading.begun))
            while (parts := await reading.next()) is not None:
                await reading.taken(context.write(messages.read_reply(parts)))

    async def commit(self, asked: local_pb2.CommitRequest) -> Message:
        await self.api.commit(asked.cursor, asked.topic, messages.positions(asked.positions), asked.lease)
        return local_pb2.CommitReply()

    async def get_cursor(self, asked: local_pb2.GetCursorRequest) -> Message:
        return messages.cursor(await self.api.cursor(asked.cursor, asked.topic))

    async def delete_cursor(self, asked: local_pb2.DeleteCursorRequest) -> Message:
        await self.api.delete_cursor(asked.cursor, asked.topic)
        return local_pb2.DeleteCursorReply()

    async def topics(self, asked: local_pb2.TopicsRequest) -> Message:
        return messages.topics_reply(await self.api.topics())

    async def catalog(self, asked: local_pb2.CatalogRequest) -> Message:
        return messages.catalog_reply(await self.api.catalog(asked.peer))

    async def subscribe(self, asked: local_pb2.SubscribeRequest) -> Message:
        made = await self.api.subscribe(asked.peer, asked.share, dict(asked.topics), asked.start, asked.name)
        return messages.subscription(made)

    async def subscriptions(self, asked: local_pb2.SubscriptionsRequest) -> Message:
        return messages.subscriptions_reply(self.api.subscriptions())

    async def translate(self, asked: local_pb2.TranslateRequest) -> Message:
        source = asked.source_offset if asked.HasField("source_offset") else None
        destination = asked.destination_offset if asked.HasField("destination_offset") else None
        found = await self.api.translate(
            asked.subscription, asked.topic, asked.partition, source_offset=source, destination_offset=destination
        )
        return messages.translate_reply(found)

    async def status(self, asked: local_pb2.StatusRequest) -> Message:
        return messages.status_reply(self.api.status())


def handlers(api: LocalApi, tokens: Tokens) -> grpc.GenericRpcHandler:
    """Every call of the service, for whoever has a token."""
    service = LocalService(api)
    unary: dict[str, tuple[Callable[[Any], Awaitable[Message]], Callable[[bytes], Any]]] = {
        "Publish": (service.publish, local_pb2.PublishRequest.FromString),
        "Commit": (service.commit, local_pb2.CommitRequest.FromString),
        "GetCursor": (service.get_cursor, local_pb2.GetCursorRequest.FromString),
        "DeleteCursor": (service.delete_cursor, local_pb2.DeleteCursorRequest.FromString),
        "Topics": (service.topics, local_pb2.TopicsRequest.FromString),
        "Catalog": (service.catalog, local_pb2.CatalogRequest.FromString),
        "Subscribe": (service.subscribe, local_pb2.SubscribeRequest.FromString),
        "Subscriptions": (service.subscriptions, local_pb2.SubscriptionsRequest.FromString),
        "Translate": (service.translate, local_pb2.TranslateRequest.FromString),
        "Status": (service.status, local_pb2.StatusRequest.FromString),
    }
    found: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(
            answering(answer, tokens), request_deserializer=parse, response_serializer=_serialized
        )
        for name, (answer, parse) in unary.items()
    }
    found["PublishMany"] = grpc.stream_stream_rpc_method_handler(
        streaming(service.publish_many, tokens),
        request_deserializer=local_pb2.PublishRequest.FromString,
        response_serializer=_serialized,
    )
    found["Read"] = grpc.unary_stream_rpc_method_handler(
        streaming(service.read, tokens),
        request_deserializer=local_pb2.ReadRequest.FromString,
        response_serializer=_serialized,
    )
    return grpc.method_handlers_generic_handler(SERVICE, found)


def answering(answer: Callable[[Any], Awaitable[Message]], tokens: Tokens) -> Callable[[Any, Context], Any]:
    async def handle(asked: Any, context: Context) -> Message:
        try:
            check_token(context, tokens)
            with acting(APPLICATION):
                return await answer(asked)
        except Exception as error:
            await refuse(context, error)
            raise

    return handle


def streaming(serve: Callable[[Any, Context], Awaitable[None]], tokens: Tokens) -> Callable[[Any, Context], Any]:
    async def handle(asked: Any, context: Context) -> None:
        try:
            check_token(context, tokens)
            await serve(asked, context)
        except Exception as error:
            await refuse(context, error)

    return handle


def check_token(context: Context, tokens: Tokens) -> None:
    """Raises ApiTokenRefused, TokenFileUnsafe."""
    given = dict(context.invocation_metadata() or ()).get(TOKEN_METADATA, "")
    shown = given if isinstance(given, bytes) else given.encode()
    # every token is compared, so that the time says nothing of which one is nearly right
    found = [compare_digest(shown, token.encode()) for token in tokens()]
    if not any(found):
        raise ApiTokenRefused


async def refuse(context: Context, error: Exception) -> None:
    """End the call with the error; what is none of ours stays in the log."""
    if isinstance(error, asyncio.CancelledError | grpc.aio.AbortError):
        raise error
    if not isinstance(error, MeshError):
        error = logged(log, "a call of an application failed", error)
    told = message_of(error)
    if isinstance(error, InternalFailure):
        told.actor = "internal"
    code = grpc.StatusCode.INTERNAL if isinstance(error, InternalFailure) else grpc.StatusCode[status_of(error)]
    await context.abort(code, told.sentence, ((ERROR_METADATA, told.SerializeToString()),))


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
