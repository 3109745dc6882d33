"""Controls against what a peer, or somebody at the port, sends us: threats 5 to 7, 9, 10, 13, 15 and 18."""

from __future__ import annotations

from tests.threats.table import Control

NAMES = "tests/threats/test_names.py::"
BOMBS = "tests/threats/test_bombs.py::"
BOMB = BOMBS + "test_a_bomb_is_refused_by_name_and_costs_less_than_64_mib"
SWARM = BOMBS + "test_a_swarm_of_small_parts_is_never_all_objects_at_once"
OVERSIZED = "tests/threats/test_oversized.py::"
ISOLATION = "tests/gateway/peers/test_isolation.py::"
LOCAL_HTTP = "tests/gateway/local/test_http_server.py::"
SLOW_READERS = "tests/gateway/local/test_http_slow_readers.py::"
FLOODS = "tests/threats/test_floods.py::"
LINES = "tests/threats/test_lines.py::"
LOCAL = "tests/threats/test_local_api.py::"
CONSOLE = "tests/gateway/console/test_guard.py::"
REFUSED = LOCAL + "test_what_a_page_can_send_is_refused_and_does_nothing"
FRAMES = "tests/threats/test_frames.py::"

CONTROLS: tuple[Control, ...] = (
    Control(
        "5a",
        "a topic's name is one that Kafka takes, checked where it comes in",
        "mesh/ids.py",
        (
            NAMES + "test_the_admin_api_takes_no_such_name_for_anything",
            NAMES + "test_the_command_takes_no_such_name_either",
            NAMES + "test_a_partner_names_no_topic_of_ours",
        ),
        "05a-legal-names.patch",
    ),
    Control(
        "5b",
        "topics of the cluster's own, and ours, are no topics",
        "mesh/ids.py",
        (
            NAMES + "test_the_admin_api_takes_no_such_name_for_anything",
            NAMES + "test_the_command_takes_no_such_name_either",
        ),
        "05b-no-internal-topics.patch",
    ),
    Control(
        "6a",
        "what a batch unpacks to is bounded in bytes and by ratio, in steps",
        "mesh/batch/codec.py",
        (
            f"{BOMB}[mirror-gzip]",
            f"{BOMB}[source-lz4]",
            f"{BOMB}[old source-xerial blocks]",
            f"{BOMB}[topic read-zstd]",
            f"{BOMB}[mirror-zstd frames]",
        ),
        "06a-bounded-output.patch",
    ),
    Control(
        "6b",
        "a zstd frame is asked what it needs before it is opened, and never opened by a call that believes it",
        "mesh/batch/codec.py",
        (f"{BOMB}[mirror-zstd of a stated size]", f"{BOMB}[source-zstd of a stated size]"),
        "06b-zstd-frames.patch",
    ),
    Control(
        "6c",
        "the verifier asks its libraries for a step at a time",
        "gateway/verify/codecs.py",
        (f"{BOMB}[verify-lz4]",),
        "06c-verifier-in-steps.patch",
    ),
    Control(
        "6d",
        "what the verifier opens is bounded",
        "gateway/verify/codecs.py",
        (f"{BOMB}[verify-gzip]", f"{BOMB}[verify-zstd]", f"{BOMB}[verify old-lz4]"),
        "06d-verifier-bounded.patch",
    ),
    Control(
        "6e",
        "records become objects a piece at a time",
        "mesh/batch/encode.py",
        (f"{SWARM}[source-many records]", f"{SWARM}[old source-many messages]"),
        "06e-pieces.patch",
    ),
    Control(
        "6f",
        "a record has so many headers",
        "mesh/batch/records.py",
        (f"{SWARM}[source-many headers]", f"{SWARM}[verify-many headers]"),
        "06f-few-headers.patch",
    ),
    Control(
        "6g",
        "what the packed batches of a frame unpack to is bounded by what a frame may have",
        "mesh/wire/packing.py",
        (OVERSIZED + "test_what_a_frame_unpacks_to",),
        "06g-packed-batches.patch",
    ),
    Control(
        "7a",
        "bytes of a batch",
        "mesh/batch/validate.py",
        (OVERSIZED + "test_a_batch",),
        "07a-batch-bytes.patch",
        "DID NOT RAISE",
    ),
    Control(
        "7b",
        "records of a batch",
        "mesh/batch/validate.py",
        (OVERSIZED + "test_a_batch",),
        "07b-batch-records.patch",
        "DID NOT RAISE",
    ),
    Control(
        "7c", "bytes of a frame", "gateway/link/session.py", (OVERSIZED + "test_a_frame",), "07c-frame-bytes.patch"
    ),
    Control(
        "7d",
        "bytes of a message",
        "gateway/rpc/credentials.py",
        (OVERSIZED + "test_a_message",),
        "07d-message-bytes.patch",
    ),
    Control("7e", "bytes of an invite", "mesh/trust/invite.py", (OVERSIZED + "test_a_file",), "07e-invite-bytes.patch"),
    Control(
        "7f",
        "bytes of a peer file",
        "mesh/trust/peerfile.py",
        (OVERSIZED + "test_a_file",),
        "07f-peer-file-bytes.patch",
    ),
    Control(
        "7g",
        "bytes of a body of the local API",
        "gateway/admin/server.py",
        (LOCAL + "test_a_body_one_byte_over_the_bound_is_refused",),
        "07g-admin-body.patch",
    ),
    Control(
        "7h",
        "bytes under way to a slow destination",
        "gateway/link/lanes.py",
        (OVERSIZED + "test_a_fast_source_waits_for_a_slow_destination",),
        "07h-credit.patch",
    ),
    Control(
        "9a",
        "a handshake has ten seconds",
        "gateway/rpc/credentials.py",
        (FLOODS + "test_handshakes_that_are_not_finished_are_ended",),
        "09a-handshake-time.patch",
        "TimeoutError",
    ),
    Control(
        "9b",
        "the listener has so many connections",
        "gateway/rpc/credentials.py",
        (FLOODS + "test_no_more_connections_are_taken_than_there_may_be",),
        "09b-connections.patch",
    ),
    Control(
        "9c",
        "a connection has so many streams",
        "gateway/rpc/credentials.py",
        (FLOODS + "test_streams_in_one_packet_are_bounded_by_what_a_connection_may_have",),
        "09c-streams-of-a-connection.patch",
    ),
    Control(
        "9d",
        "a peer has so many links",
        "gateway/peers/hub.py",
        ("tests/gateway/peers/test_cuts.py::test_links_of_one_peer_are_bounded_and_the_next_peer_has_its_own",),
        "09d-links-of-a-peer.patch",
        "TimeoutError",
    ),
    Control(
        "9e",
        "a stream greets within ten seconds",
        "gateway/link/session.py",
        (ISOLATION + "test_a_stream_that_says_nothing_ends_after_the_greeting_time",),
        "09e-greeting-time.patch",
        "TimeoutError",
    ),
    Control(
        "9f",
        "an application that takes nothing of what it reads is ended, and its connection cut",
        "gateway/http/outlet.py",
        (SLOW_READERS + "test_a_reader_that_does_not_even_take_that_is_cut",),
        "09f-stalled-reader.patch",
        "TimeoutError",
    ),
    Control(
        "9g",
        "the HTTP APIs have so many connections",
        "gateway/http/serving.py",
        (LOCAL_HTTP + "test_connections_beyond_the_bound_are_told_so",),
        "09g-local-connections.patch",
        "TimeoutError",
    ),
    Control(
        "10a",
        "calls of a peer are counted, those that are reset, too",
        "gateway/peers/hub.py",
        (FLOODS + "test_streams_that_are_opened_to_be_reset_are_counted_and_refused",),
        "10a-calls-counted.patch",
    ),
    Control(
        "10b",
        "headers of a call have 8 kB, 16 kB by all means",
        "gateway/rpc/credentials.py",
        (ISOLATION + "test_oversized_headers_are_refused_and_the_connection_of_others_is_not_touched",),
        "10b-metadata.patch",
        "DID NOT RAISE",
    ),
    Control(
        "10c",
        "a flood of pings ends its connection",
        "gateway/rpc/credentials.py",
        (FLOODS + "test_a_flood_of_frames_ends_the_connection_that_it_comes_by[pings]",),
        "10c-pings.patch",
    ),
    Control(
        "13a",
        "control characters are escaped in log lines",
        "gateway/logs.py",
        (LINES + "test_an_event_is_one_line_whatever_is_in_it",),
        "13a-log-escapes.patch",
    ),
    Control(
        "13b",
        "fields of log lines are cut",
        "gateway/logs.py",
        (LINES + "test_an_event_is_one_line_whatever_is_in_it",),
        "13b-log-length.patch",
    ),
    Control(
        "13c",
        "what a command says to people is escaped",
        "gateway/cli/output.py",
        (
            LINES + "test_a_terminal_shows_it_as_text",
            LINES + "test_a_refusal_is_three_lines",
            LINES + "test_every_line_for_people_goes_the_same_way",
            LINES + "test_audit_is_a_line_an_entry",
        ),
        "13c-terminal.patch",
    ),
    Control(
        "13d",
        "JSON of a command escapes what moves a cursor",
        "gateway/cli/output.py",
        (LINES + "test_a_terminal_shows_it_as_text", LINES + "test_records_on_a_terminal_keep_their_lines"),
        "13d-json-on-a-terminal.patch",
    ),
    Control(
        "15a",
        "exact Host: a rebound name is refused",
        "gateway/http/guard.py",
        (f"{REFUSED}[a rebound name]", LOCAL + "test_what_needs_no_token_still_needs_our_name"),
        "15a-host.patch",
    ),
    Control("15b", "no foreign Origin", "gateway/http/guard.py", (f"{REFUSED}[another site]",), "15b-origin.patch"),
    Control(
        "15c", "a token", "gateway/http/guard.py", (f"{REFUSED}[no token]", f"{REFUSED}[a cookie]"), "15c-token.patch"
    ),
    Control("15d", "JSON only: no form", "gateway/http/guard.py", (f"{REFUSED}[a form]",), "15d-json-only.patch"),
    Control(
        "15e",
        "tokens are compared in constant time",
        "gateway/http/guard.py",
        (LOCAL + "test_tokens_are_compared_in_constant_time",),
        "15e-constant-time.patch",
    ),
    Control(
        "15f",
        "a socket of the local API is its user's only",
        "gateway/unix_socket.py",
        (LOCAL_HTTP + "test_over_a_unix_socket_its_name_is_localhost",),
        "15f-socket-mode.patch",
    ),
    Control(
        "15g",
        "the console answers whoever is logged in",
        "gateway/console/guard.py",
        (CONSOLE + "test_a_login_opens_the_api_under_the_console",),
        "15g-console-session.patch",
    ),
    Control(
        "15h",
        "a session takes the page's key, not only the cookie that every port of the machine gets",
        "gateway/console/sessions.py",
        (CONSOLE + "test_neither_cookie_nor_key_is_enough[mesh-console-key]",),
        "15h-console-key.patch",
    ),
    Control(
        "15i",
        "only a page of the console changes anything",
        "gateway/console/guard.py",
        (CONSOLE + "test_no_other_page_can_change_anything[no origin]",),
        "15i-console-page.patch",
    ),
    Control(
        "15j",
        "pages make no markup out of text",
        "gateway/console/guard.py",
        (CONSOLE + "test_every_answer_says_what_a_browser_may_do_with_it[/console/]",),
        "15j-console-policy.patch",
    ),
    Control(
        "18a",
        "frames are numbered",
        "mesh/link/machine.py",
        (FRAMES + "test_a_frame_out_of_its_order_ends_the_link",),
        "18a-sequence.patch",
    ),
    Control(
        "18b",
        "frames are sealed, headers and all",
        "gateway/link/session.py",
        (FRAMES + "test_a_changed_frame_ends_the_link", FRAMES + "test_a_cut_frame_ends_the_link"),
        "18b-seal.patch",
    ),
    Control(
        "18c",
        "the seal is of one link and direction",
        "mesh/link/seal.py",
        (FRAMES + "test_a_frame_of_another_link_or_of_the_other_direction_ends_the_link",),
        "18c-seal-of-the-link.patch",
    ),
)
