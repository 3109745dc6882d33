"""The drill of trust in its short form: every attack, and few runs of each measure."""

from __future__ import annotations

import pytest

from tests.drills.trust import main

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(180)]


def test_every_attack_is_refused_and_every_bound_kept(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--runs", "3", "--rotations", "1"])
    said = capsys.readouterr().out
    assert code == 0, said
    *_, last = said.splitlines()
    _, refused, _, attacks, *_ = last.split()
    assert last == f"trust: {refused} of {attacks} attacks refused"
    assert refused == attacks
    assert int(attacks) >= 20
