"""A new organization on disk: a CA and the first gateway's identity, all or nothing.

The files are made in a temporary directory on the same file system and appear under their name by one rename.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from certs import store
from certs.authority import Authority
from certs.errors import DirectoryInUse, StoreFailed
from certs.files import sync_directory
from certs.profiles import DEFAULT_LIFETIMES, Lifetimes
from mesh.ids import GatewayName, OrgId

KEYS = "keys"


@dataclass(frozen=True, slots=True)
class OrganizationFiles:
    """Where an organization's files lie below `directory`."""

    directory: Path

    @property
    def keys(self) -> Path:
        return self.directory / KEYS

    @property
    def ca_key(self) -> Path:
        return self.keys / "ca.key"

    @property
    def ca_certificate(self) -> Path:
        return self.keys / "ca.pem"

    @property
    def gateway_key(self) -> Path:
        return self.keys / "gateway.key"

    @property
    def gateway_certificate(self) -> Path:
        return self.keys / "gateway.pem"


def create_organization(
    directory: Path, org: OrgId, gateway_name: GatewayName, now: datetime, lifetimes: Lifetimes = DEFAULT_LIFETIMES
) -> OrganizationFiles:
    """Make `directory`, which must be absent or empty, the home of a new organization.

    Raises DirectoryInUse, StoreFailed; then `directory` is as it was before.
    """
    files = OrganizationFiles(directory)
    try:
        exists = _is_empty_directory(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        # inside of an existing directory, because that may be a file system of its own
        home = Path(tempfile.mkdtemp(prefix=".new-organization-", dir=directory if exists else directory.parent))
        try:
            _fill(OrganizationFiles(home), org, gateway_name, now, lifetimes)
            _rename(home / KEYS if exists else home, files.keys if exists else directory)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        sync_directory(directory)
        sync_directory(directory.parent)
    except OSError as error:
        raise StoreFailed(str(directory), error.strerror or "input or output failed") from error
    return files


def load_authority(directory: Path, org: OrgId, lifetimes: Lifetimes = DEFAULT_LIFETIMES) -> Authority:
    """The CA that `create_organization` made. Raises KeyFileExposed, KeyFileUnreadable, CertificateFileUnreadable."""
    files = OrganizationFiles(directory)
    return Authority(org, store.read_certificates(files.ca_certificate)[0], store.read_key(files.ca_key), lifetimes)


def _is_empty_directory(directory: Path) -> bool:
    """False where there is nothing. Raises DirectoryInUse for a file or a directory with content."""
    if not os.path.lexists(directory):
        return False
    if not directory.is_dir():
        raise DirectoryInUse(str(directory), directory.name)
    found = min((entry.name for entry in directory.iterdir()), default=None)
    if found is not None:
        raise DirectoryInUse(str(directory), found)
    return True


def _fill(files: OrganizationFiles, org: OrgId, name: GatewayName, now: datetime, lifetimes: Lifetimes) -> None:
    files.keys.mkdir(mode=0o700)
    authority = Authority.create(org, now, lifetimes=lifetimes)
    gateway = authority.issue(name, now)
    store.write_key(files.ca_key, authority.key)
    store.write_certificates(files.ca_certificate, [authority.certificate])
    store.write_key(files.gateway_key, gateway.key)
    store.write_certificates(files.gateway_certificate, [gateway.certificate])


def _rename(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError as error:
        if os.path.lexists(target):  # somebody else was faster; rename never replaces a directory with content
            raise DirectoryInUse(str(target.parent), target.name) from error
        raise
