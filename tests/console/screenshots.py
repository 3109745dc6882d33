"""The pictures of docs/console.md: `make screenshots`, or `python -m tests.console.screenshots DIRECTORY [NAME …]`.

Five organizations on the embedded log: `acme.example` is looked at; one takes from it, one gives to it, one does both,
one is away and one waits to be approved. Records flow for as long as the plots need.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import expect

from tests.support.console import Console, Scheme, chromium
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.ports import free_ports

MAX_BYTES = 150_000
PICTURE_WIDTH = 1160
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
FLOW_S = 100.0
FAST = ("timing.reconnect_initial_s=0.05", "timing.reconnect_max_s=0.5")
# name, page, height of the window, what is done before, scheme
PICTURES: tuple[tuple[str, str, int, Scheme], ...] = (
    ("map", "/map", 850, "light"),
    ("map-dark", "/map", 850, "dark"),
    ("subscription", "/subscriptions/weather", 950, "light"),
    ("subscription-dark", "/subscriptions/weather", 950, "dark"),
    ("share", "/share/flights", 720, "light"),
    ("offsets", "/translate?subscription=orders", 640, "light"),
    ("peer", "/peers/globex.example", 820, "light"),
    ("pending", "/peers/hooli.example", 620, "light"),
    ("pair", "/pair", 720, "light"),
    ("subscribe", "/subscribe?peer=initech.example", 900, "light"),
    ("certificates", "/certificates", 820, "dark"),
    ("audit", "/audit", 640, "light"),
    ("login", "", 560, "light"),
)


class World:
    def __init__(self, home: Path) -> None:
        names = ("acme", "globex", "initech", "umbrella", "hooli")
        self.all = [self._made(home / name, f"{name}.example") for name in names]
        self.acme, self.globex, self.initech, self.umbrella, self.hooli = self.all
        self._numbers = itertools.count()

    @staticmethod
    def _made(home: Path, org: str) -> Organization:
        made = Organization.init(home, org)
        made.settings = (*FAST, f"listen.enrolment=127.0.0.1:{free_ports(1)[0]}")
        return made

    def build(self) -> None:
        acme, globex, initech, umbrella, hooli = self.all
        for each in self.all:
            each.start()
        made = (
            (acme, {"departures": 3, "arrivals": 1}),
            (globex, {"orders": 1}),
            (initech, {"observations": 4, "forecasts": 2}),
            (umbrella, {"parcels": 2}),
        )
        for each, topics in made:
            for topic, partitions in topics.items():
                each.mesh("topic", "create", topic, "--partitions", str(partitions))
        for each in (globex, initech, umbrella):
            acme.pair(each)
        globex.append("orders", self.records(37))
        acme.share("flights", globex, "departures", "arrivals")
        acme.mesh("grant", "create", "flights", "--to", umbrella.org)
        acme.mesh("share", "create", "gates", "--topic", "arrivals")
        globex.share("orders", acme, "orders")
        initech.share("weather", acme, "observations", "forecasts")
        umbrella.share("parcels", acme, "parcels")
        globex.append("orders", self.records(4000))
        subscribe = ("subscribe", "--from", "earliest")
        wait_for(
            "the catalogs",
            lambda: all(acme.try_mesh("catalog", "--peer", each.org).code == 0 for each in (globex, initech, umbrella)),
        )
        globex.mesh(
            *subscribe,
            "acme.example/flights",
            "--topic",
            "departures=acme.departures",
            "--topic",
            "arrivals=acme.arrivals",
        )
        acme.mesh("topic", "create", "globex.orders")
        acme.mesh("subscribe", "globex.example/orders", "--topic", "orders=globex.orders", "--from", "offset:25")
        acme.mesh(
            *subscribe,
            "initech.example/weather",
            "--topic",
            "observations=initech.observations",
            "--topic",
            "forecasts=initech.forecasts",
        )
        acme.mesh(*subscribe, "umbrella.example/parcels", "--topic", "parcels=umbrella.parcels")
        self._invite(hooli)
        umbrella.stop()

    def _invite(self, invited: Organization) -> None:
        """acme has been invited by somebody whom nobody has approved yet."""
        file = invited.home / "invite.json"
        more = ("--allow-private-addresses", "--json")
        made = invited.mesh("peer", "invite", "--expect-domain", self.acme.org, "--output", str(file), *more).json
        self.acme.mesh("peer", "accept", str(file), "--words-file", "-", *more, stdin=str(made["words"]).encode())

    def records(self, count: int) -> Iterator[dict[str, object]]:
        for number in itertools.islice(self._numbers, count):
            yield {"key": f"N{number % 997}", "value": {"number": number, "at": f"gate {number % 40}"}}

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Records come in waves, until the end."""
        ended = threading.Event()

        def flow() -> None:
            draw = random.Random(7)
            weather = [(self.initech, "observations"), (self.initech, "forecasts")]
            streams = [*weather, (self.acme, "departures"), (self.globex, "orders")]
            while not ended.wait(0.2):
                wave = 1 + 4 * (int(time.monotonic() / 12) % 3 == 0)
                for each, topic in streams:
                    append(each, topic, self.records(wave * draw.randint(60, 120)))

        thread = threading.Thread(target=flow)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def append(to: Organization, topic: str, records: Iterator[dict[str, object]]) -> None:
    """From another thread than the one that gives commands, whose streams are the process's."""
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    token = (to.home / "state" / "admin.token").read_text().split()[0]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    asked = urllib.request.Request(f"http://{to.admin}/v1/topics/{topic}/records", lines, headers)
    with urllib.request.urlopen(asked) as answer:
        answer.read()


def prepare(console: Console, name: str) -> None:
    """What is typed or clicked before the picture is taken."""
    page = console.page
    if name == "offsets":
        page.get_by_label("Source offset").fill("1234")
        expect(page.locator(".strip svg rect").first).to_be_visible()
    if name == "peer":
        page.get_by_role("button", name="Look from here to there").click()
        expect(page.get_by_text("nothing is in the way").or_(page.get_by_text("Nothing is in the way"))).to_be_visible()
    if name == "subscribe":
        page.get_by_role("button", name="weather").click()
    if name == "pair":
        page.get_by_label("The partner's domain").fill("wayne.example")
    if name.startswith("subscription"):
        expect(page.locator(".plot .line").first).to_be_visible()


def main(directory: Path, wanted: list[str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    large: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mesh-console-") as home, ExitStack() as stack:
        world = World(Path(home))
        stack.enter_context(stop_all(*world.all))
        world.build()
        stack.enter_context(world.flowing())
        time.sleep(FLOW_S if not wanted else FLOW_S / 4)  # a plot needs a past
        browser = stack.enter_context(chromium())
        readers = {scheme: Console.open(browser, world.acme, scheme) for scheme in SCHEMES}
        stranger = Console.at_login(browser, world.acme)
        for name, path, height, scheme in PICTURES:
            if wanted and name not in wanted:
                continue
            console = readers[scheme] if path else stranger
            console.page.set_viewport_size({"width": PICTURE_WIDTH, "height": height})
            if path:
                console.go(path)
            else:
                console.page.goto(console.url)
                expect(console.page.get_by_text("gateway gw-1")).to_be_visible()
            prepare(console, name)
            console.page.mouse.move(2, 2)
            console.page.wait_for_timeout(1500)
            picture = directory / f"{name}.png"
            console.page.screenshot(path=picture, animations="disabled", caret="hide")
            size = picture.stat().st_size
            large += [picture.name] if size >= MAX_BYTES else []
            print(f"{picture} {size // 1000} kB", flush=True)
        for console in (*readers.values(), stranger):
            console.close()
    assert not large, f"larger than {MAX_BYTES} bytes: {large}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
