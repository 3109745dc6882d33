"""Questions that many ask at one moment, asked once: a thousand lanes of a topic open together.

Whoever comes while a question is under way gets the answer of the next one, with all who have come meanwhile: no answer
is older than the asking for it, so it says the same as one that was asked for alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mesh.errors import MeshError

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Asking(Generic[Answer]):
    """Of one name, for as long as somebody asks."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    asking: int = 0
    begun: int = 0
    """How many questions."""
    answered: int = 0
    """Which of them the outcome is of."""
    outcome: Answer | MeshError | None = None


class Together(Generic[Answer]):
    """One kind of question about names."""

    def __init__(self, question: Callable[[str], Awaitable[Answer]]) -> None:
        self._question = question
        self._asked: dict[str, _Asking[Answer]] = {}

    async def ask(self, name: str) -> Answer:
        """Raises what the question raises."""
        asked = self._asked.setdefault(name, _Asking())
        came = asked.begun
        asked.asking += 1
        try:
            async with asked.turn:
                if asked.answered <= came:
                    await self._begin(asked, name)
                outcome = asked.outcome
        finally:
            asked.asking -= 1
            if not asked.asking:
                self._asked.pop(name, None)
        if isinstance(outcome, MeshError):
            raise outcome.with_traceback(None)
        assert outcome is not None
        return outcome

    async def _begin(self, asked: _Asking[Answer], name: str) -> None:
        asked.begun += 1
        number = asked.begun
        try:
            asked.outcome = await self._question(name)
        except MeshError as error:
            asked.outcome = error
        asked.answered = number
