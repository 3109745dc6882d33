"""What is said of topics: the gateway's own, those that are shared, those that are mirrored into."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.doctor.access_checks import check_access
from gateway.doctor.facts import Access, Asked, TopicFacts, Use
from gateway.doctor.findings import Finding, Level
from gateway.doctor.permissions import NEEDS, Kind, Operation, Role
from gateway.doctor.topic_checks import check_topics

Config = dict[str, str]
BATCH = 16 << 20
GOOD = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "1048588", "min.insync.replicas": "2"}


def topic(use: Use, name: str = "t", replicas: int = 3, source: Config | None = None, **config: str) -> TopicFacts:
    settings = GOOD | {key.replace("_", "."): value for key, value in config.items()}
    return TopicFacts(Asked(name, use, source or {}), 4, replicas, config=settings)


def troubles(found: list[Finding]) -> list[tuple[Level, str]]:
    return [(each.level, each.found) for each in found if each.level is not Level.OK]


def judged(facts: TopicFacts, brokers: int = 3) -> list[tuple[Level, str]]:
    return troubles(check_topics([facts], brokers, 3, BATCH))


@pytest.mark.parametrize("use", [Use.SOURCE, Use.DESTINATION])
def test_a_topic_that_is_kept_well_has_no_trouble(use: Use) -> None:
    assert judged(topic(use)) == []


@pytest.mark.parametrize(
    ("config", "level", "words"),
    [
        ({"min_insync_replicas": "4"}, Level.FAIL, "min.insync.replicas=4"),
        ({"min_insync_replicas": "3"}, Level.WARN, "min.insync.replicas=3"),
        ({"unclean_leader_election_enable": "true"}, Level.WARN, "unclean"),
        ({"message_timestamp_type": "LogAppendTime"}, Level.WARN, "LogAppendTime"),
        ({"message_timestamp_before_max_ms": "86400000"}, Level.WARN, "before.max.ms"),
        ({"message_timestamp_after_max_ms": "1000"}, Level.INFO, "after.max.ms"),
        ({"compression_type": "gzip"}, Level.INFO, "compression.type=gzip"),
    ],
)
def test_each_setting_that_hurts_a_copy_is_named(config: dict[str, str], level: Level, words: str) -> None:
    settings = {**GOOD, **{key.replace("_", "."): value for key, value in config.items()}}
    ((found_level, found),) = judged(replace(topic(Use.DESTINATION), config=settings))
    assert found_level is level
    assert words in found


def test_the_sizes_and_the_policy_of_a_copy_are_compared_with_its_source() -> None:
    larger = {"max.message.bytes": "2000000", "cleanup.policy": "delete"}
    assert "the source takes 2000000" in judged(topic(Use.DESTINATION, source=larger))[0][1]
    huge = {"max.message.bytes": str(BATCH + 1)}
    assert "this gateway" in judged(topic(Use.DESTINATION, source=huge, max_message_bytes=str(1 << 30)))[0][1]
    assert (
        "compact"
        in judged(topic(Use.DESTINATION, source=larger, cleanup_policy="compact", max_message_bytes="2000000"))[0][1]
    )


def test_too_few_replicas_are_named_where_there_are_brokers_for_more() -> None:
    assert judged(topic(Use.DESTINATION, replicas=1, min_insync_replicas="1"), brokers=1) == []
    assert judged(topic(Use.DESTINATION, replicas=1, min_insync_replicas="1"), brokers=3)[0][0] is Level.WARN
    state = topic(Use.STATE, "_mesh.lanes", 1, cleanup_policy="compact")
    assert judged(state, brokers=1) == []
    assert "3 times" in judged(state, brokers=3)[0][1]


def test_state_that_would_be_lost_in_time_fails() -> None:
    assert judged(topic(Use.STATE, "_mesh.lanes"))[0][0] is Level.FAIL
    assert judged(topic(Use.STATE, "_mesh.audit")) == []
    assert judged(topic(Use.STATE, "_mesh.audit", retention_ms="1000"))[0][0] is Level.FAIL


def test_what_gateways_agree_on_lies_in_one_partition() -> None:
    assert judged(topic(Use.STATE, "_mesh.control", cleanup_policy="compact")) == [(Level.FAIL, "4 partitions")]


def test_a_topic_that_is_absent_is_trouble_only_where_it_is_shared() -> None:
    levels = {use: judged(TopicFacts(Asked("t", use)))[0][0] for use in Use}
    assert levels == {Use.SOURCE: Level.FAIL, Use.DESTINATION: Level.INFO, Use.STATE: Level.INFO}


def test_partitions_without_a_leader_fail_and_missing_replicas_warn() -> None:
    lost = TopicFacts(Asked("t", Use.SOURCE), 4, 3, without_leader=1, behind=4, config=GOOD)
    behind = TopicFacts(Asked("t", Use.SOURCE), 4, 3, behind=4, config=GOOD)
    assert judged(lost)[0][0] is Level.FAIL
    assert judged(behind)[0][0] is Level.WARN


def test_a_kept_source_tells_for_how_long() -> None:
    assert "24 h" in judged(topic(Use.SOURCE, retention_ms="86400000"))[0][1]


@pytest.mark.parametrize("need", NEEDS, ids=lambda need: f"{need.role}-{need.operation.title}")
def test_each_permission_that_is_missing_is_named_with_what_follows(need: object) -> None:
    (each,) = (known for known in NEEDS if known is need)
    (finding,) = check_access([Access(each, "t", allowed=False)])
    assert finding.check.startswith(f"{each.operation.title} on ")
    assert finding.level is (Level.FAIL if each.required else Level.INFO)
    assert each.follows in finding.follows
    assert f"grant the gateway's principal {each.operation.title}" in finding.remedy


def test_what_is_allowed_on_a_resource_is_one_row() -> None:
    tried = [Access(need, "t", allowed=True) for need in NEEDS if (need.role, need.kind) == (Role.SOURCE, Kind.TOPIC)]
    (finding,) = check_access(tried)
    assert (finding.level, finding.found) == (Level.OK, "Read, DescribeConfigs allowed")


def test_a_gateway_that_mirrors_nothing_needs_no_names() -> None:
    (need,) = (each for each in NEEDS if each.kind is Kind.TRANSACTIONAL_ID)
    for allowed in (False, None):
        (finding,) = check_access([Access(need, allowed=allowed, in_use=False)])
        assert finding.level is Level.INFO


def test_creating_what_exists_is_not_needed() -> None:
    (need,) = (each for each in NEEDS if (each.role, each.operation) == (Role.DESTINATION, Operation.CREATE))
    (finding,) = check_access([Access(need, "t", allowed=False, exists=True)])
    assert finding.level is Level.INFO


def test_names_that_nobody_coordinates_fail_and_what_is_not_known_else_does_not() -> None:
    by_kind = {need.kind: need for need in NEEDS}
    levels = {
        kind: next(iter(check_access([Access(need, allowed=None, why="no answer")]))).level
        for kind, need in by_kind.items()
    }
    assert levels[Kind.TRANSACTIONAL_ID] is Level.FAIL
    assert {level for kind, level in levels.items() if kind is not Kind.TRANSACTIONAL_ID} == {Level.INFO}
