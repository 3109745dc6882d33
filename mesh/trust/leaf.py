"""Verifying a gateway's leaf: the steps in order, fail closed, each refusal with its reason.

A TLS handshake proves too little: with the roots of two peers in one server, a leaf minted by one peer's CA with
another's id is accepted. So the claimed id selects one peer, and only that peer's bundle can vouch for the leaf.

A. `verify_leaf` and `explain_leaf` walk the same steps: what the one refuses is what the other shows last.
B. Steps are checked in order and stop at the first that fails; a leaf passes only if every step did.
C. The path is leaf and root, nothing between: gRPC's Python server shows the leaf alone.
D. Who a gateway is comes from the URI SAN, never from the common name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509 import Certificate, verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from mesh.ids import GatewayId, IllegalName, OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle, check_bundle, spki
from mesh.trust.errors import BundleRefused, LeafReason, LeafRefused
from mesh.trust.extensions import dns_names, extension, uris
from mesh.trust.names import gateway_dns_name
from mesh.trust.pem import leaf_from

MAX_URI_BYTES = 2048
BOTH_USAGES = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH})


@dataclass(frozen=True, slots=True)
class PeerTrust:
    """What we hold of one peer: all that decides whether a leaf of its domain passes."""

    state: PeerState
    bundle: Bundle
    revoked_before: datetime | None = None
    """Leaves whose validity began before it are dead."""
    denied: frozenset[str] = frozenset()
    """`key_hash` of single leaves that their owner, or we, declared dead."""
    dns_name: str = ""
    """The DNS SAN recorded when the peer was added; empty means the derived one."""
    approved: bool = False
    """A pending peer whom our operator has approved: it may greet, and gets nothing before it is active."""

    @property
    def expected_dns_name(self) -> str:
        return self.dns_name or gateway_dns_name(self.bundle.org)

    @property
    def may_greet(self) -> bool:
        """Whether links are made with it. What it may have is for grants to decide: a pending peer has none."""
        return self.state is PeerState.ACTIVE or (self.state is PeerState.PENDING and self.approved)


class Step(NamedTuple):
    """One step of verification. `reason` is None where it passed."""

    rule: str
    detail: str
    reason: LeafReason | None = None

    @property
    def passed(self) -> bool:
        return self.reason is None


class VerifiedLeaf(NamedTuple):
    id: GatewayId
    certificate: Certificate


class _Refuse(Exception):
    def __init__(self, reason: LeafReason, detail: str) -> None:
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class _Case:
    """What the steps know so far; each fills in what the next ones need."""

    data: bytes
    peers: Mapping[OrgId, PeerTrust]
    now: datetime
    leaf: Certificate = field(init=False)
    uri: str = ""
    id: GatewayId = field(init=False)
    peer: PeerTrust = field(init=False)


def verify_leaf(data: bytes, peers: Mapping[OrgId, PeerTrust], now: datetime) -> GatewayId:
    """Who presents the leaf in `data` (DER, or PEM with the leaf first). Raises LeafRefused.

    `now` has a time zone. Uncached: see `VerificationCache` for the per-call path.
    """
    return verified(data, peers, now).id


def verified(data: bytes, peers: Mapping[OrgId, PeerTrust], now: datetime) -> VerifiedLeaf:
    """As `verify_leaf`, with the certificate that passed: for its key and its end."""
    case = _Case(data, peers, now)
    for step in _walk(case):
        if step.reason is not None:
            raise LeafRefused(step.reason, step.detail, case.uri[:255])
    return VerifiedLeaf(case.id, case.leaf)


def explain_leaf(data: bytes, peers: Mapping[OrgId, PeerTrust], now: datetime) -> list[Step]:
    """The steps that were reached, in order: all passed, or the last one says why the leaf is refused."""
    return list(_walk(_Case(data, peers, now)))


def key_hash(certificate: Certificate) -> str:
    """SHA-256 of the public key, hex: how a deny list names a leaf, whatever certificate carries the key."""
    return hashlib.sha256(spki(certificate)).hexdigest()


def _walk(case: _Case) -> Iterator[Step]:
    for rule, check in _STEPS:
        try:
            yield Step(rule, check(case))
        except _Refuse as refusal:
            yield Step(rule, refusal.detail, refusal.reason)
            return


def _parse(case: _Case) -> str:
    if not case.data:
        raise _Refuse(LeafReason.NO_CERTIFICATE, "no certificate was presented")
    try:
        case.leaf = leaf_from(case.data)
    except ValueError as error:
        raise _Refuse(LeafReason.MALFORMED_CERTIFICATE, str(error)) from error
    return f"serial {case.leaf.serial_number:x}"


def _identity(case: _Case) -> str:
    found = uris(case.leaf)
    if not found:
        raise _Refuse(LeafReason.NO_URI_SAN, "it has no URI SAN")
    case.uri = found[0]
    if len(found) > 1:
        raise _Refuse(LeafReason.SEVERAL_URI_SANS, f"it has {len(found)} URI SANs")
    try:
        case.id = GatewayId.parse(case.uri)
    except IllegalName as error:
        raise _Refuse(_malformed(case.uri), str(error)) from error
    return str(case.id)


def _malformed(uri: str) -> LeafReason:
    """A good domain with another path is a workload that is no gateway: worth telling apart from rubbish."""
    domain, _, path = uri.removeprefix("spiffe://").partition("/")
    if not uri.startswith("spiffe://") or path.startswith("gateway/") or len(uri) > MAX_URI_BYTES:
        return LeafReason.MALFORMED_ID
    try:
        OrgId(domain)
    except IllegalName:
        return LeafReason.MALFORMED_ID
    return LeafReason.WRONG_PATH


def _domain(case: _Case) -> str:
    peer = case.peers.get(case.id.org)
    if peer is None or peer.bundle.org != case.id.org:
        raise _Refuse(LeafReason.UNKNOWN_DOMAIN, f"{case.id.org} is not a peer of this organization")
    case.peer = peer
    return f"{case.id.org} is a peer"


def _active(case: _Case) -> str:
    if not case.peer.may_greet:
        raise _Refuse(LeafReason.PEER_NOT_ACTIVE, f"the peer is {case.peer.state}")
    return (
        "the peer is active"
        if case.peer.state is PeerState.ACTIVE
        else "the peer is pending and approved: it may greet"
    )


def _path(case: _Case) -> str:
    """The path at `now`, clamped into the leaf's own dates so that an expired leaf is told by its own step."""
    at = min(max(case.now, case.leaf.not_valid_before_utc), case.leaf.not_valid_after_utc)
    try:
        check_bundle(case.peer.bundle)
    except BundleRefused as error:
        raise _Refuse(LeafReason.PATH_INVALID, str(error)) from error
    try:
        store = verification.Store(case.peer.bundle.anchors())
        builder = verification.PolicyBuilder().store(store).time(at).max_chain_depth(0)
        chain = builder.build_client_verifier().verify(case.leaf, []).chain
    except (verification.VerificationError, ValueError) as error:
        raise _Refuse(_path_reason(case), f"the bundle of {case.id.org} does not vouch for it: {error}") from error
    return f"signed by {chain[-1].subject.rfc4514_string()[:80]!r}, bundle sequence {case.peer.bundle.sequence}"


def _path_reason(case: _Case) -> LeafReason:
    """The path validation checks usage as well: for a leaf that the peer's CA did sign, name such a fault itself."""
    if any(_issued(case.leaf, anchor) for anchor in case.peer.bundle.anchors()):
        for check in (_not_a_ca, _key_usage, _extended_key_usage):
            try:
                check(case.leaf)
            except _Refuse as refusal:
                return refusal.reason
    return LeafReason.PATH_INVALID


def _issued(leaf: Certificate, anchor: Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(anchor)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _not_a_ca(leaf: Certificate) -> str:
    constraints = extension(leaf, x509.BasicConstraints)
    usage = extension(leaf, x509.KeyUsage)
    if (constraints and constraints.value.ca) or (usage and (usage.value.key_cert_sign or usage.value.crl_sign)):
        raise _Refuse(LeafReason.IS_CA, "it is a CA certificate")
    return "not a CA"


def _key_usage(leaf: Certificate) -> str:
    usage = extension(leaf, x509.KeyUsage)
    if usage is None or not usage.critical or not usage.value.digital_signature:
        raise _Refuse(LeafReason.WRONG_KEY_USAGE, "it has no critical key usage with digitalSignature")
    return "digitalSignature, critical"


def _extended_key_usage(leaf: Certificate) -> str:
    usage = extension(leaf, x509.ExtendedKeyUsage)
    if usage is None or not set(usage.value) >= BOTH_USAGES:
        raise _Refuse(LeafReason.WRONG_EXTENDED_KEY_USAGE, "it is not for both serverAuth and clientAuth")
    return "serverAuth and clientAuth"


def _dns_name(case: _Case) -> str:
    found, expected = dns_names(case.leaf), case.peer.expected_dns_name
    if found != [expected]:
        raise _Refuse(LeafReason.WRONG_DNS_SAN, f"its DNS SANs are {found!r:.200}, expected only {expected!r}")
    return expected


def _not_revoked(case: _Case) -> str:
    limit, begin = case.peer.revoked_before, case.leaf.not_valid_before_utc
    if limit is not None and begin < limit:
        raise _Refuse(LeafReason.REVOKED_BEFORE, f"valid from {_iso(begin)}; leaves from before {_iso(limit)} are dead")
    return f"valid from {_iso(begin)}"


def _not_denied(case: _Case) -> str:
    digest = key_hash(case.leaf)
    if digest in case.peer.denied:
        raise _Refuse(LeafReason.DENIED, f"its key {digest} is on the deny list")
    return f"key {digest}"


def _dates(case: _Case) -> str:
    begin, end = case.leaf.not_valid_before_utc, case.leaf.not_valid_after_utc
    if case.now < begin:
        raise _Refuse(LeafReason.NOT_YET_VALID, f"valid from {_iso(begin)}, it is {_iso(case.now)}")
    if case.now > end:
        raise _Refuse(LeafReason.EXPIRED, f"valid until {_iso(end)}, it is {_iso(case.now)}")
    return f"valid until {_iso(end)}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


_STEPS: tuple[tuple[str, Callable[[_Case], str]], ...] = (
    ("it is one certificate", _parse),
    ("exactly one URI SAN, a well-formed gateway id", _identity),
    ("its domain is a peer", _domain),
    ("the peer is active", _active),
    ("that peer's bundle vouches for it", _path),
    ("not a CA", lambda case: _not_a_ca(case.leaf)),
    ("key usage", lambda case: _key_usage(case.leaf)),
    ("extended key usage", lambda case: _extended_key_usage(case.leaf)),
    ("the DNS name recorded for the peer", _dns_name),
    ("not from before the peer's revocation", _not_revoked),
    ("not on the deny list", _not_denied),
    ("within its dates", _dates),
)
