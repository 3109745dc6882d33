"""The five requests by which gateways form a group: one call each, errors mapped, nothing remembered.

The group has a protocol type of its own, so that no ordinary consumer can join it by mistake. Joining and syncing wait
for the other members: they go over a connection that nothing else waits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, TypeVar

from kio.schema.find_coordinator.v3 import FindCoordinatorRequest, FindCoordinatorResponse
from kio.schema.heartbeat.v4 import HeartbeatRequest, HeartbeatResponse
from kio.schema.join_group.v5 import JoinGroupRequest, JoinGroupResponse
from kio.schema.join_group.v5.request import JoinGroupRequestProtocol
from kio.schema.leave_group.v4 import LeaveGroupRequest, LeaveGroupResponse
from kio.schema.leave_group.v4.request import MemberIdentity
from kio.schema.sync_group.v5 import SyncGroupRequest, SyncGroupResponse
from kio.schema.sync_group.v5.request import SyncGroupRequestAssignment
from kio.schema.types import GroupId
from kio.static.primitive import i32, i32Timedelta
from kio.static.protocol import RequestPayload, ResponsePayload

from gateway.kafka.client import Client, Purpose
from gateway.kafka.codes import Code, request_error
from gateway.kafka.coordinator import GROUP_KEY
from gateway.kafka.messages import call
from mesh.cluster_errors import ClusterUnreachable, PermissionMissing
from mesh.errors import NetworkError

Response = TypeVar("Response", bound=ResponsePayload)
PROTOCOL_TYPE = "stream-mesh"
PROTOCOL = "lanes-1"
MARGIN_S = 5.0
"""What a join may take beyond the time that the coordinator gives to members that are late."""


@dataclass(eq=False)
class MembershipLost(NetworkError):
    """The coordinator has gone on without this member: others run its lanes."""

    group: str

    code: ClassVar[str] = "membership-lost"
    sentence: ClassVar[str] = "the group '{group}' has gone on without this gateway"
    hint: ClassVar[str] = "the gateway joins it again by itself; it was stopped or cut off for longer than its session"


@dataclass(eq=False)
class GroupRebalancing(NetworkError):
    group: str

    code: ClassVar[str] = "group-rebalancing"
    sentence: ClassVar[str] = "the gateways of the group '{group}' are sharing out the lanes anew"
    hint: ClassVar[str] = "the gateway takes part by itself"


@dataclass(frozen=True, slots=True)
class Joined:
    member_id: str
    generation: int
    """-1: only the id was given; join again with it."""
    applications: Mapping[str, bytes]
    """By member id; what the leader gets, empty for everybody else."""

    @property
    def is_leader(self) -> bool:
        return bool(self.applications)


@dataclass(frozen=True, slots=True)
class GroupCalls:
    """Every call raises ClusterUnreachable, MembershipLost, GroupRebalancing, PermissionMissing, BrokerRefused."""

    client: Client
    group: str
    session_s: float

    async def coordinator(self) -> int:
        request = FindCoordinatorRequest(key=self.group, key_type=GROUP_KEY)
        answer = await self.client.call(request, FindCoordinatorResponse)
        self._check(int(answer.error_code))
        return int(answer.node_id)

    async def join(self, node: int, member_id: str, application: bytes) -> Joined:
        """Returns when every member has joined, or was given up."""
        session = i32Timedelta.parse(timedelta(seconds=self.session_s))
        request = JoinGroupRequest(
            group_id=GroupId(self.group),
            session_timeout=session,
            rebalance_timeout=session,
            member_id=member_id,
            protocol_type=PROTOCOL_TYPE,
            protocols=(JoinGroupRequestProtocol(name=PROTOCOL, metadata=application),),
        )
        answer = await self._ask(node, request, JoinGroupResponse, self.session_s + MARGIN_S)
        if int(answer.error_code) == Code.MEMBER_ID_REQUIRED:
            return Joined(answer.member_id, -1, {})
        self._check(int(answer.error_code))
        members = {each.member_id: each.metadata for each in answer.members}
        return Joined(answer.member_id, int(answer.generation_id), members)

    async def sync(self, node: int, joined: Joined, sharing: bytes | None) -> bytes:
        """The sharing out, which the leader gives and everybody gets."""
        assignments = () if sharing is None else [(member, sharing) for member in joined.applications]
        request = SyncGroupRequest(
            group_id=GroupId(self.group),
            generation_id=i32(joined.generation),
            member_id=joined.member_id,
            protocol_type=PROTOCOL_TYPE,
            protocol_name=PROTOCOL,
            assignments=tuple(
                SyncGroupRequestAssignment(member_id=member, assignment=data) for member, data in assignments
            ),
        )
        answer = await self._ask(node, request, SyncGroupResponse, self.session_s + MARGIN_S)
        self._check(int(answer.error_code))
        return answer.assignment

    async def heartbeat(self, node: int, member_id: str, generation: int) -> bool:
        """Whether all stays as it is; otherwise this member is one still, and shall join anew."""
        request = HeartbeatRequest(group_id=GroupId(self.group), generation_id=i32(generation), member_id=member_id)
        answer = await self._ask(node, request, HeartbeatResponse, self.session_s / 2)
        if int(answer.error_code) == Code.REBALANCE_IN_PROGRESS:
            return False
        self._check(int(answer.error_code))
        return True

    async def leave(self, member_id: str) -> None:
        """Harmless where there is no such member."""
        request = LeaveGroupRequest(group_id=GroupId(self.group), members=(MemberIdentity(member_id=member_id),))
        answer = await self.client.call(request, LeaveGroupResponse, await self.coordinator())
        self._check(int(answer.error_code))

    async def _ask(self, node: int, request: RequestPayload, response: type[Response], timeout_s: float) -> Response:
        connection = await self.client.connection(node, Purpose.GROUP)
        return await call(connection, request, response, timeout_s)

    def _check(self, code: int) -> None:
        match code:
            case Code.NONE:
                return
            case Code.COORDINATOR_LOAD_IN_PROGRESS | Code.COORDINATOR_NOT_AVAILABLE | Code.NOT_COORDINATOR:
                raise ClusterUnreachable(self.client.cluster_id, f"it does not coordinate the group {self.group} yet")
            case Code.ILLEGAL_GENERATION | Code.UNKNOWN_MEMBER_ID:
                raise MembershipLost(self.group)
            case Code.REBALANCE_IN_PROGRESS:
                raise GroupRebalancing(self.group)
            case Code.GROUP_AUTHORIZATION_FAILED:
                raise PermissionMissing("read", f"group {self.group!r}")
            case _:
                raise request_error("join the group", self.group, code)
