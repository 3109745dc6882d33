"""Threat 17: whoever stands between two gateways cannot make them agree on less than both of them said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.link.ports import SessionLimits
from gateway.link.session import Session
from gateway.rpc.authenticator import LinkAuthenticator
from gateway.rpc.identity import Identity
from mesh.errors import MeshError
from mesh.link.frames import Hello, Role
from mesh.link.machine import Link
from mesh.testing.streams import StreamEnd, stream_pair
from mesh.trust.errors import ProofRefused
from mesh.wire.codec import decode_frame, encode_frame
from tests.support.sessions import echo, serve_nothing
from tests.support.trust import Organization, organization

TODAY = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
ACME, GLOBEX = (organization(f"{name}.example", TODAY) for name in ("acme", "globex"))
FEATURES = ("bundles", "denials", "groups")
Change = Callable[[Hello], Hello]


class Tampered:
    """A stream on which somebody changes each Hello that comes."""

    def __init__(self, stream: StreamEnd, change: Change) -> None:
        self._stream, self._change = stream, change
        self.write, self.finish = stream.write, stream.finish

    async def read(self) -> bytes | None:
        data = await self._stream.read()
        if data is None:
            return None
        sequence, frame = decode_frame(data)
        return encode_frame(sequence, self._change(frame)) if isinstance(frame, Hello) else data


def session(ours: Organization, theirs: Organization, stream: StreamEnd, change: Change, *, dialler: bool) -> Session:
    identity: Identity = ours.identity()
    now_s = asyncio.get_running_loop().time
    hello = Hello(ours.org, identity.id.name, nonce=bytes([dialler]) * 32, minor=3, features=FEATURES)
    return Session(
        Link(hello, dialler=dialler, now_s=now_s()),
        Tampered(stream, change),
        authenticator=LinkAuthenticator(identity, lambda: {theirs.org: theirs.trust()}, theirs.org, lambda: TODAY),
        export=serve_nothing,
        answer=echo,
        limits=SessionLimits(),
        clock=now_s,
    )


async def met(change: Change, *, both: bool = True) -> list[MeshError | None]:
    """How each side's session ended; None where the link was open."""
    left, right = stream_pair()
    sides = [
        session(ACME, GLOBEX, left, change, dialler=True),
        session(GLOBEX, ACME, right, change if both else lambda hello: hello, dialler=False),
    ]
    tasks = [asyncio.create_task(side.run()) for side in sides]
    async with asyncio.timeout(10):
        await asyncio.gather(*(side.ready.wait() for side in sides))
        failed = [None if side.is_open else side.failure for side in sides]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return failed


CHANGES: dict[str, Change] = {
    "no features": lambda hello: replace(hello, features=()),
    "one feature less": lambda hello: replace(hello, features=hello.features[1:]),
    "a feature more": lambda hello: replace(hello, features=(*hello.features, "plain")),
    "an older minor version": lambda hello: replace(hello, minor=0),
    "one role less": lambda hello: replace(hello, roles=frozenset({Role.IMPORTER})),
    "a clock that is off": lambda hello: replace(hello, clock_ms=1),
    "a heartbeat that never comes": lambda hello: replace(hello, heartbeat_ms=60_000),
    "another nonce": lambda hello: replace(hello, nonce=b"\xff" * 32),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("both", [True, False], ids=["both ways", "one way"])
async def test_a_hello_that_was_changed_on_the_way_opens_no_link(change: str, both: bool) -> None:
    failed = await met(CHANGES[change], both=both)
    assert all(failed), "a link is open on terms that nobody offered"
    assert any(isinstance(each, ProofRefused) for each in failed)


async def test_hellos_that_arrive_as_they_were_sent_open_a_link() -> None:
    assert await met(lambda hello: hello) == [None, None]
