"""The synchronous client: the same, without await, from any thread."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import mesh.sdk
from mesh.sdk import GatewayUnreachable, NewRecord, PublishUnknown, errors, sync
from mesh.testing import LocalGateway


@pytest.fixture
def client(gateway: LocalGateway) -> Iterator[sync.Client]:
    with gateway.sync_client(patience_s=20.0, publish_timeout_s=20.0) as client:
        yield client


def values(gateway: LocalGateway) -> list[bytes | None]:
    return [record.value for record in gateway.records("orders")]


PUBLIC = [name for name, _ in inspect.getmembers(sync.Client, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("name", ["__init__", *PUBLIC])
def test_it_takes_what_the_asyncio_client_takes(name: str) -> None:
    ours, theirs = (inspect.signature(getattr(each, name)).parameters for each in (sync.Client, mesh.sdk.Client))
    assert [str(each) for each in ours.values()] == [str(each) for each in theirs.values()]


def test_it_can_what_the_asyncio_client_can() -> None:
    coroutines = inspect.getmembers(mesh.sdk.Client, inspect.iscoroutinefunction)
    assert {name for name, _ in coroutines if not name.startswith("_")} <= set(PUBLIC)


def test_publish_and_read(gateway: LocalGateway, client: sync.Client) -> None:
    assert client.publish("orders", "a", key="k").offset == 0
    assert [place.offset for place in client.publish_many("orders", ["b", NewRecord("c")])] == [1, 2]
    assert [(record.offset, record.value) for record in client.read("orders", until_end=True)] == [
        (0, b"a"), (1, b"b"), (2, b"c")
    ]  # fmt: skip


def test_records_that_are_handed_over_arrive_in_order_and_flush_waits_for_them(
    gateway: LocalGateway, client: sync.Client
) -> None:
    places = [client.send("orders", f"{number}") for number in range(3000)]
    client.flush()
    assert all(place.done() for place in places)
    assert [place.result().offset for place in places] == list(range(3000))
    assert values(gateway) == [f"{number}".encode() for number in range(3000)]


def test_many_threads_share_one_client(gateway: LocalGateway, client: sync.Client) -> None:
    def publish(number: int) -> int:
        return client.publish("orders", f"{number}").offset

    with ThreadPoolExecutor(8) as threads:
        offsets = list(threads.map(publish, range(100)))
    assert sorted(offsets) == list(range(100))


def test_leaving_the_block_publishes_what_was_handed_over(gateway: LocalGateway) -> None:
    with gateway.sync_client() as client:
        for number in range(50):
            client.send("orders", f"{number}")
    assert len(values(gateway)) == 50


def test_failures_are_those_of_the_asyncio_client(gateway: LocalGateway, client: sync.Client) -> None:
    with pytest.raises(errors.TopicAbsent):
        client.publish("absent", "a")
    failed = client.send("absent", "a")
    with pytest.raises(errors.TopicAbsent):
        client.flush()
    assert isinstance(failed.exception(), errors.TopicAbsent)
    with pytest.raises(TypeError, match="bytes, text or None, not int"):
        client.send("orders", 17)  # type: ignore[arg-type]


def test_a_client_that_is_not_open_says_so(gateway: LocalGateway) -> None:
    client = gateway.sync_client()
    with pytest.raises(errors.ClientClosed):
        client.topics()
    with pytest.raises(errors.ClientClosed):
        client.send("orders", "a")
    with client:
        assert [topic.name for topic in client.topics()] == ["orders"]
    with pytest.raises(errors.ClientClosed):
        client.read("orders")


def test_a_restart_is_not_seen_by_readers_and_writers(gateway: LocalGateway, client: sync.Client) -> None:
    found = []
    client.publish_many("orders", [f"{number}" for number in range(20)])
    with client.read("orders", cursor="billing", max_bytes=50) as reader:
        for record in reader:
            found.append(record.offset)
            if len(found) in (3, 12):
                gateway.restart()
                client.publish("orders", "more")
            if len(found) == 22:
                reader.commit()
                break
        assert reader.positions == {0: 22}
    assert found == list(range(22))
    assert gateway.cursor("billing", "orders") == {0: 22}


def test_a_loop_that_is_left_gives_the_cursor_back(gateway: LocalGateway, client: sync.Client) -> None:
    client.publish("orders", "a")
    for _ in range(3):
        for _ in client.read("orders", cursor="billing"):
            break


def test_batches_are_read_in_any_thread(gateway: LocalGateway, client: sync.Client) -> None:
    client.publish_many("orders", ["a", "b"])
    found: list[int] = []

    def read() -> None:
        for batch in client.read("orders", until_end=True).batches():
            found.extend(record.offset for record in batch.records)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert found == [0, 1]


def test_without_a_gateway_it_does_not_wait_for_ever(gateway: LocalGateway) -> None:
    gateway.stop()
    with gateway.sync_client(patience_s=0.0, publish_timeout_s=0.0) as client:
        with pytest.raises(GatewayUnreachable):
            client.status()
        with pytest.raises(PublishUnknown):
            client.publish("orders", "a")


def test_looking_around(gateway: LocalGateway, client: sync.Client) -> None:
    gateway.share("globex.example", "sales", {"invoices": 2})
    assert [each.topic for each in client.catalog("globex.example").topics] == ["invoices"]
    made = client.subscribe("globex.example", "sales", {"invoices": "globex.invoices"})
    assert [made] == client.subscriptions()
    gateway.mirror("globex.invoices", ["a", "b"], partition=1)
    assert client.translate("sales", "invoices", 1, source_offset=1).destination_offset == 1
    assert client.translate("sales", "invoices", 1, destination_offset=7).kind == "after"
    client.commit("billing", "globex.invoices", {1: 1})
    assert client.cursor("billing", "globex.invoices").positions == {1: 1}
    client.delete_cursor("billing", "globex.invoices")
    with pytest.raises(errors.CursorAbsent):
        client.cursor("billing", "globex.invoices")
    with pytest.raises(errors.TopicMirrored):
        client.publish("globex.invoices", "c")
    assert client.status().ready
