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
