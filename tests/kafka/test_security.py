"""TLS and SASL against a real broker: every mechanism lets in who knows the secret, and nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.doctor.findings import Level
from gateway.doctor.kafka import KafkaQuestion, examine_kafka
from gateway.kafka import KafkaConfig, Secret, open_kafka
from gateway.kafka.config import Mechanism, SecurityProtocol
from gateway.kafka.errors import AuthenticationFailed, ClusterUntrusted
from mesh.cluster_errors import ClusterUnreachable
from mesh.ids import Partition
from tests.support.batches import stamped
from tests.support.brokers import CLUSTER_ID, Broker, BrokerConfig, TlsFiles
from tests.support.ports import free_ports
from tests.support.tls import Authority

pytestmark = pytest.mark.kafka

NOW_MS = int(time.time() * 1000)
USER, PASSWORD = "gateway", "only-for-tests"
MECHANISMS = [Mechanism.PLAIN, Mechanism.SCRAM_SHA_256, Mechanism.SCRAM_SHA_512]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(directory: Path) -> Authority:
    return Authority(directory)


@pytest.fixture(scope="module")
def broker(authority: Authority) -> Iterator[Broker]:
    tls = TlsFiles(authority.identity("broker"), authority.ca_file, client_auth=True)
    sessions = {"connections.max.reauth.ms": "1500"}
    with Broker.start(BrokerConfig(tls=tls, users={USER: PASSWORD}, properties=sessions)) as broker:
        yield broker


async def _works(config: KafkaConfig) -> None:
    async with open_kafka(config) as cluster:
        assert cluster.cluster_id == CLUSTER_ID
        producer = await cluster.destination.producer()
        assert producer.id >= 0


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_known_user_is_let_in(broker: Broker, mechanism: Mechanism) -> None:
    await _works(
        KafkaConfig(
            bootstrap=(broker.sasl_address,),
            security_protocol=SecurityProtocol.SASL_PLAINTEXT,
            sasl_mechanism=mechanism,
            username=USER,
            password=Secret(PASSWORD),
        )
    )


async def test_connections_are_replaced_before_their_session_ends(broker: Broker) -> None:
    config = KafkaConfig(
        bootstrap=(broker.sasl_address,),
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        sasl_mechanism=Mechanism.PLAIN,
        username=USER,
        password=Secret(PASSWORD),
    )
    async with open_kafka(config) as cluster:
        topic = await cluster.topics.create("sessions", 1, {"retention.ms": "-1"})
        partition, producer, sequence = Partition(topic.name, 0), await cluster.destination.producer(), 0
        ends_at = time.monotonic() + 4
        while time.monotonic() < ends_at:
            appends = [
                cluster.destination.append(partition, stamped(producer, sequence + ahead, [b"x"])) for ahead in range(5)
            ]
            assert await asyncio.gather(*appends) == list(range(sequence, sequence + 5))
            fetched = await cluster.source.fetch(partition, sequence, None, 1 << 20, 1)
            assert len(fetched.data) > 0
            sequence += 5


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_wrong_password_is_the_operators_matter(broker: Broker, mechanism: Mechanism) -> None:
    config = KafkaConfig(
        bootstrap=(broker.sasl_address,),
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        sasl_mechanism=mechanism,
        username=USER,
        password=Secret("wrong"),
    )
    with pytest.raises(AuthenticationFailed, match="did not accept the gateway's credentials"):
        await _works(config)


async def test_a_mechanism_that_is_not_offered_is_named(broker: Broker) -> None:
    config = KafkaConfig(
        bootstrap=(broker.sasl_address,),
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        sasl_mechanism=Mechanism.OAUTHBEARER,
        password=Secret("token"),
    )
    with pytest.raises(AuthenticationFailed, match="not OAUTHBEARER"):
        await _works(config)


async def test_tls_with_a_client_certificate_carries_data(broker: Broker, authority: Authority) -> None:
    identity = authority.identity("gateway")
    config = KafkaConfig(
        bootstrap=(broker.tls_address,),
        security_protocol=SecurityProtocol.SSL,
        ca_file=authority.ca_file,
        certificate_file=identity,
    )
    async with open_kafka(config) as cluster:
        topic = await cluster.topics.create("over-tls", 1, {"retention.ms": "-1"})
        producer = await cluster.destination.producer()
        big = [b"x" * 200_000, b"y" * 200_000]
        partition = Partition(topic.name, 0)
        assert await cluster.destination.append(partition, stamped(producer, 0, big)) == 0
        fetched = await cluster.source.fetch(partition, 0, topic.topic_id, 1 << 20, 5)
        assert len(fetched.data) > 400_000


async def test_sasl_goes_over_tls(broker: Broker, authority: Authority) -> None:
    await _works(
        KafkaConfig(
            bootstrap=(broker.sasl_tls_address,),
            security_protocol=SecurityProtocol.SASL_SSL,
            sasl_mechanism=Mechanism.SCRAM_SHA_512,
            username=USER,
            password=Secret(PASSWORD),
            ca_file=authority.ca_file,
            certificate_file=authority.identity("gateway"),
        )
    )


async def test_a_broker_of_another_ca_is_not_trusted(broker: Broker, directory: Path) -> None:
    stranger = Authority(directory, "another CA")
    config = KafkaConfig(
        bootstrap=(broker.tls_address,), security_protocol=SecurityProtocol.SSL, ca_file=stranger.ca_file
    )
    with pytest.raises(ClusterUntrusted, match=f"broker {broker.tls_address}"):
        await _works(config)


async def test_the_doctor_tells_certificates_and_names_a_ca_that_does_not_fit(
    broker: Broker, authority: Authority, directory: Path
) -> None:
    config = KafkaConfig(
        bootstrap=(broker.tls_address,),
        security_protocol=SecurityProtocol.SSL,
        ca_file=authority.ca_file,
        certificate_file=authority.identity("gateway"),
    )
    found = {each.check: each async for each in examine_kafka(KafkaQuestion(config, (), 1 << 20, NOW_MS))}
    certificate = found[f"certificate of {broker.tls_address}"]
    assert "IP Address:127.0.0.1" in certificate.found
    assert certificate.level is Level.WARN  # it ends tomorrow
    assert not [each for each in found.values() if each.level is Level.FAIL]
    stranger = replace(config, ca_file=Authority(directory, "a third CA").ca_file)
    refused = [each async for each in examine_kafka(KafkaQuestion(stranger, (), 1 << 20, NOW_MS))]
    assert [each.check for each in refused if each.level is Level.FAIL] == [f"bootstrap at {broker.tls_address}"]
    assert "TLS handshake" in refused[-1].found


async def test_a_ca_file_that_is_absent_is_named(tmp_path: Path) -> None:
    config = KafkaConfig(
        bootstrap=("127.0.0.1:1",), security_protocol=SecurityProtocol.SSL, ca_file=tmp_path / "no-such.pem"
    )
    with pytest.raises(ClusterUntrusted, match=r"no-such\.pem"):
        await _works(config)


async def test_an_unreachable_broker_is_named() -> None:
    first, second = (f"127.0.0.1:{port}" for port in free_ports(2))
    with pytest.raises(ClusterUnreachable) as unreachable:
        await _works(KafkaConfig(bootstrap=(first, second)))
    assert f"{first}: Connection refused" in str(unreachable.value)
    assert f"{second}: Connection refused" in str(unreachable.value)


def test_a_secret_does_not_show_itself() -> None:
    config = KafkaConfig(bootstrap=("a:1",), password=Secret(PASSWORD))
    assert PASSWORD not in repr(config)
    assert PASSWORD not in f"{config.password}"
    assert config.password == Secret(PASSWORD)
