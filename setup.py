"""The compiled part of mesh.batch.native, which pyproject.toml cannot describe.

It is optional: where it cannot be compiled the installation succeeds, and its twin in Python is used. MESH_PURE=1
leaves it out.
"""

from __future__ import annotations

import os

from setuptools import Extension, setup

NATIVE = Extension(
    "mesh.batch._native",
    ["mesh/batch/_native.c"],
    depends=["mesh/batch/_records.h", "mesh/batch/_crc32c.h"],
    py_limited_api=True,
    optional=True,
)

setup(
    ext_modules=[] if os.environ.get("MESH_PURE") == "1" else [NATIVE],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
