"""Which check is meant to see which damage.

`PLANTED` is damage that one check alone must see. `BUGS` are the twenty bugs of the fault laboratory, by the check that
is meant to catch each; where a bug has more than one consequence others may see it too.
"""

from __future__ import annotations

from tests.verifier.tests import planting

PLANTED: dict[str, tuple[planting.Damage, ...]] = {
    "prefix": (
        planting.lost_in_the_middle,
        planting.lost_at_the_end,
        planting.begun_too_late,
        planting.filtered_without_leave,
    ),
    "no duplicate": (
        planting.one_record_twice,
        planting.resent_after_a_timeout,
        planting.begun_again_from_the_earliest,
    ),
    "no reorder": (planting.two_swapped, planting.one_comes_late, planting.two_batches_swapped),
    "no phantom": (
        planting.aborted_record_copied,
        planting.failed_write_copied,
        planting.never_written,
        planting.record_of_another_partition,
    ),
    "one value": (
        planting.value_changed_since,
        planting.timestamp_changed_since,
        planting.two_readers_differ,
        planting.told_another_offset,
        planting.acknowledged_write_gone,
    ),
    "fidelity": (
        planting.null_turned_empty,
        planting.header_order_lost,
        planting.value_altered_with_its_id,
        planting.timestamp_shifted,
        planting.append_time_lost,
    ),
    "translation": (
        planting.run_off_by_one_at_a_marker,
        planting.last_record_instead_of_batch_end,
        planting.gap_with_a_wrong_reason,
        planting.gap_over_a_copied_record,
        planting.group_moved_one_too_far,
        planting.answer_off_by_one,
    ),
    "acknowledgements": (
        planting.acknowledged_before_the_records,
        planting.acknowledged_before_the_runs,
        planting.acknowledged_too_early,
        planting.acknowledged_beyond_the_table,
    ),
    "fencing": (
        planting.append_by_an_older_epoch,
        planting.new_producer_on_retry,
        planting.epoch_never_given,
        planting.sequence_not_the_ordinal,
        planting.ordinal_off_by_one,
    ),
    "authorization": (
        planting.appended_after_the_revocation,
        planting.appended_before_the_grant,
        planting.admitted_by_another_root,
        planting.canary_record_copied,
        planting.canary_in_a_log,
    ),
    "accounting": (
        planting.foreign_write_not_reported,
        planting.foreign_write_at_the_end,
        planting.offset_without_a_batch,
        planting.more_claimed_than_written,
        planting.own_copy_reported_as_foreign,
    ),
    "liveness": (planting.healed_and_not_caught_up, planting.lag_without_a_fault, planting.left_at_the_end),
}

BUGS: tuple[tuple[str, str, planting.Damage], ...] = (
    ("acknowledgement before the records are durable", "acknowledgements", planting.acknowledged_before_the_records),
    ("acknowledgement before the runs are durable", "acknowledgements", planting.acknowledged_before_the_runs),
    ("resend after a timeout without asking the log", "no duplicate", planting.resent_after_a_timeout),
    ("a new producer id on retry", "fencing", planting.new_producer_on_retry),
    ("sequence not derived from the ordinal", "fencing", planting.sequence_not_the_ordinal),
    ("ordinal off by one after an empty batch", "fencing", planting.ordinal_off_by_one),
    ("`<=` deduplication by offset", "prefix", planting.lost_in_the_middle),
    ("resumed lane not compared with the log", "no duplicate", planting.one_record_twice),
    ("abort list unsorted", "no phantom", planting.transaction_judged_by_another),
    ("abort list ignored", "no phantom", planting.aborted_record_copied),
    ("last record + 1 instead of batch end", "translation", planting.last_record_instead_of_batch_end),
    ("run off by one at a marker", "translation", planting.run_off_by_one_at_a_marker),
    ("foreign write unnoticed", "accounting", planting.foreign_write_counted_as_a_copy),
    ("reset to earliest on out of range", "no duplicate", planting.begun_again_from_the_earliest),
    ("topic id ignored", "no phantom", planting.record_of_another_incarnation),
    ("null turned empty", "fidelity", planting.null_turned_empty),
    ("header order lost", "fidelity", planting.header_order_lost),
    ("append time lost", "fidelity", planting.append_time_lost),
    ("pooled roots", "authorization", planting.admitted_by_another_root),
    ("revocation checked only at open", "authorization", planting.appended_after_the_revocation),
)
