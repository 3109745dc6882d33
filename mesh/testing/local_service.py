"""The calls of the local API over topics in memory, as a gRPC service: what a gateway answers, and what it refuses.

`LocalFaults` is what may happen to a call: tests of an application's own error handling ask for it.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import Message

from mesh.cluster_errors import TopicExists
from mesh.errors import MeshError
from mesh.local.errors import ERROR_METADATA, TOKEN_METADATA, ApiTokenRefused, RequestRefused, message_of, status_of
from mesh.local.v1 import local_pb2
from mesh.testing.local_topics import REPLY_BYTES, LocalTopics, check_position, parts, refusal

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
SERVICE = "/mesh.local.v1.Local/"


class LocalFaults:
    """What the next calls meet, by the name of the call (`Publish` for both ways to publish)."""

    def __init__(self) -> None:
        self.failures: dict[str, list[MeshError]] = defaultdict(list)
        """Raised before anything is done, one a call."""
        self.lost_answers: dict[str, int] = defaultdict(int)
        """How many are done and not answered: the connection breaks."""

    def check(self, name: str) -> None:
        if self.failures[name]:
            raise self.failures[name].pop(0)

    def loses(self, name: str) -> bool:
        if not self.lost_answers[name]:
            return False
        self.lost_answers[name] -= 1
        return True


class LocalService(grpc.GenericRpcHandler):
    def __init__(self, topics: LocalTopics, token: str) -> None:
        self.topics = topics
        self.token = token
        self.faults = LocalFaults()
        self.offered: list[local_pb2.SharedTopic] = []
        self.subscriptions: dict[str, local_pb2.Subscription] = {}
        self._changed = asyncio.Event()
        unary: dict[str, tuple[Callable[[Any], Message], type[Message]]] = {
            "Publish": (self._publish, local_pb2.PublishRequest),
            "Commit": (self._commit, local_pb2.CommitRequest),
            "GetCursor": (self._get_cursor, local_pb2.GetCursorRequest),
            "DeleteCursor": (self._delete_cursor, local_pb2.DeleteCursorRequest),
            "Topics": (self._topics, local_pb2.TopicsRequest),
            "Catalog": (self._catalog, local_pb2.CatalogRequest),
            "Subscribe": (self._subscribe, local_pb2.SubscribeRequest),
            "Subscriptions": (self._subscriptions, local_pb2.SubscriptionsRequest),
            "Translate": (self._translate, local_pb2.TranslateRequest),
            "Status": (self._status, local_pb2.StatusRequest),
        }
        self._methods: dict[str, Any] = {
            SERVICE + name: grpc.unary_unary_rpc_method_handler(
                self._unary(name, answer), request.FromString, _to_bytes
            )
            for name, (answer, request) in unary.items()
        }
        self._methods[SERVICE + "PublishMany"] = grpc.stream_stream_rpc_method_handler(
            self._publish_many, local_pb2.PublishRequest.FromString, _to_bytes
        )
        self._methods[SERVICE + "Read"] = grpc.unary_stream_rpc_method_handler(
            self._read, local_pb2.ReadRequest.FromString, _to_bytes
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._methods.get(handler_call_details.method)

    def wake(self) -> None:
        """Something was appended, or else is not as it was."""
        self._changed.set()
        self._changed = asyncio.Event()

    def publish(self, request: local_pb2.PublishRequest) -> local_pb2.PublishReply:
        reply = self.topics.publish(request, round(time.time() * 1000))
        self.wake()
        return reply

    # --- calls

    def _unary(self, name: str, answer: Callable[[Any], Message]) -> Callable[[Any, Context], Awaitable[Message]]:
        async def handle(request: Any, context: Context) -> Message:
            try:
                self._check(name, context)
                reply = answer(request)
            except MeshError as error:
                await _abort(context, error)
                raise
            if self.faults.loses(name):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost, as the test wants it")
            return reply

        return handle

    async def _publish_many(self, requests: AsyncIterator[local_pb2.PublishRequest], context: Context) -> None:
        try:
            self._check("PublishMany", context)
        except MeshError as error:
            await _abort(context, error)
        async for request in requests:
            try:
                self.faults.check("Publish")
                reply = self.publish(request)
            except MeshError as error:
                await context.write(local_pb2.PublishReply(error=message_of(error)))
                await _abort(context, error)
            if self.faults.loses("Publish"):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost, as the test wants it")
            await context.write(reply)

    async def _read(self, query: local_pb2.ReadRequest, context: Context) -> None:
        lease = ""
        try:
            self._check("Read", context)
            positions, lease = self.topics.begin(query)
            begun = [local_pb2.Position(partition=number, offset=at) for number, at in positions.items()]
            await context.write(local_pb2.ReadReply(begun=local_pb2.ReadBegun(positions=begun, lease=lease)))
            await self._follow(query, positions, context)
        except MeshError as error:
            await _abort(context, error)
        finally:
            self.topics.release(query, lease)

    async def _follow(self, query: local_pb2.ReadRequest, positions: dict[int, int], context: Context) -> None:
        topic = self.topics.topic(query.topic)
        ends = {number: topic.log(number).end for number in positions} if query.until_end else None
        left = query.max_records or sys.maxsize
        while left:
            changed = self._changed
            self.faults.check("Read")
            for number in self.topics.added(query, positions) if ends is None else ():
                positions[number] = 0
            for number, offset in positions.items():
                check_position(topic, number, offset)
            found = parts(topic, positions, ends, left, query.max_bytes or REPLY_BYTES)
            for part in found:
                positions[part.partition] = part.next_offset
                left -= len(part.records)
            if found:
                await context.write(local_pb2.ReadReply(parts=found))
            elif ends is not None:
                return
            else:
                await changed.wait()

    def _check(self, name: str, context: Context) -> None:
        given = dict(context.invocation_metadata() or ()).get(TOKEN_METADATA, "")
        if not hmac.compare_digest(str(given).encode(), self.token.encode()):
            raise ApiTokenRefused
        self.faults.check(name)

    # --- answers

    def _publish(self, request: local_pb2.PublishRequest) -> Message:
        return self.publish(request)

    def _commit(self, request: local_pb2.CommitRequest) -> Message:
        self.topics.commit(request)
        return local_pb2.CommitReply()

    def _get_cursor(self, request: local_pb2.GetCursorRequest) -> Message:
        return self.topics.cursor(request.cursor, request.topic)

    def _delete_cursor(self, request: local_pb2.DeleteCursorRequest) -> Message:
        self.topics.delete_cursor(request.cursor, request.topic)
        return local_pb2.DeleteCursorReply()

    def _topics(self, _: local_pb2.TopicsRequest) -> Message:
        found = [
            local_pb2.Topic(
                name=name, partitions=len(topic.logs), topic_id=topic.topic_id, mirrored_by=topic.mirrored_by
            )
            for name, topic in sorted(self.topics.topics.items())
        ]
        return local_pb2.TopicsReply(topics=found)

    def _catalog(self, request: local_pb2.CatalogRequest) -> Message:
        if request.peer:
            self._check_peer(request.peer)
        offered = [each for each in self.offered if request.peer in ("", each.peer)]
        return local_pb2.CatalogReply(topics=offered)

    def _check_peer(self, peer: str) -> None:
        if peer not in {each.peer for each in self.offered}:
            raise refusal("peer-absent", f"peer '{peer}' is not known", "list what there is with: mesh peer list")

    def _subscribe(self, request: local_pb2.SubscribeRequest) -> Message:
        self._check_peer(request.peer)
        offered = {
            each.topic: each for each in self.offered if (each.peer, each.share) == (request.peer, request.share)
        }
        topics = dict(request.topics) or {topic: topic for topic in offered}
        name = request.name or request.share
        if name in self.subscriptions:
            raise refusal("subscription-exists", f"subscription '{name}' exists already")
        if not offered or topics.keys() - offered.keys():
            raise refusal("share-topic-absent", f"{request.peer}/{request.share} does not offer what was asked for")
        for local_name in topics.values():
            if local_name in self.topics.topics:
                raise TopicExists(local_name)
        for source, local_name in topics.items():
            self.topics.create(local_name, offered[source].partitions, mirrored_by=name)
        made = local_pb2.Subscription(name=name, peer=request.peer, share=request.share, state="active", topics=topics)
        self.subscriptions[name] = made
        return made

    def _subscriptions(self, _: local_pb2.SubscriptionsRequest) -> Message:
        return local_pb2.SubscriptionsReply(subscriptions=[each for _, each in sorted(self.subscriptions.items())])

    def _translate(self, request: local_pb2.TranslateRequest) -> Message:
        """Every copy is dense and from the beginning, so both offsets are one."""
        if request.subscription not in self.subscriptions:
            raise refusal("subscription-absent", f"subscription '{request.subscription}' does not exist")
        found = self.subscriptions[request.subscription].topics.get(request.topic)
        if found is None:
            raise refusal("topic-not-subscribed", f"{request.subscription} has no topic {request.topic!r}")
        which = request.WhichOneof("offset")
        if which is None:
            raise RequestRefused("offset", "there is none")
        offset = getattr(request, which)
        if not 0 <= offset < self.topics.topic(found).log(request.partition).end:
            kind = "before" if offset < 0 else "after"
            return local_pb2.TranslateReply(kind=kind)
        return local_pb2.TranslateReply(kind="exact", source_offset=offset, destination_offset=offset)

    def _status(self, _: local_pb2.StatusRequest) -> Message:
        return local_pb2.StatusReply(organization="local.example", gateway="test", version="test", ready=True)


async def _abort(context: Context, error: MeshError) -> None:
    code = grpc.StatusCode[status_of(error)]
    metadata = ((ERROR_METADATA, message_of(error).SerializeToString()),)
    await context.abort(code, str(error), metadata)


def _to_bytes(message: Message) -> bytes:
    return message.SerializeToString()
