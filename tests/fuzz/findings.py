"""What a target says of one input: what it came to, or a `Finding` where the law was broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mesh.errors import MeshError

ACCEPTED = "accepted"


class Finding(AssertionError):
    """The law was broken; the sentence says how."""


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of input.

    `check` gives ACCEPTED or the code of the error that refused it, and raises anything else where the law is broken.
    """

    name: str
    mutant: Callable[[Random], bytes]
    check: Callable[[bytes], str]
    least_accepted: float = 0.0
    """The share of mutants that must be accepted, or the mutator tests nothing behind the first check."""


def outcome(parse: Callable[[], object]) -> str:
    """ACCEPTED, or the code of the MeshError raised: one that is documented, and that says its sentence."""
    try:
        parse()
    except MeshError as error:
        return said(error)
    return ACCEPTED


def said(error: MeshError) -> str:
    """The code; each documented error has one, and its sentences hold whatever its data are."""
    if not error.code:
        raise Finding(f"{type(error).__name__} has no code")
    if not str(error) or len(str(error)) > 20_000:
        raise Finding(f"{error.code} says {len(str(error))} characters")
    _ = error.remedy
    return error.code
