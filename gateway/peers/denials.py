"""Dead leaves of our own, told to every peer, and theirs, told to us.

Strategy: what we disown stands in a file and is told again on each new link, for a peer may have been away or restored;
hearing it twice changes nothing. What a peer tells goes onto its own deny list and nowhere else.

A. A key is in the file before the command is answered and before any peer hears of it.
B. The key that the gateway uses itself cannot be disowned: nobody would be left to say so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import structlog

from certs.store import replace_text
from certs.sums import check_sum, summed
from gateway.link.session import Session
from gateway.registry import Registry
from gateway.registry_errors import TooManyDenied
from gateway.rpc.identity import Identity
from mesh.errors import CallerError, MeshError, OperatorError
from mesh.ids import OrgId
from mesh.json_text import read_json
from mesh.shares import PeerState
from mesh.trust.denial import MAX_KEYS, Denial, accept_denial, denial_digest
from mesh.trust.leaf import key_hash
from mesh.trust.pem import to_der
from mesh.wire.v1 import trust_pb2 as pb

NAME = "disowned.json"
FEATURE = "denials"
"""In Hello.features of a gateway that understands these messages."""
MAX_BYTES = 1 << 20

log = structlog.get_logger()


@dataclass(eq=False)
class DisownedUnusable(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "disowned-unusable"
    sentence: ClassVar[str] = "the list of our own dead keys {path} is not usable: {why}"
    hint: ClassVar[str] = "restore the file; if it is lost for good, remove it and disown the keys again"


@dataclass(eq=False)
class KeyInUse(CallerError):
    key_hash: str

    code: ClassVar[str] = "key-in-use"
    sentence: ClassVar[str] = "this gateway itself uses the key {key_hash}"
    hint: ClassVar[str] = "give it a new certificate first: mesh certs rotate-leaf"


class DenialHub(Protocol):
    """What is needed of the hub."""

    def on_open(self, greeter: Callable[[Session], Awaitable[None]]) -> None: ...
    def answer_with(self, kind: type, answer: Callable[[OrgId, Any], Awaitable[object]]) -> None: ...
    async def ask(self, peer: OrgId, body: object, feature: str = "") -> object: ...


class Denials:
    def __init__(
        self,
        path: Path,
        registry: Registry,
        hub: DenialHub,
        identity: Callable[[], Identity],
        now: Callable[[], datetime],
    ) -> None:
        """Raises DisownedUnusable."""
        self._path = path
        self._registry = registry
        self._hub = hub
        self._identity = identity
        self._now = now
        self._own = read_disowned(path)
        hub.answer_with(pb.LeafDenial, self._heard)
        hub.on_open(self._greet)

    def __repr__(self) -> str:
        return f"<Denials {len(self._own)} keys of our own>"

    @property
    def own(self) -> tuple[str, ...]:
        return self._own

    async def disown(self, hash_: str) -> dict[str, str]:
        """Declare a key of ours dead, and tell every active peer now: by peer, empty or why it could not be told yet.

        Raises KeyInUse, TooManyDenied, StoreFailed.
        """
        if hash_ == key_hash(self._identity().leaf):
            raise KeyInUse(hash_)
        own = tuple(sorted({*self._own, hash_}))
        if len(own) > MAX_KEYS:
            raise TooManyDenied(self._identity().id.org, MAX_KEYS)
        replace_text(self._path, json.dumps(summed({"format": 1, "keys": own})) + "\n")
        self._own = own
        active = [org for org, peer in self._registry.peers.items() if peer.state is PeerState.ACTIVE]
        async with asyncio.TaskGroup() as group:  # a peer that does not answer keeps the others from nothing
            telling = {org: group.create_task(self._told(org)) for org in active}
        return {org: task.result() for org, task in telling.items()}

    async def _told(self, org: OrgId) -> str:
        try:
            await self._hub.ask(org, self._statement(), FEATURE)
        except MeshError as error:  # it is told on the next link
            return str(error)
        return ""

    async def _greet(self, session: Session) -> None:
        if self._own and FEATURE in session.features:
            await session.ask(self._statement())

    def _statement(self) -> pb.LeafDenial:
        identity = self._identity()
        hashes = [bytes.fromhex(each) for each in self._own]
        signature = identity.sign(denial_digest(identity.id.org, hashes))
        return pb.LeafDenial(
            organization=identity.id.org, key_hashes=hashes, signer=to_der(identity.leaf), signature=signature
        )

    async def _heard(self, peer: OrgId, body: pb.LeafDenial) -> pb.LeafDenialReply:
        denial = Denial(body.organization, tuple(body.key_hashes), body.signer, body.signature)
        keys = accept_denial(denial, peer, self._registry.peer(peer).trust, self._now())
        for key in keys:
            if key not in self._registry.peer(peer).denied:
                await self._registry.deny_leaf(peer, key)
                log.warning("a peer has declared a leaf of its own dead", peer=str(peer), key=key)
        return pb.LeafDenialReply(denied=len(keys))


def read_disowned(path: Path) -> tuple[str, ...]:
    """The hashes of our own dead keys; none where there is no file. Raises DisownedUnusable."""
    try:
        with path.open("rb") as file:
            document = check_sum(read_json(file.read(MAX_BYTES)))
        keys = tuple(bytes.fromhex(each).hex() for each in document["keys"])
        fits = document["format"] == 1 and all(len(each) == 64 for each in keys)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DisownedUnusable(str(path), error.strerror or "it cannot be read") from error
    except (ValueError, TypeError, KeyError) as error:
        raise DisownedUnusable(str(path), str(error)[:200]) from error
    if not fits:
        raise DisownedUnusable(str(path), "it is of another format")
    return keys
