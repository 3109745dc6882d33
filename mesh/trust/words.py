"""Six words out of 2,048: 66 bits that people can read to each other.

A. What was typed never stands in an error: a mistyped secret is still most of the secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from mesh.trust.enrolment_errors import WordsMalformed
from mesh.trust.word_list import WORD_LIST

Words: TypeAlias = tuple[str, ...]

COUNT = 6
BITS_PER_WORD = 11
ENTROPY_BYTES = 9
"""72 bits, of which the first 66 are used."""
MAX_CHARACTERS = 256

_NUMBERS = {word: number for number, word in enumerate(WORD_LIST)}


def words_of(entropy: bytes) -> Words:
    """The six words that the first 66 bits of `entropy` (9 bytes or more) stand for."""
    assert len(entropy) >= ENTROPY_BYTES
    number = int.from_bytes(entropy[:ENTROPY_BYTES], "big") >> (8 * ENTROPY_BYTES - COUNT * BITS_PER_WORD)
    indices = ((number >> (BITS_PER_WORD * place)) % len(WORD_LIST) for place in reversed(range(COUNT)))
    return tuple(WORD_LIST[index] for index in indices)


def parse_words(text: str) -> Words:
    """The six words in `text`, in any case, apart by blanks, commas or hyphens. Raises WordsMalformed."""
    if len(text) > MAX_CHARACTERS:
        raise WordsMalformed("that is too long")
    words = tuple(word for word in re.split(r"[\s,-]+", text.strip().lower()) if word)
    if len(words) != COUNT:
        raise WordsMalformed(f"there are {len(words)} words, not {COUNT}")
    for place, word in enumerate(words, 1):
        if word not in _NUMBERS:
            raise WordsMalformed(f"word {place} is not in the list: it may be misheard or mistyped")
    return words


def spoken(words: Sequence[str]) -> str:
    return " ".join(words)
