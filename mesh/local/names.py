"""What an application and the gateway beside it call things, on the wire and in the gateway's state directory."""

from __future__ import annotations

SERVICE = "mesh.local.v1.Local"
TOKEN_METADATA = "mesh-api-token"
"""The header of HTTP, too."""
ERROR_METADATA = "mesh-error-bin"
KEY_HEADER = "mesh-idempotency-key"
"""Of each record of a request with an idempotency key, in the log: by it a gateway knows what it has appended."""
TOKEN_NAME = "local.token"
PORTS_NAME = "ports.json"
