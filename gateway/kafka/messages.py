"""Every request but the two hot ones: `kio`'s typed messages over our connection."""

from __future__ import annotations

import io
from typing import TypeVar

from kio.serial import entity_writer
from kio.static.protocol import RequestPayload, ResponsePayload

from gateway.kafka.answers import UNREADABLE, reader_of
from gateway.kafka.connection import Api, Connection
from gateway.kafka.wire import read_tags
from mesh.cluster_errors import ClusterUnreachable

Response = TypeVar("Response", bound=ResponsePayload)


async def call(connection: Connection, request: RequestPayload, response: type[Response], timeout_s: float) -> Response:
    """One request and its answer, of the same version. Raises ClusterUnreachable."""
    kind = type(request)
    assert kind.__version__ == response.__version__, "request and response of one version belong together"
    out = io.BytesIO()
    entity_writer(kind)(out, request)
    api = Api(kind.__api_key__, kind.__version__, kind.__flexible__)
    reader = reader_of(response)
    answer = await connection.request(api, [out.getvalue()], timeout_s)
    try:
        # ApiVersions answers with the old header at every version, so that nobody needs to know it beforehand
        at = read_tags(answer, 0)[1] if response.__header_schema__.__flexible__ else 0
        value, _ = reader(bytes(answer), at)
    except UNREADABLE as error:
        connection.abort(f"an answer that cannot be read: {error}")
        raise ClusterUnreachable(connection.address, f"an answer that cannot be read: {error}") from error
    return value
