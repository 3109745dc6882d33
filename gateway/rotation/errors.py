"""What the exchange of bundles and the renewal of leaves may raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import OperatorError


@dataclass(eq=False)
class LeafUnsuitable(OperatorError):
    """A certificate on disk that peers would refuse, or that is of somebody else."""

    path: str
    why: str

    code: ClassVar[str] = "leaf-unsuitable"
    sentence: ClassVar[str] = "the new gateway certificate {path} is not used: {why}"
    hint: ClassVar[str] = "the one before stays in use; issue it anew, as docs/how-to/operate.md says"
