"""Every target by its name."""

from __future__ import annotations

from tests.fuzz import batches, brokers, frames, natives, reading, stored, trusting
from tests.fuzz.findings import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("batch", batches.batch_mutant, reading.check_batch, 0.10),
        Target("log", batches.log_mutant, reading.check_log, 0.05),
        Target("native", natives.native_mutant, natives.check_native, 0.10),
        Target("blank", natives.blank_mutant, natives.check_blank, 0.30),
        Target("frame", frames.frame_mutant, frames.check_frame, 0.10),
        Target("invite", trusting.invite_mutant, trusting.check_invite_bytes, 0.01),
        Target("words", trusting.words_mutant, trusting.check_words, 0.10),
        Target("redeem", trusting.redeem_mutant, trusting.check_redeem, 0.05),
        Target("peer-file", trusting.peer_file_mutant, trusting.check_peer_file, 0.005),
        Target("bundle", trusting.bundle_mutant, trusting.check_bundle, 0.01),
        Target("update", trusting.update_mutant, trusting.check_update, 0.0),
        Target("certificate", trusting.certificate_mutant, trusting.check_certificate, 0.005),
        Target("lane-state", stored.lane_mutant, stored.check_lane, 0.01),
        Target("registry", stored.registry_mutant, stored.check_registry, 0.05),
        Target("audit", stored.audit_mutant, stored.check_audit, 0.0),
        Target("config", stored.config_mutant, stored.check_config, 0.02),
        Target("body", stored.body_mutant, stored.check_body, 0.05),
        # the last one: an open finding of it ends the process (corpus/FOUND.md)
        Target("broker", brokers.broker_mutant, brokers.check_broker, 0.10),
    )
}
