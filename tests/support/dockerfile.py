"""Reads a Dockerfile and a .dockerignore as far as ours go: stages, instructions, and what the build gets to see."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

INSTRUCTIONS = frozenset(
    {"ARG", "FROM", "RUN", "WORKDIR", "COPY", "ENV", "LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
    | {"ENTRYPOINT", "CMD"}
)
_PAIR = re.compile(r'([A-Za-z0-9_.]+)=("(?:[^"\\]|\\.)*"|\S+)')


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """Of the exec form. Raises ValueError for the shell form."""
        return [str(word) for word in json.loads(self.rest)]

    @property
    def pairs(self) -> dict[str, str]:
        """Of ENV and LABEL."""
        return {key: value.strip('"') for key, value in _PAIR.findall(self.rest)}


@dataclass(slots=True)
class Stage:
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def one(self, name: str) -> Instruction:
        (found,) = self.all(name)
        return found

    def environment(self) -> dict[str, str]:
        return {key: value for each in self.all("ENV") for key, value in each.pairs.items()}


def read(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first stage with their defaults, and the stages. Raises ValueError."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.name == "FROM":
            base, _, name = instruction.rest.partition(" AS ")
            stages.append(Stage(base.strip(), name.strip()))
        elif stages:
            stages[-1].instructions.append(instruction)
        elif instruction.name == "ARG":
            name, _, value = instruction.rest.partition("=")
            arguments[name] = value
        else:
            raise ValueError(f"{instruction.name} before the first FROM")
    return arguments, stages


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    found = []
    for line in filter(str.strip, whole.splitlines()):
        name, _, rest = line.strip().partition(" ")
        if name not in INSTRUCTIONS:
            raise ValueError(f"{name} is no instruction that we use")
        found.append(Instruction(name, " ".join(rest.split())))
    return found


def is_left_out(path: str, patterns: Sequence[str]) -> bool:
    """Whether a .dockerignore of these lines keeps `path` out of the build.

    The last pattern that fits it, or a directory above it, decides.
    """
    left_out = False
    places = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
    for line in patterns:
        pattern = line.strip()
        if pattern and not pattern.startswith("#") and any(_fits(place, pattern.removeprefix("!")) for place in places):
            left_out = not pattern.startswith("!")
    return left_out


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        rest, parts = pattern[3:], PurePosixPath(path).parts
        return any(_fits("/".join(parts[index:]), rest) for index in range(len(parts)))
    parts, wanted = PurePosixPath(path).parts, PurePosixPath(pattern).parts
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
