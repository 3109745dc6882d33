"""What the files of an organization's keys and certificates may raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, OperatorError


@dataclass(eq=False)
class KeyFileExposed(OperatorError):
    """Somebody else could have read or replaced the key."""

    path: str
    why: str

    code: ClassVar[str] = "key-file-exposed"
    sentence: ClassVar[str] = "the private key {path} is not used: {why}"
    hint: ClassVar[str] = (
        "if nobody else can have read it, run chmod 600 {path} as its owner; otherwise issue a new key"
    )


@dataclass(eq=False)
class KeyFileUnreadable(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "key-file-unreadable"
    sentence: ClassVar[str] = "the private key {path} cannot be read: {why}"
    hint: ClassVar[str] = "check that the file exists and holds an unencrypted EC private key in PEM"


@dataclass(eq=False)
class CertificateFileUnreadable(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "certificate-file-unreadable"
    sentence: ClassVar[str] = "the certificates {path} cannot be read: {why}"
    hint: ClassVar[str] = "check that the file exists and holds nothing but certificates in PEM"


@dataclass(eq=False)
class FileExistsAlready(CallerError):
    path: str

    code: ClassVar[str] = "file-exists"
    sentence: ClassVar[str] = "{path} exists already and is not overwritten"
    hint: ClassVar[str] = "move it away first if it is no longer needed"


@dataclass(eq=False)
class StoreFailed(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "key-store-failed"
    sentence: ClassVar[str] = "{path} cannot be written: {why}"
    hint: ClassVar[str] = "check the directory's permissions and free space; nothing half written was left"


@dataclass(eq=False)
class DirectoryInUse(CallerError):
    path: str
    found: str

    code: ClassVar[str] = "directory-not-empty"
    sentence: ClassVar[str] = "{path} is not an empty directory: it holds {found!r}"
    hint: ClassVar[str] = "choose another directory; an organization is never created over existing files"


@dataclass(eq=False)
class AuthorityExpired(OperatorError):
    subject: str
    end: str

    code: ClassVar[str] = "authority-expired"
    sentence: ClassVar[str] = "the CA {subject} expired on {end} and cannot issue"
    hint: ClassVar[str] = "create a new CA and exchange bundles with every peer again"


@dataclass(eq=False)
class OwnTrustDamaged(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "own-trust-damaged"
    sentence: ClassVar[str] = "the state of our own bundle in {path} cannot be read: {why}"
    hint: ClassVar[str] = "restore it from a copy; without it, peers would be offered an older bundle"


@dataclass(eq=False)
class RotationTooEarly(CallerError):
    deadline: str

    code: ClassVar[str] = "rotation-too-early"
    sentence: ClassVar[str] = "peers may be left behind only after the deadline of the rotation, {deadline}"
    hint: ClassVar[str] = "ask their operators to connect; see who lags with: mesh certs rotate-ca --status"


@dataclass(eq=False)
class NotLagging(CallerError):
    peer: str

    code: ClassVar[str] = "peer-not-lagging"
    sentence: ClassVar[str] = "{peer} does not hold up the rotation"
    hint: ClassVar[str] = "see who does with: mesh certs rotate-ca --status"


@dataclass(eq=False)
class AuthorityAbsent(CallerError):
    path: str

    code: ClassVar[str] = "authority-absent"
    sentence: ClassVar[str] = "the CA key {path} is not on this machine"
    hint: ClassVar[str] = "do this where the CA key is, or let your CA write new files into the keys directory"


@dataclass(eq=False)
class RotationUnderWay(CallerError):
    phase: str

    code: ClassVar[str] = "rotation-under-way"
    sentence: ClassVar[str] = "a rotation of the CA is under way: {phase}"
    hint: ClassVar[str] = "see what it waits for with: mesh certs rotate-ca --status"


@dataclass(eq=False)
class NoRotation(CallerError):
    code: ClassVar[str] = "no-rotation"
    sentence: ClassVar[str] = "no rotation of the CA is under way"
    hint: ClassVar[str] = "begin one with: mesh certs rotate-ca --start"
