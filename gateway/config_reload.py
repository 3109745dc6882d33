"""What of a changed configuration a running gateway takes, and what waits for a restart. Pure.

A. A key is taken whole or not at all: what is in force is valid, and `origins` says for each key what it is.
B. What listens, where data lie, who we are and how the cluster is reached never change under a running gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from gateway.config import GatewayConfig

LIVE = frozenset(
    {
        "log.level",
        "log.format",
        "trust.private_addresses",
        "listen.advertised",
        "timing.drain_pre_s",
        "timing.drain_timeout_s",
        "timing.maintenance_s",
        "timing.certificates_s",
        "timing.groups_s",
        # of links and lanes that begin from then on
        "link.compression",
        "limits.lane_credit_bytes",
        "timing.heartbeat_s",
        "timing.request_timeout_s",
        "timing.checkpoint_s",
        "timing.checkpoint_bytes",
    }
)
"""The keys that a running gateway takes from its file."""
SECRET = "cluster.kafka.sasl_password"
_Table = TypeVar("_Table", bound=BaseModel)


def taken(running: GatewayConfig, read: GatewayConfig) -> GatewayConfig:
    """What `running` becomes: its own values, those of LIVE as they were read."""
    origins = {key: (read if key in LIVE else running).origins[key] for key in running.origins}
    return replace(
        running,
        log=_taken(running.log, read.log, "log"),
        link=_taken(running.link, read.link, "link"),
        limits=_taken(running.limits, read.limits, "limits"),
        timing=_taken(running.timing, read.timing, "timing"),
        private_addresses=read.private_addresses,
        advertised=read.advertised,
        origins=origins,
    )


def _taken(running: _Table, read: _Table, table: str) -> _Table:
    live = {name: getattr(read, name) for name in type(read).model_fields if f"{table}.{name}" in LIVE}
    return running.model_copy(update=live)


def differing(one: GatewayConfig, other: GatewayConfig) -> Iterator[str]:
    """The keys whose values differ, in the file's order. A secret differs without being shown."""
    for key, setting in one.origins.items():
        if setting.value != other.origins[key].value or (key == SECRET and _has_other_secret(one, other)):
            yield key


def _has_other_secret(one: GatewayConfig, other: GatewayConfig) -> bool:
    return one.kafka is not None and other.kafka is not None and one.kafka.password != other.kafka.password
