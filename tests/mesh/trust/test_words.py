from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.trust.enrolment_errors import WordsMalformed
from mesh.trust.word_list import WORD_LIST
from mesh.trust.words import ENTROPY_BYTES, parse_words, spoken, words_of


def test_there_are_2048_words_in_order_and_each_is_known_by_its_first_four_letters() -> None:
    assert len(WORD_LIST) == 2048
    assert list(WORD_LIST) == sorted(WORD_LIST)
    assert len({word[:4] for word in WORD_LIST}) == 2048
    assert all(re.fullmatch("[a-z]{4,8}", word) for word in WORD_LIST)


@pytest.mark.parametrize(
    ("entropy", "words"),
    [
        (bytes(9), " ".join([WORD_LIST[0]] * 6)),
        (b"\xff" * 9, " ".join([WORD_LIST[-1]] * 6)),
        (
            bytes([0, 0x20, 0x08, 0x01, 0x80, 0x40, 0x0A, 0x01, 0x80]),
            " ".join(WORD_LIST[n] for n in (1, 2, 3, 4, 5, 6)),
        ),
    ],
)
def test_words_are_eleven_bits_each_from_the_front(entropy: bytes, words: str) -> None:
    assert spoken(words_of(entropy)) == words


@given(st.binary(min_size=ENTROPY_BYTES, max_size=40))
def test_what_is_spoken_is_understood(entropy: bytes) -> None:
    words = words_of(entropy)
    assert parse_words(spoken(words)) == words
    assert parse_words(f"  {'-'.join(words).upper()}\n") == words
    assert parse_words(",\t".join(words)) == words


@given(st.text(max_size=300))
def test_anything_typed_gives_six_words_or_a_sentence(text: str) -> None:
    with suppress(WordsMalformed):
        assert len(parse_words(text)) == 6


def test_a_wrong_word_is_named_by_its_place() -> None:
    with pytest.raises(WordsMalformed, match="word 3 is not in the list") as caught:
        parse_words("abacus abbey sekret above abroad absent")
    assert "sekret" not in str(caught.value)
    with pytest.raises(WordsMalformed, match="there are 5 words, not 6"):
        parse_words("abacus abbey above abroad absent")
