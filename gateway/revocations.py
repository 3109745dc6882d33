"""What was last decided about each peer's trust, in a file beside the cluster's state, so that no old state revives it.

The control state may be restored from a backup; this file is not part of one. Each peer's entry carries an epoch that
rises with every decision about its trust, and the file keeps the last epoch of each with what was decided.

A. A decision that takes trust away is in the file before it is in the store, and in both before it is answered.
B. An entry whose epoch is below the file's is not believed: what the file says counts, and the log says so loudly.
   With a bundle older than the last one accepted, the peer is suspended until an operator decides.
C. A peer revoked in the file stays revoked, whatever the store holds, and cannot be added again.
D. The file is replaced whole (written aside, fsynced, renamed); one that cannot be read stops the start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from certs.files import replace_whole
from certs.sums import check_sum, summed
from gateway.peer import DATE_LIMIT_MS, Peer
from mesh.errors import OperatorError
from mesh.ids import OrgId
from mesh.json_text import read_json
from mesh.shares import PeerState

NAME = "revocations.json"
MAX_BYTES = 16 << 20

log = structlog.get_logger()


@dataclass(eq=False)
class RevocationsUnusable(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "revocations-unusable"
    sentence: ClassVar[str] = "the record of revocations {path} is not usable: {why}"
    hint: ClassVar[str] = (
        "restore the file, or make room for it; only if it is lost for good move it away, and check every peer's state "
        "with: mesh peer list"
    )


class Decided(BaseModel):
    """What was last decided about one peer."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    epoch: NonNegativeInt
    state: PeerState
    bundle_sequence: NonNegativeInt
    revoked_before_ms: Annotated[int, Field(ge=0, lt=DATE_LIMIT_MS)] | None = None
    denied: tuple[str, ...] = ()

    @classmethod
    def of(cls, peer: Peer) -> Decided:
        return cls(
            epoch=peer.epoch,
            state=peer.state,
            bundle_sequence=peer.bundle.sequence,
            revoked_before_ms=peer.revoked_before_ms,
            denied=peer.denied,
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    peers: dict[str, Decided] = {}


class Revocations:
    """`path` None keeps it in memory: for a registry without a directory of its own."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._peers: dict[str, Decided] = _read(path) if path is not None else {}

    def __repr__(self) -> str:
        return f"<Revocations of {len(self._peers)} peers>"

    def is_revoked(self, org: OrgId) -> bool:
        known = self._peers.get(org)
        return known is not None and known.state is PeerState.REVOKED

    def next(self, before: Peer | None, after: Peer) -> Peer:
        """`after` with the epoch that it is to be stored with: a new one where its trust differs from `before`."""
        least = max(after.epoch, before.epoch if before else 0, self._epoch(after.org))
        same = before is not None and Decided.of(before) == Decided.of(replace(after, epoch=before.epoch))
        return replace(after, epoch=least if same else least + 1)

    def believed(self, peer: Peer) -> Peer:
        """`peer` as loaded from the store, with what the file knows better (B)."""
        known = self._peers.get(peer.org)
        revives = known is not None and known.state is PeerState.REVOKED is not peer.state  # C: at any epoch
        if known is None or (peer.epoch >= known.epoch and not revives):
            return peer
        state = known.state
        if state is PeerState.ACTIVE and peer.bundle.sequence < known.bundle_sequence:
            state = PeerState.SUSPENDED
        log.error(
            "the stored state of a peer is older than the last decision about it: a backup may have been restored",
            peer=str(peer.org),
            stored=peer.state.value,
            used=state.value,
            stored_epoch=peer.epoch,
            last_epoch=known.epoch,
        )
        before_ms = known.revoked_before_ms
        return replace(
            peer, state=state, revoked_before_ms=before_ms, denied=known.denied, epoch=max(known.epoch, peer.epoch)
        )

    def record(self, *peers: Peer) -> None:
        """Keep what was decided about `peers`, durably, where it is newer. Raises RevocationsUnusable."""
        newer = {peer.org: Decided.of(peer) for peer in peers if peer.epoch > self._epoch(peer.org)}
        if not newer:
            return
        merged = self._peers | newer
        if self._path is not None:
            _write(self._path, json.dumps(summed(_File(peers=merged).model_dump(mode="json")), indent=1).encode())
        self._peers = merged

    def _epoch(self, org: OrgId) -> int:
        known = self._peers.get(org)
        return known.epoch if known is not None else 0


def takes_trust(before: Peer | None, after: Peer) -> bool:
    """Whether `after` is trusted in less than `before`: then the file goes first (A)."""
    if before is None:
        return False
    return (
        after.state is not PeerState.ACTIVE
        or set(after.denied) > set(before.denied)
        or (after.revoked_before_ms or 0) > (before.revoked_before_ms or 0)
        or not set(after.bundle.certificates) >= set(before.bundle.certificates)
    )


def _read(path: Path) -> dict[str, Decided]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RevocationsUnusable(str(path), error.strerror or "it cannot be read") from error
    try:
        return _File.model_validate_json(json.dumps(check_sum(read_json(data))), strict=True).peers
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise RevocationsUnusable(str(path), f"{where}: {first['msg']}" if where else first["msg"]) from error
    except ValueError as error:
        raise RevocationsUnusable(str(path), str(error)[:200]) from error


def _write(path: Path, data: bytes) -> None:
    try:
        replace_whole(path, data, 0o600)
    except OSError as error:
        raise RevocationsUnusable(str(path), error.strerror or "it cannot be written") from error
