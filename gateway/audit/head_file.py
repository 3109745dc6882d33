"""The newest signed head, kept outside of the audit log: by it the log shows when its end was taken away."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from certs.files import replace_whole
from mesh.audit import AuditBroken, AuditEntry, SignedHead

HEAD_FILE = "audit.head"
"""In the state directory."""


class HeadFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<HeadFile {self.path}>"

    def write(self, head: SignedHead) -> None:
        """Raises OSError."""
        replace_whole(self.path, head.entry().to_bytes() + b"\n", 0o644)

    def read(self) -> SignedHead | None:
        """None where there is none. Raises AuditBroken where it is damaged."""
        with suppress(FileNotFoundError):
            try:
                return SignedHead.of(AuditEntry.from_bytes(self.path.read_bytes().rstrip(b"\n")))
            except ValueError as error:
                raise AuditBroken(0, f"the head kept in {self.path.name} is damaged: {error}") from error
        return None
