"""A sum in a JSON file of ours, so that what a disk has changed in it is not believed.

It protects from damage, not from people: whoever may write the file may write the sum, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FIELD = "sum"


def summed(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document`, which holds nothing but JSON, with its sum as the last field."""
    return {**document, FIELD: _sum(document)}


def check_sum(document: Any) -> dict[str, Any]:
    """What `summed` was given. Raises ValueError where it is not that any more."""
    if not isinstance(document, dict) or FIELD not in document:
        raise ValueError("it has no sum")
    rest = {name: value for name, value in document.items() if name != FIELD}
    if document[FIELD] != _sum(rest):
        raise ValueError("its content does not fit its sum")
    return rest


def _sum(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
