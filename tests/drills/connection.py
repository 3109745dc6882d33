"""Attacks on the port for peers: on TLS, on who a caller is, on what it may see, on the order of the link's frames.

Mallory is an active peer of the gateway until the last of them: what it lacks is not a handshake, but rights.
What is refused in the handshake is closed without a word; so the same knock by an honest peer must be answered.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from certs.profiles import Lifetimes
from gateway.rpc.identity import Identity
from mesh.ids import GatewayId
from mesh.link.frames import LaneEnd, LaneOpen
from mesh.shares import StartAt
from tests.drills.attack import Attack, GotIn
from tests.drills.door import Door, Speaker, calling, catalog, ended, knock, refused_call, speaking
from tests.support.trust import GATEWAY, Organization, client_context, identity_of


@dataclass(frozen=True)
class Assault:
    """`honest` is a peer of the gateway behind `door`, as mallory is; `share` and `topic` are granted to it alone."""

    door: Door
    honest: Identity
    mallory: Organization
    stranger: Organization
    share: str
    topic: str
    operator: Callable[..., Awaitable[object]]
    """Runs a `mesh` command of the gateway's operator."""


async def knocked(at: Assault, context: ssl.SSLContext | None) -> str:
    """How the door refuses it, while it lets an honest peer in."""
    said = await knock(at.door, context)
    try:
        await knock(at.door, client_context(at.honest, at.door.trust))
    except GotIn:
        return said
    return f"{said}, as an honest peer is"


async def knocked_as(at: Assault, identity: Identity | None) -> str:
    return await knocked(at, client_context(identity, at.door.trust))


async def plaintext(at: Assault) -> str:
    return await knocked(at, None)


async def tls12(at: Assault) -> str:
    context = client_context(at.mallory.identity(), at.door.trust)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    return await knocked(at, context)


async def no_certificate(at: Assault) -> str:
    return await knocked_as(at, None)


async def unknown_ca(at: Assault) -> str:
    return await knocked_as(at, at.stranger.identity())


async def expired_leaf(at: Assault) -> str:
    """By mallory's own, trusted CA."""
    brief = replace(at.mallory.authority, lifetimes=Lifetimes(leaf=timedelta(seconds=1), backdated=timedelta(0)))
    leaf = brief.issue(GATEWAY, datetime.now(UTC) - timedelta(seconds=60))
    return await knocked_as(at, identity_of(leaf, GatewayId(at.mallory.org, GATEWAY)))


def forged(at: Assault) -> Identity:
    """Minted by mallory's CA with the honest peer's id."""
    return identity_of(at.mallory.forge(at.honest.id.org), GatewayId(at.honest.id.org, GATEWAY))


async def forged_leaf(at: Assault) -> str:
    async with calling(at.door, forged(at)) as channel:
        return await refused_call(at.door, channel)


async def forged_link(at: Assault) -> str:
    async with speaking(at.door, forged(at)) as speaker:
        before = len(at.door.noted())
        if heard := await ended(speaker, speaker.greet):
            raise GotIn(f"a link that says {type(heard[0]).__name__}")
        return await at.door.reason(before)


async def other_proof(at: Assault) -> str:
    """Mallory's handshake, and a proof by the honest peer's id."""
    async with speaking(at.door, at.mallory.identity()) as speaker:
        before = len(at.door.noted())
        speaker.identity = forged(at)
        await no_lane(at, speaker, speaker.greet, speaker.prove)
        return await at.door.reason(before)


async def before_proof(at: Assault) -> str:
    """The lane is asked for by one who might even have it, but has not proven itself on this link."""
    async with speaking(at.door, at.mallory.identity()) as speaker:
        before = len(at.door.noted())
        await no_lane(at, speaker, speaker.greet)
        return await at.door.reason(before)


async def no_lane(at: Assault, speaker: Speaker, *acts: Callable[[], Awaitable[None]]) -> None:
    """Ask for a lane after `acts`. Raises GotIn where there is any answer about it."""
    ask = partial(speaker.say, opening(0, at.share, at.topic))
    lanes = [frame for frame in await ended(speaker, *acts, ask) if getattr(frame, "lane", None) is not None]
    if lanes:
        raise GotIn(f"an answer about a lane: {lanes[0]}")


def opening(lane: int, share: str, topic: str) -> LaneOpen:
    return LaneOpen(lane, share, topic, 0, StartAt(), credit_bytes=1 << 20, max_batch_bytes=1 << 20)


async def not_granted(at: Assault) -> str:
    """What exists and is not granted is answered as what does not exist."""
    asked = [(at.share, at.topic), ("no-such-share", at.topic), (at.share, "no-such-topic"), ("no-such", "no-such")]
    answers: list[tuple[str, str, bool]] = []
    async with speaking(at.door, at.mallory.identity()) as speaker:
        await speaker.meet()
        for number, (share, topic) in enumerate(asked):
            await speaker.say(opening(2 * number, share, topic))
            while getattr(frame := await speaker.hear(), "lane", None) != 2 * number:
                if frame is None:
                    return "the link ended"
            if not isinstance(frame, LaneEnd):
                raise GotIn(f"{share}/{topic}: {type(frame).__name__}")
            answers.append((frame.code, frame.detail.replace(share, "…"), frame.retriable))
    if len(set(answers)) != 1:
        raise GotIn(f"told apart: {answers}")
    return answers[0][0]


async def catalog_of_others(at: Assault) -> str:
    async with calling(at.door, at.mallory.identity()) as channel:
        shares = (await catalog(channel)).shares
    if shares:
        raise GotIn(f"the catalog names {shares[0].name}")
    return "empty"


def stopped(verb: str) -> Callable[[Assault], Awaitable[str]]:
    """A connection that is open when the operator stops the peer: its next call."""

    async def play(at: Assault) -> str:
        async with calling(at.door, at.mallory.identity()) as channel:
            await catalog(channel)
            await at.operator("peer", verb, at.mallory.org)
            return await refused_call(at.door, channel)

    return play


async def new_connection(at: Assault) -> str:
    return await knocked_as(at, at.mallory.identity())


async def resumed_and_revoked(at: Assault) -> str:
    await at.operator("peer", "resume", at.mallory.org)
    return await stopped("revoke")(at)


ATTACKS: tuple[Attack[Assault], ...] = (
    Attack("plaintext", "closed", plaintext),
    Attack("TLS 1.2", "closed", tls12),
    Attack("no client certificate", "closed", no_certificate),
    Attack("leaf of an unknown CA", "closed", unknown_ca),
    Attack("expired leaf of a peer's CA", "closed", expired_leaf),
    Attack("peer's id by another peer's CA: call", "path-invalid", forged_leaf),
    Attack("peer's id by another peer's CA: link", "path-invalid", forged_link),
    Attack("peer's id in the proof of another's link", "leaf-refused", other_proof),
    Attack("frame before the proof", "frame-unexpected", before_proof),
    Attack("not granted, or absent: one answer", "not-available", not_granted),
    Attack("catalog without a grant", "empty", catalog_of_others),
    Attack("peer suspended: next call", "peer-not-active", stopped("suspend")),
    Attack("peer suspended: new connection", "closed", new_connection),
    Attack("peer revoked: next call", "peer-not-active", resumed_and_revoked),
    Attack("peer revoked: new connection", "closed", new_connection),
)
