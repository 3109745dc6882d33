"""The peer file: what one organization's operator hands to another's to be added as a peer.

Version 1, JSON. It holds no secret, but whoever changes it on its way becomes the peer: the fingerprint covers
everything else in it, and the operators compare it over another channel (`--expect-fingerprint`).

A. Parsing is strict: unknown keys, other versions and anything out of form are refused with a sentence.
B. What parses has a bundle that passed `validate_bundle` and a fingerprint that fits.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from mesh.ids import OrgId
from mesh.json_text import read_json
from mesh.trust.addresses import legal_address
from mesh.trust.bundle import Bundle, refuse_overlap, validate_bundle
from mesh.trust.errors import FingerprintMismatch, PeerFileRefused
from mesh.trust.names import gateway_dns_name

VERSION = 1
KIND = "stream-mesh peer"
KEYS = frozenset({"kind", "version", "org", "bundle", "addresses", "dns_name", "fingerprint"})
MAX_BYTES = 1024 * 1024
MAX_ADDRESSES = 32


@dataclass(frozen=True, slots=True)
class PeerFile:
    bundle: Bundle
    addresses: tuple[str, ...] = ()
    """host:port, or [v6]:port; empty where the organization only dials."""

    @property
    def org(self) -> OrgId:
        return self.bundle.org

    @property
    def dns_name(self) -> str:
        return gateway_dns_name(self.org)

    @property
    def fingerprint(self) -> str:
        """`sha256:` and 64 hex digits over everything else in the file."""
        canonical = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps(self._content() | {"fingerprint": self.fingerprint}, indent=2) + "\n"

    def _content(self) -> dict[str, object]:
        return {
            "kind": KIND,
            "version": VERSION,
            "org": str(self.org),
            "dns_name": self.dns_name,
            "addresses": list(self.addresses),
            "bundle": self.bundle.document(),
        }


def parse_peer_file(data: bytes | str, now: datetime) -> PeerFile:
    """The file in `data`, checked. Raises PeerFileRefused, BundleRefused."""
    document = _document(data)
    bundle = Bundle.from_document(document["bundle"])
    if bundle.org != document["org"]:
        raise PeerFileRefused(f"it says {document['org']!r:.80} but its bundle is of {bundle.org}")
    validate_bundle(bundle, now)
    file = PeerFile(bundle, _addresses(document["addresses"]))
    if document["dns_name"] != file.dns_name:
        raise PeerFileRefused(f"its DNS name is not {file.dns_name}")
    if document["fingerprint"] != file.fingerprint:
        raise PeerFileRefused("its fingerprint does not fit its content: it was changed or damaged")
    return file


def accept_peer_file(file: PeerFile, own: Bundle, known: Iterable[Bundle], expect_fingerprint: str | None) -> None:
    """What must hold before `file` becomes a peer of the organization that `own` belongs to.

    Raises FingerprintMismatch, PeerFileRefused (our own domain), BundleRefused (a CA of another domain).
    """
    if expect_fingerprint is not None:
        check_fingerprint(file, expect_fingerprint)
    if file.org == own.org:
        raise PeerFileRefused(f"it is of our own organization {own.org}")
    refuse_overlap(file.bundle, [own, *known])


def check_fingerprint(file: PeerFile, expected: str) -> None:
    """Case, blanks, colons and the `sha256:` in front do not matter. Raises FingerprintMismatch."""
    plain = "".join(expected.split()).lower().removeprefix("sha256:").replace(":", "")
    if not hmac.compare_digest(plain.encode(), file.fingerprint.removeprefix("sha256:").encode()):
        raise FingerprintMismatch(expected[:160], file.fingerprint)


def _document(data: bytes | str) -> Mapping[str, object]:
    if len(data) > MAX_BYTES:
        raise PeerFileRefused(f"it is larger than {MAX_BYTES} bytes")
    try:
        document = read_json(data)
    except ValueError as error:
        raise PeerFileRefused("it is not whole JSON") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise PeerFileRefused(f"its kind is not {KIND!r}")
    if type(document.get("version")) is not int or document["version"] != VERSION:
        raise PeerFileRefused(f"its version is {document.get('version')!r:.40}, this gateway reads {VERSION}")
    if set(document) != KEYS:
        raise PeerFileRefused(f"keys missing or unknown: {', '.join(sorted(KEYS ^ set(document)))[:200]}")
    return document


def _addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_ADDRESSES:
        raise PeerFileRefused(f"its addresses are not a list of at most {MAX_ADDRESSES}")
    for address in value:
        if not isinstance(address, str) or not legal_address(address):
            raise PeerFileRefused(f"the address {address!r:.80} is not host:port")
    return tuple(value)
