"""Who is logged in. Pure but for the random bytes: the clock is an argument.

A. A session takes two secrets: the cookie, which scripts cannot read, and the key, which only pages of this very
   origin can. Browsers send a cookie of 127.0.0.1 to every port of it, so another program of this machine may get to
   see the cookie; without the key it is worth nothing.
B. A session ends after SESSION_S, when the token that opened it is no longer valid, and when as many as there may be
   came after it. None outlives the process.
C. Only hashes of cookie, key, code and token are kept.
D. A code opens one session, within CODE_S: it is what `mesh console` puts behind the address that it prints.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

SESSION_S = 12 * 3600.0
MAX_SESSIONS = 16
CODE_S = 60.0
MAX_CODES = 8


class Opened(NamedTuple):
    """The secrets of a new session, in clear for this once."""

    cookie: str
    key: str


@dataclass(frozen=True, slots=True)
class Session:
    key: bytes
    token: bytes
    ends_s: float


@dataclass(frozen=True, slots=True)
class Code:
    token: bytes
    ends_s: float


class Sessions:
    """`tokens` gives the valid admin tokens, `clock` seconds that only rise."""

    def __init__(self, tokens: Callable[[], Iterable[str]], clock: Callable[[], float]) -> None:
        self._tokens = tokens
        self._clock = clock
        self._open: dict[bytes, Session] = {}
        self._codes: dict[bytes, Code] = {}

    def __repr__(self) -> str:
        return f"<Sessions {len(self._open)} open, {len(self._codes)} codes>"

    def login(self, token: str) -> Opened | None:
        """None where `token` is not valid."""
        found = self._valid(_hash(token.strip()))
        return self._opened(found) if found else None

    def code(self) -> str | None:
        """A code for one login, as good as the first valid token; None where there is none."""
        token = next((_hash(each) for each in self._tokens() if each), None)
        if token is None:
            return None
        made = secrets.token_urlsafe(24)
        _make_room(self._codes, MAX_CODES)
        self._codes[_hash(made)] = Code(token, self._clock() + CODE_S)
        return made

    def redeem(self, code: str) -> Opened | None:
        """None where `code` is unknown, used, too old, or of a token that is no longer valid."""
        found = self._codes.pop(_hash(code), None)
        if found is None or self._clock() >= found.ends_s or not self._valid(found.token):
            return None
        return self._opened(found.token)

    def find(self, cookie: str, key: str) -> Session | None:
        """The session that both secrets open (A, B)."""
        name = _hash(cookie)
        session = self._open.get(name)
        if session is None:
            return None
        if not self.is_alive(session):
            self._open.pop(name, None)
            return None
        return session if hmac.compare_digest(session.key, _hash(key)) else None

    def is_alive(self, session: Session) -> bool:
        """Whether it may go on: asked again by whoever streams for hours."""
        is_known = any(each is session for each in self._open.values())
        return is_known and self._clock() < session.ends_s and self._valid(session.token) is not None

    def end(self, cookie: str) -> None:
        self._open.pop(_hash(cookie), None)

    def _opened(self, token: bytes) -> Opened:
        opened = Opened(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        _make_room(self._open, MAX_SESSIONS)
        self._open[_hash(opened.cookie)] = Session(_hash(opened.key), token, self._clock() + SESSION_S)
        return opened

    def _valid(self, token: bytes) -> bytes | None:
        # every token is compared, so that time does not say which of them was close
        matches = [hmac.compare_digest(token, _hash(each)) for each in self._tokens() if each]
        return token if any(matches) else None


def _make_room(held: dict[bytes, Session] | dict[bytes, Code], most: int) -> None:
    """The oldest go first."""
    while len(held) >= most:
        del held[next(iter(held))]


def _hash(text: str) -> bytes:
    # bytes that are no text reach us as lone surrogates
    return sha256(text.encode("utf-8", "surrogateescape")).digest()
