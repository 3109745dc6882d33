"""One question for all who ask at a moment, and no answer that is older than the asking for it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.kafka.together import Together
from mesh.cluster_errors import TopicAbsent


class Cluster:
    """Answers when told; each answer says how many questions came before it."""

    def __init__(self) -> None:
        self.questions = 0
        self.may_answer = asyncio.Event()
        self.fails = False

    async def ask(self, name: str) -> str:
        self.questions += 1
        number = self.questions
        await self.may_answer.wait()
        if self.fails:
            raise TopicAbsent(name)
        return f"{name} {number}"


async def asked(together: Together[str], count: int, name: str = "t") -> list[asyncio.Task[str]]:
    tasks = [asyncio.ensure_future(together.ask(name)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_whoever_comes_meanwhile_gets_the_answer_of_the_next_question() -> None:
    cluster = Cluster()
    together = Together(cluster.ask)
    first, *others = await asked(together, 1000)
    cluster.may_answer.set()
    assert await first == "t 1"
    assert set(await asyncio.gather(*others)) == {"t 2"}
    assert await together.ask("t") == "t 3"
    assert not together._asked


async def test_other_names_do_not_wait() -> None:
    cluster = Cluster()
    together = Together(cluster.ask)
    tasks = [*await asked(together, 1, "a"), *await asked(together, 1, "b")]
    assert cluster.questions == 2
    cluster.may_answer.set()
    assert await asyncio.gather(*tasks) == ["a 1", "b 2"]


async def test_a_question_whose_asker_is_cancelled_is_asked_anew() -> None:
    cluster = Cluster()
    together = Together(cluster.ask)
    first, second = await asked(together, 2)
    first.cancel()
    cluster.may_answer.set()
    assert await second == "t 2"


async def test_a_failure_is_everybodys_who_waited_for_it() -> None:
    cluster = Cluster()
    cluster.fails = True
    together = Together(cluster.ask)
    tasks = await asked(together, 10)
    cluster.may_answer.set()
    for task in tasks:
        with pytest.raises(TopicAbsent):
            await task
    assert cluster.questions == 2
