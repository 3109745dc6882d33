"""Bits that change in what a gateway keeps beside its log: python -m tests.lab.machine.state_flips

    [--seed N] [--flips N] [--every]

Keys, certificates, the state of its own bundle, revocations, disowned keys and the head of the audit log are made by
the gateway's own code; then one bit of one byte is flipped, or the file is cut, and it is read by the code that reads
it at a start. Either that fails with an error that has a name, or what is read is what was written. What a peer
verifies (leaf and bundle) is verified here, too, as the peer would. The configuration is an operator's text and no
state: a flip there may be another legal setting.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from certs.organization import create_organization
from certs.own import TrustFiles, load_generation, load_own, save_own
from certs.profiles import DEFAULT_LIFETIMES
from certs.store import replace_text
from certs.sums import summed
from gateway.audit.head_file import HeadFile
from gateway.audit.signer import Signer, check_kept
from gateway.config import load_config
from gateway.peer import Peer
from gateway.peers.denials import NAME as DISOWNED
from gateway.peers.denials import read_disowned
from gateway.revocations import NAME as REVOCATIONS
from gateway.revocations import Revocations
from gateway.rpc.identity import load_identity
from mesh.audit import entry_hash
from mesh.errors import MeshError
from mesh.ids import GatewayName, OrgId
from mesh.shares import PeerState
from mesh.trust.leaf import PeerTrust, verify_leaf
from mesh.trust.pem import to_der, to_pem
from tests.lab.machine.flips import Damage, Found
from tests.lab.machine.telling import seeded, told

ORG = OrgId("acme.example")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ENTRY = b"an entry of the audit log"
Read = Callable[[], object]


class Home:
    """The files of a gateway, and what reads each."""

    def __init__(self, directory: Path) -> None:
        self._keys = create_organization(directory, ORG, GatewayName("gw-1"), NOW).keys
        self._state = directory / "state"
        self._state.mkdir()
        files = TrustFiles(self._keys)
        own = load_own(self._keys, ORG, NOW)
        save_own(self._keys, own)
        revocations = Revocations(self._state / REVOCATIONS)
        peer = Peer(own.bundle, ("acme.example:7463",), PeerState.REVOKED, 0, denied=("ab" * 32,), epoch=4)
        revocations.record(peer)
        replace_text(self._state / DISOWNED, json.dumps(summed({"format": 1, "keys": ["cd" * 32]})) + "\n")
        identity = load_identity(files.leaf, files.leaf_key)
        self._head = HeadFile(self._state / "audit.head")
        head = Signer(lambda: identity, self._head).head(1, entry_hash(_ENTRY), int(NOW.timestamp() * 1000) + 1000)
        assert head is not None
        self._head.write(head)
        self.readers: dict[Path, Read] = {
            files.leaf: self._leaf,
            files.leaf_key: self._leaf,
            files.ca_certificate(1): self._authority,
            files.ca_key(1): self._authority,
            files.state: lambda: load_own(self._keys, ORG, NOW),
            self._state / REVOCATIONS: lambda: Revocations(self._state / REVOCATIONS).believed(peer),
            self._state / DISOWNED: lambda: read_disowned(self._state / DISOWNED),
            self._head.path: self._kept,
        }

    def _leaf(self) -> object:
        """As the gateway loads it, and a peer verifies it."""
        files = TrustFiles(self._keys)
        identity = load_identity(files.leaf, files.leaf_key)
        bundle = load_own(self._keys, ORG, NOW).bundle
        leaf = to_pem([identity.leaf]).encode()
        verified = verify_leaf(leaf, {ORG: PeerTrust(PeerState.ACTIVE, bundle)}, NOW + timedelta(hours=1))
        # What is signed, not how the signature is written down: one that verifies may be written in several ways.
        return verified, identity.leaf.tbs_certificate_bytes, identity.private_key_pem

    def _authority(self) -> object:
        """A leaf that it issues is verified by the bundle that peers have."""
        authority = load_generation(self._keys, ORG, 1, DEFAULT_LIFETIMES)
        issued = to_pem([authority.issue(GatewayName("gw-2"), NOW).certificate]).encode()
        bundle = load_own(self._keys, ORG, NOW).bundle
        verify_leaf(issued, {ORG: PeerTrust(PeerState.ACTIVE, bundle)}, NOW + timedelta(hours=1))
        return to_der(authority.certificate)

    def _kept(self) -> object:
        """What a start looks at: whether the log holds what the head says. Who signed it is for auditors to verify."""
        head = self._head.read()
        if head is None:
            return None
        check_kept(head, [_ENTRY][head.count - 1 :][:1] if head.count > 0 else [], 1)
        return head.count, head.hash


def flip(found: Found, home: Home, count: int | None, chance: Random) -> None:
    """`count` flips of each file; every byte once where it is None."""
    for path, read in home.readers.items():
        whole, right = path.read_bytes(), read()
        for damage in _damages(path.name, len(whole), count, chance):
            path.write_bytes(damage.of({path.name: whole})[path.name])
            try:
                answer = read()
                if answer == right:
                    found.met["harmless"] += 1
                else:
                    found.silent.append(f"{damage} read otherwise")
            except MeshError as error:
                found.met[f"detected ({error.code})"] += 1
            except Exception as error:
                found.silent.append(f"{damage}: {type(error).__name__}: {error}, which has no name")
        path.write_bytes(whole)


def flip_configuration(found: Found, path: Path, count: int, chance: Random) -> None:
    whole, right = path.read_bytes(), load_config(path)
    for damage in _damages(path.name, len(whole), count, chance):
        path.write_bytes(damage.of({path.name: whole})[path.name])
        try:
            found.met["configuration: harmless" if load_config(path) == right else "configuration: other settings"] += 1
        except MeshError:
            found.met["configuration: refused"] += 1
    path.write_bytes(whole)


def _damages(name: str, size: int, count: int | None, chance: Random) -> Iterator[Damage]:
    for at in range(size) if count is None else (chance.randrange(size) for _ in range(count)):
        yield Damage(name, at, chance.randrange(8))
    yield from (Damage(name, at, -1) for at in chance.sample(range(size), min(3, size)))


def main() -> int:
    parser = seeded(__doc__)
    parser.add_argument("--flips", type=int, default=100, help="of each file")
    parser.add_argument("--every", action="store_true", help="every byte of every file, once")
    chosen = parser.parse_args()
    found, began = Found(chosen.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        home = Home(Path(directory) / "acme")
        flip(found, home, None if chosen.every else chosen.flips, Random(chosen.seed))
    return told(found, found.silent, began)


if __name__ == "__main__":
    sys.exit(main())
