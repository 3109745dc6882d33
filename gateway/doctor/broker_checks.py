"""Judging what the brokers said: who answers, what they speak, how they are set. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from kio.static.protocol import RequestPayload

from gateway.doctor.facts import ClusterFacts, Door
from gateway.doctor.findings import Finding, fail, info, ok, warn
from gateway.kafka.appends import MAX_REQUEST_BYTES
from gateway.kafka.config import KafkaConfig, Mechanism, SecurityProtocol
from gateway.kafka.connection import Api

DAY_MS = 86_400_000
CERTIFICATE_WARN_MS = 14 * DAY_MS
PRODUCER_EXPIRATION, NAME_EXPIRATION = "producer.id.expiration.ms", "transactional.id.expiration.ms"
LARGEST_REQUEST = MAX_REQUEST_BYTES + (1 << 20)
"""Batches and what is said around them."""
USUAL_PRODUCER_MS, USUAL_NAME_MS = DAY_MS, 7 * DAY_MS


def check_security(config: KafkaConfig) -> Iterator[Finding]:
    protocol = config.security_protocol
    if protocol is SecurityProtocol.SASL_PLAINTEXT and config.sasl_mechanism in {
        Mechanism.PLAIN,
        Mechanism.OAUTHBEARER,
    }:
        yield warn(
            "security",
            f"{protocol} with {config.sasl_mechanism}",
            "whoever listens on the way reads the password and every record",
            "use SASL_SSL, or SCRAM where TLS is out of the question",
        )
    elif not protocol.tls:
        yield info("security", f"{protocol}", "records travel unencrypted between this gateway and the brokers")
    else:
        yield ok("security", f"{protocol}{f' with {config.sasl_mechanism}' if protocol.sasl else ''}")


def check_doors(doors: Sequence[Door], needed: Mapping[str, Api], now_ms: int) -> Iterator[Finding]:
    """Every address, by what it answered; `needed` are the requests without which nothing works."""
    for door in doors:
        yield _answer(door)
    open_doors = [door for door in doors if not door.why]
    if open_doors:
        yield from _versions(open_doors, needed)
        yield from _certificates(open_doors, now_ms)
        yield from _bootstrap(doors)


def _answer(door: Door) -> Finding:
    name = f"broker {door.node}" if door.node is not None else "bootstrap"
    check = f"{name} at {door.address}"
    if not door.why:
        level = f", metadata.version {door.metadata_version}" if door.metadata_version is not None else ""
        return ok(check, f"it answers{level}")
    if door.node is None:
        return fail(check, door.why, "a gateway that starts may not find the cluster", door.remedy)
    return fail(
        check,
        door.why,
        "its partitions cannot be read or written: the gateway uses the address that the broker advertises",
        f"{door.remedy}; or correct the broker's advertised.listeners",
    )


def _versions(doors: Iterable[Door], needed: Mapping[str, Api]) -> Iterator[Finding]:
    lacking = sorted(
        f"{door.address}: {name} {api.version}"
        for door in doors
        for name, api in needed.items()
        if not _speaks(door, api)
    )
    if lacking:
        yield fail(
            "versions", ", ".join(lacking), "what needs these requests will fail", "use Apache Kafka 3.1 or later"
        )
    else:
        words = ", ".join(f"{name} {api.version}" for name, api in needed.items())
        yield ok("versions", f"every broker speaks {words}")


def _speaks(door: Door, api: Api) -> bool:
    low, high = door.versions.get(api.key, (0, -1))
    return low <= api.version <= high


def _certificates(doors: Iterable[Door], now_ms: int) -> Iterator[Finding]:
    for door in doors:
        if door.certificate_end_ms is None:
            continue
        check, left_ms = f"certificate of {door.address}", door.certificate_end_ms - now_ms
        ends = datetime.fromtimestamp(door.certificate_end_ms / 1000, UTC).strftime("%Y-%m-%d")
        found = f"for {', '.join(door.certificate_names) or 'no name'}, until {ends}"
        if left_ms < CERTIFICATE_WARN_MS:
            yield warn(check, found, f"in {left_ms // DAY_MS} days no client gets in", "renew the broker's certificate")
        else:
            yield ok(check, found)


def _bootstrap(doors: Sequence[Door]) -> Iterator[Finding]:
    given = [door for door in doors if door.node is None]
    brokers = {door.node for door in doors if door.node is not None}
    if len(given) == 1 < len(brokers):
        yield warn(
            "bootstrap",
            f"one address of {len(brokers)} brokers",
            "a gateway that starts while this one is down does not find the cluster",
            "name two or three in cluster.kafka.bootstrap",
        )


def check_settings(cluster: ClusterFacts) -> Iterator[Finding]:
    """How the brokers are set, as far as a mirror feels it; of several the worst counts."""
    known = {node: config for node, config in cluster.configs.items() if config}
    if not known:
        yield info(
            "broker settings",
            "they may not be read",
            "what they do to a mirror cannot be judged",
            "allow DescribeConfigs on the cluster",
        )
        return
    yield from _producers(known)
    yield from _names(known)
    yield from _replication(known)
    yield from _sizes(known)
    yield from _cleaner(known)
    yield _truth("auto.create.topics.enable", known, "a mistyped topic name makes a topic that nobody wants")
    yield _truth("unclean.leader.election.enable", known, "a leader that lost records may be elected: lanes stop then")


def _least(key: str, known: Mapping[int, Mapping[str, str]]) -> int | None:
    values = [int(config[key]) for config in known.values() if config.get(key, "").lstrip("-").isdigit()]
    return min(values) if values else None


def _producers(known: Mapping[int, Mapping[str, str]]) -> Iterator[Finding]:
    found = _least(PRODUCER_EXPIRATION, known)
    if found is None:
        yield info(PRODUCER_EXPIRATION, "the brokers do not tell it")
    elif found < USUAL_PRODUCER_MS:
        yield warn(
            PRODUCER_EXPIRATION,
            f"{_span(found)}",
            "brokers soon forget a lane's writer, and take any sequence then: the gateway's own checks are left",
            f"set {PRODUCER_EXPIRATION} to a day (86400000) or more",
        )
    else:
        yield ok(
            PRODUCER_EXPIRATION, f"{_span(found)}: a writer is known that long after its newest record's timestamp"
        )


def _names(known: Mapping[int, Mapping[str, str]]) -> Iterator[Finding]:
    found = _least(NAME_EXPIRATION, known)
    if found is None:
        yield info(NAME_EXPIRATION, "the brokers do not tell it")
    elif found < USUAL_NAME_MS:
        yield info(
            NAME_EXPIRATION,
            f"{_span(found)}",
            "after it the strict cut of a lane needs Alter on the cluster",
            f"set {NAME_EXPIRATION} to a week (604800000) or more",
        )
    else:
        yield ok(NAME_EXPIRATION, f"{_span(found)}")


def _replication(known: Mapping[int, Mapping[str, str]]) -> Iterator[Finding]:
    for key in ("offsets.topic.replication.factor", "transaction.state.log.replication.factor"):
        found = _least(key, known)
        if found is not None and found > len(known):
            yield fail(
                key,
                f"{found}, of {len(known)} live brokers",
                "the topic cannot be made: no consumer group, or no named producer, works",
                "start the missing brokers, or lower it before it is first used",
            )
    found = _least("default.replication.factor", known)
    if found is not None and found < min(3, len(known)):
        yield warn(
            "default.replication.factor",
            f"{found}, of {len(known)} brokers",
            "destination topics that the gateway makes are lost with a disk",
            "set default.replication.factor=3 and min.insync.replicas=2",
        )
    elif found is not None:
        yield ok("default.replication.factor", f"{found}, of {len(known)} live brokers")
    least = _least("min.insync.replicas", known)
    if found is not None and least is not None and found >= 3 and least < 2:
        yield warn(
            "min.insync.replicas",
            f"{least}, with {found} replicas",
            "what is acknowledged may be on one broker only, and be lost with it",
            "set min.insync.replicas=2",
        )


def _sizes(known: Mapping[int, Mapping[str, str]]) -> Iterator[Finding]:
    found, request = _least("message.max.bytes", known), _least("socket.request.max.bytes", known)
    if found is not None:
        yield ok("message.max.bytes", f"{found}; a copy's own limit is made like its source's")
    if request is not None and request < LARGEST_REQUEST:
        yield fail(
            "socket.request.max.bytes",
            f"{request}",
            "brokers cut connections whose requests are larger: appends under load fail again and again",
            f"set socket.request.max.bytes={LARGEST_REQUEST} or more",
        )


def _cleaner(known: Mapping[int, Mapping[str, str]]) -> Iterator[Finding]:
    nodes = [str(node) for node, config in known.items() if config.get("log.cleaner.enable") == "false"]
    if nodes:
        yield warn(
            "log.cleaner.enable",
            f"false on {', '.join(nodes)}",
            "the gateway's state topics grow for ever, and starts become slow",
            "set log.cleaner.enable=true",
        )


def _truth(key: str, known: Mapping[int, Mapping[str, str]], follows: str) -> Finding:
    nodes = [str(node) for node, config in known.items() if config.get(key) == "true"]
    if nodes:
        return warn(key, f"true on {', '.join(nodes)}", follows, f"set {key}=false")
    return ok(key, "false")


def _span(span_ms: int) -> str:
    if span_ms % DAY_MS == 0:
        days = span_ms // DAY_MS
        return f"{days} day{'' if days == 1 else 's'}"
    return f"{span_ms / 3_600_000:g} h" if span_ms >= 3_600_000 else f"{span_ms / 1000:g} s"


def api_of(request: type[RequestPayload]) -> Api:
    return Api(int(request.__api_key__), int(request.__version__))
