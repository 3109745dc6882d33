"""Controls of trust between organizations: threats 1 to 4, 11, 12, 14, 16, 17 and 19."""

from __future__ import annotations

from tests.threats.table import Control

LEAF = "tests/mesh/trust/test_leaf.py"
TLS = "tests/gateway/rpc/test_credentials.py"
SPOOFING = "tests/threats/test_spoofing.py"
DEPUTY = "tests/threats/test_deputy.py"
RACES = "tests/threats/test_races.py"
CUTS = "tests/gateway/peers/test_cuts.py"
REPLAY = "tests/threats/test_replay.py"
ATTACKS = "tests/gateway/enrolment/test_attacks.py"
ADDRESSES = "tests/threats/test_addresses.py"
LEAKS = "tests/threats/test_leaks.py"
STORE = "tests/certs/test_store.py"
KEY_FILES = "tests/threats/test_key_files.py"
DOWNGRADE = "tests/threats/test_downgrade.py"
LIES = "tests/threats/test_source_lies.py"

SPOOFED = (
    Control(
        "1a",
        "a leaf is verified against the bundle of the domain that it claims, and no other",
        "mesh/trust/leaf.py",
        (
            f"{TLS}::test_a_leaf_of_another_peers_ca_passes_tls_and_is_refused_by_the_application",
            f"{LEAF}::test_a_leaf_of_another_peers_ca_with_this_peers_id_is_refused",
        ),
        "01a-claimed-domain.patch",
    ),
    Control(
        "1b",
        "a leaf has exactly one name by which its gateway is known",
        "mesh/trust/leaf.py",
        (f"{LEAF}::test_alternative_names_decide",),
        "01b-one-identity.patch",
    ),
    Control(
        "1c",
        "a CA key belongs to one domain",
        "mesh/trust/bundle.py",
        ("tests/mesh/trust/test_bundle.py::test_a_ca_belongs_to_one_domain",),
        "01c-no-shared-ca-key.patch",
    ),
    Control(
        "1d",
        "the proof of a link is by the very leaf of its connection",
        "gateway/rpc/authenticator.py",
        (f"{SPOOFING}::test_a_proof_by_another_leaf_of_the_same_peer_is_refused",),
        "01d-proof-by-the-same-leaf.patch",
    ),
)

DEPUTIES = (
    Control(
        "2a",
        "who a peer is comes from its certificate, not from what it says",
        "gateway/rpc/authenticator.py",
        (
            f"{SPOOFING}::test_a_hello_that_names_somebody_else_is_refused",
            f"{SPOOFING}::test_whoever_answers_at_a_peers_address_must_be_that_peer",
        ),
        "02a-name-from-the-leaf.patch",
    ),
    Control(
        "2b",
        "a lane is served by a grant of its share and topic to this peer",
        "gateway/peers/serving.py",
        (f"{DEPUTY}::test_every_caller_share_and_topic_is_judged_as_the_reference_does[lane]",),
        "02b-grants-at-a-lane.patch",
    ),
    Control(
        "2c",
        "a grant is of the topics of its share only",
        "mesh/policy.py",
        (
            f"{DEPUTY}::test_every_caller_share_and_topic_is_judged_as_the_reference_does",
            "tests/mesh/test_policy.py::test_it_decides_as_the_reference_policy",
        ),
        "02c-topic-of-the-share.patch",
    ),
    Control(
        "2d",
        "digests of records are told by the same grant",
        "gateway/peers/answers.py",
        (f"{DEPUTY}::test_every_caller_share_and_topic_is_judged_as_the_reference_does[digests]",),
        "02d-grants-at-a-digest.patch",
    ),
    Control(
        "2e",
        "positions of groups are told only where the grant says so",
        "gateway/groups/provider.py",
        ("tests/gateway/peers/test_groups.py::test_groups_that_are_not_granted_look_like_a_share_that_is_not_there",),
        "02e-grants-at-groups.patch",
    ),
    Control(
        "2f",
        "internal topics are no topics to anybody",
        "mesh/ids.py",
        (f"{DEPUTY}::test_an_internal_topic_has_no_name_by_which_it_could_be_shared_asked_for_or_written",),
        "02f-internal-topics.patch",
    ),
)

RACING = (
    Control(
        "3a",
        "whether a peer may be copied from is asked at the moment of each append",
        "gateway/importer/pipeline.py",
        (
            "tests/gateway/importer/test_revoked_peer.py::"
            "test_the_check_at_each_append_holds_before_anything_is_cancelled",
        ),
        "03a-asked-at-the-append.patch",
        fails="TimeoutError",  # the refusal that it waits for does not come
    ),
    Control(
        "3b",
        "a revocation is answered when every append under way has its outcome",
        "gateway/importer/manager.py",
        (f"{RACES}::test_of_a_thousand_batches_in_flight_none_is_appended_after_the_answer",),
        "03b-answered-last.patch",
    ),
    Control(
        "3c",
        "a grant is asked for again before each segment leaves",
        "gateway/exporter.py",
        (f"{RACES}::test_a_stream_carries_nothing_after_the_grant_when_the_clock_jumps_past_its_end",),
        "03c-grants-at-each-segment.patch",
    ),
    Control(
        "3d",
        "a change of trust cuts the links that are open",
        "gateway/peers/hub.py",
        (f"{CUTS}::test_a_leaf_that_is_declared_dead_ends_its_link_at_once_and_makes_no_other",),
        "03d-links-cut-at-the-change.patch",
        fails="TimeoutError",  # nor does this cut
    ),
    Control(
        "3e",
        "a timer ends a link with its certificate, by whatever the clock is set to",
        "gateway/peers/hub.py",
        (f"{RACES}::test_a_stream_dies_with_the_certificate_when_the_clock_jumps_past_its_end",),
        "03e-end-of-a-leaf.patch",
    ),
    Control(
        "3f",
        "a timer ends a lane at rest with its grant",
        "gateway/peers/serving.py",
        (f"{RACES}::test_a_lane_at_rest_ends_with_its_grant_however_long_the_source_is_silent",),
        "03f-end-of-a-grant.patch",
    ),
    Control(
        "3g",
        "what takes trust away is durable before anything else happens",
        "gateway/registry_state.py",
        ("tests/gateway/test_revocations.py::test_a_revocation_that_was_not_stored_holds_after_a_restart",),
        "03g-durable-first.patch",
    ),
)

REPLAYED = (
    Control(
        "4a",
        "an invite is used once, whatever the clock says and after a restart",
        "mesh/trust/enrolment.py",
        (
            f"{REPLAY}::test_what_was_redeemed_is_not_redeemed_again_after_a_restart",
            f"{ATTACKS}::test_5_redeemed_twice_at_once",
        ),
        "04a-used-once.patch",
    ),
    Control(
        "4b",
        "redemptions are decided one after the other",
        "gateway/invites.py",
        (
            f"{REPLAY}::test_of_eight_who_redeem_at_once_exactly_one_wins",
            f"{ATTACKS}::test_5_two_decisions_at_once",
        ),
        "04b-one-decision-at-a-time.patch",
    ),
    Control(
        "4c",
        "one put marks the invite used and makes the peer",
        "gateway/invites.py",
        (
            f"{REPLAY}::test_a_crash_between_the_peer_and_the_mark_leaves_both_or_none",
            f"{REPLAY}::test_what_was_redeemed_is_not_redeemed_again_after_a_restart",
        ),
        "04c-one-transaction.patch",
    ),
    Control(
        "4d",
        "each redeemer signs a nonce of its own",
        "gateway/enrolment/service.py",
        (f"{ATTACKS}::test_4_replay",),
        "04d-fresh-nonce.patch",
    ),
    Control(
        "4e",
        "an invite ends by the inviter's clock",
        "mesh/trust/enrolment.py",
        (f"{REPLAY}::test_an_invite_ends_by_the_inviters_clock_also_after_a_restart",),
        "04e-ends-by-the-clock.patch",
    ),
    Control(
        "4f",
        "an invite for a CA that the operator named is of no use to another",
        "mesh/trust/enrolment.py",
        (f"{REPLAY}::test_an_invite_for_a_ca_that_the_operator_named_is_of_no_use_to_another",),
        "04f-the-ca-that-was-named.patch",
    ),
    Control(
        "4g",
        "the file is worth nothing without the words",
        "mesh/trust/enrolment.py",
        (f"{ATTACKS}::test_2_a_stolen_file",),
        "04g-words.patch",
    ),
    Control(
        "4h",
        "five wrong signatures burn an invite",
        "mesh/trust/enrolment.py",
        (f"{ATTACKS}::test_10_guessed_words",),
        "04h-few-guesses.patch",
    ),
    Control(
        "4i",
        "an invite is for one domain",
        "mesh/trust/enrolment.py",
        (f"{ATTACKS}::test_7_a_foreign_domain_claimed",),
        "04i-the-domain-invited.patch",
    ),
)

MISLED = (
    Control(
        "11a",
        "what a partner names is dialled only where it is public",
        "gateway/rpc/targets.py",
        (
            f"{ADDRESSES}::test_a_peer_that_names_this_machine_is_not_dialled",
            "tests/gateway/rpc/test_targets.py::test_every_way_to_write_this_machine_is_refused",
        ),
        "11a-public-only.patch",
    ),
    Control(
        "11b",
        "an address within an address is judged, too",
        "mesh/trust/addresses.py",
        ("tests/gateway/rpc/test_targets.py::test_private_and_disguised_addresses_are_not_public",),
        "11b-disguises.patch",
    ),
    Control(
        "11c",
        "a name is resolved once, and the checked address is dialled",
        "gateway/peers/dialling.py",
        (f"{ADDRESSES}::test_a_name_that_is_rebound_between_the_check_and_the_dialling_leads_nowhere",),
        "11c-resolved-once.patch",
    ),
    Control(
        "11d",
        "every address of a name is checked",
        "gateway/rpc/targets.py",
        ("tests/gateway/rpc/test_targets.py::test_one_private_address_among_public_ones_is_enough_to_refuse",),
        "11d-every-address.patch",
    ),
    Control(
        "11e",
        "a proxy named by the environment is not used",
        "gateway/rpc/credentials.py",
        (f"{TLS}::test_a_proxy_named_by_the_environment_is_not_used",),
        "11e-no-proxy.patch",
    ),
    Control(
        "11f",
        "mesh peer doctor sends nothing to where nothing would be dialled",
        "gateway/peers/doctor.py",
        (f"{ADDRESSES}::test_looking_for_what_is_in_the_way_goes_nowhere_else_either",),
        "11f-looking-is-dialling.patch",
    ),
    Control(
        "11g",
        "of a partner's topic settings only those that are known are taken, and no client property is",
        "gateway/offers.py",
        (f"{ADDRESSES}::test_no_property_of_a_client_or_a_broker_is_taken_from_a_partner",),
        "11g-settings-of-a-copy.patch",
    ),
    Control(
        "11h",
        "an invite is redeemed only where it leads to a public address",
        "gateway/enrolment/desk.py",
        (f"{ADDRESSES}::test_an_invite_that_leads_to_this_machine_is_not_redeemed_there",),
        "11h-invites-lead-to-the-public.patch",
    ),
    Control(
        "11i",
        "a name in a peer file leads to public addresses only, unless the operator allows others",
        "gateway/admin/peers.py",
        (f"{ADDRESSES}::test_a_peer_file_may_not_lead_to_where_no_reader_sees_it",),
        "11i-names-in-a-peer-file.patch",
    ),
)

LEAKED = (
    Control(
        "12a",
        "every denial is one answer",
        "mesh/policy.py",
        (
            "tests/mesh/test_policy.py::test_each_denial_has_its_own_reason_inside_and_the_same_answer_outside",
            "tests/gateway/peers/test_hub.py::test_what_is_not_granted_looks_like_what_does_not_exist",
        ),
        "12a-one-answer.patch",
    ),
    Control(
        "12b",
        "a peer is told nothing of how we are built",
        "gateway/peers/public.py",
        (f"{LEAKS}::test_a_partner_finds_no_trace_of_another_in_anything_it_gets",),
        "12b-errors-scrubbed.patch",
    ),
    Control(
        "12c",
        "a catalog names what is granted to its reader",
        "gateway/peers/offering.py",
        (
            f"{LEAKS}::test_a_partner_finds_no_trace_of_another_in_anything_it_gets",
            f"{DEPUTY}::test_a_catalog_names_what_the_reference_allows_and_nothing_else",
        ),
        "12c-catalog-of-grants.patch",
    ),
    Control(
        "12d",
        "what is not granted is refused before the cluster is asked, as what is absent",
        "gateway/exporter.py",
        (f"{LEAKS}::test_what_is_not_granted_costs_as_many_steps_as_what_is_absent",),
        "12d-refused-before-the-cluster.patch",
    ),
)

SECRETS = (
    Control(
        "14a",
        "a configuration is explained without its secrets",
        "gateway/config.py",
        ("tests/gateway/test_config.py::test_a_secret_comes_from_a_file_and_is_never_shown",),
        "14a-hidden-in-the-configuration.patch",
    ),
    Control(
        "14b",
        "a configuration that is refused is not quoted",
        "gateway/config.py",
        ("tests/gateway/test_config.py::test_a_refusal_never_shows_a_secret",),
        "14b-refusals-without-input.patch",
    ),
    Control(
        "14c",
        "a key file is never quoted",
        "certs/store.py",
        (f"{STORE}::test_bad_content_is_refused_and_never_quoted",),
        "14c-no-key-in-a-message.patch",
    ),
    Control(
        "14d",
        "a field of the log that is named like a secret is hidden",
        "gateway/logs.py",
        ("tests/gateway/test_logs.py::test_secrets_are_never_shown",),
        "14d-hidden-in-the-log.patch",
    ),
    Control(
        "14e",
        "a crash leaves no file of what was in memory",
        "gateway/cli/gateway.py",
        (f"{KEY_FILES}::test_a_crash_leaves_no_file_of_what_was_in_memory",),
        "14e-no-core-files.patch",
    ),
)

KEYS = (
    Control(
        "16a",
        "a key that others may read is not used",
        "certs/store.py",
        (
            f"{STORE}::test_a_key_that_others_may_touch_is_not_used",
            f"{KEY_FILES}::test_the_start_fails_and_says_which_file_and_why[key readable]",
        ),
        "16a-mode.patch",
    ),
    Control(
        "16b",
        "a key of another user is not used",
        "certs/store.py",
        (f"{STORE}::test_a_key_of_another_user_is_not_used",),
        "16b-owner.patch",
    ),
    Control(
        "16c",
        "a link to a key is not followed",
        "certs/store.py",
        (
            f"{STORE}::test_a_link_to_a_key_is_not_used",
            f"{KEY_FILES}::test_the_start_fails_and_says_which_file_and_why[key linked]",
        ),
        "16c-no-links.patch",
    ),
    Control(
        "16d",
        "an admin token that others may read is not used",
        "gateway/admin/token.py",
        (f"{KEY_FILES}::test_the_start_fails_and_says_which_file_and_why[token readable]",),
        "16d-token.patch",
    ),
    Control(
        "16e",
        "a key is its owner's alone from its first byte on",
        "certs/store.py",
        (f"{STORE}::test_a_key_is_its_owners_alone_whatever_the_umask",),
        "16e-written-for-the-owner.patch",
    ),
)

DOWNGRADED = (
    Control(
        "17a",
        "TLS 1.3 and nothing older, on both sides",
        "gateway/rpc/tls13.py",
        (f"{TLS}::test_tls_1_2_is_shut_out_where_grpc_was_restricted_before_its_import[restricted-expected0]",),
        "17a-tls-1-3.patch",
    ),
    Control(
        "17b",
        "both sides sign what both have said of versions and features",
        "mesh/trust/transcript.py",
        (f"{DOWNGRADE}::test_a_hello_that_was_changed_on_the_way_opens_no_link",),
        "17b-hellos-signed.patch",
    ),
    Control(
        "17c",
        "another major version is refused",
        "mesh/link/machine.py",
        ("tests/mesh/link/test_machine.py::test_another_major_version_is_refused_and_another_minor_is_not",),
        "17c-no-other-major.patch",
    ),
)

LYING = (
    Control(
        "19a",
        "offsets of a lane follow on each other, or the link ends",
        "mesh/link/lane.py",
        ("tests/mesh/link/test_machine.py::test_a_segment_that_does_not_follow_breaks_the_link",),
        "19a-offsets-follow-on-the-link.patch",
    ),
    Control(
        "19b",
        "the importer keeps a position of its own",
        "mesh/lanes/progress.py",
        ("tests/mesh/lanes/test_progress.py::test_a_segment_that_does_not_fit_is_refused_and_changes_nothing",),
        "19b-offsets-follow-in-the-lane.patch",
    ),
    Control(
        "19c",
        "every offset is told once: a record, or a gap with its reason",
        "mesh/lanes/progress.py",
        ("tests/mesh/lanes/test_progress.py::test_a_segment_that_does_not_fit_is_refused_and_changes_nothing",),
        "19c-nothing-unexplained.patch",
    ),
    Control(
        "19d",
        "of overlap, rewind and gap only the gap passes, and is recorded (the three above together)",
        "mesh/lanes/progress.py",
        (
            f"{LIES}::test_what_cannot_be_is_not_appended[rewind]",
            f"{LIES}::test_what_cannot_be_is_not_appended[overlap]",
            f"{LIES}::test_what_cannot_be_is_not_appended[hole that nothing explains]",
        ),
        "19d-offsets-are-believed.patch",
    ),
)

CONTROLS: tuple[Control, ...] = (
    *SPOOFED,
    *DEPUTIES,
    *RACING,
    *REPLAYED,
    *MISLED,
    *LEAKED,
    *SECRETS,
    *KEYS,
    *DOWNGRADED,
    *LYING,
)
