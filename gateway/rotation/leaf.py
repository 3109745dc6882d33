"""Our own leaf: renewed half-way through its life where the CA key is at hand, or picked up when its files change.

A. A leaf is used only if it is of this gateway, of the key beside it, and our own bundle vouches for it now: a
   broken file changes nothing but the log, the health detail and a metric.
B. Files that somebody else writes are read when they have stood still for one turn: two files never change at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import Random

from cryptography.exceptions import InvalidSignature

from certs import store
from certs.authority import Authority
from certs.errors import AuthorityAbsent
from certs.own import OwnTrust, TrustFiles, load_generation
from certs.profiles import Lifetimes
from certs.rotation import renew_at, warning_days
from gateway.rotation.errors import LeafUnsuitable
from gateway.rpc.identity import Identity, load_identity
from mesh.errors import MeshError
from mesh.shares import PeerState
from mesh.trust.errors import BundleRefused, LeafRefused
from mesh.trust.leaf import PeerTrust, verified
from mesh.trust.pem import to_der

Stamp = tuple[tuple[int, int, int], ...]


class LeafKeeper:
    """Blocking: it reads and writes files. `identity` is the one in use."""

    def __init__(
        self,
        keys: Path,
        identity: Identity,
        own: Callable[[], OwnTrust],
        now: Callable[[], datetime],
        random: Random,
        lifetimes: Lifetimes,
    ) -> None:
        self._files = TrustFiles(keys)
        self._own = own
        self._now = now
        self._random = random
        self._lifetimes = lifetimes
        self._refused: Stamp = ()
        self._seen: Stamp = ()
        self._used = self._stamp()
        self.identity = identity
        self.fault = ""
        """Why the files on disk are not used; empty where they are."""
        self._unit = random.random()

    def __repr__(self) -> str:
        return f"<LeafKeeper {self.identity.id} until {self.identity.leaf.not_valid_after_utc:%Y-%m-%d}>"

    @property
    def renewal(self) -> datetime:
        leaf = self.identity.leaf
        return renew_at(leaf.not_valid_before_utc, leaf.not_valid_after_utc, self._unit)

    @property
    def warning_days(self) -> int | None:
        leaf = self.identity.leaf
        return warning_days(leaf.not_valid_before_utc, leaf.not_valid_after_utc, self._now())

    @property
    def can_issue(self) -> bool:
        return self._files.ca_key(self._own().issuing).exists()

    def authority(self) -> Authority:
        """The one that issues now. Raises AuthorityAbsent and what reading its files raises."""
        own = self._own()
        if not self.can_issue:
            raise AuthorityAbsent(str(self._files.ca_key(own.issuing)))
        return load_generation(self._files.keys, own.org, own.issuing, self._lifetimes)

    @property
    def is_due(self) -> bool:
        """Whether it is time for a new leaf that we can issue.

        That is half-way, where another root issues now, and where the leaf is of the future: it was made while our
        clock was ahead, and nobody takes it now.
        """
        now, begin = self._now(), self.identity.leaf.not_valid_before_utc
        return self.can_issue and (now >= self.renewal or now < begin or not self._is_of_issuing_root())

    def renew(self) -> Identity:
        """A leaf with a new key, durable in its files and in use. Raises OperatorError, AuthorityAbsent."""
        issued = self.authority().issue(self.identity.id.name, self._now())
        fresh = Identity(self.identity.id, (issued.certificate,), issued.key)
        self._check(fresh)
        store.replace_pair(self._files.leaf, self._files.leaf_key, fresh.chain, fresh.key)
        self._use(fresh, self._stamp())
        return fresh

    def poll(self) -> Identity | None:
        """A new identity where somebody else has put good files in place, None otherwise; `fault` says why not."""
        stamp, settled = self._stamp(), self._seen
        self._seen = stamp
        if stamp in (self._used, self._refused) or stamp != settled:
            return None
        try:
            found = load_identity(self._files.leaf, self._files.leaf_key)
            self._check(found)
        except MeshError as error:
            self._refused, self.fault = stamp, str(error)
            return None
        changed = to_der(found.leaf) != to_der(self.identity.leaf)
        self._use(found, stamp)
        return found if changed else None

    def _use(self, identity: Identity, stamp: Stamp) -> None:
        self.identity, self._used, self._seen, self.fault = identity, stamp, stamp, ""
        self._unit = self._random.random()

    def _check(self, found: Identity) -> None:
        """Rule A. Raises LeafUnsuitable."""
        path = str(self._files.leaf)
        if found.id != self.identity.id:
            raise LeafUnsuitable(path, f"it is of {found.id}, this gateway is {self.identity.id}")
        try:
            trust = PeerTrust(PeerState.ACTIVE, self._own().bundle)
            verified(to_der(found.leaf), {found.id.org: trust}, self._now())
        except (LeafRefused, BundleRefused) as error:
            raise LeafUnsuitable(path, str(error)) from error

    def _is_of_issuing_root(self) -> bool:
        root = store.read_certificates(self._files.ca_certificate(self._own().issuing))[0]
        try:
            self.identity.leaf.verify_directly_issued_by(root)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _stamp(self) -> Stamp:
        """What shows that a file was written: modification time, inode and size."""
        found = []
        for path in (self._files.leaf, self._files.leaf_key):
            try:
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_ino, status.st_size))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)
