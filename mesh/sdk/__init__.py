"""What an application uses of Stream Mesh: `Client` for asyncio, `mesh.sdk.sync.Client` for everything else.

    from mesh.sdk import Client

    async with Client() as client:
        await client.publish("orders", "hello", key="4711")

Tests of an application need no gateway: `mesh.testing.LocalGateway` is one in memory. See
docs/how-to/use-from-an-application.md.
"""

from mesh.sdk.client import Client
from mesh.sdk.errors import GatewayError, GatewayUnreachable, PublishUnknown
from mesh.sdk.reader import Reader
from mesh.sdk.values import (
    Batch,
    Catalog,
    Cursor,
    Headers,
    Lane,
    NewRecord,
    Published,
    Record,
    SharedTopic,
    Status,
    Subscription,
    Topic,
    Translation,
)

__all__ = [
    "Batch",
    "Catalog",
    "Client",
    "Cursor",
    "GatewayError",
    "GatewayUnreachable",
    "Headers",
    "Lane",
    "NewRecord",
    "PublishUnknown",
    "Published",
    "Reader",
    "Record",
    "SharedTopic",
    "Status",
    "Subscription",
    "Topic",
    "Translation",
]
