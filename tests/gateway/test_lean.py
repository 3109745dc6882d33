"""What holds while the daemon's parts are imported, and afterwards."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway import lean


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_what_is_there_but_of_no_use_cannot_be_imported_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "UNUSED", ("this",))
    with lean.lean_imports(), pytest.raises(ImportError):
        importlib.import_module("this")
    assert "this" not in sys.modules


def test_what_was_imported_before_stays() -> None:
    before = importlib.import_module("hypothesis")
    with lean.lean_imports():
        assert sys.modules["hypothesis"] is before
    assert sys.modules["hypothesis"] is before


def test_nothing_is_collected_meanwhile_and_what_was_made_is_set_aside() -> None:
    with lean.lean_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] == lean.GC_THRESHOLD


def test_a_start_does_not_import_what_only_some_need() -> None:
    """aiokafka is for SASL, and for record checks where nothing was compiled."""
    seen = "import sys, gateway.app, gateway.admin.server; print('aiokafka' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
