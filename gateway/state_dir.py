"""The state directory: there, and writable, before anything else begins."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mesh.errors import OperatorError

PROBE = ".writable"


@dataclass(eq=False)
class StateUnwritable(OperatorError):
    path: str
    why: str

    code: ClassVar[str] = "state-unwritable"
    sentence: ClassVar[str] = "nothing can be written to the state directory {path}: {why}"
    hint: ClassVar[str] = "give the gateway's user a directory of its own (directories.state), with space left"


def prepare(directory: Path) -> None:
    """Make it where it is absent. Raises StateUnwritable."""
    probe = directory / PROBE
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        probe.unlink()
    except OSError as error:
        raise StateUnwritable(str(directory), (error.strerror or "input or output failed").lower()) from error
