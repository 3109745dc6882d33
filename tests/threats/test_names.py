"""Threat 5: names that are paths, controls or somebody else's, from a partner, by the admin API and by the command.

What is looked at afterwards is every file below the gateway's directory, by name and content: a refused name leaves
nothing behind. No file is ever named by a topic, so also a legal name leaves its traces in the log's own files only.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.peer import Peer
from mesh.wire.v1 import catalog_pb2
from tests.support.admin import AdminGateway, admin_gateway
from tests.support.cli import mesh
from tests.support.trust import organization

GLOBEX = organization("globex.example")
NAMES = {
    "parent": "../../etc/passwd",
    "dots": "..",
    "dot": ".",
    "absolute": "/etc/passwd",
    "inside": "a/../../b",
    "backslashes": "..\\..\\b",
    "encoded": "%2e%2e%2fb",
    "encoded dot": "%2e",
    "NUL": "b\0.log",
    "line end": "b\r\nc",
    "escape": "b\x1b[2J",
    "right to left": "b\u202egol",
    "zero width": "b\u200b",
    "lookalike": "dep\u0430rtures",
    "long": "b" * 10_240,
    "empty": "",
    "blank": " ",
    "Kafka's own": "__consumer_offsets",
    "Kafka's other": "__transaction_state",
    "ours": "_mesh.control",
    "ours to be": "_mesh.anything",
}


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[AdminGateway]:
    async with admin_gateway(tmp_path / "acme") as running:
        await running.services.registry.add_peer(Peer(GLOBEX.bundle))
        await running.services.cluster.topics.create("departures", 1, {})
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()


def tree(directory: Path) -> dict[str, str]:
    """Every file below, by its content."""
    files = (each for each in sorted(directory.rglob("*")) if each.is_file())
    return {str(each.relative_to(directory)): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


async def test_the_admin_api_takes_no_such_name_for_anything(admin: AdminGateway) -> None:
    before = tree(admin.directory.parent)
    for name in NAMES.values():
        path = quote(name, safe="")
        for method, where, body in (
            ("POST", "/v1/topics", {"name": name, "partitions": 1}),
            ("GET", f"/v1/topics/{path}/records", None),
            ("DELETE", f"/v1/topics/{path}", None),
            ("POST", "/v1/shares", {"name": name, "topics": ["departures"]}),
            ("POST", "/v1/shares", {"name": "flights", "topics": [name]}),
            ("POST", "/v1/subscriptions", {"peer": name, "share": "flights", "topics": []}),
            ("POST", "/v1/subscriptions", {"peer": GLOBEX.org, "share": name, "topics": []}),
            ("POST", "/v1/subscriptions", wanting({"source": "departures", "destination": name})),
            ("POST", "/v1/subscriptions", wanting({"source": name, "destination": "copy"})),
        ):
            answer = await admin.session.request(method, admin.url + where, json=body)
            assert 400 <= answer.status < 500, (method, where, body, await answer.text())
    assert tree(admin.directory.parent) == before


async def test_the_command_takes_no_such_name_either(admin: AdminGateway) -> None:
    before = tree(admin.directory.parent)
    for name in NAMES.values():
        for verb in ("create", "delete", "read", "append"):
            said = await mesh("topic", verb, "--", name, directory=admin.directory, stdin=b'{"value": "1"}\n')
            assert said.code in (1, 2), said
            assert all(line.isprintable() for line in said.err.splitlines())
    assert tree(admin.directory.parent) == before


async def test_a_partner_names_no_topic_of_ours(admin: AdminGateway) -> None:
    """Its catalog offers the name: asked for by that name, by a pattern, and with all of the share."""
    topics, files = await admin.services.cluster.topics.list(), set(tree(admin.directory.parent))
    for name in NAMES.values():
        offer(admin, name)
        for source, destination in ((name, "copy"), ("*", "in.*"), ("*", "*")):
            mapping = {"source": source, "destination": destination}
            answer = await admin.session.post(f"{admin.url}/v1/subscriptions", json=wanting(mapping))
            # to a pattern it is as if the partner did not have it
            assert (await answer.json()).get("topics") == ([] if source == "*" else None), (name, await answer.text())
            await admin.session.delete(f"{admin.url}/v1/subscriptions/flights")
    assert await admin.services.cluster.topics.list() == topics
    assert set(tree(admin.directory.parent)) == files


async def test_what_a_copy_is_called_is_for_the_subscriber_to_say(admin: AdminGateway) -> None:
    """A partner that calls its topic like one of ours writes nothing into ours, unless ours was named for it."""
    offer(admin, "departures")
    said = await mesh("topic", "append", "departures", directory=admin.directory, stdin=b'{"value": "ours"}\n')
    assert said.code == 0
    taken = await admin.session.post(f"{admin.url}/v1/subscriptions", json=wanting({"source": "*", "destination": "*"}))
    assert (await taken.json())["error"]["code"] == "destination-not-empty"
    free = await admin.session.post(
        f"{admin.url}/v1/subscriptions", json=wanting({"source": "*", "destination": "in.*"})
    )
    (mapping,) = (await free.json())["topics"]
    assert mapping["destination"] == "in.departures"


def wanting(mapping: dict[str, str]) -> dict[str, object]:
    return {"peer": GLOBEX.org, "share": "flights", "name": "flights", "topics": [mapping]}


def offer(admin: AdminGateway, *names: str) -> None:
    topics = [catalog_pb2.CatalogTopic(name=name, partitions=1, topic_id="0" * 32) for name in names]
    share = catalog_pb2.CatalogShare(name="flights", version=1, topics=topics)
    admin.links.catalogs[GLOBEX.org] = catalog_pb2.CatalogReply(shares=[share])
