"""The whole examination, on either kind of cluster: rows as they are known, the verdict last."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from gateway.config import GatewayConfig
from gateway.doctor.facts import Asked
from gateway.doctor.findings import Finding, info, shown, verdict
from gateway.doctor.local import check_files, check_identity, check_space, check_start, examine_embedded

SCRATCH = "mesh-doctor-"


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be examined: `topics` beside the gateway's own, and whether to try appends on a scratch topic."""

    topics: Sequence[Asked] = ()
    probe_append: bool = False
    scratch_topic: str = ""
    """Empty: a name that nobody uses."""


async def examine(
    config: GatewayConfig, question: Question, now_ms: Callable[[], int], *, is_running: bool
) -> AsyncIterator[dict[str, Any]]:
    """{"event": "finding", check, level, found, follows, remedy}, then {"event": "verdict", …}.

    `is_running`: whether this process is the gateway of `config`, so that its limits are the gateway's.
    """
    findings: list[Finding] = []
    async for finding in _findings(config, question, now_ms, is_running):
        findings.append(finding)
        yield shown(finding)
    yield verdict(findings)


async def _findings(
    config: GatewayConfig, question: Question, now_ms: Callable[[], int], is_running: bool
) -> AsyncIterator[Finding]:
    yield check_files()
    yield check_space(config.state_dir)
    if not is_running:
        yield check_identity(config)
        for finding in check_start(config, now_ms()):
            yield finding
    if config.kafka is None:
        async for finding in examine_embedded(config.data_dir, now_ms(), is_running=is_running):
            yield finding
        if question.probe_append:
            yield info("append", "not tried: in the embedded log, compare-and-append is part of each commit")
        return
    # Here, because the Kafka client costs half a second that no other command should wait for.
    from gateway.doctor.kafka import KafkaQuestion, examine_kafka
    from gateway.doctor.probe import probe_append

    asked = KafkaQuestion(config.kafka, question.topics, config.limits.max_batch_bytes, now_ms())
    async for finding in examine_kafka(asked):
        yield finding
    if question.probe_append:
        scratch = question.scratch_topic or f"{SCRATCH}{uuid4().hex[:8]}"
        async for finding in probe_append(config.kafka, scratch):
            yield finding
