"""JSON that somebody else wrote, or a disk may have changed: any text gives a value or a ValueError."""

from __future__ import annotations

import json
from typing import Any


def read_json(text: str | bytes) -> Any:
    """The value in `text`. Raises ValueError, also of brackets within brackets that nobody writes in good faith."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets within brackets") from error
