"""What operators and partners get wrong: each mistake is told with its code and a remedy, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest

from certs.authority import Authority, Issued
from certs.organization import load_authority
from certs.profiles import Lifetimes
from certs.store import write_certificates, write_key
from gateway.peers.dial import dialled
from gateway.rpc.credentials import TransportLimits
from gateway.rpc.identity import load_identity
from gateway.rpc.streams import DialledStream
from mesh.ids import GatewayName, OrgId
from mesh.link.errors import LinkLost
from mesh.link.frames import MAJOR, Hello
from mesh.shares import PeerState
from mesh.trust.leaf import PeerTrust
from mesh.trust.peerfile import parse_peer_file
from mesh.wire.codec import encode_frame
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ONE_RECORD = b'{"value": "1"}\n'


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Organization]:
    """Runs, and has a topic of two partitions."""
    acme = Organization.init(tmp_path / "acme", "acme.example")
    with stop_all(acme):
        acme.start()
        acme.mesh("topic", "create", "flights", "--partitions", "2")
        yield acme


@pytest.fixture
def globex(tmp_path: Path) -> Iterator[Organization]:
    """Does not run yet."""
    globex = Organization.init(tmp_path / "globex", "globex.example")
    with stop_all(globex):
        yield globex


def test_a_gateway_that_cannot_start_says_why_and_starts_once_that_is_mended(
    acme: Organization, globex: Organization
) -> None:
    # 1. its ports are taken
    for key, taken in (("listen.peers", acme.peers), ("listen.admin", acme.admin)):
        refusal = globex.refused(f"{key}={taken}")
        assert refusal.code == "port-in-use"
        assert taken in refusal.sentence

    # 2. everybody may read its key
    key_file = globex.home / "keys" / "gateway.key"
    key_file.chmod(0o644)
    refusal = globex.refused()
    assert refusal.code == "key-file-exposed"
    assert f"chmod 600 {key_file}" in refusal.remedy
    key_file.chmod(0o600)

    # 3. a key of the configuration is misspelt
    refusal = globex.refused("limits.frame_byte=65536")
    assert refusal.code == "config-unknown-key"
    assert "did you mean 'limits.frame_bytes'?" in refusal.remedy

    # 4. another gateway has the embedded log
    assert acme.process is not None
    refusal = globex.refused(f"directories.data={acme.home / 'data'}")
    assert refusal.code == "directory-in-use"
    assert str(acme.process.pid) in refusal.sentence

    # 5. without all that it starts, and the other gateway never noticed
    globex.start()
    assert globex.stop() == 0
    assert acme.mesh("topic", "list", "--json").json[0]["name"] == "flights"


def test_requests_that_cannot_be_met_are_refused_as_a_whole(acme: Organization) -> None:
    before = acme.mesh("topic", "list", "--json").json

    # 1. topic names that are illegal or belong to the cluster
    for name in ("../etc/passwd", "__consumer_offsets", "_mesh.control", "x" * 250, "a b"):
        assert acme.refuses("topic", "create", name).code == "illegal-name"

    # 2. a partition that the topic does not have
    for command in ("append", "read"):
        refusal = acme.refuses("topic", command, "flights", "--partition", "9", stdin=ONE_RECORD)
        assert refusal.code == "partition-absent"
        assert "0 to 2 (exclusive), not 9" in refusal.sentence

    # 3. shares, grants and subscriptions of what is not there
    assert acme.refuses("share", "create", "trains", "--topic", "departures").code == "topic-absent"
    assert acme.refuses("grant", "create", "trains", "--to", "globex.example").code == "share-absent"
    assert acme.refuses("subscribe", "globex.example/trains", "--topic", "a=b").code == "peer-absent"

    # 4. nothing was made of any of it
    assert acme.mesh("topic", "list", "--json").json == before
    assert acme.mesh("share", "list", "--json").json == []


def test_a_share_that_is_not_granted_looks_like_one_that_does_not_exist(
    acme: Organization, globex: Organization
) -> None:
    # 1. acme has a share for somebody else
    globex.start()
    acme.pair(globex)
    acme.mesh("share", "create", "secret", "--topic", "flights")
    linked(globex)

    # 2. globex asks for it, and for one that nobody ever made
    said = [globex.try_mesh("subscribe", f"acme.example/{share}", "--topic", "flights=copy") for share in SHARES]
    assert said[0].code == 1
    assert said[0].err.replace("secret", "absent") == said[1].err
    assert said[0].err.endswith("code: not-available\n")

    # 3. neither left a topic or a subscription
    assert globex.mesh("topic", "list", "--json").json == []
    assert globex.mesh("subscription", "list", "--json").json == []


SHARES = ("secret", "absent")


def test_a_gateway_that_is_not_who_it_should_be_gets_no_link(acme: Organization, globex: Organization) -> None:
    # 1. acme does not know globex
    globex.start()
    globex.mesh("peer", "add", "-", stdin=acme.mesh("peer", "export").out.encode())
    assert no_link(globex)

    # 2. acme knows globex now, but globex comes with the certificate of another authority of that name
    acme.mesh("peer", "add", "-", stdin=globex.mesh("peer", "export").out.encode())
    linked(globex)
    now = datetime.now(UTC)
    own = load_authority(globex.home, OrgId(globex.org))
    (globex.home / "keys" / "ca.key").rename(globex.home / "away.key")
    impostor = Authority.create(OrgId(globex.org), now).issue(GatewayName("gw-1"), now)
    present(globex, impostor)
    assert no_link(globex)

    # 3. or with one of its own that has expired
    brief = replace(own, lifetimes=Lifetimes(leaf=timedelta(minutes=1), backdated=timedelta()))
    present(globex, brief.issue(GatewayName("gw-1"), now - timedelta(minutes=2)))
    assert no_link(globex)

    # 4. where it has the key of its authority it helps itself, and is let in
    (globex.home / "away.key").rename(globex.home / "keys" / "ca.key")
    globex.stop()
    globex.start()
    linked(globex)


def test_a_position_that_was_never_mirrored_has_no_translation(acme: Organization, globex: Organization) -> None:
    # 1. five records in each partition are mirrored
    globex.start()
    subscribed(acme, globex)
    acme.append("flights", ({"value": str(at), "partition": at % 2} for at in range(10)))
    wait_for("the records to arrive", lambda: arrived(globex) == 10)

    # 2. what is mirrored translates, what is not says so
    translate = ("offsets", "translate", "open", "--topic", "flights", "--partition")
    assert globex.mesh(*translate, "0", "--offset", "4").out == "source 4 is destination 4\n"
    for reverse in ([], ["--reverse"]):
        refusal = globex.refuses(*translate, "0", "--offset", "99", *reverse)
        assert refusal.code == "offset-not-mapped"
        assert "0 to 5 (exclusive)" in refusal.sentence
    assert globex.refuses(*translate, "7", "--offset", "0").code == "lane-not-begun"
    assert globex.try_mesh(*translate, "0", "--offset", "-1").code == 2

    # 3. and the mirrored topic is not written to by accident
    assert globex.refuses("topic", "append", "copy", stdin=ONE_RECORD).code == "topic-mirrored"


def test_a_full_disk_stops_a_lane_until_there_is_room(acme: Organization, globex: Organization) -> None:
    # 1. ten records are mirrored, then no file of globex may grow much more
    globex.start()
    subscribed(acme, globex)
    acme.append("flights", ({"value": str(at), "partition": at % 2} for at in range(10)))
    wait_for("the first records to arrive", lambda: arrived(globex) == 10)
    largest = max(path.stat().st_size for path in (globex.home / "data").iterdir())
    globex.limit_files(largest + 100_000)

    # 2. a lot more comes; the lanes wait and say why, but for the moments at which they try again
    acme.append("flights", ({"value": "x" * 1000, "partition": at % 2} for at in range(3000)), "--codec", "none")

    def waiting() -> list[dict[str, Any]]:
        return [lane for lane in globex.lanes() if lane["code"] and lane["state"] == "waiting"]

    told = wait_for("the lanes to say why", waiting)
    assert {lane["code"] for lane in told} == {"disk-full"}
    assert all("free space" in lane["remedy"] for lane in told)

    # 3. what acme was told to be safe at globex is there
    exports = acme.mesh("status", "--json").json["exports"]
    acknowledged = {each["partition"]: each["acknowledged"] for each in exports}
    for partition, end in acknowledged.items():
        read = globex.mesh("topic", "read", "copy", "--partition", str(partition), "--max", "100000").out
        assert len(read.splitlines()) >= end

    # 4. there is room again: everything comes by itself, once
    globex.limit_files(-1)
    wait_for("every record to arrive", lambda: arrived(globex) == 3010)
    closing = globex.mesh("verify", "open").out.splitlines()[-1]
    assert closing == "verified: 3010 records, 0 lost, 0 duplicated, 0 reordered, 0 altered, 0 wrong translations"


async def test_a_partner_from_the_future_is_refused_with_the_versions(acme: Organization, globex: Organization) -> None:
    # 1. a client with globex's identity speaks a major version that nobody knows yet
    globex.start()
    acme.pair(globex)
    linked(acme)
    identity = load_identity(globex.home / "keys" / "gateway.pem", globex.home / "keys" / "gateway.key")
    peer_file = parse_peer_file(acme.mesh("peer", "export").out, datetime.now(UTC))
    trust = PeerTrust(PeerState.ACTIVE, peer_file.bundle)
    hello = Hello(organization=globex.org, gateway="gw-1", nonce=token_bytes(32), major=MAJOR + 1)

    # 2. acme ends the link
    async with dialled(identity, trust, acme.peers, TransportLimits()) as stream:
        await stream.write(encode_frame(0, hello))
        await ended(stream)

    # 3. its log says what was wrong, and the good link goes on
    wait_for("the log to say why", lambda: '"version-unsupported"' in acme.log)
    linked(acme)


# --- what the stories share


async def ended(stream: DialledStream) -> None:
    """Returns when the other side has closed the stream, in whatever way."""
    with suppress(LinkLost):
        while await stream.read() is not None:
            pass


def subscribed(acme: Organization, globex: Organization) -> None:
    acme.pair(globex)
    acme.share("open", globex, "flights")
    linked(globex)
    globex.mesh("subscribe", "acme.example/open", "--topic", "flights=copy")


def arrived(globex: Organization) -> int:
    return sum(int(lane["records"]) for lane in globex.lanes())


def linked(organization: Organization) -> None:
    wait_for("a link", lambda: organization.mesh("status", "--json").json["links"])


def no_link(globex: Organization) -> bool:
    """Once globex has tried: it has no link, and says what may be wrong."""
    wait_for("the refused link", lambda: "link failed" in globex.log)
    refusal = globex.refuses("catalog", "--peer", "acme.example")
    assert refusal.code == "peer-unreachable"
    assert "not have this organization among its peers" in refusal.remedy
    return not globex.mesh("status", "--json").json["links"]


def present(globex: Organization, issued: Issued) -> None:
    """Start globex anew with this certificate and key."""
    globex.stop()
    globex.log_path.unlink()
    keys = globex.home / "keys"
    for name in ("gateway.pem", "gateway.key"):
        (keys / name).unlink()
    write_certificates(keys / "gateway.pem", [issued.certificate])
    write_key(keys / "gateway.key", issued.key)
    globex.start()
