"""From the configuration to the settings of each part that has its own."""

from __future__ import annotations

import resource

from gateway.config import GatewayConfig
from gateway.exporter import ExportSettings
from gateway.fast_records import check_records_fast
from gateway.importer.lane import LaneSettings
from gateway.importer.pipeline import PipelineSettings
from gateway.link.ports import SessionLimits
from gateway.peers.hub import FRAME_OVERHEAD_BYTES, HubSettings
from gateway.rpc.credentials import TransportLimits


def connections_bound() -> int:
    """Strangers may take half of the file descriptors at most: the other half is for the log and for peers."""
    return min(TransportLimits().max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


def hub_settings(config: GatewayConfig) -> HubSettings:
    limits, timing = config.limits, config.timing
    max_frame_bytes = limits.max_batch_bytes + limits.frame_bytes + FRAME_OVERHEAD_BYTES
    return HubSettings(
        session=SessionLimits(
            frame_bytes=limits.frame_bytes,
            buffer_bytes=limits.link_buffer_bytes,
            windows_bytes=limits.windows_bytes,
            packs=config.link.compression == "auto",
            request_s=timing.request_timeout_s,
        ),
        export=ExportSettings(
            fetch_bytes=limits.frame_bytes, shared_bytes=limits.shared_fetch_bytes, limits=config.batch_limits
        ),
        transport=TransportLimits(max_message_bytes=max_frame_bytes, max_connections=connections_bound()),
        max_frame_bytes=max_frame_bytes,
        heartbeat_s=timing.heartbeat_s,
        reconnect_initial_s=timing.reconnect_initial_s,
        reconnect_max_s=timing.reconnect_max_s,
    )


def lane_settings(config: GatewayConfig) -> LaneSettings:
    pipeline = PipelineSettings(
        config.batch_limits, check_records_fast, config.timing.checkpoint_bytes, config.timing.checkpoint_s
    )
    return LaneSettings(
        pipeline=pipeline,
        credit_bytes=config.limits.lane_credit_bytes,
        retry_initial_s=config.timing.reconnect_initial_s,
        retry_max_s=config.timing.reconnect_max_s,
        # for the provider an opening is up to three questions to its cluster: the topic, its ends, an offset by time
        open_s=3 * config.timing.request_timeout_s,
    )
