"""The console as a person uses it: a real Chromium, pages found by what stands on them, clicks.

    with chromium() as browser:
        console = Console.open(browser, acme)      # logs in with the address that `mesh console` prints
        console.go("/shares/new")
        console.page.get_by_label("Name").fill("flights")

A script error, a request that leaves the gateway, or anything that the page's policy refuses fails the test at `close`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support.organization import Organization

PATIENCE_MS = 30_000
WIDTH, HEIGHT = 1280, 860
NAMES = ("chromium", "chromium-browser", "google-chrome")
# 401 is how a page learns that its session has ended; a refusal of the gateway is shown by the page
EXPECTED = re.compile(r"Failed to load resource|\[DOM\]")
# Of axe's rules, what is no fault of the page: none.
SERIOUS = {"serious", "critical"}
Scheme = Literal["light", "dark"]


def executable() -> str:
    named = os.environ.get("MESH_CHROMIUM")
    found = next(filter(None, map(shutil.which, (named,) if named else NAMES)), None)
    assert found, "no Chromium: run `make browser`, or name one with MESH_CHROMIUM"
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Without a network but the loopback: what the page needs, it has from the gateway."""
    arguments = [
        "--no-proxy-server",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Console:
    """One reader's console of one organization, in a browser context of its own."""

    organization: Organization
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Browser, organization: Organization, scheme: Scheme = "light", **more: Any) -> Console:
        console = cls.at_login(browser, organization, scheme, **more)
        console.page.goto(str(organization.mesh("console", "--json").json["address"]))
        expect(console.page.get_by_text("live", exact=True)).to_be_visible()
        return console

    @classmethod
    def at_login(cls, browser: Browser, organization: Organization, scheme: Scheme = "light", **more: Any) -> Console:
        given = {"color_scheme": scheme, "viewport": {"width": WIDTH, "height": HEIGHT}, "reduced_motion": "reduce"}
        context = browser.new_context(**{**given, **more})
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        console = cls(organization, context, context.new_page())
        console.page.on("console", console._said)
        console.page.on("pageerror", lambda error: console.faults.append(str(error)))
        console.page.on("request", console._asked)
        return console

    @property
    def url(self) -> str:
        return f"http://{self.organization.admin}/console/"

    def go(self, path: str) -> None:
        """A page of the console, as soon as it shows what it is about."""
        self.page.goto(f"{self.url}#{path}")
        expect(self.page.locator("main h1")).to_be_visible()
        expect(self.page.get_by_text("Asking the gateway …")).to_have_count(0)

    def axe(self, *rules: str) -> list[str]:
        """What is serious for those who use it by keyboard or screen reader; by all rules, or by `rules` alone."""
        options = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else None
        found = Axe().run(self.page, options=options).response["violations"]
        return [_fault(each) for each in found if each["impact"] in SERIOUS]

    def close(self) -> None:
        self.context.close()
        assert not self.faults, self.faults

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not EXPECTED.search(message.text):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"http://{self.organization.admin}/", "blob:")):
            self.faults.append(f"asked elsewhere: {request.url}")


def _fault(violation: dict[str, Any]) -> str:
    nodes = "; ".join(f"{node['html'][:160]}: {node['failureSummary']}" for node in violation["nodes"][:3])
    return f"{violation['id']} ({violation['impact']}): {nodes}"


def pair_by_clicks(inviting: Console, invited: Console) -> None:
    """One invites, the other accepts, both compare the words."""
    one, other = inviting.page, invited.page
    inviting.go("/pair")
    one.get_by_label("The partner's domain").fill(invited.organization.org)
    one.get_by_text("More", exact=True).click()
    one.get_by_label("The partner's addresses may be private").check()
    one.get_by_role("button", name="Make the invite").click()
    file = one.get_by_role("group", name="the invite").inner_text()
    words = one.get_by_role("group", name="the words").inner_text()

    invited.go("/pair?way=accept")
    other.get_by_label("The invite", exact=True).fill(file)
    other.get_by_label("Its six words").fill(words)
    other.get_by_text("More", exact=True).click()
    other.get_by_label("The partner's addresses may be private").check()
    other.get_by_role("button", name="Accept", exact=True).click()
    phrase = other.get_by_label("Your six words").inner_text()

    one.get_by_role("button", name="Done").click()
    for page, heard in ((one, phrase), (other, one.get_by_label("Your six words").inner_text())):
        page.get_by_label("The words of the other side").fill(heard)
        page.get_by_role("button", name="Approve", exact=True).click()


def share_by_clicks(console: Console, name: str, topic: str, partner: str) -> None:
    page = console.page
    console.go("/shares/new")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("checkbox", name=topic).check()
    page.get_by_role("button", name="Make the share").click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    page.get_by_label("Partner", exact=True).select_option(partner)
    page.get_by_role("button", name="Grant", exact=True).click()
    expect(page.get_by_role("region", name=f"Who has {name}").get_by_text("in force")).to_be_visible()


def subscribe_by_clicks(console: Console, partner: str, share: str, start: str = "earliest") -> None:
    page = console.page
    console.go(f"/subscribe?peer={partner}")
    page.get_by_role("button", name=share).click()
    page.get_by_label("Begin").select_option(start)
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_role("region", name="Plan")).to_be_visible()
    page.get_by_role("button", name="Subscribe", exact=True).click()
    expect(page.get_by_role("heading", name="Lanes")).to_be_visible()
