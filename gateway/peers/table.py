"""The live sessions by peer: plain bookkeeping, and a wait for the first one."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from gateway.link.session import Session
from gateway.rpc.authenticator import LinkAuthenticator
from gateway.rpc.identity import Identity
from gateway.waking import Waking
from mesh.ids import OrgId


@dataclass(eq=False, slots=True)
class LiveLink:
    session: Session
    role: str
    address: str
    since_ms: int
    authenticator: LinkAuthenticator
    identity: Identity
    """What we showed when it was made."""
    has_opened: bool = False
    """Whether it has been made known as open."""
    clock_skew_ms: int | None = None
    """The peer's clock minus ours when the link opened, to within the time of a handshake; None: it did not say."""

    @property
    def leaf_end_ms(self) -> int:
        """When the peer's leaf ends, 0 before it has presented one."""
        leaf = self.authenticator.leaf
        return 0 if leaf is None else int(leaf.certificate.not_valid_after_utc.timestamp() * 1000)

    @property
    def version(self) -> str:
        hello = self.session.peer_hello
        return "" if hello is None else f"{hello.major}.{hello.minor}"


class LinkTable:
    """Who is connected. The oldest open link of each gateway of a peer serves; others are spare."""

    def __init__(self) -> None:
        self._links: dict[OrgId, list[LiveLink]] = {}
        self._changed = Waking()

    def add(self, org: OrgId, link: LiveLink) -> None:
        self._links.setdefault(org, []).append(link)
        self.announce()

    def remove(self, org: OrgId, link: LiveLink) -> None:
        self._links[org].remove(link)
        self.announce()

    def all(self) -> list[tuple[OrgId, LiveLink]]:
        return [(org, link) for org, links in self._links.items() for link in links]

    def current(self, org: OrgId, key: str = "") -> LiveLink | None:
        """The link that serves `key`, None where none is open."""
        serving: dict[str, LiveLink] = {}
        for link in self.open(org):
            serving.setdefault(link.session.peer.name if link.session.peer is not None else "", link)
        if not key:
            return next(iter(serving.values()), None)
        # each key has an order of gateways of its own, so that only those of a gateway that goes move
        return max(serving.items(), key=lambda item: crc32(f"{key}@{item[0]}".encode()), default=("", None))[1]

    def open(self, org: OrgId) -> list[LiveLink]:
        return [link for link in self._links.get(org, ()) if link.session.is_open]

    async def wait(self, org: OrgId, key: str = "") -> LiveLink:
        """The link that serves `key` of `org`, as soon as there is one."""
        while (link := self.current(org, key)) is None:
            await self._changed.wait()
        return link

    async def wait_change(self) -> None:
        """Return when a link was added, removed, or has become open."""
        await self._changed.wait()

    def count(self, org: OrgId, role: str) -> int:
        """How many links of that role there are, open or not."""
        return sum(link.role == role for link in self._links.get(org, ()))

    async def wait_none(self, org: OrgId) -> None:
        """Return when there is no link to `org`, open or not."""
        while self.has(org):
            await self._changed.wait()

    def has(self, org: OrgId) -> bool:
        """Whether there is any link, open or not."""
        return bool(self._links.get(org))

    async def wait_empty(self) -> None:
        while any(self._links.values()):
            await self._changed.wait()

    def announce(self) -> None:
        """Wake those who wait: a link was added, removed, or has become open."""
        self._changed.wake()
