"""How control objects are stored: one JSON value each, with a format number, decoded strictly.

A. What is decoded is a legal value and fits its key; anything else is RegistryEntryDamaged, never a default.
B. A field that this version does not know is refused: to drop it silently would widen a grant.
C. What says nothing is left out, so that an older gateway reads every entry that uses nothing newer than itself.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from gateway.peer import DATE_LIMIT_MS, Peer
from gateway.registry_errors import RegistryEntryDamaged
from mesh.errors import MeshError
from mesh.ids import OrgId, ShareName, SubscriptionName, TopicId, TopicName
from mesh.origins import Hop, TopicOrigin
from mesh.patterns import PatternMapping, checked_pattern
from mesh.shares import (
    Grant,
    GrantState,
    GroupAccess,
    OnForeignWrite,
    OnLoss,
    OnTimestamp,
    PeerState,
    Share,
    StartAt,
    Subscription,
    SubscriptionState,
    TopicMapping,
)
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import InviteRecord

Entry: TypeAlias = Peer | InviteRecord | Share | Grant | Subscription | TopicOrigin


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1]


class _StoredPeer(_Stored):
    bundle: dict[str, Any]
    addresses: tuple[str, ...]
    state: PeerState
    added_ms: NonNegativeInt
    revoked_before_ms: Annotated[int, Field(ge=0, lt=DATE_LIMIT_MS)] | None
    denied: tuple[str, ...]
    epoch: NonNegativeInt
    acknowledged_sequence: NonNegativeInt
    approved: bool
    transcript: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
    public_only: bool

    def value(self) -> Peer:
        # Whether anybody is verified by the bundle is decided where it is used: a bad one must not stop the others.
        bundle = Bundle.from_document(self.bundle)
        return Peer(
            bundle,
            self.addresses,
            self.state,
            self.added_ms,
            self.revoked_before_ms,
            self.denied,
            self.epoch,
            self.acknowledged_sequence,
            self.approved,
            self.transcript,
            self.public_only,
        )


class _StoredInvite(_Stored):
    id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    public_key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    expected: str
    created_ms: NonNegativeInt
    expires_ms: NonNegativeInt
    name: str
    expect_fingerprint: str
    allow_private: bool
    strikes: NonNegativeInt
    used_ms: NonNegativeInt | None
    withdrawn: bool

    def value(self) -> InviteRecord:
        key, digest = bytes.fromhex(self.public_key), bytes.fromhex(self.digest)
        rest = self.model_dump(exclude={"format", "public_key", "digest", "expected"})
        return InviteRecord(public_key=key, digest=digest, expected=OrgId(self.expected), **rest)


class _StoredShare(_Stored):
    name: str
    topics: tuple[str, ...]
    version: int
    created_ms: NonNegativeInt
    patterns: tuple[str, ...] = ()

    def value(self) -> Share:
        topics = tuple(map(TopicName, self.topics))
        patterns = tuple(map(checked_pattern, self.patterns))
        return Share(ShareName(self.name), topics, self.version, self.created_ms, patterns)


class _StoredGrant(_Stored):
    share: str
    peer: str
    start_ms: NonNegativeInt
    end_ms: NonNegativeInt | None
    state: GrantState
    groups: GroupAccess = GroupAccess.NONE
    onward: bool = False

    def value(self) -> Grant:
        share, peer = ShareName(self.share), OrgId(self.peer)
        return Grant(share, peer, self.start_ms, self.end_ms, self.state, self.groups, self.onward)


class _StoredSubscription(_Stored):
    name: str
    peer: str
    share: str
    topics: tuple[tuple[str, str] | tuple[str, str, NonNegativeInt], ...]
    """The third is the number of partitions when it was subscribed to."""
    start: str
    state: SubscriptionState
    on_foreign_write: OnForeignWrite
    on_loss: OnLoss = OnLoss.STOP
    on_timestamp: OnTimestamp = OnTimestamp.STOP
    follow_config: bool = False
    groups: tuple[str, ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()
    subscribed_ms: NonNegativeInt = 0

    def value(self) -> Subscription:
        return Subscription(
            SubscriptionName(self.name),
            OrgId(self.peer),
            ShareName(self.share),
            tuple(TopicMapping(TopicName(each[0]), TopicName(each[1]), *each[2:]) for each in self.topics),
            StartAt.parse(self.start),
            self.state,
            self.on_foreign_write,
            self.on_loss,
            self.on_timestamp,
            self.follow_config,
            self.groups,
            tuple(PatternMapping.parsed(*each) for each in self.patterns),
            self.subscribed_ms,
        )


class _StoredOrigin(_Stored):
    topic_id: str
    topic: str
    path: tuple[tuple[str, str], ...]
    onward: bool

    def value(self) -> TopicOrigin:
        path = tuple(Hop(OrgId(org), TopicId(topic_id)) for org, topic_id in self.path)
        return TopicOrigin(TopicId(self.topic_id), TopicName(self.topic), path, self.onward)


_KINDS: dict[
    str, type[_StoredPeer | _StoredInvite | _StoredShare | _StoredGrant | _StoredSubscription | _StoredOrigin]
] = {
    "peer": _StoredPeer,
    "invite": _StoredInvite,
    "share": _StoredShare,
    "grant": _StoredGrant,
    "subscription": _StoredSubscription,
    "origin": _StoredOrigin,
}


def key_of(entry: Entry) -> str:
    match entry:
        case Peer():
            return f"peer/{entry.org}"
        case InviteRecord():
            return f"peer/{entry.expected}/invite/{entry.id}"
        case Share():
            return f"share/{entry.name}"
        case Grant():
            return f"grant/{entry.id}"
        case Subscription():
            return f"subscription/{entry.name}"
        case TopicOrigin():
            return f"origin/{entry.topic_id}"


def encode(entry: Entry) -> bytes:
    return _stored(entry).model_dump_json(exclude_defaults=True).encode()


def _stored(entry: Entry) -> _Stored:
    match entry:
        case Peer():
            return _StoredPeer(
                format=1,
                bundle=entry.bundle.document(),
                addresses=entry.addresses,
                state=entry.state,
                added_ms=entry.added_ms,
                revoked_before_ms=entry.revoked_before_ms,
                denied=entry.denied,
                epoch=entry.epoch,
                acknowledged_sequence=entry.acknowledged_sequence,
                approved=entry.approved,
                transcript=entry.transcript,
                public_only=entry.public_only,
            )
        case InviteRecord():
            values = {field.name: getattr(entry, field.name) for field in fields(entry)}
            values |= {
                "public_key": entry.public_key.hex(),
                "digest": entry.digest.hex(),
                "expected": str(entry.expected),
            }
            return _StoredInvite(format=1, **values)
        case Share():
            return _StoredShare(
                format=1,
                name=entry.name,
                topics=entry.topics,
                version=entry.version,
                created_ms=entry.created_ms,
                patterns=entry.patterns,
            )
        case Grant():
            return _StoredGrant(
                format=1,
                share=entry.share,
                peer=entry.peer,
                start_ms=entry.start_ms,
                end_ms=entry.end_ms,
                state=entry.state,
                groups=entry.groups,
                onward=entry.onward,
            )
        case Subscription():
            return _StoredSubscription(
                format=1,
                name=entry.name,
                peer=entry.peer,
                share=entry.share,
                topics=tuple(map(_mapping, entry.topics)),
                start=str(entry.start),
                state=entry.state,
                on_foreign_write=entry.on_foreign_write,
                on_loss=entry.on_loss,
                on_timestamp=entry.on_timestamp,
                follow_config=entry.follow_config,
                groups=entry.groups,
                patterns=tuple((each.source_pattern, each.destination_pattern) for each in entry.patterns),
                subscribed_ms=entry.subscribed_ms,
            )
        case TopicOrigin():
            return _StoredOrigin(
                format=1, topic_id=entry.topic_id, topic=entry.topic, path=entry.path, onward=entry.onward
            )


def _mapping(mapping: TopicMapping) -> tuple[str, str] | tuple[str, str, int]:
    pair = (mapping.source_topic, mapping.destination_topic)
    return pair if mapping.source_partitions is None else (*pair, mapping.source_partitions)


def _kind_of(key: str) -> str:
    """An invite lies below the peer that it is for: see `gateway.invites`."""
    parts = key.split("/")
    return "invite" if parts[0] == "peer" and parts[2:3] == ["invite"] else parts[0]


def decode(key: str, data: bytes) -> Entry:
    """The entry under `key`. Raises RegistryEntryDamaged, naming the key."""
    kind = _KINDS.get(_kind_of(key))
    if kind is None:
        raise RegistryEntryDamaged(key, "its kind is not known")
    try:
        entry: Entry = kind.model_validate_json(data, strict=True).value()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise RegistryEntryDamaged(key, f"{where}: {first['msg']}" if where else first["msg"]) from error
    except MeshError as error:
        raise RegistryEntryDamaged(key, str(error)) from error
    if key_of(entry) != key:
        raise RegistryEntryDamaged(key, f"it holds {key_of(entry)!r}")
    return entry
