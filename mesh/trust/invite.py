"""The invite file: how one organization lets another find and verify it, once. Version 1, JSON.

Six random words and a salt give, by scrypt, an Ed25519 invite key and a MAC key. The file goes one way, the words
another. Whoever has both may redeem the invite once; whoever has the file alone can neither change it nor use it.

A. The file holds no secret and not the public invite key. Its MAC does let somebody guess words off line: 66 bits at
   the price of one scrypt each are what stands against it.
B. The MAC is checked first: nothing else in the file is looked at closely before it is known to be the inviter's.
C. Signed by the inviter's leaf as well, so that the words alone do not make an invite of its domain.
D. Words and keys are in no repr and no error.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.ids import OrgId
from mesh.json_text import read_json
from mesh.shares import PeerState
from mesh.trust.addresses import legal_address
from mesh.trust.bundle import MAX_CERTIFICATES, Bundle, refuse_overlap, validate_bundle
from mesh.trust.enrolment_errors import InviteExpired, InviteNotYetValid, InviteRefused, InviteUnfit
from mesh.trust.errors import LeafRefused, ProofRefused
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.names import gateway_dns_name
from mesh.trust.peerfile import MAX_ADDRESSES
from mesh.trust.pem import certificate_from_der, certificates_from_pem, to_der, to_pem
from mesh.trust.transcript import verify_proof
from mesh.trust.words import Words

KIND = "stream-mesh invite"
VERSION = 1
MAX_BYTES = 256 * 1024
SALT_BYTES = 16
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 16, 8, 1
"""64 MiB and some tenths of a second for each guess."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the inviter's clock may be ahead of ours; certificates are backdated by as much."""
SIGNATURE_LABEL = b"stream-mesh invite v1\x00"
MAC_LABEL = b"stream-mesh invite mac v1\x00"
DIGEST_LABEL = b"stream-mesh invite digest v1\x00"

_CONTENT = frozenset(
    {"kind", "version", "id", "salt", "org", "bundle", "addresses", "enrolment", "server_name", "created", "expires"}
)
_KEYS = _CONTENT | {"chain", "signature", "mac"}


@dataclass(frozen=True, slots=True)
class InviteKeys:
    """What the words give. Derived by whoever knows them, kept by nobody."""

    invite: Ed25519PrivateKey = field(repr=False)
    mac: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """32 bytes: all that the inviter keeps of the words."""
        return self.invite.public_key().public_bytes_raw()


@dataclass(frozen=True, slots=True)
class Invite:
    """What an invite says, read from a file or about to be written to one. Times have a zone."""

    id: str
    """32 hex digits."""
    salt: bytes
    bundle: Bundle
    addresses: tuple[str, ...]
    """Where the inviter's gateways take links; empty where it only dials."""
    enrolment: tuple[str, ...]
    created: datetime
    expires: datetime

    @property
    def org(self) -> OrgId:
        return self.bundle.org

    @property
    def server_name(self) -> str:
        """The name in the enrolment listener's certificate."""
        return gateway_dns_name(self.org)

    def content(self) -> dict[str, object]:
        return {
            "kind": KIND,
            "version": VERSION,
            "id": self.id,
            "salt": self.salt.hex(),
            "org": str(self.org),
            "bundle": self.bundle.document(),
            "addresses": list(self.addresses),
            "enrolment": list(self.enrolment),
            "server_name": self.server_name,
            "created": _iso(self.created),
            "expires": _iso(self.expires),
        }


@dataclass(frozen=True, slots=True)
class InviteFile:
    """A file in the right form, of which nothing is believed yet: see `check_invite`."""

    document: Mapping[str, object] = field(repr=False)
    salt: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """32 bytes over the whole file, whatever its layout."""
        return hashlib.sha256(DIGEST_LABEL + canonical(self.document)).digest()


def derive(words: Words, salt: bytes) -> InviteKeys:
    """Some tenths of a second and 64 MiB: call it off the event loop."""
    secret = hashlib.scrypt(
        " ".join(words).encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, maxmem=1 << 27, dklen=64
    )
    return InviteKeys(Ed25519PrivateKey.from_private_bytes(secret[:32]), secret[32:])


def seal(invite: Invite, keys: InviteKeys, chain: Sequence[bytes], sign: Callable[[bytes], bytes]) -> InviteFile:
    """The invite, signed (`sign` is `Identity.sign`, `chain` DER with the leaf first) and with its MAC."""
    document = invite.content()
    document["chain"] = [to_pem([certificate_from_der(der)]) for der in chain]
    document["signature"] = b64encode(sign(_signed(document))).decode()
    document["mac"] = b64encode(_mac(keys, document)).decode()
    return InviteFile(document, invite.salt)


def to_json(file: InviteFile) -> str:
    return json.dumps(file.document, indent=2) + "\n"


def parse_invite(data: bytes | str) -> InviteFile:
    """The file in `data`: its form and version only. Raises InviteRefused."""
    document = _document(data)
    salt = _hex(document["salt"], SALT_BYTES, "its salt")
    _hex(document["id"], 16, "its id")
    return InviteFile(document, salt)


def check_invite(file: InviteFile, keys: InviteKeys, own: Bundle, known: Iterable[Bundle], now: datetime) -> Invite:
    """What `file` says, once all of it holds: the MAC, dates, the signature, and that it is not about us or a CA key
    of somebody whom we know already.

    Raises InviteUnfit, InviteExpired, InviteNotYetValid, InviteRefused, BundleRefused.
    """
    check_mac(file, keys)
    invite = _invite(file)
    check_dates(invite, now)
    validate_bundle(invite.bundle, now)
    check_signature(file, invite, now)
    check_not_own(invite, own)
    refuse_overlap(invite.bundle, [own, *known])
    return invite


def check_mac(file: InviteFile, keys: InviteKeys) -> None:
    """Raises InviteUnfit."""
    if not hmac.compare_digest(_bytes(file.document["mac"], "its code"), _mac(keys, file.document)):
        raise InviteUnfit


def check_dates(invite: Invite, now: datetime) -> None:
    """Raises InviteExpired, InviteNotYetValid: each shows the inviter's clock and ours."""
    if now >= invite.expires:
        raise InviteExpired(_iso(invite.created), _iso(invite.expires), _iso(now))
    if now + CLOCK_TOLERANCE < invite.created:
        raise InviteNotYetValid(_iso(invite.created), _iso(now))


def check_signature(file: InviteFile, invite: Invite, now: datetime) -> None:
    """By a gateway of the domain that the file names, of the very bundle that it brings. Raises InviteRefused."""
    try:
        leaf = verified(_chain(file)[0], {invite.org: PeerTrust(PeerState.ACTIVE, invite.bundle)}, now)
        verify_proof(leaf.certificate, _signed(file.document), _bytes(file.document["signature"], "its signature"))
    except (LeafRefused, ProofRefused) as error:
        raise InviteRefused(f"its signature does not hold: {error}") from error


def check_not_own(invite: Invite, own: Bundle) -> None:
    if invite.org == own.org:
        raise InviteRefused(f"it is of our own organization {own.org}")


def canonical(document: Mapping[str, object]) -> bytes:
    """JSON with sorted keys, no blanks and ASCII only: the bytes that are signed and digested."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _signed(document: Mapping[str, object]) -> bytes:
    content = {key: value for key, value in document.items() if key not in {"signature", "mac"}}
    return hashlib.sha256(SIGNATURE_LABEL + canonical(content)).digest()


def _mac(keys: InviteKeys, document: Mapping[str, object]) -> bytes:
    content = {key: value for key, value in document.items() if key != "mac"}
    return hmac.digest(keys.mac, MAC_LABEL + canonical(content), "sha256")


def _document(data: bytes | str) -> dict[str, object]:
    if len(data) > MAX_BYTES:
        raise InviteRefused(f"it is larger than {MAX_BYTES} bytes")
    try:
        document = read_json(data)
    except ValueError as error:
        raise InviteRefused("it is not whole JSON") from error
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise InviteRefused(f"its kind is not {KIND!r}")
    if type(document.get("version")) is not int or document["version"] != VERSION:
        raise InviteRefused(f"its version is {document.get('version')!r:.40}, this gateway reads {VERSION}")
    if set(document) != _KEYS:
        raise InviteRefused(f"keys missing or unknown: {', '.join(sorted(_KEYS ^ set(document)))!r:.200}")
    return document


def _invite(file: InviteFile) -> Invite:
    document = file.document
    bundle = Bundle.from_document(document["bundle"])
    invite = Invite(
        str(document["id"]),
        file.salt,
        bundle,
        _addresses(document["addresses"]),
        _addresses(document["enrolment"]),
        _moment(document["created"]),
        _moment(document["expires"]),
    )
    if document["org"] != bundle.org or document["server_name"] != invite.server_name:
        raise InviteRefused(f"its names are not those of its bundle, which is of {bundle.org}")
    if not invite.enrolment:
        raise InviteRefused("it names no address at which it could be redeemed")
    return invite


def _chain(file: InviteFile) -> list[bytes]:
    chain = file.document["chain"]
    if not isinstance(chain, list) or not 1 <= len(chain) <= MAX_CERTIFICATES:
        raise InviteRefused("its certificate chain is not a list")
    try:
        return [to_der(certificates_from_pem(str(each))[0]) for each in chain]
    except ValueError as error:
        raise InviteRefused(f"its certificate chain does not parse: {error}") from error


def _addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_ADDRESSES:
        raise InviteRefused(f"its addresses are not a list of at most {MAX_ADDRESSES}")
    for address in value:
        if not isinstance(address, str) or not legal_address(address):
            raise InviteRefused(f"the address {address!r:.80} is not host:port")
    return tuple(value)


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]  # TypeError is caught
    except (TypeError, ValueError) as error:
        raise InviteRefused("a date in it is not an ISO date") from error
    if moment.tzinfo is None:
        raise InviteRefused("a date in it has no time zone")
    return moment


def _hex(value: object, size: int, what: str) -> bytes:
    if isinstance(value, str) and len(value) == 2 * size and set(value) <= set("0123456789abcdef"):
        return bytes.fromhex(value)
    raise InviteRefused(f"{what} is not {2 * size} hex digits")


def _bytes(value: object, what: str) -> bytes:
    try:
        return b64decode(value, validate=True)  # type: ignore[arg-type]  # TypeError is caught
    except (TypeError, ValueError) as error:
        raise InviteRefused(f"{what} is not base64") from error


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
