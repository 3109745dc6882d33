"""The code of the how-to pages for applications runs as it stands there."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.testing import LocalGateway

HOW_TO = Path(__file__).parent.parent.parent / "docs" / "how-to"


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)


async def execute(code: str, names: dict[str, Any]) -> None:
    """With await outside of functions, as it stands on a page."""
    compiled = compile(code, "page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    found = eval(compiled, names)
    if inspect.isawaitable(found):
        await found


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalGateway]:
    with LocalGateway() as gateway:
        for name, value in gateway.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield gateway


async def test_the_page_for_applications(gateway: LocalGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.create_topic("orders", 3)
    gateway.share("ports.example", "departures", {"departures": 1})
    handled: list[object] = []
    names: dict[str, Any] = {"handle": handled.append}
    for block in blocks("use-from-an-application.md"):
        await execute(block, names)
    assert len(gateway.records("orders")) == 103
    assert sorted(gateway.cursor("billing", "orders")) == [0, 1, 2]
    assert len(handled) == 102
    assert "topic-absent topic 'no-such-topic' does not exist" in capsys.readouterr().out


async def test_the_page_for_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MESH_API", "MESH_API_TOKEN"):
        monkeypatch.setenv(name, "")  # what the page sets is undone
    names: dict[str, Any] = {}
    for block in blocks("test-without-a-gateway.md"):
        await execute(block, names)
    tests = {name: test for name, test in names.items() if name.startswith("test_")}
    assert len(tests) == 6
    for test in tests.values():
        found = test()
        if inspect.isawaitable(found):
            await found
