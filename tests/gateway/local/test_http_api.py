"""Publishing, reading and committing over HTTP, as an application does: with a plain HTTP client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.local import http_read
from mesh.ids import LaneId, OrgId, ShareName, SubscriptionName, TopicName
from mesh.offsets.map import OffsetMap
from mesh.shares import StartAt, Subscription, TopicMapping
from mesh.spans import GapReason
from tests.support.control import peer_of
from tests.support.control_cli import catalog_of
from tests.support.local_http import LocalHttp, local_http, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

GLOBEX = "globex.example"

_numbers = count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalHttp]:
    async with local_http(tmp_path_factory.mktemp("local")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def topic(local: LocalHttp) -> str:
    """A topic of two partitions that nobody else uses."""
    name = f"flights-{next(_numbers)}"
    await local.admin.services.cluster.topics.create(name, 2, {})
    return name


class Client:
    """A topic, as an application has it."""

    def __init__(self, local: LocalHttp, topic: str) -> None:
        self.local, self.url, self.topic = local, f"{local.url}/v1/topics/{topic}/records", topic

    async def publish(self, *values: object, key: str = "", **query: str) -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"records": [{"value": value} for value in values]}
        params = {"encoding": "json", "partition": "0"} | query
        async with self.local.session.post(self.url, params=params, json=body, headers=headers) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            assert answer.status == 200, found
            return found

    async def read(self, **query: str) -> list[dict[str, Any]]:
        """To the end."""
        params = {"encoding": "json", "until_end": "true"} | query
        async with self.local.session.get(self.url, params=params) as answer:
            assert answer.status == 200, await answer.text()
            return [json.loads(line) for line in (await answer.text()).splitlines()]

    async def values(self, **query: str) -> list[object]:
        return [each["value"] for each in await self.read(**query)]


@pytest_asyncio.fixture(loop_scope="module")
async def client(local: LocalHttp, topic: str) -> Client:
    return Client(local, topic)


async def event(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """The next server-sent event with data."""
    found: dict[str, str] = {}
    while line := (await answer.content.readline()).decode().rstrip("\n"):
        name, _, value = line.partition(": ")
        found[name] = value
    return found


# --- publishing


async def test_what_is_published_is_read_as_it_was(local: LocalHttp, client: Client) -> None:
    record = {
        "key": "TjE0MjI4",
        "value": "",
        "headers": [{"name": "source", "value": "Z2F0ZQ=="}, {"name": "none", "value": None}],
        "timestamp_ms": 1357034400000,
    }
    answer = await local.session.post(client.url, json={"records": [record, {}]}, params={"partition": "1"})
    assert await answer.json() == {
        "placed": [{"partition": 1, "first_offset": 0, "count": 2}],
        "repeated_request": False,
    }

    first, second = await client.read(encoding="base64")
    assert first == {"partition": 1, "offset": 0, "next_offset": 1, **record}
    assert (second["key"], second["value"], second["headers"], second["offset"]) == (None, None, [], 1)


async def test_keys_choose_partitions_as_kafkas_clients_do(local: LocalHttp, client: Client) -> None:
    body = {"records": [{"key": key, "value": key} for key in ("a", "b", "c", "d")]}
    answer = await local.session.post(client.url, params={"encoding": "text"}, json=body)

    assert {each["partition"] for each in (await answer.json())["placed"]} == {0, 1}
    assert sorted(str(value) for value in await client.values(encoding="text")) == ["a", "b", "c", "d"]


async def test_a_request_that_is_repeated_under_its_key_is_appended_once(client: Client) -> None:
    first = await client.publish(1, 2, key="order-1")
    again = await client.publish(1, 2, key="order-1")

    assert (first["repeated_request"], again["repeated_request"]) == (False, True)
    assert again["placed"] == first["placed"]
    assert await client.values() == [1, 2]


async def test_other_records_under_a_key_are_refused(local: LocalHttp, client: Client) -> None:
    await client.publish(1, key="order-2")
    answer = await local.session.post(
        client.url,
        params={"encoding": "json", "partition": "0"},
        json={"records": [{"value": 2}]},
        headers={"Idempotency-Key": "order-2"},
    )

    assert await refusal(answer) == (409, "idempotency-key-reused")
    assert await client.values() == [1]


async def test_of_a_request_that_is_refused_nothing_is_appended(local: LocalHttp, client: Client) -> None:
    bodies: Mapping[str, object] = {"body-refused": [{"value": "a"}, {"value": 7}], "partition-absent": [{}]}
    for code, records in bodies.items():
        params = {"encoding": "text"} | ({"partition": "9"} if code == "partition-absent" else {})
        answer = await local.session.post(client.url, params=params, json={"records": records})
        assert (await refusal(answer))[1] == code

    assert await client.values() == []


async def test_an_application_that_dies_while_it_sends_leaves_nothing(local: LocalHttp, client: Client) -> None:
    """A body that is cut is no request: neither the records before the cut nor an answer."""
    host, _, port = local.listening.address.rpartition(":")
    body = json.dumps({"records": [{"value": "YQ=="}] * 10})
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/topics/{client.topic}/records HTTP/1.1\r\nHost: {local.listening.address}\r\n"
    head += f"mesh-api-token: {local.token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body[:-2]).encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    await client.publish("mine")
    assert await client.values() == ["mine"]


async def test_a_topic_that_is_mirrored_is_not_written(local: LocalHttp, client: Client) -> None:
    subscription = Subscription(
        SubscriptionName(client.topic), OrgId(GLOBEX), ShareName("flights"),
        (TopicMapping(TopicName("departures"), TopicName(client.topic)),), StartAt.parse("earliest"),
    )  # fmt: skip
    await local.admin.services.registry.add_peer(peer_of(GLOBEX))
    await local.admin.services.registry.subscribe(subscription)

    answer = await local.session.post(client.url, json={"records": [{}]})
    assert await refusal(answer) == (409, "topic-mirrored")


# --- reading


async def test_records_come_as_they_are_appended(local: LocalHttp, client: Client) -> None:
    async with local.session.get(client.url, params={"encoding": "json"}) as answer:
        assert answer.headers["mesh-positions"] == "0:0,1:0"
        for value in (1, 2, 3):
            await client.publish(value)
            assert json.loads(await answer.content.readline())["value"] == value


async def test_a_reading_begins_where_it_is_told(client: Client) -> None:
    for value in range(4):
        await client.publish(value)

    assert await client.values(positions="0:2") == [2, 3]
    assert await client.values(start="latest") == []
    assert await client.values(max_records="3") == [0, 1, 2]
    assert await client.values(partitions="1") == []


async def test_events_go_on_behind_the_last_one_that_was_seen(local: LocalHttp, client: Client) -> None:
    for value in range(5):
        await client.publish(value)
    headers = {"Accept": "text/event-stream"}
    seen: list[int] = []
    last = ""
    for _ in range(3):
        query = {"encoding": "json", "start": "earliest"}
        async with local.session.get(client.url, params=query, headers=headers | last_seen(last)) as answer:
            assert answer.content_type == "text/event-stream"
            assert (await event(answer))["event"] == "begun"
            for _ in range(min(2, 5 - len(seen))):
                found = await event(answer)
                seen.append(json.loads(found["data"])["value"])
                last = found["id"]

    assert seen == [0, 1, 2, 3, 4]


def last_seen(last: str) -> dict[str, str]:
    return {"Last-Event-ID": last} if last else {}


async def test_events_say_when_they_are_over(local: LocalHttp, client: Client) -> None:
    await client.publish(1)
    async with local.session.get(
        client.url, params={"until_end": "true"}, headers={"Accept": "text/event-stream"}
    ) as answer:
        text = await answer.text()

    assert [line for line in text.splitlines() if line.startswith("event")] == ["event: begun", "event: end"]
    assert '"positions":[{"partition":0,"offset":1},{"partition":1,"offset":0}]' in text


@pytest.mark.parametrize(
    ("name", "query", "status", "code"),
    [
        ("nothing", {}, 404, "topic-absent"),
        ("not%20a%20name", {}, 400, "illegal-name"),
        ("_mesh.control", {}, 400, "illegal-name"),
        ("", {"partitions": "7"}, 404, "partition-absent"),
        ("", {"positions": "0:5"}, 409, "offset-out-of-range"),
        ("", {"start": "yesterday"}, 400, "illegal-start"),
        ("", {"positions": "1:0", "partitions": "0"}, 400, "request-refused"),
        ("", {"cursor": "a\x00"}, 400, "illegal-name"),
    ],
)
async def test_what_cannot_be_read_is_refused_before_the_stream(
    local: LocalHttp, client: Client, name: str, query: dict[str, str], status: int, code: str
) -> None:
    url = f"{local.url}/v1/topics/{name}/records" if name else client.url
    assert await refusal(await local.session.get(url, params=query)) == (status, code)


async def test_a_reader_that_leaves_frees_its_cursor(local: LocalHttp, client: Client) -> None:
    async with local.session.get(client.url, params={"cursor": "billing"}) as answer:
        assert answer.headers["mesh-lease"]
        other = await local.session.get(client.url, params={"cursor": "billing"})
        assert await refusal(other) == (409, "cursor-in-use")
        answer.close()

    async with asyncio.timeout(10):
        while True:
            again = await local.session.get(client.url, params={"cursor": "billing", "until_end": "true"})
            if again.status == 200:
                break
            await asyncio.sleep(0.1)
    assert await again.text() == ""


async def test_a_stream_of_events_without_records_shows_that_it_lives(
    local: LocalHttp, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_read, "LOOK_S", 0.01)
    monkeypatch.setattr(http_read, "IDLE_S", 0.02)
    async with local.session.get(client.url, headers={"Accept": "text/event-stream"}) as answer:
        await event(answer)
        assert await answer.content.readline() == b":\n"
        answer.close()


async def test_what_goes_wrong_after_the_first_record_is_the_last_line(local: LocalHttp, client: Client) -> None:
    await client.publish(1)
    async with local.session.get(client.url, params={"encoding": "json"}) as answer:
        assert json.loads(await answer.content.readline())["value"] == 1
        await local.admin.services.cluster.topics.delete(client.topic)
        problem = json.loads(await answer.content.readline())["problem"]
        assert await answer.content.read() == b""

    assert (problem["code"], problem["status"]) == ("topic-absent", 404)


# --- cursors


async def test_a_cursor_goes_on_where_it_was_committed(local: LocalHttp, client: Client) -> None:
    path = f"{local.url}/v1/cursors/billing/topics/{client.topic}"
    for value in range(3):
        await client.publish(value)
    async with local.session.get(client.url, params={"cursor": "billing", "encoding": "json"}) as answer:
        record = json.loads(await answer.content.readline())
        commit = {"positions": [{"partition": 0, "offset": record["next_offset"]}]}
        assert await refusal(await local.session.post(f"{path}/commit", json=commit)) == (409, "cursor-in-use")
        wrong = commit | {"lease": "not-mine"}
        assert await refusal(await local.session.post(f"{path}/commit", json=wrong)) == (409, "lease-lost")
        mine = commit | {"lease": answer.headers["mesh-lease"]}
        assert (await local.session.post(f"{path}/commit", json=mine)).status == 200
        assert (await (await local.session.get(path)).json())["is_read"] is True
        answer.close()
    cursor = {"name": "billing", "topic": client.topic, "positions": commit["positions"], "is_read": False}
    async with asyncio.timeout(10):
        while await (await local.session.get(path)).json() != cursor:  # noqa: ASYNC110 - a lease ends without a word
            await asyncio.sleep(0.1)

    assert await client.values(cursor="billing") == [1, 2]
    assert (await local.session.delete(path)).status == 200
    assert await refusal(await local.session.get(path)) == (404, "cursor-absent")
    assert await refusal(await local.session.delete(path)) == (404, "cursor-absent")


@pytest.mark.parametrize(
    ("positions", "status", "code"),
    [
        ([{"partition": 0, "offset": 1}], 400, "commit-outside-log"),
        ([{"partition": 2, "offset": 0}], 404, "partition-absent"),
        ([], 400, "body-refused"),
        ([{"partition": 0, "offset": 0}, {"partition": 0, "offset": 0}], 400, "body-refused"),
        ([{"partition": 0}], 400, "body-refused"),
        ([{"partition": 0, "offset": -1}], 400, "body-refused"),
    ],
)
async def test_a_position_that_cannot_be_is_not_committed(
    local: LocalHttp, client: Client, positions: object, status: int, code: str
) -> None:
    path = f"{local.url}/v1/cursors/billing/topics/{client.topic}"
    answer = await local.session.post(f"{path}/commit", json={"positions": positions})

    assert await refusal(answer) == (status, code)
    assert await refusal(await local.session.get(path)) == (404, "cursor-absent")


# --- the rest


async def test_topics_say_who_writes_them(local: LocalHttp, client: Client) -> None:
    topics = (await (await local.session.get(f"{local.url}/v1/topics")).json())["topics"]
    (mine,) = [each for each in topics if each["name"] == client.topic]

    assert (mine["partitions"], mine["mirrored_by"]) == (2, None)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("catalog?peer=nobody.example", 404, "peer-absent"),
        ("catalog?peer=", 200, ""),
        ("subscriptions/nothing/translate?topic=a&partition=0&source_offset=1", 404, "subscription-absent"),
        ("subscriptions/nothing/translate?topic=a&source_offset=1", 400, "body-refused"),
        ("subscriptions/nothing/translate?topic=a&partition=x&source_offset=1", 400, "query-refused"),
    ],
)
async def test_what_is_asked_of_strangers_is_refused(local: LocalHttp, path: str, status: int, code: str) -> None:
    answer = await local.session.get(f"{local.url}/v1/{path}")

    assert answer.status == status
    assert (await answer.json(content_type=None)).get("code", "") == code


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"peer": "nobody.example", "share": "flights"}, 404, "peer-absent"),
        ({"peer": "nobody.example"}, 400, "body-refused"),
        ({"peer": "Nobody", "share": "flights"}, 400, "illegal-name"),
        ({"peer": "nobody.example", "share": "flights", "start": "soon"}, 400, "illegal-start"),
        ({"peer": "nobody.example", "share": "flights", "topics": ["a"]}, 400, "body-refused"),
    ],
)
async def test_what_cannot_be_subscribed_is_refused(
    local: LocalHttp, body: dict[str, object], status: int, code: str
) -> None:
    assert await refusal(await local.session.post(f"{local.url}/v1/subscriptions", json=body)) == (status, code)


async def test_the_status_says_who_it_is(local: LocalHttp) -> None:
    status = await (await local.session.get(f"{local.url}/v1/status")).json()

    assert (status["organization"], status["gateway"], status["ready"]) == ("acme.example", "gw-1", True)


# --- partners


@pytest_asyncio.fixture(loop_scope="module")
async def globex(local: LocalHttp) -> str:
    """A partner who shares two topics."""
    if GLOBEX not in local.admin.services.registry.peers:
        await local.admin.services.registry.add_peer(peer_of(GLOBEX))
    local.admin.links.catalogs[GLOBEX] = catalog_of("flights", {"departures": 2, "arrivals": 1})
    return GLOBEX


async def test_what_partners_share_is_listed_and_who_cannot_be_asked_is_named(local: LocalHttp, globex: str) -> None:
    await local.admin.services.registry.add_peer(peer_of("initech.example"))

    found = await (await local.session.get(f"{local.url}/v1/catalog")).json()
    assert {"peer": globex, "share": "flights", "topic": "departures", "partitions": 2} in found["topics"]
    assert [(each["peer"], each["problem"]["code"]) for each in found["unasked"]] == [
        ("initech.example", "peer-unreachable")
    ]
    named = await local.session.get(f"{local.url}/v1/catalog", params={"peer": "initech.example"})
    assert await refusal(named) == (503, "peer-unreachable")


async def test_an_application_subscribes_and_asks_where_a_record_is(local: LocalHttp, globex: str) -> None:
    asked = {"peer": globex, "share": "flights", "name": "theirs", "topics": {"arrivals": "globex.arrivals"}}
    made = await local.session.post(f"{local.url}/v1/subscriptions", json=asked)
    shown = {
        "name": "theirs", "peer": globex, "share": "flights", "state": "active",
        "topics": {"arrivals": "globex.arrivals"},
    }  # fmt: skip
    assert (made.status, await made.json()) == (201, shown)
    assert shown in (await (await local.session.get(f"{local.url}/v1/subscriptions")).json())["subscriptions"]
    again = await local.session.post(f"{local.url}/v1/subscriptions", json=asked)
    assert await refusal(again) == (409, "subscription-exists")
    topics = (await (await local.session.get(f"{local.url}/v1/topics")).json())["topics"]
    assert [each["mirrored_by"] for each in topics if each["name"] == "globex.arrivals"] == ["theirs"]

    made_map = OffsetMap(10)
    made_map.add_records(10, 0, 3)
    made_map.add_gap(13, 2, GapReason.COMPACTED)
    local.admin.lanes.maps[LaneId(SubscriptionName("theirs"), TopicName("arrivals"), 0)] = made_map
    url = f"{local.url}/v1/subscriptions/theirs/translate"
    answers = {}
    for offset in ("11", "14", "9", "15"):
        query = {"topic": "arrivals", "partition": "0", "source_offset": offset}
        answers[offset] = await (await local.session.get(url, params=query)).json()
    assert answers["11"] == {"kind": "exact", "source_offset": 11, "destination_offset": 1, "reason": ""}
    assert (answers["14"]["kind"], answers["14"]["reason"]) == ("gap", "compacted")
    assert (answers["9"]["kind"], answers["15"]["kind"]) == ("before", "after")
    both = query | {"destination_offset": "1"}
    assert await refusal(await local.session.get(url, params=both)) == (400, "request-refused")


async def test_a_share_that_is_not_offered_is_not_subscribed(local: LocalHttp, globex: str) -> None:
    before = await (await local.session.get(f"{local.url}/v1/subscriptions")).json()
    for asked, code in (
        ({"peer": globex, "share": "nothing"}, "not-available"),
        ({"peer": globex, "share": "flights", "topics": {"nothing": "here"}}, "topic-not-shared"),
    ):
        answer = await local.session.post(f"{local.url}/v1/subscriptions", json=asked)
        assert await refusal(answer) == (400, code)
    assert await (await local.session.get(f"{local.url}/v1/subscriptions")).json() == before
