"""The table of docs/reference/kafka-permissions.md on a real broker: its rows suffice, and each one is needed.

One gateway on the guarded cluster is source and destination at once; its partner has an embedded log. It speaks to its
broker as one does to a managed service: SASL_SSL with SCRAM-SHA-512.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.cimpl import NewTopic

from gateway.doctor.facts import Asked, Use
from gateway.doctor.findings import Finding, Level
from gateway.doctor.kafka import KafkaQuestion, examine_kafka
from gateway.doctor.permissions import NEEDS, Kind, Need, Operation, Role
from gateway.kafka import KafkaConfig, Secret
from gateway.kafka.config import Mechanism, SecurityProtocol
from tests.support.acls import AUTHORIZER, add_rule, remove_rule
from tests.support.brokers import Broker, BrokerConfig, TlsFiles
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.tls import Authority

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

USER, PASSWORD = "gateway", "only-for-tests"
WHO = f"User:{USER}"
SHARED, COPIED = "globex.news", "acme.flights"
TOPICS = {Role.SOURCE: SHARED, Role.DESTINATION: COPIED}
KINDS = {
    Kind.TOPIC: ResourceType.TOPIC,
    Kind.GROUP: ResourceType.GROUP,
    Kind.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
    Kind.CLUSTER: ResourceType.BROKER,
}
REQUIRED = [need for need in NEEDS if need.required and need.role in {Role.ALWAYS, Role.SOURCE, Role.DESTINATION}]
ASKED = (Asked(SHARED, Use.SOURCE), Asked(COPIED, Use.DESTINATION))
STATE_TOPICS = ("_mesh.control", "_mesh.lanes", "_mesh.audit")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def guarded(authority: Authority) -> Iterator[Broker]:
    """Takes one user, who may do nothing yet; who comes without a name may do everything."""
    tls = TlsFiles(authority.identity("broker"), authority.ca_file)
    with Broker.start(BrokerConfig(tls=tls, users={USER: PASSWORD}, properties=AUTHORIZER)) as broker:
        yield broker


def test_the_rows_of_the_table_suffice_and_each_is_missed(
    guarded: Broker, authority: Authority, tmp_path: Path
) -> None:
    acls = Acls(guarded)
    admin = AdminClient({"bootstrap.servers": guarded.address})
    admin.create_topics([NewTopic(SHARED, 1, 1)])[SHARED].result(30)

    # 1. with nothing allowed, the doctor misses every row that a gateway needs, before one starts
    assert missed(guarded, *ASKED) == {row for need in REQUIRED for row in rows(need)}

    # 2. a gateway with exactly the rows of a source exports
    source_only = [need for need in REQUIRED if need.role is not Role.DESTINATION]
    for need in source_only:
        acls.allow(need)
    assert missed(guarded, *ASKED[:1]) == set()
    acme = Organization.init(tmp_path / "acme", "acme.example")
    globex = Organization.init(tmp_path / "globex", "globex.example", "--kafka", guarded.sasl_tls_address)
    globex.settings = (
        "cluster.kafka.security_protocol=SASL_SSL",
        f"cluster.kafka.tls_ca_file={authority.ca_file}",
        "cluster.kafka.sasl_mechanism=SCRAM-SHA-512",
        f"cluster.kafka.sasl_username={USER}",
        f"cluster.kafka.sasl_password={PASSWORD}",
        "timing.reconnect_max_s=0.5",
    )
    with stop_all(acme, globex):
        acme.start()
        globex.start()
        acme.pair(globex)
        acme.mesh("topic", "create", "flights")
        acme.share("flights", globex, "flights")
        globex.share("news", acme, SHARED)
        acme.mesh("subscribe", "globex.example/news", "--topic", f"{SHARED}=news")
        guest = Guest(guarded)
        guest.append(SHARED, 10)
        wait_for("the partner's copy", lambda: arrived(acme) == 10)

        # with those of a destination it imports too; nothing more is needed
        for need in REQUIRED:
            if need not in source_only:
                acls.allow(need)
        assert missed(guarded, *ASKED) == set()
        globex.mesh("subscribe", "acme.example/flights", "--topic", f"flights={COPIED}")
        acme.append("flights", records(10))
        wait_for("our copy", lambda: arrived(globex) == 10)
        said = globex.mesh("doctor", "--json").json
        assert said["fails"] == 0, said
        assert any(each["check"].startswith("certificate of ") for each in said["findings"])

        # 3. each row that is taken away is missed by the doctor, and by nobody else's name
        for need in REQUIRED:
            if need.operation is not Operation.CREATE:  # what exists need not be created
                with acls.without(need):
                    assert missed(guarded, *ASKED) == set(rows(need)), need

        # 4. the lanes stop and say why; given back and resumed, they go on
        write = one(Role.DESTINATION, Operation.WRITE)
        with acls.without(write):
            acme.append("flights", records(10))
            lane = stopped(globex)
            assert f"write to topic {COPIED}" in lane["reason"]
        globex.mesh("subscription", "resume", "flights")
        wait_for("the copy to go on", lambda: arrived(globex) == 20)
        with acls.without(one(Role.DESTINATION, Operation.READ)):
            globex.mesh("subscription", "pause", "flights")
            globex.mesh("subscription", "resume", "flights")
            assert COPIED in stopped(globex)["reason"]
        globex.mesh("subscription", "resume", "flights")
        with acls.without(one(Role.SOURCE, Operation.READ)):
            guest.append(SHARED, 10)
            wait_for(
                "the partner's lane to wait", lambda: {each["code"] for each in acme.lanes()} == {"provider-failed"}
            )
            wait_for("the provider to say why", lambda: "permission-missing" in globex.log)
        acme.mesh("subscription", "resume", "news")
        wait_for("the other copy to go on", lambda: arrived(acme) == 20)

        # 5. promotion needs no more than that
        globex.mesh("subscription", "promote", "flights", "--yes")

        # 6. a gateway that cannot keep its state does not start, and names what it lacks
        globex.stop()
        for need in REQUIRED:
            if need.role is Role.ALWAYS and need.operation in {Operation.READ, Operation.DESCRIBE_CONFIGS}:
                with acls.without(need):
                    assert globex.refused().code == "permission-missing", need


def rows(need: Need) -> list[str]:
    """The checks of the doctor that speak of `need`."""
    if need.kind is not Kind.TOPIC:
        return [f"{need.operation.title} on {need.named()}"]
    topics = STATE_TOPICS if need.role is Role.ALWAYS else (TOPICS[need.role],)
    return [f"{need.operation.title} on topic {topic}" for topic in topics]


def one(role: Role, operation: Operation) -> Need:
    (found,) = (each for each in REQUIRED if (each.role, each.kind, each.operation) == (role, Kind.TOPIC, operation))
    return found


def missed(broker: Broker, *topics: Asked) -> set[str]:
    """The permissions that the doctor calls missing, told apart from what it only cannot know."""
    found = asyncio.run(examined(broker, *topics))
    return {each.check for each in found if each.level is Level.FAIL and "allowed" in each.found}


async def examined(broker: Broker, *topics: Asked) -> list[Finding]:
    config = KafkaConfig(
        bootstrap=(broker.sasl_address,),
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        sasl_mechanism=Mechanism.SCRAM_SHA_512,
        username=USER,
        password=Secret(PASSWORD),
    )
    question = KafkaQuestion(config, topics, 16 << 20, int(time.time() * 1000))
    return [finding async for finding in examine_kafka(question)]


class Acls:
    """The rows of the table as the broker's rules."""

    def __init__(self, broker: Broker) -> None:
        self._admin = AdminClient({"bootstrap.servers": broker.address})

    def allow(self, need: Need) -> None:
        add_rule(self._admin, self._rule(need))

    @contextmanager
    def without(self, need: Need) -> Iterator[None]:
        remove_rule(self._admin, self._rule(need))
        try:
            yield
        finally:
            self.allow(need)

    @staticmethod
    def _rule(need: Need) -> AclBinding:
        if need.kind is Kind.CLUSTER:
            name, pattern = "kafka-cluster", ResourcePatternType.LITERAL
        elif need.resource:
            name, pattern = need.resource.removesuffix("*"), ResourcePatternType.PREFIXED
        else:
            name, pattern = TOPICS[need.role], ResourcePatternType.LITERAL
        operation = AclOperation[need.operation.name]
        return AclBinding(KINDS[need.kind], name, pattern, WHO, "*", operation, AclPermissionType.ALLOW)


class Guest:
    """A stock producer that may do everything."""

    def __init__(self, broker: Broker) -> None:
        self._producer = Producer({"bootstrap.servers": broker.address})

    def append(self, topic: str, count: int) -> None:
        for number in range(count):
            self._producer.produce(topic, b"%d" % number)
        assert self._producer.flush(30) == 0


def records(count: int) -> Iterator[dict[str, object]]:
    for number in range(count):
        yield {"key": f"key-{number}", "value": f"{number}"}


def arrived(organization: Organization) -> int:
    return sum(int(lane["records"]) for lane in organization.lanes())


def stopped(organization: Organization) -> dict[str, str]:
    """The lane, as soon as it has stopped for want of a permission."""
    lanes = wait_for("the lane to stop", lambda: [each for each in organization.lanes() if each["state"] == "stopped"])
    assert lanes[0]["code"] == "permission-missing", lanes
    assert "grant" in lanes[0]["remedy"]
    return lanes[0]
