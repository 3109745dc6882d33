"""How many bytes went between two companies, TLS and all: what the kernel counted of the connections that are open.

Asked of `ss`, of the listener's side, so in the same way for every mirror: of the gateways' peers listeners, or of the
source broker's TLS listener, which MirrorMaker reads from.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable


def crossed_bytes(ports: Iterable[int]) -> int | None:
    """Both ways, of the connections that were accepted on these ports and are open; None where nobody can tell."""
    if shutil.which("ss") is None:
        return None
    filters = " or ".join(f"sport = :{port}" for port in ports)
    done = subprocess.run(["ss", "-tinH", filters], capture_output=True, text=True, timeout=30, check=False)
    return counted(done.stdout) if done.returncode == 0 else None


def counted(said: str) -> int:
    return sum(map(int, re.findall(r"\bbytes_(?:acked|received):(\d+)", said)))
