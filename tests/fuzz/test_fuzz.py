"""The fixed corpus and the first mutants of every target; the campaigns are `make fuzz`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.fuzz.campaign import Broken, alarms, check, mutant, run, shrunk
from tests.fuzz.corpus import MOST_BYTES, inputs
from tests.fuzz.findings import Finding, Target
from tests.fuzz.targets import TARGETS

MUTANTS = {"batch": 150, "log": 60, "frame": 100}
"""Others get MORE: the whole of it takes about two seconds."""
MORE = 30


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_keeps_the_law(name: str) -> None:
    target = TARGETS[name]
    found = inputs(target)
    assert found, f"there is no corpus of {name}: python -m tests.fuzz.corpus"
    with alarms():
        for path in found:
            data = path.read_bytes()
            outcome = check(target, data)
            assert not isinstance(outcome, Broken), f"{path.name}: {outcome}"
            assert len(data) <= MOST_BYTES or path.name.startswith("found-")
            said, _, _ = path.name.rpartition("-")
            assert path.name.startswith("found-") or said == outcome, f"{path.name} is now {outcome}"


@pytest.mark.parametrize("name", TARGETS)
def test_the_first_mutants_keep_the_law(name: str) -> None:
    result = run(TARGETS[name], MUTANTS.get(name, MORE), seed=1)
    assert not result.findings, "\n".join(f"{each.place}: {each.why}" for each in result.findings.values())


@pytest.mark.parametrize("name", TARGETS)
def test_a_mutant_is_known_by_seed_and_number(name: str) -> None:
    target = TARGETS[name]
    assert [mutant(target, 7, index) for index in range(5)] == [mutant(target, 7, index) for index in range(5)]
    assert mutant(target, 7, 1) != mutant(target, 8, 1)


def test_a_law_broken_is_found_and_shrunk() -> None:
    def reads(data: bytes) -> str:
        if b"\xff" in data:
            raise ValueError("no MeshError")
        return "accepted"

    target = Target("planted", lambda random: random.randbytes(40), reads)
    result = run(target, 200, seed=3)
    (broken,) = result.findings.values()
    assert broken.data == b"\xff"
    assert broken.place.startswith("ValueError test_fuzz.py:")
    assert shrunk(target, broken) == broken


def test_readers_that_differ_are_a_finding() -> None:
    def disagrees(data: bytes) -> str:
        raise Finding("the strict check says one thing, the fast one another")

    result = run(Target("planted", lambda random: b"x", disagrees), 3, seed=1)
    assert [each.why for each in result.findings.values()] == [
        "Finding: the strict check says one thing, the fast one another"
    ]


def test_what_hangs_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.campaign.HANG_S", 0.05)

    def loops(data: bytes) -> str:
        while True:
            pass

    with alarms():
        broken = check(Target("planted", lambda random: b"x", loops), b"x")
    assert isinstance(broken, Broken)
    assert broken.why.startswith("it hangs: ")


def test_what_waits_for_ever_is_interrupted_and_what_waits_a_while_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.campaign.HANG_S", 0.05)
    waited = threading.Event()

    def waits(data: bytes) -> str:
        waited.wait(0.1 if data else None)
        return "accepted"

    target = Target("planted", lambda random: b"x", waits)
    with alarms():
        assert check(target, b"x") == "accepted"
        monkeypatch.setattr("tests.fuzz.campaign.STUCK_S", 0.05)
        assert isinstance(check(target, b""), Broken)


def test_every_finding_that_is_kept_is_told() -> None:
    told = (Path(__file__).parent / "corpus" / "FOUND.md").read_text()
    kept = [path.name for name in TARGETS for path in inputs(TARGETS[name]) if path.name.startswith("found-")]
    assert kept
    assert [name for name in kept if name not in told] == []
