"""Who is logged in, and for how long."""

from __future__ import annotations

import pytest

from gateway.console.sessions import CODE_S, MAX_CODES, MAX_SESSIONS, SESSION_S, Opened, Sessions


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def tokens() -> list[str]:
    return ["first", "second"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tokens: list[str], clock: Clock) -> Sessions:
    return Sessions(lambda: tokens, clock)


def opened(sessions: Sessions, token: str = "first") -> Opened:
    found = sessions.login(token)
    assert found is not None
    return found


@pytest.mark.parametrize("token", ["first", "second", " first\n"])
def test_each_valid_token_opens_a_session(sessions: Sessions, token: str) -> None:
    assert sessions.find(*opened(sessions, token)) is not None


@pytest.mark.parametrize("token", ["", "firs", "first second", "\udcff"])
def test_what_is_no_token_opens_none(sessions: Sessions, token: str) -> None:
    assert sessions.login(token) is None


def test_neither_secret_is_worth_anything_alone(sessions: Sessions) -> None:
    one, other = opened(sessions), opened(sessions)
    for cookie, key in ((one.cookie, ""), ("", one.key), (one.cookie, other.key), (one.key, one.cookie)):
        assert sessions.find(cookie, key) is None
    assert sessions.find(*one) is not None


def test_a_session_ends_after_its_time(sessions: Sessions, clock: Clock) -> None:
    found = opened(sessions)
    session = sessions.find(*found)
    assert session is not None
    clock.now_s += SESSION_S - 1
    assert sessions.is_alive(session)
    clock.now_s += 1
    assert not sessions.is_alive(session)
    assert sessions.find(*found) is None


def test_a_session_ends_with_the_token_that_opened_it(sessions: Sessions, tokens: list[str]) -> None:
    one, other = opened(sessions, "first"), opened(sessions, "second")
    tokens[:] = ["second", "third"]
    assert sessions.find(*one) is None
    assert sessions.find(*other) is not None


def test_a_session_that_was_ended_streams_no_more(sessions: Sessions) -> None:
    found = opened(sessions)
    session = sessions.find(*found)
    assert session is not None
    sessions.end(found.cookie)
    assert not sessions.is_alive(session)


def test_the_oldest_session_makes_room(sessions: Sessions) -> None:
    found = [opened(sessions) for _ in range(MAX_SESSIONS + 1)]
    assert [sessions.find(*each) is None for each in found] == [True] + [False] * MAX_SESSIONS
    assert repr(sessions) == f"<Sessions {MAX_SESSIONS} open, 0 codes>"


def test_a_code_logs_in_once_and_within_its_time(sessions: Sessions, clock: Clock) -> None:
    code, late = sessions.code(), sessions.code()
    assert code is not None
    assert late is not None
    found = sessions.redeem(code)
    assert found is not None
    assert sessions.find(*found) is not None
    assert sessions.redeem(code) is None
    clock.now_s += CODE_S
    assert sessions.redeem(late) is None


def test_a_code_is_worth_no_more_than_its_token(sessions: Sessions, tokens: list[str]) -> None:
    code = sessions.code()
    assert code is not None
    tokens.clear()
    assert sessions.redeem(code) is None
    assert sessions.code() is None


def test_codes_are_bounded(sessions: Sessions) -> None:
    first = sessions.code()
    assert first is not None
    for _ in range(MAX_CODES):
        sessions.code()
    assert sessions.redeem(first) is None
