"""The objects that a gateway has now, from the answers of its admin API. Nothing of them is a secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.declared.kinds import Declared, Kind
from gateway.declared.values import asked_topics

Answer = Mapping[str, Any]


def objects(
    peers: Iterable[Answer], shares: Iterable[Answer], grants: Iterable[Answer], subscriptions: Iterable[Answer]
) -> list[Declared]:
    """In the order in which they are applied."""
    found = [*map(peer, peers), *map(share, shares), *map(grant, grants)]
    return [*found, *map(subscription, subscriptions)]


def peer(answer: Answer) -> Declared:
    spec = {"state": answer["state"], "addresses": tuple(answer["addresses"])}
    return Declared(Kind.PEER, answer["org"], spec)


def share(answer: Answer) -> Declared:
    return Declared(Kind.SHARE, answer["name"], {"topics": tuple(sorted(answer["topics"] + answer["patterns"]))})


def grant(answer: Answer) -> Declared:
    spec = {
        "state": answer["state"],
        "start": answer["start_ms"],
        "end": answer["end_ms"],
        "groups": answer["groups"],
        "onward": answer["onward"],
    }
    return Declared(Kind.GRANT, answer["id"], spec)


def subscription(answer: Answer) -> Declared:
    pairs = tuple((pair["source"], pair["destination"]) for pair in (*answer["topics"], *answer["patterns"]))
    same = ("peer", "share", "start", "state", "on_foreign_write", "on_loss", "on_timestamp", "follow_config")
    spec = {key: answer[key] for key in same}
    spec |= {"topics": asked_topics(pairs), "groups": tuple(sorted(answer["groups"]))}
    return Declared(Kind.SUBSCRIPTION, answer["name"], spec)
