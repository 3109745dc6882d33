"""The doctor on a real broker: nothing is wrong with it, and what is asked of it does nothing."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest

from gateway.doctor.facts import Asked, Use
from gateway.doctor.findings import Finding, Level
from gateway.doctor.kafka import KafkaQuestion, examine_kafka
from gateway.doctor.probe import probe_append
from gateway.kafka import KafkaConfig
from gateway.kafka.opening import open_client
from gateway.kafka.topics import KafkaTopics
from tests.support.brokers import shared_broker
from tests.support.ports import free_ports

pytestmark = pytest.mark.kafka

RULES = (
    "first batch",
    "exact repeat answers the original offset",
    "overlap",
    "longer repeat",
    "shorter repeat",
    "gap ahead",
    "next in line after refusals",
    "DescribeProducers agrees",
    "stale repeat, older than five",
    "a first sequence may be any",
    "sequences wrap at 2^31",
    "10 equal writers on two connections",
    "the strict cut shuts out epoch",
    "a producer of our own numbers",
)


def config() -> KafkaConfig:
    return KafkaConfig(bootstrap=(shared_broker().address,))


async def examined(settings: KafkaConfig, *topics: Asked) -> list[Finding]:
    question = KafkaQuestion(settings, topics, 16 << 20, int(time.time() * 1000))
    return [finding async for finding in examine_kafka(question)]


async def names() -> set[str]:
    async with open_client(config()) as client:
        return {topic.name for topic in await client.all_topics()}


async def test_compare_and_append_holds_rule_by_rule_and_leaves_nothing_behind() -> None:
    before, scratch = await names(), f"scratch-{uuid4().hex[:8]}"
    found = [finding async for finding in probe_append(config(), scratch)]
    assert {each.level for each in found} == {Level.OK}, found
    for rule, finding in zip(RULES, found, strict=False):
        assert finding.check.startswith(f"append: {rule}")
    assert found[-1].check == "clock"
    assert len(found) == len(RULES) + 1
    async with asyncio.timeout(10):
        while scratch in (left := await names()):  # noqa: ASYNC110 - its metadata go a moment after its deletion
            await asyncio.sleep(0.05)
    assert left <= before | {"__consumer_offsets", "__transaction_state"}


async def test_a_scratch_topic_that_exists_is_not_touched() -> None:
    taken = f"taken-{uuid4().hex[:8]}"
    async with open_client(config()) as client:
        await KafkaTopics(client).create(taken, 1, {})
    (finding,) = [finding async for finding in probe_append(config(), taken)]
    assert finding.level is Level.FAIL
    assert "exists already" in finding.found
    assert taken in await names()


async def test_examining_a_cluster_changes_nothing_and_finds_what_is_absent() -> None:
    before, absent = await names(), f"absent-{uuid4().hex[:8]}"
    found = await examined(config(), Asked(absent, Use.SOURCE), Asked(f"{absent}-copy", Use.DESTINATION))
    failed = [each.check for each in found if each.level is Level.FAIL]
    assert failed == [f"source topic {absent}"]
    allowed = {each.check: each.found for each in found if each.check.startswith("permissions on ")}
    assert allowed[f"permissions on topic {absent}"] == "Read, DescribeConfigs allowed"
    assert allowed[f"permissions on topic {absent}-copy"] == "Read, Write, Create, DescribeConfigs allowed"
    assert allowed["permissions on cluster"] == "Alter, Describe, DescribeConfigs allowed"
    assert await names() <= before | {"__consumer_offsets", "__transaction_state"}


async def test_an_address_that_nobody_answers_is_named_beside_the_one_that_works() -> None:
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    found = await examined(KafkaConfig(bootstrap=(dead, shared_broker().address)))
    assert [each.check for each in found if each.level is Level.FAIL] == [f"bootstrap at {dead}"]
    assert any(each.check == "cluster" for each in found)
