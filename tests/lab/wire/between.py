"""The wires of a run: between the two gateways, whoever dials, and between each gateway and its broker.

wires = Between.put(source, copy, seed)      # before their first start and before they pair
wires.weather(Toward.COPY, is_held=True)     # what the source's gateway sends does not arrive
wires.calm()

with behind_proxy(BrokerConfig(), seed) as (broker, proxy): ...    # the gateway dials proxy.address
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tests.lab.wire.proxy import Proxy
from tests.lab.wire.weather import Counters, Way, add
from tests.support.brokers import Broker, BrokerConfig
from tests.support.organization import Organization


class Toward(StrEnum):
    """Which of the two gateways the bytes of a direction go to."""

    SOURCE = "source"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Between:
    """A proxy before each of the gateways; each is what the other dials."""

    before_source: Proxy
    before_copy: Proxy

    @classmethod
    def put(cls, source: Organization, copy: Organization, seed: int) -> Between:
        """From the next start and the next export of their addresses on."""
        made = cls(Proxy(source.peers, seed), Proxy(copy.peers, seed + 1))
        source.advertised = (made.before_source.address,)
        copy.advertised = (made.before_copy.address,)
        return made

    @property
    def proxies(self) -> tuple[Proxy, Proxy]:
        return self.before_source, self.before_copy

    def weather(self, toward: Toward | None = None, **changed: Any) -> None:
        for proxy, way in self._ways(toward):
            proxy.weather(way, **changed)

    def calm(self) -> None:
        for proxy in self.proxies:
            proxy.calm()
            proxy.admit()

    def reset(self) -> int:
        return sum(proxy.reset() for proxy in self.proxies)

    def forsake(self, toward: Toward) -> None:
        """The gateway there is told that its connections broke, the other one is not."""
        for proxy, way in self._ways(toward):
            proxy.forsake(way)

    def refuse(self) -> None:
        for proxy in self.proxies:
            proxy.refuse()

    def open_connections(self) -> int:
        return sum(proxy.open_connections() for proxy in self.proxies)

    def counters(self) -> Counters:
        """Of both; bytes by where they go: `Way.TO_SERVER` is toward the source."""
        toward_copy = self.before_copy.counters()
        return add(self.before_source.counters(), toward_copy.turned())

    def close(self) -> None:
        for proxy in self.proxies:
            proxy.close()

    def _ways(self, toward: Toward | None) -> Iterator[tuple[Proxy, Way]]:
        for proxy, home in ((self.before_source, Toward.SOURCE), (self.before_copy, Toward.COPY)):
            for way in Way:
                leads = home if way is Way.TO_SERVER else _other(home)
                if toward in {None, leads}:
                    yield proxy, way


def _other(toward: Toward) -> Toward:
    return Toward.COPY if toward is Toward.SOURCE else Toward.SOURCE


class WiredBroker(Broker):
    """A broker with a proxy before it: who dials `wire.address` stays with it, `address` leads past it."""

    def __init__(self, config: BrokerConfig) -> None:
        super().__init__(replace(config, behind=True))
        self.wire = Proxy(self.behind_address)
        self.front = self.wire.address

    def stop(self) -> None:
        super().stop()
        self.wire.close()
