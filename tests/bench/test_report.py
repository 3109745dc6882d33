"""The numbers that a benchmark prints come from its marks, and from nothing else."""

from __future__ import annotations

from bench.report import Measured, Result, closing_line, result, table
from bench.watch import Mark, Watched

RECORD_BYTES = 1000


def measured(name: str, cpu_s: float) -> Measured:
    """Two million records in 12 s, of which 2 s and 1 CPU-s passed until the first thousand were seen."""
    marks = [
        Mark(102.0, 1_000, {name: 1.0, "broker": 5.0}),
        Mark(107.0, 1_000_000, {name: 1.0 + cpu_s / 2, "broker": 6.0}),
        Mark(112.0, 2_001_000, {name: 1.0 + cpu_s, "broker": 7.0}),
    ]
    started = Mark(100.0, 0, {"broker": 4.0})
    return Measured(name, [name], started, Watched(*marks), {name: 100_000_000}, {"key": "value"})


def results(mesh_cpu_s: float, peer_cpu_s: float) -> dict[str, Result]:
    made = [measured("mesh", mesh_cpu_s), measured("mirrormaker2", peer_cpu_s)]
    return {each.name: result(each, RECORD_BYTES) for each in made}


def test_the_catch_up_phase_leaves_out_what_was_there_at_its_first_moment() -> None:
    phase = results(8.0, 20.0)["mesh"].catch_up
    assert (phase.records, phase.seconds, phase.mb_per_s, phase.cpu_s_per_gb) == (2_000_000, 10.0, 200.0, 4.0)


def test_brokers_are_shown_and_not_counted() -> None:
    phase = results(8.0, 20.0)["mesh"].catch_up
    assert phase.cpu_s_per_gb_by_process == {"mesh": 4.0, "broker": 1.0}


def test_the_total_counts_the_start() -> None:
    mesh = results(8.0, 20.0)["mesh"]
    assert mesh.start_to_first_record_s == 2.0
    assert mesh.cpu_to_first_record_s == 1.0
    assert mesh.total.seconds == 12.0
    assert mesh.total.cpu_s_per_gb == round(9 / 2.001, 2)


def test_the_closing_line_states_both_and_their_ratio() -> None:
    assert closing_line(results(8.0, 20.0)) == (
        "bench: mesh 200 MB/s, 4.00 CPU-s/GB; mirrormaker2 200 MB/s, 10.00 CPU-s/GB; cpu ratio 0.40"
    )


def test_the_table_has_a_column_for_each_mirror() -> None:
    head, *rows = table([*results(8.0, 20.0).values()]).splitlines()
    assert head.split() == ["mesh", "mirrormaker2"]
    assert any(row.split()[-2:] == ["4.00", "10.00"] for row in rows)
