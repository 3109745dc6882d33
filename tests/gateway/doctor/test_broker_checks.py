"""What is said of brokers: who answers, what they speak, how they are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from gateway.doctor.broker_checks import DAY_MS, check_doors, check_security, check_settings
from gateway.doctor.facts import ClusterFacts, Door
from gateway.doctor.findings import Finding, Level, verdict
from gateway.kafka.config import KafkaConfig, Mechanism, SecurityProtocol
from gateway.kafka.connection import Api

NEEDED = {"Fetch": Api(1, 13)}
GOOD = {
    "producer.id.expiration.ms": "86400000",
    "transactional.id.expiration.ms": "604800000",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
}


def door(node: int | None, why: str = "", newest_fetch: int = 17) -> Door:
    return Door(f"b{node}:9092", node, why, versions={1: (4, newest_fetch)})


def settings(config: Mapping[str, str], brokers: int = 3) -> list[Finding]:
    nodes = {node: f"b{node}:9092" for node in range(1, brokers + 1)}
    return list(check_settings(ClusterFacts("c", nodes, dict.fromkeys(nodes, config))))


def troubles(findings: Iterable[Finding]) -> dict[str, Level]:
    return {each.check: each.level for each in findings if each.level in {Level.WARN, Level.FAIL}}


def test_a_cluster_that_is_set_well_has_no_trouble() -> None:
    assert not troubles(settings(GOOD))
    assert not troubles(check_doors([door(None), door(1)], NEEDED, 0))


@pytest.mark.parametrize(
    ("key", "value", "level"),
    [
        ("producer.id.expiration.ms", "3600000", Level.WARN),
        ("default.replication.factor", "1", Level.WARN),
        ("min.insync.replicas", "1", Level.WARN),
        ("auto.create.topics.enable", "true", Level.WARN),
        ("unclean.leader.election.enable", "true", Level.WARN),
        ("log.cleaner.enable", "false", Level.WARN),
        ("socket.request.max.bytes", "1000000", Level.FAIL),
        ("transaction.state.log.replication.factor", "4", Level.FAIL),
        ("offsets.topic.replication.factor", "4", Level.FAIL),
    ],
)
def test_each_setting_that_hurts_a_mirror_is_named_with_its_remedy(key: str, value: str, level: Level) -> None:
    found = settings({**GOOD, key: value})
    assert troubles(found) == {key: level}
    (finding,) = (each for each in found if each.level is level)
    assert finding.follows
    assert key in finding.remedy or "brokers" in finding.remedy


def test_one_broker_needs_no_replicas() -> None:
    one = {**GOOD, "default.replication.factor": "1", "min.insync.replicas": "1"}
    one |= dict.fromkeys(("offsets.topic.replication.factor", "transaction.state.log.replication.factor"), "1")
    assert not troubles(settings(one, brokers=1))


def test_the_worst_of_several_brokers_counts() -> None:
    configs = {1: GOOD, 2: {**GOOD, "unclean.leader.election.enable": "true"}}
    found = list(check_settings(ClusterFacts("c", {1: "b1:9092", 2: "b2:9092"}, configs)))
    assert any(each.check == "unclean.leader.election.enable" and "on 2" in each.found for each in found)


def test_settings_that_may_not_be_read_are_no_failure() -> None:
    (finding,) = settings({})
    assert finding.level is Level.INFO
    assert "DescribeConfigs" in finding.remedy


def test_a_broker_that_does_not_open_and_one_that_is_too_old_fail() -> None:
    found = list(check_doors([door(None), door(1, "no such host"), door(2, newest_fetch=12)], NEEDED, 0))
    assert troubles(found)["broker 1 at b1:9092"] is Level.FAIL
    assert troubles(found)["versions"] is Level.FAIL
    assert any("b2:9092: Fetch 13" in each.found for each in found)
    assert any("advertise" in each.follows for each in found)


def test_one_bootstrap_address_of_three_brokers_is_worth_a_word() -> None:
    assert troubles(check_doors([door(None), door(1), door(2), door(3)], NEEDED, 0)) == {"bootstrap": Level.WARN}


def test_a_certificate_that_ends_soon_is_named() -> None:
    ends = replace(door(1), certificate_end_ms=20 * DAY_MS, certificate_names=("DNS:b1",))
    assert not troubles(check_doors([door(None), ends], NEEDED, 0))
    assert troubles(check_doors([door(None), ends], NEEDED, 10 * DAY_MS)) == {"certificate of b1:9092": Level.WARN}


@pytest.mark.parametrize(
    ("protocol", "mechanism", "level"),
    [
        (SecurityProtocol.PLAINTEXT, Mechanism.PLAIN, Level.INFO),
        (SecurityProtocol.SASL_PLAINTEXT, Mechanism.PLAIN, Level.WARN),
        (SecurityProtocol.SASL_PLAINTEXT, Mechanism.SCRAM_SHA_512, Level.INFO),
        (SecurityProtocol.SASL_SSL, Mechanism.PLAIN, Level.OK),
        (SecurityProtocol.SSL, Mechanism.PLAIN, Level.OK),
    ],
)
def test_a_password_that_travels_open_is_a_warning(
    protocol: SecurityProtocol, mechanism: Mechanism, level: Level
) -> None:
    config = KafkaConfig(bootstrap=("b:1",), security_protocol=protocol, sasl_mechanism=mechanism)
    (finding,) = check_security(config)
    assert finding.level is level


def test_the_verdict_counts_and_fails_on_failures_only() -> None:
    assert verdict(settings(GOOD))["ok"] is True
    said = verdict(settings({**GOOD, "min.insync.replicas": "1", "offsets.topic.replication.factor": "9"}))
    assert (said["ok"], said["fails"], said["warnings"]) == (False, 1, 1)
    assert said["sentence"].startswith("1 failure and 1 warning in ")
