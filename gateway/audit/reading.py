"""Reading and verifying an audit log: the gateway's own, or an export on its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from cryptography.x509 import Certificate

from mesh.audit import AuditEntry, SignedHead, Verified, check_head, verify
from mesh.errors import CallerError, MeshError
from mesh.ids import OrgId
from mesh.ports import AuditLog
from mesh.trust.bundle import Bundle, check_bundle
from mesh.trust.extensions import uris
from mesh.trust.pem import to_der

PAGE = 500
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class CertificateNotOfOrganization(CallerError):
    why: str

    code: ClassVar[str] = "certificate-not-of-organization"
    sentence: ClassVar[str] = "an audit log cannot be verified by these certificates: {why}"
    hint: ClassVar[str] = "name the organization's CA certificates with --certificate"


async def lines_of(log: AuditLog, from_index: int = 0) -> AsyncIterator[bytes]:
    """Every entry from `from_index` on, up to the present end."""
    index = from_index
    while page := await log.read(index, PAGE):
        for line in page:
            yield line
        index += len(page)


def judged(lines: Sequence[bytes], heads: Iterable[SignedHead], bundle: Bundle) -> Verified:
    """Raises AuditBroken."""
    return verify(lines, heads, lambda head: check_head(head, bundle))


def anchors(certificates: Sequence[Certificate]) -> Bundle:
    """An organization's CA certificates as what its heads are verified by. Raises CertificateNotOfOrganization."""
    names = {uri for certificate in certificates for uri in uris(certificate)}
    if len(names) != 1:
        raise CertificateNotOfOrganization(f"they are of {len(names)} organizations, not of one")
    try:
        org = OrgId(names.pop().removeprefix("spiffe://"))
        bundle = Bundle(org, 1, tuple(map(to_der, certificates)), NO_TIME)
        check_bundle(bundle)
    except MeshError as error:
        raise CertificateNotOfOrganization(str(error)) from error
    return bundle


def shown(entry: AuditEntry) -> dict[str, object]:
    return {
        "index": entry.index,
        "time_ms": entry.time_ms,
        "actor": entry.actor,
        "action": entry.action,
        "object": entry.object,
        "outcome": entry.outcome,
        "details": dict(entry.details),
        "previous": entry.previous.hex(),
    }


def shown_verdict(found: Verified) -> dict[str, object]:
    newest = found.newest
    return {
        "entries": found.entries,
        "signed": found.signed,
        "heads": found.heads,
        "signer": newest.signer if newest else None,
        "signed_ms": newest.time_ms if newest else None,
    }
