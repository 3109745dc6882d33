"""What ran: versions of everything that has a part in a result."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version

from tests.support.jars import ROOT, classpath

PACKAGES = ("grpcio", "uvloop", "aiokafka", "lz4", "crc32c", "cramjam", "zstandard")


def versions() -> dict[str, str]:
    return {
        "stream-mesh": _said(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]) or "not from git",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "kafka": _kafka(),
        "java": _said(["java", "-version"]).partition("\n")[0],
        "cores": str(os.cpu_count()),
        "kernel": platform.release().partition("-")[0],
    }


def _kafka() -> str:
    directory = classpath().removesuffix("*")
    return next(name for name in os.listdir(directory) if name.startswith("connect-mirror-4")).removesuffix(".jar")


def _said(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
