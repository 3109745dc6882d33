"""Topics of the local cluster: create, list, delete, append lines to, read lines from.

GET    /v1/topics                        {"topics": [{name, topic_id, partitions, config, mirrored_by, ranges?}]}
POST   /v1/topics                        {name, partitions, config}
DELETE /v1/topics/{name}
POST   /v1/topics/{name}/records         newline-delimited records in, a report out
GET    /v1/topics/{name}/records         newline-delimited records out
"""

from __future__ import annotations

from aiohttp import web

from gateway.admin.errors import error_body
from gateway.admin.ndjson import LineWriter, read_object
from gateway.services import Services
from gateway.topics.append import AppendOptions, AppendReport, append_lines
from gateway.topics.errors import QueryRefused, TopicMirrored
from gateway.topics.read import ReadQuery, read_topic
from mesh.batch.header import Codec
from mesh.cluster_errors import PartitionAbsent
from mesh.ids import Partition, TopicName
from mesh.log import Topic
from mesh.ports import Cluster
from mesh.shares import StartAt, SubscriptionState

MAX_PARTITIONS = 10_000
MAX_WHOLE = 1 << 62


def routes(services: Services) -> list[web.RouteDef]:
    cluster = services.cluster

    async def create(request: web.Request) -> web.Response:
        body = await read_object(request)
        partitions = body.get("partitions", 1)
        if type(partitions) is not int or not 1 <= partitions <= MAX_PARTITIONS:
            raise QueryRefused("partitions", str(partitions), f"it is a number from 1 to {MAX_PARTITIONS}")
        config = body.get("config") or {}
        if not isinstance(config, dict):
            raise QueryRefused("config", str(config)[:80], "it is an object of text values")
        settings = {str(key): str(value) for key, value in config.items()}
        topic = await cluster.topics.create(topic_name(body.get("name")), partitions, settings)
        return web.json_response(shown(topic, None), status=201)

    async def listing(request: web.Request) -> web.Response:
        mirrored = mirrored_topics(services)
        topics = [shown(topic, mirrored.get(topic.name)) for topic in await cluster.topics.list()]
        if flag(request, "ranges"):
            for topic in topics:
                topic["ranges"] = await ranges(cluster, str(topic["name"]), int(str(topic["partitions"])))
        return web.json_response({"topics": topics})

    async def delete(request: web.Request) -> web.Response:
        name = topic_name(request.match_info["name"])
        refuse_mirrored(services, name, force=flag(request, "force"))
        await cluster.topics.delete(name)
        return web.json_response({"deleted": name})

    async def append(request: web.Request) -> web.StreamResponse:
        topic = await cluster.topics.describe(topic_name(request.match_info["name"]))
        refuse_mirrored(services, topic.name, force=flag(request, "force"))
        options = append_options(request, topic)
        report = await append_lines(cluster.destination, topic, request.content.readany, options, services.now_ms)
        return await answer_append(request, report)

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
        web.get("/v1/topics", listing),
        web.post("/v1/topics", create),
        web.delete("/v1/topics/{name}", delete),
        web.post("/v1/topics/{name}/records", append),
        web.get("/v1/topics/{name}/records", read),
    ]


def topic_name(given: object) -> str:
    """A topic that a user may have, as plain text, which is how errors quote it. Raises IllegalName."""
    return str(TopicName(given if isinstance(given, str) else ""))


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
    name = request.query.get("codec", "lz4")
    codecs = {str(codec): codec for codec in Codec}
    if name not in codecs:
        raise QueryRefused("codec", name[:80], f"it is one of {', '.join(codecs)}")
    partition = whole(request, "partition")
    if partition is not None and partition >= topic.partitions:
        raise PartitionAbsent(topic.name, partition, topic.partitions)
    return AppendOptions(
        partition=partition,
        only_keys=flag(request, "key_partitioner"),
        codec=codecs[name],
    )


def read_query(request: web.Request) -> ReadQuery:
    return ReadQuery(
        partition=whole(request, "partition"),
        start=StartAt.parse(request.query.get("from", "earliest")),
        follow=flag(request, "follow"),
        max_records=whole(request, "max"),
    )


def whole(request: web.Request, name: str) -> int | None:
    """A whole number of the query, None where it is not given."""
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) < MAX_WHOLE):
        raise QueryRefused(name, text[:80], f"it is a whole number from 0 to {MAX_WHOLE - 1}")
    return int(text)


def flag(request: web.Request, name: str) -> bool:
    text = request.query.get(name, "false")
    if text not in {"true", "false"}:
        raise QueryRefused(name, text[:80], "it is true or false")
    return text == "true"
