"""What a share holds now, for our own operator: its topics, by which name or pattern, and what is left out and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from gateway.services import Services
from mesh.errors import CallerError
from mesh.ids import TopicName
from mesh.origins import TopicOrigin, shown
from mesh.patterns import checked_pattern, is_pattern
from mesh.shares import Share


@dataclass(eq=False)
class CopyNotOnward(CallerError):
    topic: str
    path: str

    code: ClassVar[str] = "copy-not-onward"
    sentence: ClassVar[str] = "topic '{topic}' is a copy that came by {path}, whose grant does not let us share it"
    hint: ClassVar[str] = "ask that organization to let us, with: mesh grant set SHARE --to OURS --onward"


def split(names: Iterable[str]) -> tuple[list[TopicName], list[str]]:
    """Topics and patterns. Raises IllegalName, IllegalPattern."""
    listed = list(names)
    topics = [TopicName(name) for name in listed if not is_pattern(name)]
    return topics, [checked_pattern(name) for name in listed if is_pattern(name)]


async def check_topics(services: Services, topics: Iterable[TopicName]) -> None:
    """Raises TopicAbsent, CopyNotOnward."""
    for name in topics:
        topic = await services.cluster.topics.describe(name)
        origin = services.registry.origins.get(topic.topic_id)
        if origin is not None and not origin.onward:
            raise CopyNotOnward(name, shown(origin.path))


async def contents(services: Services, share: Share) -> list[dict[str, object]]:
    """Each topic of the share: {topic, partitions, by, origin, left_out}; `left_out` says why peers do not see it."""
    found = await services.cluster.topics.list(lambda name: bool(share.holds(name)))
    listed: list[dict[str, object]] = []
    for topic in found:
        origin = services.registry.origins.get(topic.topic_id)
        listed.append(_content(share, topic.name, topic.partitions, origin))
    absent = set(share.topics) - {topic.name for topic in found}
    return listed + [_content(share, name, None, None) | {"left_out": "it does not exist"} for name in sorted(absent)]


def _content(share: Share, name: str, partitions: int | None, origin: TopicOrigin | None) -> dict[str, object]:
    left_out = str(CopyNotOnward(name, shown(origin.path))) if origin is not None and not origin.onward else None
    path = [hop.organization for hop in origin.path] if origin is not None else []
    return {"topic": name, "partitions": partitions, "by": share.holds(name), "origin": path, "left_out": left_out}
