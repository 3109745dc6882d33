"""The only file that writes keys.

A. A file is whole or absent: see `certs.files`.
B. Nothing is overwritten by `write_…`: linking fails where the name exists, so two writers cannot both win. What
   changes by design (`replace_…`) is replaced whole, by a rename.
C. A key is 0600 from its first byte on. One that others could read, a link, or another user's file is not used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate

from certs.errors import (
    CertificateFileUnreadable,
    FileExistsAlready,
    KeyFileExposed,
    KeyFileUnreadable,
    StoreFailed,
)
from certs.files import create_whole, replace_whole, sync_directory
from mesh.trust.pem import certificates_from_pem, to_pem

KEY_MODE = 0o600
CERTIFICATE_MODE = 0o644
MAX_KEY_BYTES = 64 * 1024
MAX_CERTIFICATES_BYTES = 1024 * 1024


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Raises FileExistsAlready, StoreFailed."""
    _write(path, key_pem(key), KEY_MODE)


def write_certificates(path: Path, certificates: list[Certificate]) -> None:
    """Raises FileExistsAlready, StoreFailed."""
    _write(path, to_pem(certificates).encode(), CERTIFICATE_MODE)


def replace_text(path: Path, text: str) -> None:
    """A file that holds no secret. Raises StoreFailed."""
    _replace(path, text.encode(), CERTIFICATE_MODE)


def replace_pair(
    certificates: Path, key: Path, chain: Sequence[Certificate], private: ec.EllipticCurvePrivateKey
) -> None:
    """A leaf and its key in the place of others, both or neither: what is cut short, `finish_pair` completes.

    Raises StoreFailed.
    """
    finish_pair(certificates, key)
    _replace(_next(key), key_pem(private), KEY_MODE)
    _replace(_next(certificates), to_pem(chain).encode(), CERTIFICATE_MODE)
    finish_pair(certificates, key)


def finish_pair(certificates: Path, key: Path) -> None:
    """Complete or undo a replacement that was cut short. Call it before the pair is read. Raises StoreFailed."""
    try:
        if not _next(certificates).exists():  # the key comes first, so this pair was never complete
            _next(key).unlink(missing_ok=True)
            return
        if _next(key).exists():
            os.replace(_next(key), key)
        sync_directory(key.parent)  # the key is in its place before the trace of the replacement is gone
        os.replace(_next(certificates), certificates)
        sync_directory(certificates.parent)
    except OSError as error:
        raise StoreFailed(str(key), error.strerror or "input or output failed") from error


def remove_key(path: Path) -> None:
    """Raises StoreFailed. Nothing happens where there is none."""
    try:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise StoreFailed(str(path), error.strerror or "input or output failed") from error


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Raises KeyFileExposed, KeyFileUnreadable; no message carries a part of the content."""
    try:
        key = load_pem_private_key(_read_private(path), password=None)
    except OSError as error:
        raise KeyFileUnreadable(str(path), error.strerror or "input or output failed") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileUnreadable(str(path), "it holds no unencrypted private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileUnreadable(str(path), "its key is not an EC key")
    return key


def read_certificates(path: Path) -> list[Certificate]:
    """Raises CertificateFileUnreadable."""
    try:
        with path.open("rb") as file:
            return certificates_from_pem(file.read(MAX_CERTIFICATES_BYTES).decode("ascii"))
    except OSError as error:
        raise CertificateFileUnreadable(str(path), error.strerror or "input or output failed") from error
    except UnicodeDecodeError as error:
        raise CertificateFileUnreadable(str(path), "it is not PEM text") from error
    except ValueError as error:
        raise CertificateFileUnreadable(str(path), str(error)) from error


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """For a file or a TLS library. Do not log or keep it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        create_whole(path, data, mode)
    except FileExistsError as error:
        raise FileExistsAlready(str(path)) from error
    except OSError as error:
        raise StoreFailed(str(path), error.strerror or "input or output failed") from error


def _replace(path: Path, data: bytes, mode: int) -> None:
    try:
        replace_whole(path, data, mode)
    except OSError as error:
        raise StoreFailed(str(path), error.strerror or "input or output failed") from error


def _next(path: Path) -> Path:
    return path.with_name(f".{path.name}.next")


def _read_private(path: Path) -> bytes:
    """The checks are on the open file, not on its name, so nobody can change it in between."""
    if path.is_symlink():
        raise KeyFileExposed(str(path), "it is a symbolic link")
    # O_NONBLOCK: opening a FIFO that somebody put there must not wait for its writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_private(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_KEY_BYTES)
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileUnreadable(str(path), "it is not a regular file")
    if status.st_uid != os.geteuid():
        raise KeyFileExposed(str(path), f"it belongs to user {status.st_uid}, not to {os.geteuid()} who runs this")
    if status.st_mode & 0o077:
        raise KeyFileExposed(str(path), f"its mode {stat.S_IMODE(status.st_mode):04o} lets others at it")
