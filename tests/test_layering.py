"""Imports go one way, and the core waits for nothing.

Each layer may import from itself and from the layers before it; the core imports nothing that waits, reads a clock or
draws random numbers. Imports under TYPE_CHECKING count: a type is a dependency too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Lowest first. A name is a module or package of mesh; what is in one tuple is one layer.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("ids", "backoff", "json_text", "partitioner"),
    ("spans", "cluster_errors"),
    ("batch",),
    ("sequences", "offsets", "log", "segment", "patterns", "origins", "shares", "groups"),
    ("lanes", "policy", "trust", "link"),
    ("ports", "audit"),
    ("wire", "local"),
    ("sdk", "testing"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

WAITING = {
    "asyncio", "grpc", "aiohttp", "aiokafka", "kio", "confluent_kafka", "ssl", "socket", "os", "time", "random",
    "logging", "structlog", "uvloop", "apsw", "subprocess", "secrets",
}  # fmt: skip
OUTER = {"wire", "local", "sdk", "testing"}


def modules(package: str) -> list[Path]:
    return [path for path in sorted((ROOT / package).rglob("*.py")) if "_pb2" not in path.name]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, node.module or ""


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT / "mesh").with_suffix("").parts[0]


def test_every_module_of_the_library_has_a_layer() -> None:
    unknown = {layer_of(path) for path in modules("mesh")} - set(RANK) - {"__init__"}
    assert not unknown, f"add {unknown} to LAYERS"


@pytest.mark.parametrize(
    "path", [p for p in modules("mesh") if p.stem != "__init__" or p.parent.name != "mesh"], ids=str
)
def test_the_library_imports_downwards_only(path: Path) -> None:
    own = RANK[layer_of(path)]
    for line, name in imports(path):
        top, _, rest = name.partition(".")
        assert top not in {"gateway", "certs", "tests", "bench"}, f"{path}:{line} imports {name}"
        if top == "mesh" and rest:
            assert RANK[rest.split(".")[0]] <= own, f"{path}:{line} imports {name}, which lies above it"


@pytest.mark.parametrize("path", [p for p in modules("mesh") if layer_of(p) not in OUTER], ids=str)
def test_the_core_waits_for_nothing(path: Path) -> None:
    for line, name in imports(path):
        assert name.split(".")[0] not in WAITING, f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", modules("certs"), ids=str)
def test_certs_know_nothing_of_the_gateway(path: Path) -> None:
    for line, name in imports(path):
        assert name.split(".")[0] not in {"gateway", "grpc", "asyncio"}, f"{path}:{line} imports {name}"


@pytest.mark.parametrize(
    ("package", "foreign"),
    [
        ("gateway/importer", ("gateway.kafka", "gateway.embedded", "gateway.rpc", "gateway.exporter", "grpc")),
        ("gateway/link", ("gateway.kafka", "gateway.embedded", "gateway.rpc", "gateway.importer", "grpc")),
        ("gateway/kafka", ("gateway.embedded", "gateway.rpc", "gateway.importer", "gateway.link", "grpc")),
        ("gateway/embedded", ("gateway.kafka", "gateway.rpc", "gateway.importer", "gateway.link", "grpc")),
        ("gateway/verify", ("mesh.batch", "gateway.fast_records", "gateway.canonical_records", "mesh.lanes")),
    ],
)
def test_parts_of_the_gateway_do_not_know_each_other(package: str, foreign: tuple[str, ...]) -> None:
    for path in modules(package):
        for line, name in imports(path):
            assert not name.startswith(foreign), f"{path}:{line} imports {name}"


def test_the_exporter_knows_neither_importer_nor_transport() -> None:
    for line, name in imports(ROOT / "gateway" / "exporter.py"):
        assert not name.startswith(("gateway.importer", "gateway.rpc", "gateway.kafka", "grpc")), f"{line}: {name}"


@pytest.mark.parametrize("path", modules("tests/verifier"), ids=str)
def test_the_verifier_of_runs_shares_no_code_with_what_it_judges(path: Path) -> None:
    for line, name in imports(path):
        package = ".".join(name.split(".")[:2])
        own = package == "tests.verifier" or name.split(".")[0] not in {"mesh", "gateway", "certs", "bench", "tests"}
        assert own, f"{path}:{line} imports {name}"
