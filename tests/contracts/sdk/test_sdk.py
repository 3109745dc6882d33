"""What an application may rely on, whatever answers it: a gateway on any cluster, or the one in memory."""

from __future__ import annotations

import asyncio

import pytest

from gateway.cli.reference import project_errors
from mesh.sdk import Client, NewRecord, errors
from tests.contracts.sdk.conftest import Site


async def test_what_is_published_is_read_as_it_was(client: Client, topic: str) -> None:
    headers = [("kind", b"invoice"), ("kind", None), ("note", b"")]
    place = await client.publish(topic, "text", key=b"\x00\xff", headers=headers, timestamp_ms=1_700_000_000_000)
    await client.publish(topic, None, key="gone", partition=place.partition)
    first, second = [record async for record in client.read(topic, until_end=True)]
    assert (first.topic, first.partition, first.offset) == (topic, place.partition, place.offset)
    assert (first.key, first.value, first.timestamp_ms) == (b"\x00\xff", b"text", 1_700_000_000_000)
    assert first.headers == tuple(headers)
    assert (second.key, second.value, second.headers) == (b"gone", None, ())


async def test_records_of_one_key_keep_their_order_through_restarts(site: Site, client: Client, topic: str) -> None:
    """Nothing is lost and nothing comes twice, neither on the way in nor on the way out."""
    found: dict[bytes | None, list[int]] = {}

    async def publish() -> None:
        for number in range(400):
            await client.send(topic, f"{number}", key=f"key-{number % 5}")
            if number % 150 == 149:
                await asyncio.sleep(0)
                await site.restart()
        await client.flush()

    async def read() -> None:
        count = 0
        async for record in client.read(topic, max_bytes=2000):
            found.setdefault(record.key, []).append(int(record.value or b""))
            count += 1
            if count == 400:
                return

    await asyncio.gather(publish(), read())
    assert found == {b"key-%d" % key: list(range(key, 400, 5)) for key in range(5)}


async def test_a_key_of_the_applications_own_appends_once(site: Site, topic: str) -> None:
    records = [NewRecord(f"{number}", f"key-{number}") for number in range(10)]
    async with site.client() as client:
        first = await client.publish_many(topic, records, idempotency_key="order-17")
    await site.restart()
    async with site.client() as client:
        again = await client.publish_many(topic, records, idempotency_key="order-17")
        assert [place[:2] for place in again] == [place[:2] for place in first]
        assert all(place.repeated for place in again)
        assert len([record async for record in client.read(topic, until_end=True)]) == 10
        with pytest.raises(errors.IdempotencyKeyReused):
            await client.publish(topic, "other", idempotency_key="order-17")


async def test_a_record_that_is_too_large_fails_alone(client: Client, topic: str) -> None:
    tickets = [await client.send(topic, value, partition=0) for value in (b"a", b"x" * 1_500_000, b"b")]
    with pytest.raises(errors.RecordTooLarge):
        await client.flush()
    assert (tickets[0].result().offset, tickets[2].result().offset) == (0, 1)
    assert [record.value async for record in client.read(topic, until_end=True)] == [b"a", b"b"]


async def test_at_least_once_by_a_cursor(
    site: Site, client: Client, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.sdk.reader.CURSOR_PATIENCE_S", 0.2)
    await client.publish_many(topic, [f"{number}" for number in range(10)], partition=1)
    async with client.read(topic, cursor="billing") as reader:
        async for record in reader:
            if record.offset == 3:
                await reader.commit()
            if record.offset == 5:
                break
    assert (await client.cursor("billing", topic)).positions == {0: 0, 1: 4}
    await site.restart()
    async with client.read(topic, cursor="billing") as reader:
        assert (await anext(reader)).offset == 4
        with pytest.raises(errors.CursorInUse):
            async with client.read(topic, cursor="billing"):
                pass


async def test_a_commit_after_a_restart_is_stored(site: Site, client: Client, topic: str) -> None:
    await client.publish_many(topic, [f"{number}" for number in range(10)], partition=1)
    async with client.read(topic, cursor="billing") as reader:
        assert [(await anext(reader)).offset for _ in range(2)] == [0, 1]
        await site.restart()
        await reader.commit()
        assert [(await anext(reader)).offset for _ in range(8)] == list(range(2, 10))
        await reader.commit()
    assert (await client.cursor("billing", topic)).positions == {0: 0, 1: 10}


async def test_the_last_records_of_a_reading_with_an_end_are_committed_too(client: Client, topic: str) -> None:
    await client.publish_many(topic, [f"{number}" for number in range(4)], partition=0)
    async with client.read(topic, cursor="billing", max_records=2) as reader:
        async for _ in reader:
            await reader.commit()
    async with client.read(topic, cursor="billing", until_end=True) as reader:
        assert [record.offset async for record in reader] == [2, 3]
        await reader.commit()
    assert (await client.cursor("billing", topic)).positions == {0: 4, 1: 0}
    await client.delete_cursor("billing", topic)
    with pytest.raises(errors.CursorAbsent):
        await client.cursor("billing", topic)


async def test_reading_begins_where_it_is_told(client: Client, topic: str) -> None:
    for number in range(4):
        await client.publish(topic, f"{number}", partition=0, timestamp_ms=1000 * number)

    async def offsets(**query: object) -> list[int]:
        return [record.offset async for record in client.read(topic, until_end=True, **query)]  # type: ignore[arg-type]

    assert await offsets(positions={0: 2}) == [2, 3]
    assert await offsets(start="timestamp:3000") == [3]
    assert await offsets(start="latest") == []
    assert await offsets(partitions=[1]) == []
    with pytest.raises(errors.OffsetOutOfRange):
        await offsets(positions={0: 5})
    with pytest.raises(errors.PartitionAbsent):
        await offsets(partitions=[2])


async def test_refusals_have_types_sentences_and_remedies(site: Site, client: Client, topic: str) -> None:
    for wrong, work in (
        (errors.TopicAbsent, client.publish("absent", "a")),
        (errors.PartitionAbsent, client.publish(topic, "a", partition=9)),
        (errors.PeerAbsent, client.catalog("stranger.example")),
        (errors.SubscriptionAbsent, client.translate("absent", "invoices", 0, source_offset=0)),
    ):
        with pytest.raises(wrong) as raised:
            await work
        assert raised.value.code == wrong.answers
        assert str(raised.value)
        assert raised.value.remedy
    async with site.client(token="wrong") as stranger:
        with pytest.raises(errors.TokenRefused):
            await stranger.topics()


async def test_a_subscription_that_cannot_be_is_refused(client: Client) -> None:
    await client.subscribe("globex.example", "sales", {"invoices": "globex.invoices"})
    for code, share, topics, name in (
        ("subscription-exists", "sales", {"invoices": "other"}, "sales"),
        ("not-available", "absent", {"invoices": "other"}, "other"),
        ("topic-not-shared", "sales", {"absent": "other"}, "other"),
        ("destination-taken", "sales", {"invoices": "globex.invoices"}, "other"),
    ):
        with pytest.raises(errors.GatewayError) as raised:
            await client.subscribe("globex.example", share, topics, name=name)
        assert raised.value.code == code
    assert [each.name for each in await client.subscriptions()] == ["sales"]


async def test_a_partners_share_is_subscribed_to(client: Client) -> None:
    offered = await client.catalog("globex.example")
    assert [(each.share, each.topic, each.partitions) for each in offered.topics] == [("sales", "invoices", 1)]
    made = await client.subscribe("globex.example", "sales", {"invoices": "globex.invoices"})
    assert made in await client.subscriptions()
    (topic,) = [each for each in await client.topics() if each.name == "globex.invoices"]
    assert (topic.partitions, topic.mirrored_by) == (1, "sales")
    with pytest.raises(errors.TopicMirrored):
        await client.publish("globex.invoices", "a")
    assert (await client.status()).ready is not None


def test_every_typed_error_stands_for_a_code_of_the_gateway() -> None:
    known = {error.code for error in project_errors()}
    typed = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.GatewayError)]
    assert {each.answers for each in typed} - known == {""}
    assert len(typed) > 10
