"""What tests of Stream Mesh and of programs that use it may build on: fakes, not mocks.

`LocalGateway` is for programs that use `mesh.sdk`; see docs/how-to/test-without-a-gateway.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.testing.local_gateway import LocalGateway

__all__ = ["LocalGateway"]


def __getattr__(name: str) -> object:
    """Only who asks for the gateway pays for gRPC."""
    if name != "LocalGateway":
        raise AttributeError(name)
    from mesh.testing.local_gateway import LocalGateway

    return LocalGateway
