"""Files of declared objects: what is read from them, and what is said of one that is not right."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.declared import documents, present
from gateway.declared.errors import DeclarationRefused
from gateway.declared.kinds import Declared, Kind

YAML = """\
kind: share
name: flights
spec:
  topics: [departures, 'orders.*']
---
kind: grant
name: flights@globex.example
spec:
  end: 2031-01-31T12:00:00Z
  groups: read
---
---
- kind: subscription
  name: prices
  spec:
    peer: globex.example
    share: prices
    topics: {eur: globex.eur, 'us.*': 'globex.us.*'}
    start: timestamp:2026-01-01T00:00:00Z
"""
TOML = """\
[[object]]
kind = "share"
name = "flights"
spec.topics = ["departures", "orders.*"]

[[object]]
kind = "grant"
name = "flights@globex.example"
spec = { end = 2031-01-31T12:00:00Z, groups = "read" }

[[object]]
kind = "subscription"
name = "prices"
[object.spec]
peer = "globex.example"
share = "prices"
start = "timestamp:2026-01-01T00:00:00Z"
[object.spec.topics]
eur = "globex.eur"
"us.*" = "globex.us.*"
"""
OBJECTS = [
    Declared(Kind.SHARE, "flights", {"topics": ("departures", "orders.*")}),
    Declared(Kind.GRANT, "flights@globex.example", {"end": 1_927_627_200_000, "groups": "read"}),
    Declared(
        Kind.SUBSCRIPTION,
        "prices",
        {
            "peer": "globex.example",
            "share": "prices",
            "topics": (("eur", "globex.eur"), ("us.*", "globex.us.*")),
            "start": "timestamp:1767225600000",
        },
    ),
]


@pytest.mark.parametrize(("text", "name"), [(YAML, "mesh.yaml"), (TOML, "mesh.toml")])
def test_yaml_and_toml_say_the_same_objects(text: str, name: str) -> None:
    assert documents.read(text, name, documents.form_of(name)) == OBJECTS


def refused(text: str, form: documents.Form = "yaml") -> DeclarationRefused:
    with pytest.raises(DeclarationRefused) as raised:
        documents.read(text, "mesh.yaml", form)
    return raised.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: shares\nname: a", "object 1 (a): kind: it must be one of peer, share, grant, subscription"),
        ("kind: shares\nname: a", "did you mean 'share'?"),
        ("name: a", "kind is missing"),
        ("kind: share", "name: it is missing"),
        ("kind: share\nname: a\nspecs: {}", "specs: an object has no such field, did you mean 'spec'?"),
        ("kind: share\nname: a\nspec: {topic: [b]}", "spec.topic: a share has no such field, did you mean 'topics'?"),
        ("kind: peer\nname: a.example\nspec: {state: suspend}", "did you mean 'suspended'?"),
        ("kind: grant\nname: flights", "name: of a grant it is SHARE@PEER"),
        ("kind: grant\nname: a@b.example\nspec: {onward: 'yes'}", "spec.onward: it must be true or false"),
        ("kind: grant\nname: a@b.example\nspec: {end: 2031-01-31}", "spec.end: it is a day"),
        ("kind: grant\nname: a@b.example\nspec: {end: '2031-01-31T12:00'}", "spec.end: it has no time zone"),
        ("kind: grant\nname: a@b.example\nspec: {end: }", "spec.end: it must be a time"),
        ("kind: grant\nname: a@b.example\nspec: {start: never}", "spec.start: it must be a time"),
        ("kind: share\nname: 2031", "name: it must be text: write it in quotes"),
        ("kind: share\nname: a\nspec: {topics: departures}", "spec.topics: it must be a list"),
        ("kind: share\nname: a\nspec: {topics: [b, b]}", "spec.topics: it has 'b' twice"),
        ("kind: share\nname: a\nspec: {topics: ['b c']}", "spec.topics: "),
        ("kind: peer\nname: a.example\nspec: {addresses: ['a.example']}", "is not host:port"),
        ("kind: subscription\nname: a\nspec: {topics: {'a.*': b}}", "exactly one '*'"),
        ("kind: subscription\nname: a\nspec: {start: yesterday}", "'yesterday' is no place to start from"),
        ("kind: share\nname: a\nname: b", "it is not YAML: line 3: 'name' is given twice"),
        ("kind: [", "it is not YAML: line 1"),
        ("!!python/object/apply:os.getcwd []", "it is not YAML: line 1"),
        ("just text", "object 1: an object is a table of kind, name and spec"),
        ("[" * 500, "it is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_the_nearest_known(text: str, said: str) -> None:
    assert said in str(refused(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[object]\nkind = 'share'", "write [[object]] for each object"),
        ("[[objects]]\nkind = 'share'", "'objects' is not known: objects are [[object]] tables"),
        ("kind = 'share'\nkind = 'peer'", "it is not TOML"),
    ],
)
def test_toml_has_its_own_mistakes(text: str, said: str) -> None:
    assert said in str(refused(text, "toml"))


def test_all_faults_of_a_file_are_told_at_once() -> None:
    error = refused("kind: share\n---\nkind: peer\nname: no where\n---\nkind: other\nname: c")

    assert len(error.others) == 2
    assert "nothing was changed" in error.remedy


def test_an_object_is_declared_once() -> None:
    with pytest.raises(DeclarationRefused, match="share flights: it is declared twice"):
        documents.joined([*OBJECTS, OBJECTS[0]])


def test_what_a_pattern_found_is_not_what_was_asked_for() -> None:
    answer = {
        "name": "prices", "peer": "globex.example", "share": "prices", "start": "earliest", "state": "active",
        "topics": [
            {"source": "us.oil", "destination": "globex.us.oil"}, {"source": "us.gas", "destination": "gas"},
        ],
        "patterns": [{"source": "us.*", "destination": "globex.us.*"}],
        "on_foreign_write": "stop", "on_loss": "stop", "on_timestamp": "stop", "follow_config": False, "groups": [],
    }  # fmt: skip

    assert present.subscription(answer).spec["topics"] == (("us.gas", "gas"), ("us.*", "globex.us.*"))


def test_the_example_of_the_page_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "declare.md").read_text()
    example = page.partition("```yaml\n")[2].partition("```")[0]

    assert [each.kind for each in documents.read(example, "page", "yaml")] == list(Kind)
