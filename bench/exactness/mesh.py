"""Two gateways with their defaults as a mirror: positions by offset translation, trouble by status."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        self.acme.share(SHARE, self.globex, *TOPICS)
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

    def position(self, topic: str, committed: int, end: int) -> int | None:
        """Where a group goes on that had committed a source offset: after the copy of what it read last."""
        if not committed:
            return 0
        asked = ("--topic", topic, "--partition", "0", "--offset", str(committed - 1), "--json")
        answer = self.globex.try_mesh("offsets", "translate", SHARE, *asked)
        if answer.code:
            return None
        found: dict[str, Any] = json.loads(answer.out)
        if found["answer"] == "exact":
            return int(found["destination_offset"]) + 1
        return end if found["destination_offset"] is None else int(found["destination_offset"])

    def complaints(self, topic: str) -> list[str]:
        """What its status says of a lane of the topic that does not run."""
        return [
            f"{lane['state']}: {lane['reason']} ({lane['code']})"
            for lane in self.globex.lanes()
            if lane["topic"] == topic and lane["code"]
        ]
