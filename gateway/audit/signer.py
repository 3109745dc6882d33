"""Signed heads: made with the gateway's key, kept beside the log, and compared with it at the start.

The head that is kept is the evidence against whoever changes the log: it is never replaced by one that does not follow
from it. What goes wrong here is logged without a traceback (TRY400): it is an expected failure of a disk.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gateway.audit.head_file import HeadFile
from gateway.rpc.identity import Identity
from mesh.audit import AuditBroken, SignedHead, entry_hash, head_digest
from mesh.ports import AuditLog

log = structlog.get_logger()


class Signer:
    def __init__(self, identity: Callable[[], Identity], heads: HeadFile | None) -> None:
        self.identity = identity
        """May be replaced: leaves are renewed."""
        self.doubt = ""
        """Why the log does not fit the head that was kept, empty where it does."""
        self._heads = heads

    @property
    def kept(self) -> SignedHead | None:
        """The newest head that was kept outside of the log. Raises AuditBroken."""
        return self._heads.read() if self._heads is not None else None

    def head(self, count: int, last_hash: bytes, now_ms: int) -> SignedHead | None:
        """None while our certificate is not valid: nobody could verify the head, nor take it out of the chain again."""
        identity = self.identity()
        leaf = identity.leaf
        if not leaf.not_valid_before_utc.timestamp() <= now_ms / 1000 <= leaf.not_valid_after_utc.timestamp():
            log.error("audit log not signed: the gateway's certificate is not valid now")
            return None
        signature = identity.sign(head_digest(count, last_hash, now_ms, str(identity.id)))
        return SignedHead(count, last_hash, now_ms, str(identity.id), identity.chain_der[0], signature)

    def keep(self, head: SignedHead) -> None:
        try:
            if self._heads is not None and not self.doubt:
                self._heads.write(head)
        except OSError as error:
            log.error("signed head not kept", path=str(self._heads), reason=str(error))  # noqa: TRY400

    async def compare(self, audit: AuditLog, end: int) -> None:
        """A log that does not hold what its kept head says goes on, but nobody shall overlook it."""
        try:
            kept = self.kept
            if kept is not None:
                check_kept(kept, await audit.read(kept.count - 1, 1), end)
        except AuditBroken as error:
            self.doubt = str(error)
            log.error("audit log was changed", reason=str(error), remedy=error.remedy)  # noqa: TRY400


def check_kept(kept: SignedHead, found: list[bytes], end: int) -> None:
    """Raises AuditBroken unless `found` is the entry that the head speaks of."""
    if not found or entry_hash(found[0]) != kept.hash:
        raise AuditBroken(min(end, kept.count - 1), "the head that was kept says otherwise")
