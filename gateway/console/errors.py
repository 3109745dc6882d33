"""What the console refuses beyond the admin API behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, OperatorError


@dataclass(eq=False)
class SessionRefused(CallerError):
    code: ClassVar[str] = "session-refused"
    sentence: ClassVar[str] = "nobody is logged in here, or the session has ended"
    hint: ClassVar[str] = "log in with the admin token, or open the address that this prints: mesh console"
    status: ClassVar[int] = 401


@dataclass(eq=False)
class LoginRefused(CallerError):
    what: str

    code: ClassVar[str] = "login-refused"
    sentence: ClassVar[str] = "this is no valid {what}"
    hint: ClassVar[str] = "paste the content of admin.token in the gateway's state directory, or run: mesh console"
    status: ClassVar[int] = 401


@dataclass(eq=False)
class PageForeign(CallerError):
    why: str

    code: ClassVar[str] = "page-foreign"
    sentence: ClassVar[str] = "the request does not come from the console's own page: {why}"
    hint: ClassVar[str] = "open the console at the address that this prints: mesh console"
    status: ClassVar[int] = 403


@dataclass(eq=False)
class TooManyPages(OperatorError):
    most: int

    code: ClassVar[str] = "too-many-pages"
    sentence: ClassVar[str] = "{most} pages of the console are live already"
    hint: ClassVar[str] = "close some, here or wherever else the console is open; this one tries again by itself"
    retriable: ClassVar[bool] = True
