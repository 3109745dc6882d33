"""Our own trust on disk: the bundle that peers hold of us, the generation that issues, and the rotation under way.

One file, `trust.json` beside the keys, replaced whole, so a step of a rotation is taken or not. Where it is absent
the organization is as `mesh init` made it: `ca.pem`, sequence 1, generation 1. It holds no secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Certificate

from certs import store
from certs.authority import Authority
from certs.bundle import bundle_of
from certs.errors import CertificateFileUnreadable, KeyFileUnreadable, OwnTrustDamaged
from certs.pairs import signs_for
from certs.profiles import DEFAULT_LIFETIMES, Lifetimes
from certs.rotation import Phase, Rotation
from certs.sums import check_sum, summed
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.json_text import read_json
from mesh.trust.bundle import Bundle, check_bundle
from mesh.trust.pem import to_der

FORMAT = 1
MAX_BYTES = 1 << 20
ELSEWHERE = 0
"""The issuing generation of a gateway that joined another: the CA, and every change of the bundle, is that one's."""


@dataclass(frozen=True, slots=True)
class OwnTrust:
    bundle: Bundle
    issuing: int = 1
    rotation: Rotation | None = None

    @property
    def org(self) -> OrgId:
        return self.bundle.org

    @property
    def under_way(self) -> Rotation | None:
        """The rotation, while it is not complete."""
        return self.rotation if self.rotation is not None and self.rotation.phase is not Phase.RETIRED else None

    def publishing(self, roots: Sequence[bytes], now: datetime, rotation: Rotation | None) -> OwnTrust:
        """The next bundle, of these roots (DER)."""
        whole_ms = now.replace(microsecond=now.microsecond // 1000 * 1000)
        bundle = Bundle(self.org, self.bundle.sequence + 1, tuple(roots), whole_ms)
        return replace(self, bundle=bundle, rotation=rotation)


@dataclass(frozen=True, slots=True)
class TrustFiles:
    keys: Path

    @property
    def state(self) -> Path:
        return self.keys / "trust.json"

    def ca_key(self, generation: int) -> Path:
        return self.keys / ("ca.key" if generation == 1 else f"ca-{generation}.key")

    def ca_certificate(self, generation: int) -> Path:
        return self.keys / ("ca.pem" if generation == 1 else f"ca-{generation}.pem")

    @property
    def leaf_key(self) -> Path:
        return self.keys / "gateway.key"

    @property
    def leaf(self) -> Path:
        return self.keys / "gateway.pem"


def load_own(keys: Path, org: OrgId, now: datetime) -> OwnTrust:
    """Raises OwnTrustDamaged, CertificateFileUnreadable, BundleRefused."""
    files = TrustFiles(keys)
    try:
        with files.state.open("rb") as file:
            text = file.read(MAX_BYTES)
    except FileNotFoundError:
        roots = store.read_certificates(files.ca_certificate(1))
        # Dated by its newest root, so that exporting twice gives the same file and the same fingerprint.
        created = max(root.not_valid_before_utc for root in roots)
        return OwnTrust(replace(bundle_of(org, roots, now), created=created))
    except OSError as error:
        raise OwnTrustDamaged(str(files.state), error.strerror or "input or output failed") from error
    try:
        own = _decoded(check_sum(read_json(text)))
    except (ValueError, TypeError, KeyError, MeshError) as error:
        raise OwnTrustDamaged(str(files.state), f"{type(error).__name__} {error}"[:200]) from error
    if own.org != org:
        raise OwnTrustDamaged(str(files.state), f"it is of {own.org}")
    return own


def save_own(keys: Path, own: OwnTrust) -> None:
    """Durable at return. Raises StoreFailed."""
    store.replace_text(TrustFiles(keys).state, json.dumps(summed(_document(own)), indent=2) + "\n")


def load_generation(keys: Path, org: OrgId, generation: int, lifetimes: Lifetimes = DEFAULT_LIFETIMES) -> Authority:
    """Raises KeyFileExposed, KeyFileUnreadable, CertificateFileUnreadable."""
    files = TrustFiles(keys)
    certificate = store.read_certificates(files.ca_certificate(generation))[0]
    key = store.read_key(files.ca_key(generation))
    _check_pair(certificate, key, files, generation)
    return Authority(org, certificate, key, lifetimes)


def _check_pair(certificate: Certificate, key: ec.EllipticCurvePrivateKey, files: TrustFiles, generation: int) -> None:
    """Files that a disk has changed would issue what nobody believes: told now, not by every peer later."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        path = str(files.ca_certificate(generation))
        raise CertificateFileUnreadable(path, "the CA in it is not what it signed") from error
    if not signs_for(key, certificate.public_key()):
        raise KeyFileUnreadable(str(files.ca_key(generation)), "it does not sign for the CA beside it")


def new_generation(keys: Path, org: OrgId, after: int, now: datetime, lifetimes: Lifetimes) -> int:
    """Make the next authority and keep it; its number. Raises StoreFailed.

    Numbers whose files exist are passed over: what an attempt that was cut short left is never used.
    """
    files, generation = TrustFiles(keys), after + 1
    while files.ca_key(generation).exists() or files.ca_certificate(generation).exists():
        generation += 1
    made = Authority.create(org, now, generation, lifetimes)
    store.write_key(files.ca_key(generation), made.key)
    store.write_certificates(files.ca_certificate(generation), [made.certificate])
    return generation


def external_roots(own: OwnTrust, roots: Sequence[Certificate]) -> tuple[bytes, ...] | None:
    """The roots that a CA outside of the gateway has put into `ca.pem`, where they differ from the bundle."""
    found = tuple(to_der(root) for root in roots)
    return found if set(found) != set(own.bundle.certificates) else None


def _document(own: OwnTrust) -> dict[str, Any]:
    rotation = own.rotation
    return {
        "format": FORMAT,
        "bundle": own.bundle.document(),
        "issuing": own.issuing,
        "rotation": None
        if rotation is None
        else {
            "old": rotation.old,
            "new": rotation.new,
            "started": _iso(rotation.started),
            "deadline": _iso(rotation.deadline),
            "phase": rotation.phase.value,
            "sequence": rotation.sequence,
            "emergency": rotation.emergency,
            "left": sorted(rotation.left),
            "old_end": _iso(rotation.old_end) if rotation.old_end else None,
        },
    }


def _decoded(document: Mapping[str, Any]) -> OwnTrust:
    if document["format"] != FORMAT:
        raise ValueError(f"its format is {document['format']!r:.20}")
    bundle = Bundle.from_document(document["bundle"])
    check_bundle(bundle)
    stored = document["rotation"]
    return OwnTrust(bundle, int(document["issuing"]), None if stored is None else _rotation(stored))


def _rotation(stored: Mapping[str, Any]) -> Rotation:
    return Rotation(
        old=int(stored["old"]),
        new=int(stored["new"]),
        started=datetime.fromisoformat(stored["started"]),
        deadline=datetime.fromisoformat(stored["deadline"]),
        phase=Phase(stored["phase"]),
        sequence=int(stored["sequence"]),
        emergency=bool(stored["emergency"]),
        left=frozenset(map(OrgId, stored["left"])),
        old_end=datetime.fromisoformat(stored["old_end"]) if stored["old_end"] else None,
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
