"""The applications of examples/application, against a gateway in memory, run as a shell would run them."""

from __future__ import annotations

import io
import json
import runpy
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from gateway.demo.flights import lines
from gateway.topics.lines import parse_line
from mesh.sdk import NewRecord
from mesh.sdk.errors import TopicAbsent
from mesh.testing import LocalGateway

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "application"
Run: TypeAlias = Callable[..., str]


def load(script: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / script))


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalGateway]:
    with LocalGateway() as gateway:
        for name, value in gateway.environment.items():
            monkeypatch.setenv(name, value)
        yield gateway


@pytest.fixture
def run(gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(script: str, *arguments: str | int, stdin: str = "") -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        load(script)["main"]([str(each) for each in arguments])
        return capsys.readouterr().out

    return run


def flights(count: int) -> list[NewRecord]:
    parsed = [parse_line(line.encode()) for line in lines(0, count)]
    return [NewRecord(each.value, each.key) for each in parsed]


def test_orders_are_published_once_however_often_the_program_runs(gateway: LocalGateway, run: Run) -> None:
    gateway.create_topic("orders", 3)
    orders = [json.dumps({"id": f"{number}", "customer": f"c{number % 4}"}) + "\n" for number in range(10)]
    assert (
        run("publish.py", "orders", stdin="".join(orders[:6]))
        == "6 orders are in orders, 0 of them from an earlier run\n"
    )
    assert "6 of them from an earlier run" in run("publish.py", "orders", stdin="".join(orders))
    found = gateway.records("orders")
    assert sorted(json.loads(record.value or b"")["id"] for record in found) == [f"{number}" for number in range(10)]
    assert all(record.key == json.loads(record.value or b"")["customer"].encode() for record in found)


def test_delays_of_a_partners_flights_are_averaged(gateway: LocalGateway, run: Run) -> None:
    gateway.share("ports.example", "departures", {"departures": 1})
    where = ("--peer", "ports.example", "--share", "departures", "--topic", "departures", "--until-end")
    assert run("aggregate.py", *where).splitlines() == ["carrier  flights  mean delay (min)"]
    gateway.mirror("ports.example.departures", flights(200))
    found = [json.loads(line)["value"] for line in lines(0, 200)]
    united = [each["dep_delay"] for each in found if each["carrier"] == "UA" and each["dep_delay"] is not None]
    (row,) = [line.split() for line in run("aggregate.py", *where).splitlines() if line.startswith("UA")]
    assert row == ["UA", str(len(united)), f"{sum(united) / len(united):.1f}"]
    assert gateway.cursor("delays", "ports.example.departures") == {0: 200}


def test_an_unknown_partner_is_told_with_a_remedy(run: Run) -> None:
    with pytest.raises(SystemExit, match=r"peer 'ports.example' is not known\nlist what there is"):
        run("aggregate.py", "--peer", "ports.example", "--share", "departures", "--topic", "departures")


def test_sums_are_exact_whenever_the_program_is_killed(gateway: LocalGateway, run: Run, tmp_path: Path) -> None:
    gateway.create_topic("flights", 2)
    gateway.mirror("flights", flights(300))
    database = tmp_path / "sums.db"
    example = load("exactly_once.py")

    class Killed(Exception):
        pass

    def dies_before_it_is_stored(connection: sqlite3.Connection, batch: Any, left: list[int] = [3]) -> None:  # noqa: B006
        take(connection, batch)
        left[0] -= 1
        if not left[0]:
            raise Killed

    take = example["take"]
    example["read"].__globals__["take"] = dies_before_it_is_stored
    connection = sqlite3.connect(database)
    with gateway.sync_client() as client, pytest.raises(Killed):
        example["read"](Paged(client), connection, "flights", until_end=True)
    connection.close()
    printed = run("exactly_once.py", "flights", database, "--until-end")
    gateway.mirror("flights", flights(100))
    again = run("exactly_once.py", "flights", database, "--until-end")
    assert [sum(int(line.split()[-4]) for line in each.splitlines()) for each in (printed, again)] == [300, 400]
    assert run("exactly_once.py", "flights", database, "--until-end") == again


class Paged:
    """A client that reads in small batches, so that there is a place between two of them to die at."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, topic: str, **query: Any) -> Any:
        return self._client.read(topic, max_bytes=2000, **query)


def test_a_partners_record_is_found_by_its_offset(gateway: LocalGateway, run: Run) -> None:
    gateway.share("ports.example", "departures", {"departures": 1})
    with gateway.sync_client() as client:
        client.subscribe("ports.example", "departures", {"departures": "ports.departures"})
    gateway.mirror("ports.departures", [NewRecord(b"late", b"LH1"), NewRecord(b"on time", b"LH2")])
    assert run("support_case.py", "departures", "departures", 0, 1) == (
        "our copy is ports.departures[0] at 1: LH2 on time\n"
    )
    assert run("support_case.py", "departures", "departures", 0, 2) == "it has no copy yet: it is not mirrored so far\n"


def test_a_consumer_goes_on_at_the_other_site_where_it_stood(gateway: LocalGateway, run: Run) -> None:
    gateway.create_topic("orders")
    gateway.mirror("orders", [f"order {number}" for number in range(250)])
    here = run("fail_over.py", "orders", "--cursor", "billing", "--max", 120)
    with LocalGateway() as there:
        there.mirror("acme.orders", [f"order {number}" for number in range(250)])
        with there.sync_client() as operator:  # as `mesh groups translate billing --commit` does
            operator.commit("billing", "acme.orders", gateway.cursor("billing", "orders"))
        with pytest.MonkeyPatch.context() as environment:
            for name, value in there.environment.items():
                environment.setenv(name, value)
            rest = run("fail_over.py", "acme.orders", "--cursor", "billing", "--until-end")
    assert (here + rest).splitlines() == [f"order {number}" for number in range(250)]


def test_a_topic_that_is_not_there_ends_an_example_with_the_gateways_words(run: Run) -> None:
    with pytest.raises(TopicAbsent, match="topic 'orders' does not exist on this cluster"):
        run("fail_over.py", "orders", "--cursor", "billing")


def test_every_script_of_the_page_is_there() -> None:
    page = (EXAMPLES / "README.md").read_text()
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        word.strip("`") for word in page.split() if word.startswith("`") and word.endswith(".py`")
    }
