"""A setting of MirrorMaker in the wrong place is ignored silently, so its log is asked."""

from __future__ import annotations

import pytest

from bench.mirrormaker import CONSUMER, PRODUCER, check_log
from bench.options import Options, parse


def options() -> Options:
    return parse([], "")


def block(kind: str, settings: dict[str, str]) -> str:
    lines = "".join(f"\t{key} = {value}\n" for key, value in settings.items())
    return f"[main] INFO {kind}Config - {kind}Config values: \n\tclient.rack = \n{lines}\n"


def test_a_log_in_which_both_clients_state_all_settings_passes() -> None:
    producer = block("Producer", {**PRODUCER, "compression.type": "lz4"})
    check_log(block("Consumer", {"max.poll.records": "500"}) + block("Consumer", CONSUMER) + producer, options())


def test_a_setting_that_is_not_in_force_is_found() -> None:
    log = block("Consumer", CONSUMER) + block("Producer", {**PRODUCER, "compression.type": "none"})
    with pytest.raises(RuntimeError, match="no producer of MirrorMaker"):
        check_log(log, options())
