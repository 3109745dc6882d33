"""This gateway as a member of the group of its organization's gateways: join, share out, heartbeat, and again.

Whoever the coordinator makes the leader reckons the sharing out; it goes to every member whole. A member goes on with
what it runs while the others join; only another sharing out, or the end of its lease, takes something away.

A. The id of this member is kept in a file until it has left: a gateway that was killed takes its former self out of the
   group when it starts, so that nobody waits for a session to end.
B. Of two gateways under one name the second runs nothing and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import structlog

from gateway.kafka.client import Client
from gateway.kafka.group_protocol import GroupCalls, GroupRebalancing, Joined, MembershipLost
from gateway.kafka.lease import Lease
from gateway.kafka.ownership import Claims, KafkaOwnership
from gateway.kafka.patience import pauses
from mesh.errors import MeshError, NetworkError, OperatorError
from mesh.lanes.assignment import NEVER, Application, Sharing, share_out

log = structlog.get_logger()

GROUP = "_mesh.gateways"
SESSION_S = 6.0
"""The least that a broker grants unless it is configured otherwise (group.min.session.timeout.ms)."""
HEARTBEAT_S = 1.0
"""What adding a gateway waits for, and what the end of a session comes on top of."""
RETRY_S = 5.0
"""Before what needs an operator is tried again."""
LEAVE_S = 2.0
FIRST_S = 15.0
"""How long a start waits to be part of the group: the session of one that was killed elsewhere, and some more."""


@dataclass(eq=False)
class GatewayNameTaken(OperatorError):
    name: str
    group: str

    code: ClassVar[str] = "gateway-name-taken"
    sentence: ClassVar[str] = "another gateway named '{name}' is in the group '{group}' of this cluster"
    hint: ClassVar[str] = "stop the other one, or give this one a name of its own: mesh init --join DIR --gateway NAME"


class Membership:
    """`run` takes part until cancelled; `leave` after that."""

    def __init__(
        self,
        calls: GroupCalls,
        gateway: str,
        partitions: int,
        ownership: KafkaOwnership,
        lease: Lease,
        member_file: Path | None = None,
    ) -> None:
        self._calls = calls
        self._gateway = gateway
        self._partitions = partitions
        self._ownership = ownership
        self._lease = lease
        self._file = member_file
        self._member_id = ""
        self._node: int | None = None
        self._generation = NEVER
        self._owners: tuple[str, ...] = ()
        self._settled = asyncio.Event()
        self.trouble: MeshError | None = None
        """Why this gateway is no part of the group, None while it is or is about to be."""

    def __repr__(self) -> str:
        return f"<Membership {self._gateway} in generation {self._generation}, {self._lease}>"

    async def begun(self) -> None:
        """Returns when this gateway is part of the group, or after FIRST_S.

        Raises GatewayNameTaken, PermissionMissing, BrokerRefused.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._settled.wait()
        if self.trouble is not None and not self.trouble.retriable:
            raise self.trouble

    async def run(self) -> None:
        pause = pauses()
        await self._forget_former()
        while True:
            try:
                await self._take_part()
                pause = pauses()
            except GroupRebalancing:
                await asyncio.sleep(next(pause))
            except MembershipLost as error:
                log.warning("group left behind", code=error.code, reason=str(error))
                self._out()
                await asyncio.sleep(next(pause))
            except NetworkError as error:
                log.info("group not reached", code=error.code, reason=str(error))
                self._node = None
                await asyncio.sleep(next(pause))
            except MeshError as error:
                log.warning("not part of the group", code=error.code, reason=str(error), remedy=error.remedy)
                await self._stay_out(error)
            except Exception as error:  # a mistake of ours must not end the gateway's part for ever
                log.exception("membership failed")
                self._out()
                self._node = None
                await asyncio.sleep(RETRY_S if isinstance(error, ValueError) else next(pause))

    async def leave(self) -> None:
        """Give everything up, so that others take over at once. Fails without a word: the session ends by itself."""
        self._lease.end()
        self._ownership.lose()
        member_id, self._member_id = self._member_id, ""
        if not member_id:
            return
        with suppress(MeshError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await self._calls.leave(member_id)
                self._keep_id("")

    async def _stay_out(self, error: MeshError) -> None:
        self.trouble = error
        self._settled.set()
        await self.leave()
        self._generation = NEVER
        await asyncio.sleep(RETRY_S)

    def _out(self) -> None:
        self._member_id = ""
        self._lease.end()
        self._ownership.lose()

    # one time round

    async def _take_part(self) -> None:
        node = await self._coordinator()
        application = Application(self._gateway, self._generation, self._owners)
        joined = await self._calls.join(node, self._member_id, application.to_bytes())
        if joined.member_id != self._member_id:
            self._member_id = joined.member_id
            self._keep_id(joined.member_id)
        if joined.generation < 0:
            return
        sent_s = self._lease.clock()
        sharing = Sharing.from_bytes(await self._calls.sync(node, joined, self._sharing(joined)))
        if self._member_id in sharing.refused:
            raise GatewayNameTaken(self._gateway, self._calls.group)
        is_next = joined.generation == self._generation + 1
        self._generation, self._owners = joined.generation, sharing.owners
        self.trouble = None
        self._ownership.share(sharing.owners, is_next=is_next)
        self._lease.renew(sent_s)
        self._settled.set()
        log.info("lanes shared out", generation=joined.generation, partitions=sorted(sharing.of(self._gateway)))
        await self._stay()

    def _sharing(self, joined: Joined) -> bytes | None:
        if not joined.is_leader:
            return None
        return share_out(_read(joined.applications), self._partitions).to_bytes()

    async def _stay(self) -> None:
        """Returns when lanes are to be shared out anew. Raises MembershipLost and what needs an operator."""
        pause = pauses()
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            sent_s = self._lease.clock()
            try:
                stays = await self._calls.heartbeat(await self._coordinator(), self._member_id, self._generation)
            except MembershipLost:
                raise
            except NetworkError as error:
                log.info("heartbeat failed", code=error.code, reason=str(error))
                self._node = None
                await asyncio.sleep(next(pause))
                continue
            pause = pauses()
            self._lease.renew(sent_s)
            if not stays:
                return

    async def _coordinator(self) -> int:
        if self._node is None:
            self._node = await self._calls.coordinator()
        return self._node

    # the file

    async def _forget_former(self) -> None:
        former = self._kept_id()
        if former:
            with suppress(MeshError, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._calls.leave(former)

    def _kept_id(self) -> str:
        try:
            return self._file.read_text().strip() if self._file is not None else ""
        except (OSError, ValueError):
            return ""

    def _keep_id(self, member_id: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write_text(member_id)
        except OSError as error:  # a restart after a kill waits for the session then
            log.warning("member id not kept", path=str(self._file), reason=error.strerror)


def _read(applications: Mapping[str, bytes]) -> dict[str, Application | None]:
    found: dict[str, Application | None] = {}
    for member, data in applications.items():
        try:
            found[member] = Application.from_bytes(data)
        except ValueError:
            found[member] = None
    return found


async def join_group(
    client: Client, claims: Claims, gateway: str, member_file: Path | None = None, group: str = GROUP
) -> KafkaOwnership:
    """The ownership of a gateway that is part of the group when this returns, as far as it can be reached.

    Raises GatewayNameTaken, PermissionMissing, BrokerRefused.
    """
    lease = Lease(SESSION_S)
    ownership = KafkaOwnership(gateway, claims, lease)
    calls = GroupCalls(client, group, SESSION_S)
    member = Membership(calls, gateway, claims.partitions, ownership, lease, member_file)
    tasks = [client.spawn(member.run()), client.spawn(ownership.run())]

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        await member.leave()

    ownership.stop, ownership.fault = stop, lambda: member.trouble
    await member.begun()
    return ownership
