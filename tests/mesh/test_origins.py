"""Where records came from: paths, what is learned of them, and that no record returns to where it has been."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.ids import OrgId, TopicId, TopicName
from mesh.origins import (
    MAX_PATH,
    Hop,
    LoopRefused,
    OriginUnfit,
    Path,
    TopicOrigin,
    path_here,
    path_of,
    path_token,
    refuse_loop,
)

TOPIC = TopicName("copy")


def topic_id(number: int) -> TopicId:
    return TopicId(f"{number:032x}")


def org(number: int) -> OrgId:
    return OrgId(f"org{number}.example")


def path(*numbers: int) -> Path:
    return tuple(Hop(org(number), topic_id(number)) for number in numbers)


def told(hops: Path) -> list[tuple[str, str]]:
    return [(hop.organization, hop.topic_id) for hop in hops]


def test_a_topic_without_a_path_is_its_providers_own() -> None:
    assert path_of("t", org(1), topic_id(1), []) == path(1)
    assert path_token(path(1)) == ""


def test_a_path_that_holds_the_subscriber_is_a_loop() -> None:
    refuse_loop("t", path(1, 2), org(3))
    with pytest.raises(LoopRefused, match=r"org1\.example > org2\.example"):
        refuse_loop("t", path(1, 2), org(1))


@pytest.mark.parametrize("hops", [path(2), path(1, 2), path(2, 1, 2, 1), path(*range(2, 2 + MAX_PATH), 1)])
def test_a_path_that_cannot_be_is_refused(hops: Path) -> None:
    with pytest.raises(OriginUnfit):
        path_of("t", org(1), topic_id(1), told(hops))


@pytest.mark.parametrize("hop", [("Not An Org", topic_id(3)), (org(3), "x")])
def test_a_path_of_illegal_names_is_refused(hop: tuple[str, str]) -> None:
    with pytest.raises(OriginUnfit):
        path_of("t", org(1), topic_id(1), [hop, *told(path(1))])


def test_what_was_learned_of_a_topic_is_never_forgotten() -> None:
    first = TopicOrigin(topic_id(9), TOPIC, path(1, 2), onward=True)
    second = TopicOrigin(topic_id(9), TOPIC, path(3), onward=True)
    assert first.joined(second) == TopicOrigin(topic_id(9), TOPIC, path(1, 2, 3), onward=True)


def test_onward_is_as_the_newest_grant_of_one_upstream_says_but_needs_all_of_several() -> None:
    closed, opened = (TopicOrigin(topic_id(9), TOPIC, path(1), onward=onward) for onward in (False, True))
    assert closed.joined(opened).onward
    assert not opened.joined(closed).onward
    assert not closed.joined(TopicOrigin(topic_id(9), TOPIC, path(2), onward=True)).onward


def test_a_token_tells_paths_apart() -> None:
    tokens = {path_token(each) for each in (path(1), path(1, 2), path(2, 1), path(1, 2, 3))}
    assert len(tokens) == 4


# --- the law: over any graph, in any order of events, no record returns to an organization where it has been


@dataclass
class Organization:
    """One topic that others copy, and what it knows of it, by the rules that gateways follow."""

    number: int
    origin: TopicOrigin | None = None
    records: set[tuple[OrgId, ...]] = field(default_factory=set)
    """Each as the organizations it has been at, in order."""

    @property
    def path(self) -> Path:
        return path_here(self.origin, org(self.number), topic_id(self.number))

    def write(self) -> None:
        self.records.add((org(self.number),))


@dataclass
class Lane:
    provider: Organization
    subscriber: Organization
    known: Path | None = None

    def ask(self) -> None:
        """The catalog: judged and stored before anything is opened."""
        self.known = None
        provider, own = self.provider, org(self.subscriber.number)
        hops = path_of("t", org(provider.number), topic_id(provider.number), told(provider.path))
        refuse_loop("t", hops, own)
        learned = TopicOrigin(topic_id(self.subscriber.number), TOPIC, hops, onward=True)
        self.subscriber.origin = self.subscriber.origin.joined(learned) if self.subscriber.origin else learned
        self.known = hops

    def copy(self) -> None:
        """The exporter serves only who knows the path that its topic has now."""
        if self.known is not None and path_token(self.known) == path_token(self.provider.path):
            own = org(self.subscriber.number)
            self.subscriber.records |= {(*record, own) for record in self.provider.records}


ORGANIZATIONS = 4
LANES = [(at, to) for at in range(ORGANIZATIONS) for to in range(ORGANIZATIONS) if at != to]
events = st.tuples(st.sampled_from(["ask", "ask", "copy"]), st.sampled_from(LANES))


@settings(max_examples=300, deadline=None)
@given(st.lists(events, max_size=30))
def test_no_record_returns_to_where_it_has_been(happened: list[tuple[str, tuple[int, int]]]) -> None:
    """Catalogs are asked for and lanes copy in any order; in the end everybody writes, and all that may flow flows."""
    all_of_them = [Organization(number) for number in range(ORGANIZATIONS)]
    lanes = {(at, to): Lane(all_of_them[at], all_of_them[to]) for at, to in LANES}
    for each in all_of_them:
        each.write()
    for what, place in [*happened, *(("copy", place) for _ in range(ORGANIZATIONS) for place in LANES)]:
        with suppress(MeshError):
            lanes[place].ask() if what == "ask" else lanes[place].copy()
    for each in all_of_them:
        for record in each.records:
            assert len(set(record)) == len(record), record
