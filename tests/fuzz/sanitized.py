"""Builds of mesh/batch/_native.c that watch themselves: every byte read out of bounds, every undefined step ends them.

Two are built, for the two ways of computing a CRC. Needs a GCC with its sanitizers.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "mesh" / "batch" / "_native.c"
FLAGS = (
    "-std=c11", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror",
    "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
WAYS = {"instruction": (), "portable": ("-DMESH_PORTABLE",)}


def build(directory: Path) -> list[Path]:
    """The modules, built into `directory`. Raises CalledProcessError."""
    directory.mkdir(parents=True, exist_ok=True)
    include = f"-I{sysconfig.get_path('include')}"
    built = []
    for way, flags in WAYS.items():
        target = directory / f"{way}.so"
        subprocess.run(["gcc", *FLAGS, *flags, include, str(SOURCE), "-o", str(target)], check=True)
        built.append(target)
    return built


def environment(modules: list[Path]) -> dict[str, str]:
    """For a Python that is to load them: the sanitizer comes first, and each object has memory of its own."""
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    return os.environ | {
        "FUZZ_NATIVE": os.pathsep.join(map(str, modules)),
        "LD_PRELOAD": found.stdout.strip(),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # Python itself leaks at its end
    }
