"""Topics of the local cluster: create, list, delete, append lines to, read lines from.

GET    /v1/topics                        {"topics": [{name, topic_id, partitions, config, mirrored_by, ranges?}]}
POST   /v1/topics                        {name, partitions, config}
DELETE /v1/topics/{name}
POST   /v1/topics/{name}/records         newline-delimited records in, a report out
GET    /v1/topics/{name}/records         newline-delimited records out
"""

from __future__ import annotations

from aiohttp import web

from gateway.admin import answers
from gateway.http import schemas
from gateway.http.described import Flag, Number, Shape, Text, TextMap, operation
from gateway.http.errors import error_body
from gateway.http.fields import fields_of
from gateway.http.ndjson import LineWriter
from gateway.http.query import query_flag, query_number, query_text
from gateway.services import Services
from gateway.topics.append import AppendOptions, AppendReport, append_lines
from gateway.topics.errors import TopicMirrored
from gateway.topics.read import ReadQuery, read_topic
from mesh.batch.header import Codec
from mesh.cluster_errors import PartitionAbsent
from mesh.ids import Partition, TopicName
from mesh.log import Topic
from mesh.ports import Cluster
from mesh.shares import StartAt, SubscriptionState

MAX_PARTITIONS = 10_000
MAX_WHOLE = 1 << 62
CODECS = {str(codec): codec for codec in Codec}
NEW_TOPIC: Shape = {"name": Text(), "partitions": Number(least=1, most=MAX_PARTITIONS), "config": TextMap()}


def routes(services: Services) -> list[web.RouteDef]:
    return [*_topic_routes(services), *_record_routes(services)]


def _topic_routes(services: Services) -> list[web.RouteDef]:
    cluster = services.cluster

    @operation("make a topic", body=NEW_TOPIC, answers={201: answers.TOPIC})
    async def create(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        partitions, settings = fields.number("partitions"), fields.text_map("config")
        name = topic_name(fields.text("name"))
        topic = await cluster.topics.create(name, 1 if partitions is None else partitions, settings)
        return web.json_response(shown(topic, None), status=201)

    @operation(
        "the topics of the local cluster",
        query={"ranges": Flag()},
        answers=schemas.object_of({"topics": schemas.list_of(answers.TOPIC)}),
    )
    async def listing(request: web.Request) -> web.Response:
        mirrored = mirrored_topics(services)
        topics = [shown(topic, mirrored.get(topic.name)) for topic in await cluster.topics.list()]
        if query_flag(request, "ranges"):
            for topic in topics:
                topic["ranges"] = await ranges(cluster, str(topic["name"]), int(str(topic["partitions"])))
        return web.json_response({"topics": topics})

    @operation("delete a topic", query={"force": Flag()}, answers=schemas.object_of({"deleted": schemas.TEXT}))
    async def delete(request: web.Request) -> web.Response:
        name = topic_name(request.match_info["name"])
        refuse_mirrored(services, name, force=query_flag(request, "force"))
        await cluster.topics.delete(name)
        return web.json_response({"deleted": name})

    return [
        web.get("/v1/topics", listing),
        web.post("/v1/topics", create),
        web.delete("/v1/topics/{name}", delete),
    ]


def _record_routes(services: Services) -> list[web.RouteDef]:
    cluster = services.cluster

    @operation(
        "append records, a line each; a report, and behind it what went wrong",
        query={
            "codec": Text(required=False, choices=tuple(CODECS)),
            "partition": Number(most=MAX_WHOLE - 1),
            "key_partitioner": Flag(),
            "force": Flag(),
        },
        answers=schemas.REPORT,
        streams=True,
        takes_lines=True,
    )
    async def append(request: web.Request) -> web.StreamResponse:
        topic = await cluster.topics.describe(topic_name(request.match_info["name"]))
        refuse_mirrored(services, topic.name, force=query_flag(request, "force"))
        options = append_options(request, topic)
        report = await append_lines(cluster.destination, topic, request.content.readany, options, services.now_ms)
        return await answer_append(request, report)

    @operation(
        "records, a line each",
        query={
            "partition": Number(most=MAX_WHOLE - 1),
            "from": Text(required=False),
            "follow": Flag(),
            "max": Number(most=MAX_WHOLE - 1),
        },
        answers=schemas.REPORT,
        streams=True,
    )
    async def read(request: web.Request) -> web.StreamResponse:
        topic = await cluster.topics.describe(topic_name(request.match_info["name"]))
        writer = LineWriter(request)
        try:
            await read_topic(cluster.source, topic, read_query(request), writer.send_block)
        except ConnectionResetError:
            return writer.response
        except Exception as error:
            return await writer.fail(error)
        return await writer.finish()

    return [
        web.post("/v1/topics/{name}/records", append),
        web.get("/v1/topics/{name}/records", read),
    ]


def topic_name(given: str) -> str:
    """A topic that a user may have, as plain text, which is how errors quote it. Raises IllegalName."""
    return str(TopicName(given))


def shown(topic: Topic, mirrored_by: str | None) -> dict[str, object]:
    return {
        "name": topic.name,
        "topic_id": topic.topic_id,
        "partitions": topic.partitions,
        "config": dict(topic.config),
        "mirrored_by": mirrored_by,
    }


async def ranges(cluster: Cluster, name: str, partitions: int) -> list[dict[str, int]]:
    found = [await cluster.source.range(Partition(name, number)) for number in range(partitions)]
    return [{"start": held.start, "end": held.end, "last_stable": held.last_stable} for held in found]


async def answer_append(request: web.Request, report: AppendReport) -> web.StreamResponse:
    """The report as a line; an error behind it, so that nobody takes a part for the whole."""
    writer = LineWriter(request)
    partitions = [
        {"partition": number, "records": part.records, "last_offset": part.last_offset}
        for number, part in sorted(report.partitions.items())
    ]
    await writer.send({"appended": report.appended, "partitions": partitions})
    if report.error is not None:
        await writer.send(error_body(report.error))
    return await writer.finish()


def mirrored_topics(services: Services) -> dict[str, str]:
    """The local topics that subscriptions write, with the subscription's name; promoted ones are their owner's."""
    return {
        str(mapping.destination_topic): str(subscription.name)
        for subscription in services.registry.subscriptions.values()
        if subscription.state is not SubscriptionState.PROMOTED
        for mapping in subscription.topics
    }


def refuse_mirrored(services: Services, topic: str, *, force: bool) -> None:
    subscription = mirrored_topics(services).get(topic)
    if subscription is not None and not force:
        raise TopicMirrored(topic, subscription)


def append_options(request: web.Request, topic: Topic) -> AppendOptions:
    partition = query_number(request, "partition")
    if partition is not None and partition >= topic.partitions:
        raise PartitionAbsent(topic.name, partition, topic.partitions)
    return AppendOptions(
        partition=partition,
        only_keys=query_flag(request, "key_partitioner"),
        codec=CODECS[query_text(request, "codec", "lz4")],
    )


def read_query(request: web.Request) -> ReadQuery:
    return ReadQuery(
        partition=query_number(request, "partition"),
        start=StartAt.parse(query_text(request, "from", "earliest")),
        follow=query_flag(request, "follow"),
        max_records=query_number(request, "max"),
    )
