"""A run directory is read, judged again and reported; what is absent is said, and what is wrong is named."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import pytest

from tests.verifier.__main__ import main
from tests.verifier.checks import CHECKS
from tests.verifier.findings import Verdict
from tests.verifier.judging import judge
from tests.verifier.reading import read_run
from tests.verifier.tests.large import write_large
from tests.verifier.tests.planting import canary_in_a_log, lost_in_the_middle, two_readers_differ
from tests.verifier.tests.world import World
from tests.verifier.tests.writing import write_world

BYTES_A_RECORD, BASE_BYTES = 600, 4 << 20
"""The base is what reading a file and unpacking a batch take."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_world(World.build(5), tmp_path)


def test_a_saved_run_can_be_judged_again(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = []
    for _ in range(2):
        assert main([str(directory)]) == 0
        reports.append(capsys.readouterr().out)
    assert reports[0] == reports[1]
    assert "verdict: info" in reports[0]


def test_a_violation_is_told_with_its_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World.build(5)
    lost_in_the_middle(world)
    write_world(world, tmp_path)
    assert main([str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["seed"], report["verdict"]) == (5, "fail")
    (prefix,) = [each for each in report["checks"] if each["check"] == "prefix"]
    evidence = prefix["findings"][0]["evidence"]
    assert {"log", "offset", "digest", "batch", "written"} <= evidence.keys()
    assert evidence["log"] == "acme/flights[0]"
    assert evidence["written"].startswith("by writer-")


@pytest.mark.parametrize(
    ("name", "unjudged"),
    [
        ("logs.jsonl", set(CHECKS) - {"liveness"}),
        ("tables", {"translation", "acknowledgements", "accounting"}),
        ("writes", {"no phantom", "authorization"}),
        ("acks.jsonl", {"acknowledgements"}),
        ("durable.jsonl", {"acknowledgements"}),
        ("epochs.jsonl", {"fencing", "accounting", "no phantom"}),
        ("trust.jsonl", {"authorization"}),
        ("ends.jsonl", {"authorization", "liveness"}),
        ("events.jsonl", {"liveness"}),
        ("texts", {"authorization"}),
    ],
)
def test_a_check_without_its_input_is_not_judged(directory: Path, name: str, unjudged: set[str]) -> None:
    path = directory / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = {each.check: each.verdict for each in judge(read_run(directory))}
    missing = {check for check, verdict in found.items() if verdict not in (Verdict.OK, Verdict.INFO)}
    assert unjudged <= missing
    if name != "writes":  # without it what a compacted source lost is not known
        assert missing == unjudged
        assert {found[check] for check in missing} == {Verdict.NOT_JUDGED}


def test_what_is_not_judged_is_no_success_unless_left_out(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "acks.jsonl").unlink()
    assert main([str(directory)]) == 2
    assert "8 acknowledgements  not judged" in capsys.readouterr().out
    assert main([str(directory), "--without", "acknowledgements"]) == 0
    assert "8 acknowledgements  left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.json", "{}", "is of format None"),
        ("run.json", "[]", "not an object"),
        ("run.json", '{"format": 1}', "KeyError: 'lanes'"),
        ("acks.jsonl", '{"lane": "flights-0"}\n', "acks.jsonl:1: the field 'position' is missing"),
        ("acks.jsonl", '{"lane": "x", "position": 1, "at_s": 0}\n', "does not describe the lane x"),
        ("writes/all.jsonl", "{nonsense\n", "all.jsonl:1: not JSON"),
        ("writes/all.jsonl", '{"n": 1, "id": "00"}\n', "an id has 16 bytes"),
        ("tables/flights-0.jsonl", "", "flights-0.jsonl: is empty"),
        ("logs.jsonl", '{"cluster": "a"}\n', "logs.jsonl:1: the field 'topic' is missing"),
    ],
)
def test_what_cannot_be_read_is_named(
    directory: Path, name: str, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / name).write_text(text)
    assert main([str(directory)]) == 2
    assert said in capsys.readouterr().err


def test_a_run_cannot_name_files_elsewhere(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = directory / "logs.jsonl"
    index.write_text(index.read_text().replace("logs/flights-0.copy.batches", "../../etc/passwd"))
    assert main([str(directory)]) == 2
    assert "is not a file of the run directory" in capsys.readouterr().err


def test_a_damaged_batch_of_the_copy_is_a_matter_of_fidelity(tmp_path: Path) -> None:
    world = World.build(5)
    world.bytes_damaged = {"flights-0": 12}
    found = {each.check: each for each in judge(read_run(write_world(world, tmp_path)))}
    assert found["fidelity"].verdict is Verdict.FAIL
    assert "the CRC is wrong" in found["fidelity"].findings[0].sentence


def test_a_run_without_a_journal_is_known_by_contents(tmp_path: Path) -> None:
    world = World.build(6)
    world.lanes = [each for each in world.lanes if not each.compacted]
    write_world(world, tmp_path)
    shutil.rmtree(tmp_path / "writes")
    found = {each.check: each.verdict for each in judge(read_run(tmp_path))}
    assert {name for name, verdict in found.items() if verdict is Verdict.FAIL} == set()
    assert found["prefix"] is Verdict.OK


def test_several_violations_are_told_each_by_its_check(tmp_path: Path) -> None:
    world = World.build(7)
    for damage in (lost_in_the_middle, canary_in_a_log, two_readers_differ):
        damage(world)
    found = {each.check for each in judge(read_run(write_world(world, tmp_path))) if each.verdict is Verdict.FAIL}
    assert found == {"prefix", "authorization", "one value"}


def test_memory_grows_by_little_with_each_record(tmp_path: Path) -> None:
    write_large(tmp_path, 5_000)
    tracemalloc.start()
    try:
        found = judge(read_run(tmp_path))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert Verdict.FAIL not in {each.verdict for each in found}
    assert peak_bytes < BASE_BYTES + 5_000 * BYTES_A_RECORD
