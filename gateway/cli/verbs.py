"""Which module has which verb of `mesh`: one is imported when its verb is asked for, so no command pays for others.

Each of these modules states `register(root)`, which adds its commands or its group to a root.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import typer

TRUST = ("peers", "certs", "enrolment", "peer_trust")
"""They add to one another's groups."""
VERBS: Mapping[str, tuple[str, ...]] = {
    "init": ("init",),
    "status": ("status",),
    "console": ("console",),
    "catalog": ("catalog",),
    "subscribe": ("subscriptions",),
    "gaps": ("subscriptions",),
    "verify": ("verify",),
    "demo": ("demo",),
    "doctor": ("doctor",),
    "gateway": ("gateway",),
    "topic": ("topics",),
    "peer": TRUST,
    "share": ("shares",),
    "grant": ("grants",),
    "subscription": ("subscriptions",),
    "offsets": ("offsets",),
    "certs": TRUST,
    "config": ("config",),
    "audit": ("audit",),
    "drill": ("drills",),
    "groups": ("groups",),
    "apply": ("apply",),
    "export": ("apply",),
    "await": ("awaiting",),
}
"""In the order of the help."""


class Verbs(Mapping[str, Any]):
    """The commands of the root by their names, each made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, verb: str) -> Any:
        if verb not in self._made:
            self._made |= _commands_of(VERBS[verb])
        return self._made[verb]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


def _commands_of(modules: tuple[str, ...]) -> Mapping[str, Any]:
    root = typer.Typer()
    for name in modules:
        importlib.import_module(f"gateway.cli.{name}").register(root)
    return typer.main.get_group(root).commands
