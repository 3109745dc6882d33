"""The inviter's side of one redemption: challenge, decision, answer.

A. Whatever is wrong, the caller gets one answer; the reason stands in our log and audit.
B. Time, size and attempts are bounded before anything is parsed, and the words' key is checked before certificates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_bytes
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from gateway.attempts import AttemptLimit
from gateway.audit.actor import acting
from gateway.enrolment.audit import Audit
from gateway.enrolment.limits import caller_address, redeeming_limit
from gateway.peer import Peer
from gateway.registry import Registry
from gateway.rpc.identity import Identity
from mesh.errors import MeshError
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import (
    NONCE_BYTES,
    Accepted,
    InviteRecord,
    Redemption,
    Refused,
    judge,
    signed_digest,
)
from mesh.trust.enrolment_errors import RedemptionMalformed
from mesh.wire.v1 import enrolment_pb2

METHOD = "/mesh.wire.v1.Enrolment/Redeem"
ANSWER = "not accepted"
"""To everybody who is not taken, whatever the reason."""
TIME_S = 15.0
STRANGER = "peer:unverified"
"""In the audit log: whoever redeems is nobody yet."""
MAX_MESSAGE_BYTES = 128 * 1024
"""A bundle of sixteen certificates and a chain, with room."""

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class EnrolmentService:
    identity: Callable[[], Identity]
    registry: Registry
    own_bundle: Callable[[], Awaitable[Bundle]]
    now: Callable[[], datetime]
    clock: Callable[[], float]
    audit: Audit
    limit: AttemptLimit = field(default_factory=redeeming_limit)
    time_s: float = TIME_S

    def handlers(self) -> grpc.GenericRpcHandler:
        return _Route(grpc.stream_stream_rpc_method_handler(self._handle))

    async def _handle(self, _: Any, context: Context) -> None:
        reply = await self._reply(context)
        if reply is None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, ANSWER)
        else:
            await context.write(reply.SerializeToString())

    async def _reply(self, context: Context) -> enrolment_pb2.EnrolmentReply | None:
        address = caller_address(context.peer())
        if not self.limit.allows(address, self.clock()):
            log.warning("redemption refused", address=address, reason="too many attempts")
            return None
        try:
            async with asyncio.timeout(self.time_s):
                return await self._redeem(context, address)
        except TimeoutError:
            log.warning("redemption refused", address=address, reason="it took too long")
        except MeshError as error:
            log.warning("redemption refused", address=address, code=error.code, reason=str(error))
        except Exception:  # a mistake of ours must not look different to a stranger
            log.exception("redemption failed", address=address)
        return None

    async def _redeem(self, context: Context, address: str) -> enrolment_pb2.EnrolmentReply | None:
        nonce = token_bytes(NONCE_BYTES)
        challenge = enrolment_pb2.EnrolmentReply(challenge=enrolment_pb2.Challenge(nonce=nonce))
        await context.write(challenge.SerializeToString())
        data = await context.read()
        if not isinstance(data, bytes):
            return None
        redemption = parse_redemption(data)
        own = await self.own_bundle()

        def decide(record: InviteRecord | None, known: Collection[Bundle]) -> Accepted | Refused:
            return judge(record, redemption, nonce, own, known, self.now())

        now_ms = int(self.now().timestamp() * 1000)
        with acting(STRANGER):
            result = await self.registry.redeem_invite(redemption.invite_id, decide, now_ms)
        if isinstance(result, Refused):
            await self._refused(redemption, result, address)
            return None
        return self._accepted(redemption, result, address)

    async def _refused(self, redemption: Redemption, refused: Refused, address: str) -> None:
        log.warning("redemption refused", address=address, reason=str(refused.reason), detail=refused.detail[:300])
        if redemption.invite_id in self.registry.invites:  # what names no invite of ours is a stranger's noise
            with acting(STRANGER):
                await self.audit("invite.redeemed", redemption.invite_id, "refused", reason=str(refused.reason))

    def _accepted(self, redemption: Redemption, peer: Peer, address: str) -> enrolment_pb2.EnrolmentReply:
        log.info("invite redeemed", peer=str(peer.org), invite=redemption.invite_id, address=address)
        identity, transcript = self.identity(), bytes.fromhex(peer.transcript)
        redeemed = enrolment_pb2.Redeemed(
            transcript=transcript,
            certificate_chain=identity.chain_der,
            signature=identity.sign(signed_digest("inviter", transcript)),
        )
        return enrolment_pb2.EnrolmentReply(redeemed=redeemed)


def parse_redemption(data: bytes) -> Redemption:
    """Raises RedemptionMalformed."""
    try:
        request = enrolment_pb2.EnrolmentRequest.FromString(data)
    except DecodeError as error:
        raise RedemptionMalformed("it is not a message of this protocol") from error
    if request.WhichOneof("body") != "redeem":
        raise RedemptionMalformed("it does not redeem anything")
    body = request.redeem
    return Redemption(
        invite_id=body.invite_id[:64],
        invite_digest=body.invite_digest,
        org=body.organization,
        bundle=body.bundle,
        chain=tuple(body.certificate_chain),
        addresses=tuple(body.addresses),
        nonce=body.nonce,
        invite_signature=body.invite_signature,
        leaf_signature=body.leaf_signature,
    )


class _Route(grpc.GenericRpcHandler):
    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handler if handler_call_details.method == METHOD else None
