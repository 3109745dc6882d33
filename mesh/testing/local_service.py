"""The calls of the local API over topics in memory, as a gRPC service: what a gateway answers, and what it refuses.

`LocalFaults` is what may happen to a call: tests of an application's own error handling ask for it.
"""

from __future__ import annotations

import hmac
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from threading import Condition
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import Message

from mesh.errors import MeshError
from mesh.local.errors import ApiTokenRefused, RequestRefused, message_of, status_of
from mesh.local.names import ERROR_METADATA, SERVICE, TOKEN_METADATA
from mesh.local.v1 import local_pb2
from mesh.testing.local_topics import REPLY_BYTES, LocalTopic, LocalTopics, check_position, parts, refusal

Context: TypeAlias = "grpc.ServicerContext"


class LocalFaults:
    """What the next calls meet, by the name of the call (`Publish` for both ways to publish)."""

    def __init__(self) -> None:
        self.failures: dict[str, list[MeshError]] = defaultdict(list)
        """Raised before anything is done, one a call."""
        self.lost_answers: Counter[str] = Counter()
        """How many are done and not answered: the connection breaks."""

    def check(self, name: str) -> None:
        if self.failures[name]:
            raise self.failures[name].pop(0)

    def loses(self, name: str) -> bool:
        is_lost = self.lost_answers[name] > 0
        self.lost_answers[name] -= is_lost
        return is_lost


class LocalService(grpc.GenericRpcHandler):
    """Its calls run in threads, one at a time: whoever touches `topics` or the rest holds `changed`."""

    def __init__(self, topics: LocalTopics, token: str) -> None:
        self.topics = topics
        self.token = token
        self.faults = LocalFaults()
        self.calls: Counter[str] = Counter()
        self.offered: list[local_pb2.SharedTopic] = []
        self.subscriptions: dict[str, local_pb2.Subscription] = {}
        self.changed = Condition()
        unary: dict[str, tuple[Callable[[Any], Message], type[Message]]] = {
            "Publish": (self.publish, local_pb2.PublishRequest),
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
            f"/{SERVICE}/{name}": grpc.unary_unary_rpc_method_handler(
                self._unary(name, answer), request.FromString, _to_bytes
            )
            for name, (answer, request) in unary.items()
        }
        self._methods[f"/{SERVICE}/PublishMany"] = grpc.stream_stream_rpc_method_handler(
            self._publish_many, local_pb2.PublishRequest.FromString, _to_bytes
        )
        self._methods[f"/{SERVICE}/Read"] = grpc.unary_stream_rpc_method_handler(
            self._read, local_pb2.ReadRequest.FromString, _to_bytes
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._methods.get(handler_call_details.method)

    def publish(self, request: local_pb2.PublishRequest, *, is_mirror: bool = False) -> local_pb2.PublishReply:
        reply = self.topics.publish(request, round(time.time() * 1000), is_mirror=is_mirror)
        self.changed.notify_all()
        return reply

    # --- calls

    def _unary(self, name: str, answer: Callable[[Any], Message]) -> Callable[[Any, Context], Message]:
        def handle(request: Any, context: Context) -> Message:
            try:
                with self.changed:
                    self._check(name, context)
                    reply = answer(request)
                    is_lost = self.faults.loses(name)
            except MeshError as error:
                _abort(context, error)
            if is_lost:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost, as the test wants it")
            return reply

        return handle

    def _publish_many(
        self, requests: Iterator[local_pb2.PublishRequest], context: Context
    ) -> Iterator[local_pb2.PublishReply]:
        try:
            with self.changed:
                self._check("PublishMany", context)
        except MeshError as error:
            _abort(context, error)
        for request in requests:
            try:
                with self.changed:
                    self.calls["Publish"] += 1
                    self.faults.check("Publish")
                    reply = self.publish(request)
                    is_lost = self.faults.loses("Publish")
            except MeshError as error:
                yield local_pb2.PublishReply(error=message_of(error))
                for _ in requests:  # a call that ends before its caller has said all may lose the answers
                    pass
                _abort(context, error)
            if is_lost:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost, as the test wants it")
            yield reply

    def _read(self, query: local_pb2.ReadRequest, context: Context) -> Iterator[local_pb2.ReadReply]:
        try:
            with self.changed:
                self._check("Read", context)
                positions, lease = self.topics.begin(query)
            if not context.add_callback(partial(self._read_no_more, query, lease)):
                self._read_no_more(query, lease)
            begun = [local_pb2.Position(partition=number, offset=at) for number, at in positions.items()]
            yield local_pb2.ReadReply(begun=local_pb2.ReadBegun(positions=begun, lease=lease))
            yield from self._follow(query, positions, context)
        except MeshError as error:
            _abort(context, error)

    def _read_no_more(self, query: local_pb2.ReadRequest, lease: str) -> None:
        """The call has ended, in whatever way."""
        with self.changed:
            self.topics.release(query, lease)
            self.changed.notify_all()

    def _follow(
        self, query: local_pb2.ReadRequest, positions: dict[int, int], context: Context
    ) -> Iterator[local_pb2.ReadReply]:
        with self.changed:
            topic = self.topics.topic(query.topic)
            ends = {number: topic.log(number).end for number in positions} if query.until_end else None
        left = query.max_records or sys.maxsize
        while left:
            with self.changed:
                if not context.is_active():
                    return  # looked at where its end is told of, so that it is not waited for in vain
                found = self._next(query, topic, positions, ends, left)
                if not found:
                    if ends is not None:
                        return
                    self.changed.wait()
                    continue
            for part in found:
                positions[part.partition] = part.next_offset
                left -= len(part.records)
            yield local_pb2.ReadReply(parts=found)

    def _next(
        self,
        query: local_pb2.ReadRequest,
        topic: LocalTopic,
        positions: dict[int, int],
        ends: Mapping[int, int] | None,
        left: int,
    ) -> Sequence[local_pb2.PartitionRecords]:
        self.faults.check("Read")
        for number in self.topics.added(query, positions) if ends is None else ():
            positions[number] = 0
        for number, offset in positions.items():
            check_position(topic, number, offset)
        return parts(topic, positions, ends, left, query.max_bytes or REPLY_BYTES)

    def _check(self, name: str, context: Context) -> None:
        given = dict(context.invocation_metadata()).get(TOKEN_METADATA, "")
        if not hmac.compare_digest(str(given).encode(), self.token.encode()):
            raise ApiTokenRefused
        self.calls[name] += 1
        self.faults.check(name)

    # --- answers

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
        topics = {source: local or source for source, local in request.topics.items()} or {
            each: each for each in offered
        }
        name = request.name or request.share
        self._check_subscription(request, name, topics, offered)
        for source, local_name in topics.items():
            if local_name not in self.topics.topics:
                self.topics.create(local_name, offered[source].partitions)
            self.topics.topic(local_name).mirrored_by = name
        made = local_pb2.Subscription(name=name, peer=request.peer, share=request.share, state="active", topics=topics)
        self.subscriptions[name] = made
        return made

    def _check_subscription(
        self, request: local_pb2.SubscribeRequest, name: str, topics: Mapping[str, str], offered: Collection[str]
    ) -> None:
        if name in self.subscriptions:
            raise refusal("subscription-exists", f"subscription '{name}' exists already", "give it another name")
        if not offered:
            raise refusal("not-available", f"{request.peer} offers no share '{request.share}' to us")
        for source, local_name in topics.items():
            if source not in offered:
                raise refusal("topic-not-shared", f"share '{request.share}' has no topic '{source}'")
            known = self.topics.topics.get(local_name)
            if known is not None and known.mirrored_by:
                sentence = f"topic '{local_name}' is the destination of subscription '{known.mirrored_by}' already"
                raise refusal("destination-taken", sentence, "choose another topic")

    def _subscriptions(self, _: local_pb2.SubscriptionsRequest) -> Message:
        return local_pb2.SubscriptionsReply(subscriptions=[each for _, each in sorted(self.subscriptions.items())])

    def _translate(self, request: local_pb2.TranslateRequest) -> Message:
        """Every copy is dense and from the beginning, so both offsets are one."""
        if request.subscription not in self.subscriptions:
            listing = "list what there is with: mesh subscription list"
            raise refusal("subscription-absent", f"subscription '{request.subscription}' does not exist", listing)
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


def _abort(context: Context, error: MeshError) -> NoReturn:
    context.set_trailing_metadata(((ERROR_METADATA, message_of(error).SerializeToString()),))
    context.abort(grpc.StatusCode[status_of(error)], str(error))


def _to_bytes(message: Message) -> bytes:
    return message.SerializeToString()
