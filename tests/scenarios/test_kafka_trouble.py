"""Kafka clusters that forbid, freeze or are away: lanes wait or stop with the reason, and go on where they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.support.acls import AUTHORIZER, add_rule, remove_rule
from tests.support.brokers import Broker, BrokerConfig
from tests.support.kills import new_seed
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(180)]

USER, PASSWORD = "gateway", "only-for-tests"
LITERAL = ResourcePatternType.LITERAL
WHO = f"User:{USER}"
EVERYTHING = (
    (ResourceType.TOPIC, "*"),
    (ResourceType.GROUP, "*"),
    (ResourceType.TRANSACTIONAL_ID, "*"),
    (ResourceType.BROKER, "kafka-cluster"),
)
WRITING = (WHO, "*", AclOperation.WRITE, AclPermissionType.DENY)
SHORT = ("timing.append_timeout_s=2", "timing.request_timeout_s=2", "timing.reconnect_max_s=1")
SLOW_MIRROR = "limits.lane_credit_bytes=65536"
RECORDS = 60_000


@pytest.fixture
def guarded() -> Iterator[Broker]:
    """Takes one user, who may do nothing yet; who comes without a name may do everything."""
    with Broker.start(BrokerConfig(users={USER: PASSWORD}, properties=AUTHORIZER)) as broker:
        yield broker


def test_a_cluster_that_forbids_or_is_away_is_told_with_the_remedy(guarded: Broker, tmp_path: Path) -> None:
    acme = Organization.init(tmp_path / "acme", "acme.example")
    globex = Organization.init(tmp_path / "globex", "globex.example", "--kafka", guarded.sasl_address)
    globex.settings = (
        "cluster.kafka.security_protocol=SASL_PLAINTEXT",
        "cluster.kafka.sasl_mechanism=PLAIN",
        f"cluster.kafka.sasl_username={USER}",
    )
    password = f"cluster.kafka.sasl_password={PASSWORD}"
    with stop_all(acme, globex):
        # 1. globex has the wrong password, then no permission, then no broker: it does not start, and says why
        refusal = globex.refused("cluster.kafka.sasl_password=wrong")
        assert refusal.code == "cluster-authentication-failed"
        assert "wrong" not in refusal.sentence
        globex.settings = (*globex.settings, password)
        assert globex.refused().code == "permission-missing"
        guarded.kill()
        assert globex.refused("timing.cluster_wait_s=0").code == "cluster-unreachable"
        guarded.restart()

        # 2. it may do everything but write to the topic that is about to be mirrored
        admin = AdminClient({"bootstrap.servers": guarded.address})
        for kind, name in EVERYTHING:
            add_rule(admin, AclBinding(kind, name, LITERAL, WHO, "*", AclOperation.ALL, AclPermissionType.ALLOW))
        forbid = AclBinding(ResourceType.TOPIC, "copy", LITERAL, *WRITING)
        add_rule(admin, forbid)
        acme.start()
        globex.start()
        subscribed(acme, globex)
        acme.append("flights", produced(1000))

        # 3. the lanes stop and name operation, topic and remedy
        for lane in wait_for("both lanes to stop", lambda: all_stopped(globex)):
            assert lane["code"] == "permission-missing"
            assert "not allow this gateway to write to topic copy" in lane["reason"]
            assert "grant" in lane["remedy"]

        # 4. the permission is given and the subscription resumed: everything comes
        remove_rule(admin, forbid)
        globex.mesh("subscription", "resume", "open")
        assert_exact(globex, 1000)


def test_a_destination_that_freezes_gets_everything_once(tmp_path: Path) -> None:
    """What was sent to a frozen broker may still land after the lane has given it up and asked the log."""
    chance = random.Random(seed := new_seed())
    print(f"SCENARIO_SEED={seed}")
    acme = Organization.init(tmp_path / "acme", "acme.example")
    with Broker.start() as ours:
        globex = Organization.init(tmp_path / "globex", "globex.example", "--kafka", ours.address)
        globex.settings = (*SHORT, SLOW_MIRROR)
        with stop_all(acme, globex):
            # 1. a mirror is under way
            acme.start()
            globex.start()
            acme.mesh("topic", "create", "flights", "--partitions", "2")
            acme.append("flights", produced(RECORDS), "--codec", "none")
            subscribed(acme, globex)

            # 2. the broker freezes in the middle, three times, until the lanes have given up what they sent
            freezes = [int(RECORDS * (at + chance.random()) / 4) for at in range(3)]
            for moment in freezes:
                wait_for(f"{moment} records to arrive", partial(has_more_than, globex, moment))
                ours.suspend()
                assert arrived(globex) < RECORDS
                wait_for("a lane to give up", lambda: {each["code"] for each in globex.lanes()} - {""})
                assert "stopped" not in {each["state"] for each in globex.lanes()}
                ours.resume()

            # 3. everything is there once
            assert_exact(globex, RECORDS)


def test_a_source_that_freezes_is_waited_for(tmp_path: Path) -> None:
    with Broker.start() as theirs:
        acme = Organization.init(tmp_path / "acme", "acme.example", "--kafka", theirs.address)
        acme.settings = SHORT
        globex = Organization.init(tmp_path / "globex", "globex.example")
        globex.settings = (SLOW_MIRROR,)
        with stop_all(acme, globex):
            # 1. a mirror is under way
            acme.start()
            globex.start()
            acme.mesh("topic", "create", "flights", "--partitions", "2")
            acme.append("flights", produced(RECORDS), "--codec", "none")
            subscribed(acme, globex)
            wait_for("some records to arrive", lambda: arrived(globex) > RECORDS // 10)

            # 2. the source freezes: the lanes say so, and wait
            theirs.suspend()
            assert arrived(globex) < RECORDS
            wait_for("a lane to say why", lambda: {each["code"] for each in globex.lanes()} - {""})
            assert "stopped" not in {each["state"] for each in globex.lanes()}
            theirs.resume()

            # 3. everything comes
            assert_exact(globex, RECORDS)


# --- what the stories share


def produced(count: int) -> Iterator[dict[str, object]]:
    for at in range(count):
        yield {"key": f"key-{at % 97}", "value": f"{at}:{'x' * (at % 2000)}", "partition": at % 2}


def subscribed(acme: Organization, globex: Organization) -> None:
    if not acme.mesh("topic", "list", "--json").json:
        acme.mesh("topic", "create", "flights", "--partitions", "2")
    acme.pair(globex)
    acme.share("open", globex, "flights")
    wait_for("a link", lambda: globex.mesh("status", "--json").json["links"])
    globex.mesh("subscribe", "acme.example/open", "--topic", "flights=copy")


def arrived(globex: Organization) -> int:
    return sum(int(lane["records"]) for lane in globex.lanes())


def all_stopped(globex: Organization) -> list[dict[str, Any]]:
    """Both lanes, by one look, if they have stopped."""
    lanes = globex.lanes()
    return lanes if len(lanes) == 2 and all(each["state"] == "stopped" for each in lanes) else []


def has_more_than(globex: Organization, count: int) -> bool:
    return arrived(globex) > count


def assert_exact(globex: Organization, records: int) -> None:
    wait_for("every record to arrive", lambda: arrived(globex) == records, 90)
    closing = globex.mesh("verify", "open").out.splitlines()[-1]
    zeros = "0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"
    assert closing == f"verified: {records} records, {zeros}"
