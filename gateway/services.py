"""What the parts of a gateway share with its admin API: one value, made once by `gateway/app.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mesh.groups import PeerGroup, TopicPositions
from mesh.ids import GroupName, LaneId, OrgId, ShareName, SubscriptionName, TopicName
from mesh.lanes.status import LaneStatus
from mesh.offsets.view import OffsetView
from mesh.ports import Cluster
from mesh.shares import StartAt
from mesh.wire.v1 import catalog_pb2, link_pb2

if TYPE_CHECKING:
    from gateway.audit.auditor import Auditor
    from gateway.config import GatewayConfig
    from gateway.enrolment.desk import EnrolmentDesk
    from gateway.groups.syncing import GroupSync
    from gateway.peers.denials import Denials
    from gateway.peers.sight import Presented
    from gateway.promoting import Promoter
    from gateway.registry import Registry
    from gateway.reloading import LiveConfig


class DigestPage(NamedTuple):
    """Visible records of one source partition, in order: their offsets and 16-byte digests."""

    offsets: Sequence[int]
    digests: Sequence[bytes]
    next_source_offset: int
    bare: Sequence[bytes] = ()
    """Where asked for, the digests of the same records without their timestamps."""


@dataclass(frozen=True, slots=True)
class LinkStatus:
    peer: OrgId
    gateway: str
    role: str
    """`dialler` or `acceptor`."""
    since_ms: int
    address: str
    leaf_end_ms: int = 0
    """When the certificate ends by which the peer opened it, and the link with it."""
    exports: int = 0
    imports: int = 0
    """Lanes on it."""
    version: str = ""
    clock_skew_ms: int | None = None
    """The peer's clock minus ours when it opened; None where the peer did not say."""


class DialFailure(NamedTuple):
    """Why no link leads to the gateway at an address of a peer, by the last attempt to dial it."""

    address: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class PeerSight:
    """What is known of a peer beside its links."""

    bundle_refused: str = ""
    """Why nobody can connect as this peer, although it is active."""
    down: tuple[DialFailure, ...] = ()
    """Its addresses that were dialled in vain and whose gateway has no link, whoever makes links."""
    is_linked: bool = False
    last_alive_ms: Mapping[str, int] = field(default_factory=dict)
    """When a link of each role was last open, for links that have ended."""
    leaves: Sequence[Presented] = ()
    """The last accepted and the last refused leaf that claimed its domain, the newer first."""

    @property
    def failure(self) -> DialFailure | None:
        """Why there is no link at all."""
        return self.down[0] if self.down and not self.is_linked else None


class Links(Protocol):
    """The live links to peers. Every method raises PeerUnreachable where there is no link."""

    def status(self) -> list[LinkStatus]: ...

    def sight(self, org: str) -> PeerSight:
        """What is known of a peer, or of a domain that claimed to be one."""

    async def stopped(self, peer: OrgId, share: ShareName | None = None) -> None:
        """Returns once nothing (of `share`) is read for `peer`, and, without a share, no link to it is left."""

    def exports(self) -> list[dict[str, object]]:
        """The lanes that peers read from us: peer, share, topic, partition, position, acknowledged, log end."""

    @property
    def organization(self) -> OrgId:
        """Our own."""

    async def catalog(self, peer: OrgId) -> catalog_pb2.CatalogReply:
        """The shares that `peer` grants us."""

    async def measure(
        self, peer: OrgId, share: ShareName, topics: Sequence[str], start: StartAt
    ) -> link_pb2.MeasureReply:
        """How much there is to copy of at most 100 topics. Also raises PeerRefusedRequest, FeatureMissing."""

    async def digests(
        self,
        peer: OrgId,
        share: ShareName,
        topic: TopicName,
        partition: int,
        start: int,
        end: int,
        max_records: int,
        *,
        bare: bool = False,
    ) -> DigestPage:
        """A page of record digests of a source partition in [start, end). With `bare` also raises FeatureMissing."""

    async def group_positions(
        self, peer: OrgId, share: ShareName, group: GroupName | None, topics: Sequence[TopicName], *, with_ends: bool
    ) -> Sequence[PeerGroup]:
        """Where groups of `peer` (None: all) stand on topics of its share; those without a position are left out.

        Also raises PeerRefusedRequest, FeatureMissing, PositionsIllegal, TooManyPositions.
        """

    async def group_commit(
        self,
        peer: OrgId,
        share: ShareName,
        group: GroupName,
        positions: Sequence[TopicPositions],
        *,
        backward: bool,
    ) -> int:
        """Set positions of a group of `peer`, all or none; how many were changed. Also raises as `group_positions`."""


class Lanes(Protocol):
    """The lanes that this gateway imports."""

    def statuses(self) -> list[LaneStatus]: ...

    async def offset_map(self, lane: LaneId) -> OffsetView | None:
        """The lane's map as far as it is acknowledged, None for a lane that has not begun."""

    async def stopped(self, name: SubscriptionName) -> None:
        """Returns once no lane of a paused or deleted subscription runs or writes."""

    async def peer_stopped(self, org: OrgId) -> None:
        """Returns once no lane from a peer that is not active runs or writes."""


class Certificates(Protocol):
    """Our own certificates and the rotation of the CA."""

    def status(self) -> Mapping[str, object]: ...

    def plan(self) -> Mapping[str, object]: ...

    async def rotate_leaf(self) -> Mapping[str, object]:
        """The status afterwards. Raises AuthorityAbsent, AuthorityExpired, StoreFailed."""

    async def start(self, deadline: timedelta | None, *, emergency: bool) -> Mapping[str, object]:
        """Begin a rotation. Raises RotationUnderWay, AuthorityAbsent, StoreFailed."""

    async def leave(self, orgs: Collection[OrgId]) -> Mapping[str, object]:
        """Go on without these peers. Raises NoRotation, RotationTooEarly, NotLagging."""


@dataclass(slots=True)
class Services:
    """Nothing of it changes but `config`."""

    config: GatewayConfig
    """In force now: it is replaced where the file is read again."""
    cluster: Cluster
    registry: Registry
    links: Links
    lanes: Lanes
    now_ms: Callable[[], int]
    peer_address: Callable[[], str]
    """host:port on which peers reach this gateway's listener, empty where there is none."""
    audit: Auditor
    promoter: Promoter
    groups: GroupSync
    certificates: Certificates | None = None
    enrolment: EnrolmentDesk | None = None
    denials: Denials | None = None
    live: LiveConfig | None = None
    """By which `config` is read again."""


Stream = AsyncIterator[dict[str, object]]
