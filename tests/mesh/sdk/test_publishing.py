"""Publishing through trouble: nothing is appended twice, nothing is lost, and who waits is told."""

from __future__ import annotations

import asyncio

import pytest

from mesh.cluster_errors import ClusterUnreachable
from mesh.local.errors import KeysNotKept
from mesh.sdk import Client, GatewayUnreachable, NewRecord, PublishUnknown, errors
from mesh.testing import LocalGateway


def values(gateway: LocalGateway, topic: str = "orders") -> list[bytes | None]:
    return [record.value for record in gateway.records(topic)]


async def test_records_that_tasks_publish_at_once_share_requests(gateway: LocalGateway, client: Client) -> None:
    found = await asyncio.gather(*(client.publish("orders", f"{number}") for number in range(200)))
    assert [place.offset for place in found] == list(range(200))
    assert gateway.calls["Publish"] < 20


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_appended_twice(
    gateway: LocalGateway, client: Client
) -> None:
    gateway.lose_answer("Publish", times=2)
    place = await client.publish("orders", "once")
    assert (place.offset, place.repeated) == (0, True)
    assert values(gateway) == [b"once"]


async def test_a_gateway_that_restarts_costs_nothing_but_time(gateway: LocalGateway, client: Client) -> None:
    tickets = []
    for number in range(300):
        tickets.append(await client.send("orders", f"{number}"))
        if number % 100 == 50:
            await asyncio.sleep(0)
            gateway.restart()
    await client.flush()
    assert [ticket.result().offset for ticket in tickets] == list(range(300))
    assert values(gateway) == [f"{number}".encode() for number in range(300)]


async def test_a_failure_that_passes_is_waited_for(gateway: LocalGateway, client: Client) -> None:
    gateway.fail_next("Publish", ClusterUnreachable("acme", "the broker is away"), times=3)
    first, second = await asyncio.gather(client.publish("orders", "a"), client.publish("orders", "b"))
    assert (first.offset, second.offset) == (0, 1)


async def test_a_failure_that_does_not_pass_in_time_is_the_callers(gateway: LocalGateway) -> None:
    async with gateway.client(publish_timeout_s=0.0) as client:
        gateway.fail_next("Publish", ClusterUnreachable("acme", "the broker is away"))
        with pytest.raises(errors.GatewayError, match="cluster acme cannot be reached") as raised:
            await client.publish("orders", "a")
        assert raised.value.code == "cluster-unreachable"


async def test_without_a_gateway_publishing_says_so_and_was_not_done(gateway: LocalGateway) -> None:
    async with gateway.client(publish_timeout_s=0.0) as client:
        gateway.stop()
        with pytest.raises(PublishUnknown):  # handed to gRPC, which does not say whether it sent it
            await client.publish("orders", "a")


async def test_a_refused_record_fails_alone(gateway: LocalGateway, client: Client) -> None:
    large = b"x" * 2_000_000
    records = [b"0", b"1", b"2", large, b"4"]
    tickets = [await client.send("orders", record) for record in records]
    with pytest.raises(errors.RecordTooLarge, match="has 2000004 bytes, at most 1048576 are taken"):
        await client.flush()
    assert values(gateway) == [b"0", b"1", b"2", b"4"]
    assert [ticket.exception() is None for ticket in tickets] == [True, True, True, False, True]


async def test_a_refused_record_is_found_among_many_of_its_request(gateway: LocalGateway, client: Client) -> None:
    gateway.max_record_bytes = 100
    many = [b"x" * 200 if number == 37 else b"%d" % number for number in range(100)]
    with pytest.raises(errors.RecordTooLarge):
        await client.publish_many("orders", many)
    assert values(gateway) == [value for value in many if len(value) < 100]


async def test_a_topic_that_is_refused_does_not_hold_up_others(gateway: LocalGateway, client: Client) -> None:
    good, bad = await asyncio.gather(
        client.publish("orders", "a"), client.publish("absent", "b"), return_exceptions=True
    )
    assert not isinstance(good, BaseException)
    assert isinstance(bad, errors.TopicAbsent)


async def test_who_does_not_look_at_futures_learns_of_a_failure_by_flush(gateway: LocalGateway, client: Client) -> None:
    await client.send("absent", "a")
    with pytest.raises(errors.TopicAbsent):
        await client.flush()
    await client.flush()


async def test_leaving_the_block_publishes_what_was_handed_over(gateway: LocalGateway) -> None:
    async with gateway.client() as client:
        for number in range(50):
            await client.send("orders", f"{number}")
    assert len(values(gateway)) == 50


async def test_leaving_the_block_tells_of_a_failure_that_nobody_saw(gateway: LocalGateway) -> None:
    with pytest.raises(errors.TopicAbsent):
        async with gateway.client() as client:
            await client.send("absent", "a")


async def test_leaving_the_block_by_an_exception_still_publishes_and_raises_that_exception(
    gateway: LocalGateway,
) -> None:
    async def fails() -> None:
        async with gateway.client() as client:
            await client.send("orders", "a")
            raise KeyError

    with pytest.raises(KeyError):
        await fails()
    assert values(gateway) == [b"a"]


async def test_a_wrong_token_is_refused_at_once(gateway: LocalGateway) -> None:
    async with gateway.client(token="wrong") as client:
        with pytest.raises(errors.TokenRefused, match="carries no valid token"):
            await client.publish("orders", "a")


async def test_whoever_stops_waiting_leaves_the_others_waiting(gateway: LocalGateway, client: Client) -> None:
    impatient = asyncio.ensure_future(client.publish("orders", "a"))
    patient = asyncio.ensure_future(client.publish("orders", "b"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).offset == 1
    assert values(gateway) == [b"a", b"b"]


async def test_what_is_handed_over_is_bounded(gateway: LocalGateway) -> None:
    async with gateway.client(buffer_bytes=10_000) as client:
        gateway.fail_next("Publish", "busy", times=3)
        for _ in range(100):
            await client.send("orders", b"x" * 1000)
            assert client.unanswered_bytes <= 10_000
    assert len(values(gateway)) == 100


async def test_a_topic_that_keeps_no_keys_is_published_to_without(gateway: LocalGateway, client: Client) -> None:
    gateway.fail_next("Publish", KeysNotKept("orders", 3_600_000))
    assert (await client.publish("orders", "a")).offset == 0
    gateway.lose_answer("Publish")
    with pytest.raises(PublishUnknown, match="nobody can tell whether the records were appended to 'orders'"):
        await client.publish("orders", "b")
    assert values(gateway) == [b"a", b"b"]


async def test_without_keys_a_lost_answer_is_not_asked_for_again(gateway: LocalGateway) -> None:
    async with gateway.client(idempotent=False) as client:
        gateway.lose_answer("Publish")
        with pytest.raises(PublishUnknown):
            await client.publish("orders", "a")
        assert (await client.publish("orders", "b")).offset == 1


async def test_a_key_of_the_applications_own_outlives_its_client(gateway: LocalGateway) -> None:
    places = []
    for _ in range(2):
        async with gateway.client() as client:
            places.append(await client.publish("orders", "payment", idempotency_key="payment-17"))
    assert [place.repeated for place in places] == [False, True]
    assert values(gateway) == [b"payment"]


async def test_only_bytes_text_and_none_are_published(client: Client) -> None:
    with pytest.raises(TypeError, match="bytes, text or None, not int"):
        await client.publish("orders", 17)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="-1"):
        await client.publish("orders", "a", partition=-1)
    await client.publish_many("orders", [NewRecord(bytearray(b"a")), memoryview(b"b")])  # type: ignore[arg-type, list-item]


async def test_a_client_is_used_inside_of_its_block_only(gateway: LocalGateway) -> None:
    client = gateway.client()
    with pytest.raises(errors.ClientClosed):
        await client.publish("orders", "a")
    async with client:
        pass
    with pytest.raises(errors.ClientClosed):
        await client.topics()


async def test_a_call_waits_for_a_gateway_that_comes_back(gateway: LocalGateway, client: Client) -> None:
    gateway.stop()
    asked = asyncio.ensure_future(client.topics())
    gateway.restart()
    assert [topic.name for topic in await asked] == ["orders"]


async def test_a_call_does_not_wait_for_ever(gateway: LocalGateway) -> None:
    async with gateway.client(patience_s=0.1) as client:
        gateway.stop()
        with pytest.raises(GatewayUnreachable, match=r"the gateway at 127\.0\.0\.1:\d+ does not answer"):
            await client.topics()


async def test_who_waits_for_room_while_the_client_closes_is_told(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.sdk.client.CLOSE_S", 0.0)
    gateway.stop()
    waiting: list[asyncio.Future[asyncio.Future[object]]] = []

    async def fails() -> None:
        async with gateway.client(buffer_bytes=1000) as client:
            await client.send("orders", b"x" * 900)
            waiting.append(asyncio.ensure_future(client.send("orders", b"y" * 900)))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        await fails()
    with pytest.raises(errors.ClientClosed):
        await waiting[0]
