"""The redeemer's side: one call to the inviter's enrolment listener.

A. The channel trusts the roots in the invite and the name in it, and nothing else; no proxy, no name is resolved here.
B. `propose` makes the pending peer durable before the redemption is sent: whatever breaks after that, both sides can
   still compare the phrase.
C. The inviter is believed only with its leaf's signature over the same transcript.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import token_bytes

import grpc
from google.protobuf.message import DecodeError

from gateway.enrolment.service import MAX_MESSAGE_BYTES, METHOD
from gateway.rpc.credentials import TransportLimits, channel_options
from gateway.rpc.identity import Identity
from mesh.errors import MeshError
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.enrolment import NONCE_BYTES, Redemption, signed_digest, transcript_of
from mesh.trust.enrolment_errors import EnrolmentRefused, EnrolmentUnanswered, EnrolmentUnproven
from mesh.trust.invite import Invite, InviteKeys, canonical
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.transcript import verify_proof
from mesh.wire.v1 import enrolment_pb2

ANSWER_S = 20.0
LIMITS = TransportLimits(max_message_bytes=MAX_MESSAGE_BYTES)

Propose = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Redeemer:
    """What this side brings."""

    identity: Identity
    bundle: Bundle
    addresses: tuple[str, ...]
    now: Callable[[], datetime]

    async def redeem(self, invite: Invite, digest: bytes, keys: InviteKeys, target: str, propose: Propose) -> bytes:
        """The transcript that both sides signed. `target` is a checked address as gRPC writes it.

        Raises EnrolmentUnanswered, EnrolmentRefused, EnrolmentUnproven, and what `propose` raises.
        """
        trust = PeerTrust(PeerState.ACTIVE, invite.bundle)
        credentials = grpc.ssl_channel_credentials(invite.bundle.pem().encode())
        try:
            async with (
                asyncio.timeout(ANSWER_S),
                grpc.aio.secure_channel(target, credentials, options=channel_options(trust, LIMITS)) as channel,
            ):
                call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(METHOD)()
                try:
                    return await self._exchange(call, invite, digest, keys, propose)
                finally:
                    call.cancel()
        except TimeoutError as error:
            raise EnrolmentUnanswered(invite.org, f"nothing came within {ANSWER_S:g} s") from error

    async def _exchange(
        self,
        call: grpc.aio.StreamStreamCall[bytes, bytes],
        invite: Invite,
        digest: bytes,
        keys: InviteKeys,
        propose: Propose,
    ) -> bytes:
        challenge = await _read(call, invite)
        if challenge.WhichOneof("body") != "challenge" or len(challenge.challenge.nonce) != NONCE_BYTES:
            raise EnrolmentUnproven(invite.org, "it did not begin with a challenge")
        redemption, transcript = self._signed(invite, digest, keys, challenge.challenge.nonce)
        await propose(transcript)
        try:
            await call.write(_message(redemption))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise _failed(error, invite) from error
        reply = await _read(call, invite)
        if reply.WhichOneof("body") != "redeemed" or reply.redeemed.transcript != transcript:
            raise EnrolmentUnproven(invite.org, "it answered something else than what was asked")
        check_answer(invite, transcript, reply.redeemed, self.now())
        return transcript

    def _signed(self, invite: Invite, digest: bytes, keys: InviteKeys, nonce: bytes) -> tuple[Redemption, bytes]:
        bare = Redemption(
            invite_id=invite.id,
            invite_digest=digest,
            org=self.bundle.org,
            bundle=canonical(self.bundle.document()),
            chain=self.identity.chain_der,
            addresses=self.addresses,
            nonce=token_bytes(NONCE_BYTES),
        )
        transcript = transcript_of(invite.org, nonce, bare)
        by_words = keys.invite.sign(signed_digest("invite", transcript))
        by_leaf = self.identity.sign(signed_digest("redeemer", transcript))
        return replace(bare, invite_signature=by_words, leaf_signature=by_leaf), transcript


def check_answer(invite: Invite, transcript: bytes, answer: enrolment_pb2.Redeemed, now: datetime) -> None:
    """The answer is signed by a gateway of the inviter's domain. Raises EnrolmentUnproven."""
    try:
        data = answer.certificate_chain[0] if answer.certificate_chain else b""
        leaf = verified(data, {invite.org: PeerTrust(PeerState.ACTIVE, invite.bundle)}, now)
        verify_proof(leaf.certificate, signed_digest("inviter", transcript), answer.signature)
    except MeshError as error:
        raise EnrolmentUnproven(invite.org, str(error)) from error


async def _read(call: grpc.aio.StreamStreamCall[bytes, bytes], invite: Invite) -> enrolment_pb2.EnrolmentReply:
    try:
        data = await call.read()
    except grpc.aio.AioRpcError as error:
        raise _failed(error, invite) from error
    if not isinstance(data, bytes):
        raise _refusal(await call.code(), await call.details() or "", invite)
    try:
        return enrolment_pb2.EnrolmentReply.FromString(data)
    except DecodeError as error:
        raise EnrolmentUnproven(invite.org, "its answer is not of this protocol") from error


def _failed(error: Exception, invite: Invite) -> MeshError:
    if isinstance(error, grpc.aio.AioRpcError):
        return _refusal(error.code(), error.details() or "", invite)
    return EnrolmentUnanswered(invite.org, str(error) or "the call has ended")


def _refusal(status: grpc.StatusCode, details: str, invite: Invite) -> MeshError:
    if status is grpc.StatusCode.PERMISSION_DENIED:
        return EnrolmentRefused(invite.org)
    return EnrolmentUnanswered(invite.org, f"{status.name.lower().replace('_', ' ')}: {details[:200]}")


def _message(redemption: Redemption) -> bytes:
    body = enrolment_pb2.Redeem(
        invite_id=redemption.invite_id,
        invite_digest=redemption.invite_digest,
        organization=redemption.org,
        bundle=redemption.bundle,
        certificate_chain=redemption.chain,
        addresses=redemption.addresses,
        nonce=redemption.nonce,
        invite_signature=redemption.invite_signature,
        leaf_signature=redemption.leaf_signature,
    )
    return enrolment_pb2.EnrolmentRequest(redeem=body).SerializeToString()
