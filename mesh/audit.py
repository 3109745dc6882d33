"""The audit log: a chain of entries, each with the hash of the one before it, and heads signed by the gateway. Pure.

Specified in docs/reference/audit.md. An entry is one line of canonical JSON; its hash is over exactly these bytes. A
head is an entry, too: it signs the number of entries before it and the hash of the last of them, so heads are chained
like everything else. A head that was kept elsewhere shows when entries at the end are gone.

A. What is read must be canonical: the bytes of an entry follow from its values, so nothing hides between them.
B. `verify` names the first entry that cannot be what the gateway wrote, by its index.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

from mesh.errors import MeshError, OperatorError
from mesh.ids import GatewayId
from mesh.json_text import read_json
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.errors import LeafRefused
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.transcript import verify_proof

ENTRY_LABEL = b"stream-mesh audit entry v1\x00"
HEAD_LABEL = b"stream-mesh audit head v1\x00"
NO_HASH = bytes(32)
"""The previous hash of the first entry."""
HEAD_ACTION = "audit.head"
MAX_TEXT = 4096
"""Characters in one text of an entry; longer ones are cut when an entry is made."""
_DATE_LIMIT_MS = 253_402_300_800_000
"""The year 10000: no date can be made of what is not below it."""
_KEYS = {"format", "index", "time_ms", "actor", "action", "object", "outcome", "details", "previous"}
_TEXTS = ("actor", "action", "object", "outcome", "previous")


@dataclass(eq=False)
class AuditBroken(OperatorError):
    index: int
    why: str

    code: ClassVar[str] = "audit-broken"
    sentence: ClassVar[str] = "the audit log is broken at entry {index}: {why}"
    hint: ClassVar[str] = "keep the log as it is, and compare it with an export made earlier"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    index: int
    time_ms: int
    actor: str
    """`operator`, `gateway`, or `peer:<organization>`."""
    action: str
    object: str
    outcome: str
    details: Mapping[str, str] = field(default_factory=dict)
    previous: bytes = NO_HASH

    def to_bytes(self) -> bytes:
        """The canonical line, without a line end."""
        document = {
            "format": 1,
            "index": self.index,
            "time_ms": self.time_ms,
            "actor": self.actor,
            "action": self.action,
            "object": self.object,
            "outcome": self.outcome,
            "details": dict(self.details),
            "previous": self.previous.hex(),
        }
        return canonical(document)

    @property
    def hash(self) -> bytes:
        return entry_hash(self.to_bytes())

    @classmethod
    def from_bytes(cls, line: bytes) -> AuditEntry:
        """Raises ValueError unless `line` is the canonical form of an entry."""
        document = _object(line)
        if document.keys() != _KEYS or document["format"] != 1:
            raise ValueError("it is not an entry of format 1")
        actor, action, object_, outcome, hexed = (_text(document[key]) for key in _TEXTS)
        index, time_ms = _number(document["index"]), _number(document["time_ms"])
        if time_ms >= _DATE_LIMIT_MS:
            raise ValueError("its time is beyond what a date can be")
        details = document["details"]
        if not isinstance(details, dict):
            raise ValueError("its details are no object")  # noqa: TRY004  # what is read is wrong, not a caller
        previous = bytes.fromhex(hexed)
        texts = {key: _text(value) for key, value in details.items()}
        entry = cls(index, time_ms, actor, action, object_, outcome, texts, previous)
        if len(previous) != len(NO_HASH) or entry.to_bytes() != line:
            raise ValueError("it is not in canonical form")
        return entry


@dataclass(frozen=True, slots=True)
class SignedHead:
    """`signer` says that the log had `count` entries and that the last of them had `hash`."""

    count: int
    hash: bytes
    time_ms: int
    signer: str
    certificate: bytes = field(repr=False)
    """The signer's leaf, DER."""
    signature: bytes = field(repr=False)

    def entry(self) -> AuditEntry:
        """The head as the entry that follows on what it signs."""
        details = {"certificate": b64encode(self.certificate).decode(), "signature": b64encode(self.signature).decode()}
        return AuditEntry(self.count, self.time_ms, "gateway", HEAD_ACTION, self.signer, "signed", details, self.hash)

    @classmethod
    def of(cls, entry: AuditEntry) -> SignedHead:
        """Raises ValueError where the entry is no head."""
        if entry.action != HEAD_ACTION or entry.details.keys() != {"certificate", "signature"}:
            raise ValueError("it is not a head")
        certificate, signature = (b64decode(entry.details[key], validate=True) for key in ("certificate", "signature"))
        return cls(entry.index, entry.previous, entry.time_ms, entry.object, certificate, signature)


class Verified(NamedTuple):
    entries: int
    signed: int
    """Entries before the last head: those after it are chained, but nobody has signed them yet."""
    heads: int
    """Whose signatures hold."""
    newest: SignedHead | None


def canonical(document: Mapping[str, object]) -> bytes:
    """JSON with sorted keys, no spaces, everything beyond ASCII escaped."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def entry_hash(line: bytes) -> bytes:
    return hashlib.sha256(ENTRY_LABEL + line).digest()


def head_digest(count: int, last_hash: bytes, time_ms: int, signer: str) -> bytes:
    """What a gateway's leaf key signs: 32 bytes."""
    document = {"format": 1, "count": count, "hash": last_hash.hex(), "time_ms": time_ms, "signer": signer}
    return hashlib.sha256(HEAD_LABEL + canonical(document)).digest()


def check_head(head: SignedHead, bundle: Bundle) -> None:
    """Raises LeafRefused or ProofRefused unless a gateway of the bundle's organization signed the head.

    Its certificate is judged as of the head's time: it has ended since, most of the time.
    """
    moment = datetime.fromtimestamp(head.time_ms / 1000, UTC)
    leaf = verified(head.certificate, {bundle.org: PeerTrust(PeerState.ACTIVE, bundle)}, moment)
    GatewayId.parse(head.signer)
    verify_proof(leaf.certificate, head_digest(head.count, head.hash, head.time_ms, head.signer), head.signature)
    if str(leaf.id) != head.signer:
        raise ValueError(f"it names {head.signer}, its certificate is of {leaf.id}")


def verify(lines: Sequence[bytes], heads: Iterable[SignedHead], check: Callable[[SignedHead], None]) -> Verified:
    """Whether `lines`, from the first entry on, are what was written, as far as `heads` and those within can tell.

    `check` raises where a head's signature does not hold: LeafRefused where the certificates at hand do not vouch for
    its signer. Of the newest head that is a failure; an older one may be of a CA that was retired since, and the newest
    vouches for it. Raises AuditBroken with the first bad index.
    """
    entries = [_parsed(index, line) for index, line in enumerate(lines)]
    hashes = [entry_hash(line) for line in lines]
    outside = {head.count: head for head in heads}
    _check_links(entries, hashes, outside)
    inside = [_head_of(entry) for entry in entries if entry.action == HEAD_ACTION]
    known = sorted([*outside.values(), *inside], key=lambda head: head.count, reverse=True)
    held = sum(_check(head, check, may_be_unknown=at > 0) for at, head in enumerate(known))
    if (longest := max(outside, default=0)) > len(entries):
        raise AuditBroken(len(entries), f"the log ends here, a signed head says that it had {longest} entries")
    return Verified(len(entries), known[0].count if known else 0, held, known[0] if known else None)


def _parsed(index: int, line: bytes) -> AuditEntry:
    try:
        entry = AuditEntry.from_bytes(line)
    except ValueError as error:
        raise AuditBroken(index, str(error)) from error
    if entry.index != index:
        raise AuditBroken(index, f"entry {entry.index} stands in its place")
    return entry


def _check_links(entries: list[AuditEntry], hashes: list[bytes], outside: Mapping[int, SignedHead]) -> None:
    """Each entry is vouched for by the hash that its follower, or a head, states of it."""
    for index in range(len(entries) + 1):
        before = hashes[index - 1] if index else NO_HASH
        if all(stated == before for stated in _stated(index, entries, outside)):
            continue
        # Either the entry before was altered, or what this one says of it: its own follower tells.
        follows = list(_stated(index + 1, entries, outside)) if index < len(entries) else []
        is_own = bool(follows) and any(stated != hashes[index] for stated in follows)
        bad = index if is_own or not index else index - 1
        raise AuditBroken(bad, "it is not what the following entries or heads say")


def _stated(index: int, entries: list[AuditEntry], outside: Mapping[int, SignedHead]) -> Iterable[bytes]:
    """What is said of the hash of the entry before `index`."""
    if index < len(entries):
        yield entries[index].previous
    if index in outside:
        yield outside[index].hash


def _head_of(entry: AuditEntry) -> SignedHead:
    try:
        return SignedHead.of(entry)
    except ValueError as error:
        raise AuditBroken(entry.index, str(error)) from error


def _check(head: SignedHead, check: Callable[[SignedHead], None], *, may_be_unknown: bool) -> bool:
    """Whether its signature holds; False where nobody here knows its signer, and that is allowed."""
    try:
        check(head)
    except (MeshError, ValueError) as error:
        if may_be_unknown and isinstance(error, LeafRefused):
            return False
        raise AuditBroken(head.count, f"the signed head does not hold: {error}") from error
    return True


def _object(line: bytes) -> dict[str, Any]:
    document = read_json(line)
    if not isinstance(document, dict):
        raise ValueError("it is not an object")  # noqa: TRY004  # what is read is wrong, not a caller
    return document


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a field is of the wrong type")  # noqa: TRY004  # what is read is wrong, not a caller
    return value


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a field is of the wrong type")
    return value
