"""Judging topics: the gateway's own, those it shares, and those it mirrors into. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.doctor.facts import TopicFacts, Use
from gateway.doctor.findings import Finding, fail, info, ok, warn
from gateway.kafka.state import CONTROL_TOPIC

KEPT = {"_mesh.audit": "delete"}
"""The cleanup policy of state topics that are not compacted."""


def check_topics(topics: Sequence[TopicFacts], brokers: int, internal_replicas: int, max_batch: int) -> list[Finding]:
    """`internal_replicas` is how often the cluster keeps its own topics; `max_batch` the gateway's limit, in bytes."""
    return [finding for topic in topics for finding in _check(topic, brokers, internal_replicas, max_batch)]


def _check(topic: TopicFacts, brokers: int, internal_replicas: int, max_batch: int) -> Iterator[Finding]:
    check = f"{topic.asked.use} topic {topic.asked.name}"
    if not topic.partitions:
        yield _absent(check, topic)
        return
    found = [*_health(check, topic)]
    match topic.asked.use:
        case Use.STATE:
            found += _state(check, topic, min(internal_replicas, brokers))
        case Use.DESTINATION:
            found += [*_kept_safe(check, topic, brokers), *_destination(check, topic, max_batch)]
        case Use.SOURCE:
            found += [*_kept_safe(check, topic, brokers), *_source(check, topic)]
    yield from found or [ok(check, f"{topic.partitions} partitions, {topic.replicas} replicas each")]


def _absent(check: str, topic: TopicFacts) -> Finding:
    match topic.asked.use:
        case Use.STATE:
            return info(check, "not there, or not to be seen", "the gateway makes it at its first start")
        case Use.DESTINATION:
            return info(check, "not there, or not to be seen", "the gateway makes it when it is subscribed to")
        case Use.SOURCE:
            return fail(
                check,
                "not there, or not to be seen",
                "partners get nothing of it",
                "create it, or allow Describe on it",
            )


def _health(check: str, topic: TopicFacts) -> Iterator[Finding]:
    if topic.without_leader:
        yield fail(
            check,
            f"{topic.without_leader} of {topic.partitions} partitions have no leader",
            "nothing can be read from or written to these",
            "bring the brokers that hold them back",
        )
    elif topic.behind:
        yield warn(
            check,
            f"{topic.behind} of {topic.partitions} partitions lack a replica in sync",
            "another broker less, and they may stop",
            "bring the missing brokers back",
        )


def _state(check: str, topic: TopicFacts, wanted: int) -> Iterator[Finding]:
    if topic.replicas < wanted:
        yield warn(
            check,
            f"{topic.replicas} replicas; the cluster keeps its internal topics {wanted} times",
            "all lanes stop when its broker is away, and start anew when its disk is lost",
            f"reassign its partitions to {wanted} replicas, with min.insync.replicas={max(1, wanted - 1)}",
        )
    if topic.asked.name == CONTROL_TOPIC and topic.partitions != 1:
        yield fail(
            check,
            f"{topic.partitions} partitions",
            "what all gateways agree on needs one order: the gateway refuses to start",
            "if no gateway has written to it yet, delete it and make it with 1 partition",
        )
    config = topic.config or {}
    policy = KEPT.get(topic.asked.name, "compact")
    if config and config.get("cleanup.policy") != policy:
        yield fail(
            check,
            f"cleanup.policy={config.get('cleanup.policy')}",
            "what the gateway stores would be lost in time: it refuses to start",
            f"set cleanup.policy={policy}",
        )
    ends = [f"{key}={config[key]}" for key in ("retention.ms", "retention.bytes") if config.get(key, "-1") != "-1"]
    if policy == "delete" and ends:
        yield fail(
            check,
            ", ".join(ends),
            "audit entries would be lost in time: the gateway refuses to start",
            "set both to -1",
        )


def _kept_safe(check: str, topic: TopicFacts, brokers: int) -> Iterator[Finding]:
    config = topic.config or {}
    if topic.replicas < min(3, brokers):
        yield warn(
            check,
            f"{topic.replicas} replicas on {brokers} brokers",
            "it stops with one broker, and is lost with one disk",
            "reassign it to 3 replicas",
        )
    in_sync = _number(config, "min.insync.replicas")
    if in_sync is not None and in_sync > topic.replicas:
        yield fail(
            check,
            f"min.insync.replicas={in_sync}, with {topic.replicas} replicas",
            "nobody can write to it with acks=all, as the gateway does",
            f"set min.insync.replicas={max(1, topic.replicas - 1)}",
        )
    elif in_sync is not None and in_sync == topic.replicas > 1:
        yield warn(
            check,
            f"min.insync.replicas={in_sync}, with {topic.replicas} replicas",
            "writing stops as soon as one broker is away",
            f"set min.insync.replicas={topic.replicas - 1}",
        )
    if config.get("unclean.leader.election.enable") == "true":
        yield warn(
            check,
            "unclean.leader.election.enable=true",
            "acknowledged records may vanish with a leader: its lanes stop then, with the range that is lost",
            "set it to false",
        )


def _source(check: str, topic: TopicFacts) -> Iterator[Finding]:
    if topic.config is not None and _number(topic.config, "retention.ms") not in {None, -1}:
        hours = int(topic.config["retention.ms"]) / 3_600_000
        yield info(
            check, f"it keeps records {hours:g} h", "a partner that is away longer loses the rest, and is told so"
        )


def _destination(check: str, topic: TopicFacts, max_batch: int) -> Iterator[Finding]:
    config, source = topic.config or {}, topic.asked.source_config
    largest, theirs = _number(config, "max.message.bytes"), _number(source, "max.message.bytes")
    if largest is not None and theirs is not None and largest < theirs:
        yield warn(
            check,
            f"max.message.bytes={largest}, the source takes {theirs}",
            "a larger batch stops its lane",
            f"set max.message.bytes={theirs}",
        )
    elif theirs is not None and max_batch < theirs:
        yield warn(
            check,
            f"the source takes batches of {theirs} bytes, this gateway {max_batch}",
            "a larger batch stops its lane",
            f"set limits.max_batch_bytes={theirs}",
        )
    yield from _times(check, config)
    if config.get("compression.type", "producer") != "producer":
        yield info(
            check,
            f"compression.type={config['compression.type']}",
            "brokers compress every batch anew",
            "set compression.type=producer",
        )
    if "compact" in config.get("cleanup.policy", "") and "compact" not in source.get("cleanup.policy", "compact"):
        yield warn(
            check,
            f"cleanup.policy={config['cleanup.policy']}, the source's is {source['cleanup.policy']}",
            "records without a key are refused, and copies vanish that the source keeps",
            f"set cleanup.policy={source['cleanup.policy']}",
        )


def _times(check: str, config: Mapping[str, str]) -> Iterator[Finding]:
    if config.get("message.timestamp.type") == "LogAppendTime":
        yield warn(
            check,
            "message.timestamp.type=LogAppendTime",
            "copies show when they were copied, not when the records were made",
            "set message.timestamp.type=CreateTime",
        )
    before, after = (_number(config, f"message.timestamp.{side}.max.ms") for side in ("before", "after"))
    if before is not None and before < 1 << 53:
        yield warn(
            check,
            f"message.timestamp.before.max.ms={before}",
            "history older than that stops its lane, unless the subscription says otherwise",
            "remove the limit",
        )
    if after is not None and after < 3_600_000:
        yield info(
            check,
            f"message.timestamp.after.max.ms={after}",
            "a source whose clock is further ahead stops its lane, unless the subscription says otherwise",
        )


def _number(config: Mapping[str, str], key: str) -> int | None:
    text = config.get(key, "")
    return int(text) if text.lstrip("-").isdigit() else None
