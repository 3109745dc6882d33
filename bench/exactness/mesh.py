"""Two gateways with their defaults as a mirror: positions by `mesh groups`, trouble by status."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.exactness.topics import TOPICS
from tests.support.organization import Organization, wait_for

SHARE = "exactness"


@dataclass
class Mesh:
    """acme.example exports from the source's broker, globex.example imports; SIGKILL strikes both."""

    acme: Organization
    globex: Organization
    name: str = "mesh"

    @classmethod
    def make(cls, directory: Path, source: str, destination: str) -> Mesh:
        acme = Organization.init(directory / "acme", "acme.example", "--kafka", source)
        globex = Organization.init(directory / "globex", "globex.example", "--kafka", destination)
        return cls(acme, globex)

    def copy(self, topic: str) -> str:
        return f"mesh.{topic}"

    def begin(self) -> None:
        """Start, pair, share and subscribe."""
        self.start()
        self.acme.pair(self.globex)
        self.acme.mesh("share", "create", SHARE, *(word for topic in TOPICS for word in ("--topic", topic)))
        self.acme.mesh("grant", "create", SHARE, "--to", self.globex.org, "--groups", "read")
        wait_for("a link", lambda: self.globex.mesh("status", "--json").json["links"])
        topics = [word for topic in TOPICS for word in ("--topic", f"{topic}={self.copy(topic)}")]
        self.globex.mesh("subscribe", f"acme.example/{SHARE}", *topics)

    def start(self) -> None:
        self.acme.start()
        self.globex.start()

    def kill(self) -> None:
        self.globex.kill()
        self.acme.kill()

    def stop(self) -> None:
        self.globex.stop()
        self.acme.stop()

    def shown(self) -> dict[str, str]:
        return {"every setting": "its default"}

    def positions(self, groups: dict[str, str]) -> dict[str, int]:
        """Where each group (with its topic) goes on, as `mesh groups translate` says."""
        found = {}
        for group, topic in groups.items():
            said = self.globex.mesh("groups", "translate", group, "--subscription", SHARE, "--json").json
            for each in said["positions"]:
                if each["topic"] == topic and each["destination_position"] is not None:
                    found[group] = int(each["destination_position"])
        return found

    def complaints(self, topic: str) -> list[str]:
        """What its status says of a lane of the topic that does not run."""
        return [
            f"{lane['state']}: {lane['reason']} ({lane['code']})"
            for lane in self.globex.lanes()
            if lane["topic"] == topic and lane["code"]
        ]
