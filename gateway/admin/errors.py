"""What the admin API alone refuses; the rest is in `gateway.http.errors`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError


@dataclass(eq=False)
class TokenRefused(CallerError):
    code: ClassVar[str] = "token-refused"
    sentence: ClassVar[str] = "the request carries no valid admin token"
    hint: ClassVar[str] = "send the content of the state directory's admin.token file as 'Authorization: Bearer …'"
    status: ClassVar[int] = 401
