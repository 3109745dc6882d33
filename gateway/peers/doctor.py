"""What is in the way to a peer: the hops of a link in order, each tried by itself, the first that fails is the finding.

Strategy: from the registry outwards: our own word on the peer, then for each of its addresses name, connection, TLS
and certificate, then what live links tell: clocks, both directions, protocol. Each hop is one line with what to do. It
uses Python's own TLS, not gRPC's, for that one can say which certificate was shown and which version was spoken.

A. It only looks: nothing is stored and no link is touched. It shows our certificate to whoever proves to be the peer,
   and to nobody else.
B. What a peer named itself is looked at only where it may be dialled: nothing leaves for any other address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from gateway.address import Address
from gateway.peer import Peer
from gateway.peers.probe import Probe, Shown
from gateway.rpc.targets import checked_hosts
from gateway.services import LinkStatus, PeerSight, Services
from mesh.errors import MeshError
from mesh.link.frames import MAJOR, MINOR
from mesh.shares import PeerState
from mesh.trust.bundle import check_bundle
from mesh.trust.enrolment_errors import AddressNotPublic
from mesh.trust.errors import LeafReason
from mesh.trust.leaf import explain_leaf

_T = TypeVar("_T")
HOP_S = 5.0
FOREIGN = frozenset(
    {
        LeafReason.MALFORMED_CERTIFICATE,
        LeafReason.NO_URI_SAN,
        LeafReason.SEVERAL_URI_SANS,
        LeafReason.MALFORMED_ID,
        LeafReason.WRONG_PATH,
        LeafReason.UNKNOWN_DOMAIN,
        LeafReason.PATH_INVALID,
    }
)
"""A leaf that fails by one of these was not issued by the peer's CA for its gateways."""
PRIVATE = "the address is the peer's own word: if you do share a private network, pair anew and allow private addresses"
SKEW_S = 60
"""A clock that is off by more than this is worth a word; certificates bear five minutes."""


@dataclass(frozen=True, slots=True)
class Hop:
    """`passed` is None where there was nothing to try. `remedy` says what to do about a failure."""

    hop: str
    passed: bool | None
    detail: str
    remedy: str = ""


async def examine(services: Services, org: str) -> AsyncIterator[Mapping[str, object]]:
    """The hops as they are tried, then {"event": "verdict", ok, failed, sentence}. Raises PeerAbsent."""
    peer = services.registry.peer(org)
    failed: list[Hop] = []
    links = [link for link in services.links.status() if link.peer == peer.org]
    async for hop in _hops(services, peer, links):
        if hop.passed is False:
            failed.append(hop)
        yield {"event": "hop", **asdict(hop)}
    yield _verdict(peer, failed, links)


def _verdict(peer: Peer, failed: list[Hop], links: list[LinkStatus]) -> Mapping[str, object]:
    if not failed:
        sentence = f"nothing is in the way to {peer.org}" if links else f"nothing found, but {peer.org} is not linked"
    else:
        sentence = f"{failed[0].hop}: {failed[0].detail}"
    names = [hop.hop for hop in failed]
    return {"event": "verdict", "ok": not failed and bool(links), "failed": names, "sentence": sentence}


async def _hops(services: Services, peer: Peer, links: list[LinkStatus]) -> AsyncIterator[Hop]:
    sight = services.links.sight(peer.org)
    yield _state(peer)
    roots = _roots(peer)
    yield roots
    if not peer.addresses:
        yield Hop("address", None, "it has no address here: it dials us")
    for address in peer.addresses:
        async for hop in _address(services, peer, address, usable=bool(roots.passed)):
            yield hop
    for hop in (_clock(services, links), _we_dial(peer, links, sight), _they_dial(services, links, sight)):
        yield hop
    yield _protocol(links)


def _state(peer: Peer) -> Hop:
    remedies = {
        PeerState.PENDING: "compare the phrase with its operator, then: mesh peer approve",
        PeerState.SUSPENDED: f"go on with it: mesh peer resume {peer.org}",
        PeerState.REVOKED: "a revoked peering does not come back; begin anew under another domain",
    }
    return Hop("state", peer.state is PeerState.ACTIVE, f"the peer is {peer.state}", remedies.get(peer.state, ""))


def _roots(peer: Peer) -> Hop:
    try:
        check_bundle(peer.bundle)
    except MeshError as error:
        return Hop("roots", False, str(error), "ask its operator for a fresh peer file or invite, and pin it anew")
    count = len(peer.bundle.certificates)
    return Hop("roots", True, f"{count} CA certificates, bundle sequence {peer.bundle.sequence}")


async def _address(services: Services, peer: Peer, address: str, *, usable: bool) -> AsyncIterator[Hop]:
    host, port = Address.parse(address)
    try:
        found = await _within(checked_hosts(address, allow_private=not peer.public_only))
    except AddressNotPublic as error:  # nothing is sent there, not even to look
        yield Hop(f"name {host}", False, str(error), PRIVATE)
        return
    except OSError as error:
        detail = f"it does not resolve: {_refusal(error)}"
        yield Hop(f"name {host}", False, detail, "correct the address, or the DNS here")
        return
    yield Hop(f"name {host}", True, ", ".join(sorted(found)))
    try:
        checked = await _answering(found, port)
    except OSError as error:
        yield Hop(
            f"connection {address}", False, _refusal(error), "is its gateway running, and do firewalls let us by?"
        )
        return
    yield Hop(f"connection {address}", True, "it answers")
    if usable:
        keys = services.config.keys_dir
        probe = Probe(checked, port, peer.trust, keys / "gateway.pem", keys / "gateway.key", HOP_S)
        for hop in await _tls(services, peer, address, probe):
            yield hop


async def _answering(hosts: list[str], port: int) -> str:
    """The first of the checked IP addresses that takes a connection. Raises OSError."""
    failure: OSError = OSError("it has no address")
    for host in hosts:
        try:
            _, writer = await _within(asyncio.open_connection(host, port))
        except OSError as error:
            failure = error
            continue
        writer.close()
        return host
    raise failure


async def _tls(services: Services, peer: Peer, address: str, probe: Probe) -> list[Hop]:
    shown = await probe.shown()
    if shown.certificate is None:
        remedy = "something else than a gateway listens there, or it speaks an older TLS"
        return [Hop(f"TLS {address}", False, shown.why, remedy)]
    hops = [Hop(f"TLS {address}", True, f"{shown.version}, shown by {shown.issuer!r}")]
    hops.append(_certificate(services, peer, address, shown))
    if hops[-1].passed:
        refused = await probe.refused()
        remedy = f"its operator sees why with: mesh peer why {services.config.organization}"
        detail = f"it closes the connection on our certificate: {refused}" if refused else "it accepts our certificate"
        hops.append(Hop(f"our certificate at {address}", not refused, detail, remedy if refused else ""))
    return hops


def _certificate(services: Services, peer: Peer, address: str, shown: Shown) -> Hop:
    """The leaf that was shown, verified as any other; one of another CA is named."""
    hop = f"certificate {address}"
    assert shown.certificate is not None
    now = datetime.fromtimestamp(services.now_ms() / 1000, UTC)
    # As if the peer were active: whether it is stands in a line of its own.
    trust = replace(peer.trust, state=PeerState.ACTIVE)
    last = explain_leaf(shown.certificate, {peer.org: trust}, now)[-1]
    if last.passed:
        return Hop(hop, True, f"{shown.subject}, {last.detail}")
    if last.reason in FOREIGN:
        detail = f"the chain shown is not of the peer's CA: {shown.subject!r}, issued by {shown.issuer!r}"
        remedy = (
            "somebody intercepts the connection (a proxy that opens TLS must let this address through), or the peer "
            "has a new CA: then pin a fresh peer file"
        )
        return Hop(hop, False, detail, remedy)
    detail = f"{last.rule}: {last.detail}; our clock says {now.isoformat(timespec='seconds')}"
    return Hop(hop, False, detail, "correct the clock that is wrong, or let the peer renew its certificate")


def _clock(services: Services, links: list[LinkStatus]) -> Hop:
    now = _iso(services.now_ms())
    skews = [link.clock_skew_ms for link in links if link.clock_skew_ms is not None]
    if not skews:
        return Hop("clock", None, f"here it is {now}; its clock is not known without a link")
    skew = max(skews, key=abs)
    detail = f"here it is {now}, there it is {_iso(services.now_ms() + skew)}: {skew / 1000:+.1f} s"
    ok = abs(skew) < SKEW_S * 1000
    return Hop("clock", ok, detail, "" if ok else "set the clock that is wrong: certificates depend on it")


def _we_dial(peer: Peer, links: list[LinkStatus], sight: PeerSight) -> Hop:
    found = _live("dialler", links)
    down = "; ".join(f"{each.address} is down: {each.sentence}" for each in sight.down)
    if found:
        return Hop("we dial it", True, f"{found}; {down}" if down else found)
    if not peer.addresses:
        return Hop("we dial it", None, "no: it has no address here")
    last = _last("dialler", sight)
    if _live("acceptor", links):
        return Hop("we dial it", None, f"not needed while its own link is open; {down or last}")
    return Hop("we dial it", False, f"{last}; {down or 'not tried yet'}", "see the hop above that failed first")


def _they_dial(services: Services, links: list[LinkStatus], sight: PeerSight) -> Hop:
    found = _live("acceptor", links)
    if found:
        return Hop("it dials us", True, found)
    listening = services.peer_address()
    where = f"we listen on {listening}" if listening else "we do not listen for peers"
    return Hop("it dials us", None, f"no link of its making; {_last('acceptor', sight)}; {where}")


def _live(role: str, links: list[LinkStatus]) -> str:
    return "; ".join(f"open since {_iso(each.since_ms)}, {each.gateway}" for each in links if each.role == role)


def _last(role: str, sight: PeerSight) -> str:
    at_ms = sight.last_alive_ms.get(role)
    return f"last open at {_iso(at_ms)}" if at_ms is not None else "never open since this gateway started"


def _protocol(links: list[LinkStatus]) -> Hop:
    ours = f"{MAJOR}.{MINOR}"
    if not links:
        return Hop("protocol", None, f"we speak {ours}; its version is not known without a link")
    return Hop("protocol", True, f"we speak {ours}, it speaks {', '.join(sorted({link.version for link in links}))}")


async def _within(awaitable: Awaitable[_T]) -> _T:
    async with asyncio.timeout(HOP_S):
        return await awaitable


def _refusal(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {HOP_S:g} s: packets are dropped on the way"
    return (error.strerror or str(error)).lower()


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
