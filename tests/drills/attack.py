"""An attack and how it ended; a measure and whether it kept its bound.

A. An attack counts as refused only if it was refused for the stated reason: one that failed by another cause, or was
   not carried out at all, shows nothing about the control.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

LIMIT_S = 60.0
Target = TypeVar("Target")


class GotIn(Exception):
    """The attacker got what it must not get; the text says what."""


@dataclass(frozen=True, slots=True)
class Attack(Generic[Target]):
    """`play` answers the reason of the refusal, or raises GotIn."""

    name: str
    reason: str
    play: Callable[[Target], Awaitable[str]]


class Outcome(NamedTuple):
    name: str
    refused: bool
    saw: str
    """The reason of the refusal, or what happened instead."""


async def played(attack: Attack[Target], target: Target) -> Outcome:
    try:
        async with asyncio.timeout(LIMIT_S):
            saw = await attack.play(target)
    except GotIn as error:
        return Outcome(attack.name, False, f"got in: {error}")
    except Exception as error:  # A: whatever broke, the attack was not refused
        return Outcome(attack.name, False, f"not played: {error!r:.300}")
    if saw != attack.reason:
        return Outcome(attack.name, False, f"{saw!r}, not {attack.reason!r}")
    return Outcome(attack.name, True, saw)


class Measure(NamedTuple):
    name: str
    figures: str
    bound: str
    kept: bool
