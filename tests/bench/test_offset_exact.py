from __future__ import annotations

import random

from bench.offset_exact import NO_COPY, answers_of, measure, mirror, plan_of, wrong_back, wrong_forward


def test_every_offset_of_a_small_log_is_right() -> None:
    result = measure(6_000)
    assert (result.records, result.holes) == (6_000, 600)
    assert (result.wrong_forward, result.wrong_back, result.wrong_after_reload) == (0, 0, 0)


def test_one_wrong_answer_is_counted() -> None:
    plan = plan_of(2_000, random.Random(3))
    offset_map = mirror(plan)[0].map
    forward, back = answers_of(plan)
    back[700] += 1
    assert wrong_back(offset_map, back) == 1
    assert wrong_forward(offset_map, forward, back) > 0


def test_a_hole_at_the_end_has_no_copy_after_it() -> None:
    plan = plan_of(2_000, random.Random(3))
    plan.order.append(65)
    forward, back = answers_of(plan)
    assert forward[-8:].tolist() == [NO_COPY] * 8
    assert wrong_forward(mirror(plan)[0].map, forward, back) == 0
