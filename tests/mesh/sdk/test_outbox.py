"""Batching by load, and the order of records whatever happens to the streams that carry them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.local.v1 import local_pb2
from mesh.sdk.outbox import MOST_UNDER_WAY, REQUEST_BYTES, REQUEST_RECORDS, Outbox, Request


def outbox() -> Outbox[str]:
    return Outbox("orders")


def add(box: Outbox[str], ticket: str, partition: int | None = None, size_bytes: int = 100) -> bool:
    return box.add(partition, local_pb2.NewRecord(value=ticket.encode()), size_bytes, ticket, 60.0)


def values(request: Request[str] | None) -> list[str]:
    assert request is not None
    return [record.value.decode() for record in request.message.records]


def test_a_lone_record_leaves_at_once() -> None:
    box = outbox()
    add(box, "a")
    assert values(box.next()) == ["a"]
    assert box.next() is None


def test_records_gather_while_a_request_is_under_way_and_leave_together() -> None:
    box = outbox()
    add(box, "a")
    box.next()
    for ticket in "bcd":
        add(box, ticket)
    assert box.next() is None
    assert box.settled().tickets == ["a"]
    assert values(box.next()) == ["b", "c", "d"]


def test_a_full_request_leaves_though_another_is_under_way() -> None:
    box = outbox()
    add(box, "a")
    box.next()
    assert not add(box, "b", size_bytes=REQUEST_BYTES // 2)
    assert add(box, "c", size_bytes=REQUEST_BYTES // 2)
    assert values(box.next()) == ["b", "c"]


def test_many_small_records_fill_a_request_too() -> None:
    box = outbox()
    filled = [add(box, str(number), size_bytes=1) for number in range(REQUEST_RECORDS)]
    assert filled.index(True) == REQUEST_RECORDS - 1


def test_a_large_record_does_not_make_the_request_of_small_ones_larger() -> None:
    box = outbox()
    add(box, "small")
    assert add(box, "large", size_bytes=3 * REQUEST_BYTES)
    assert values(box.next()) == ["small"]
    assert values(box.next()) == ["large"]


def test_partitions_do_not_wait_for_each_other() -> None:
    box = outbox()
    add(box, "a", 0)
    assert values(box.next()) == ["a"]
    add(box, "b", 0)
    add(box, "c", 1)
    request = box.next()
    assert (values(request), request and request.partition) == (["c"], 1)
    assert box.next() is None


def test_so_many_requests_are_under_way_at_most() -> None:
    box = outbox()
    for number in range(MOST_UNDER_WAY + 1):
        add(box, str(number), size_bytes=REQUEST_BYTES)
    sent = [box.next() for _ in range(MOST_UNDER_WAY)]
    assert all(sent)
    assert box.next() is None


def test_a_request_of_the_callers_own_stays_alone_and_in_line() -> None:
    box = outbox()
    add(box, "before")
    whole = [local_pb2.NewRecord(value=value) for value in (b"x", b"y")]
    box.add_whole(None, whole, "order-17", 200, "whole", 60.0)
    add(box, "after")
    assert values(box.next()) == ["before"]
    request = box.next()
    assert request is not None
    assert (values(request), request.key, request.tickets) == (["x", "y"], "order-17", ["whole"])
    box.settled()
    box.settled()
    assert values(box.next()) == ["after"]


def test_what_was_under_way_goes_again_first_and_under_the_same_key() -> None:
    box = outbox()
    add(box, "a", size_bytes=REQUEST_BYTES)
    add(box, "b", size_bytes=REQUEST_BYTES)
    for number in range(2):
        request = box.next()
        assert request is not None
        request.message.idempotency_key = f"key-{number}"
    box.broken()
    add(box, "c")
    again = [box.next(), box.next(), box.next()]
    assert [(values(each), each and each.key) for each in again[:2]] == [(["a"], "key-0"), (["b"], "key-1")]
    assert again[2] is None, "a and b are of the same partition and under way"


def test_a_spoilt_request_is_halved_and_comes_before_what_is_behind_it() -> None:
    box = outbox()
    for ticket in "abc":
        add(box, ticket)
    add(box, "d", size_bytes=REQUEST_BYTES)
    box.next()
    box.halved()
    box.broken()
    assert [values(box.next()) for _ in range(3)] == [["a"], ["b", "c"], ["d"]]


def test_halves_have_the_size_of_the_whole() -> None:
    box = outbox()
    for ticket in "abc":
        add(box, ticket, size_bytes=33)
    box.next()
    box.halved()
    assert sum(request.size_bytes for request in box) == 99


def test_what_is_dropped_is_not_sent() -> None:
    box = outbox()
    add(box, "a", 0)
    add(box, "b", 1)
    assert [request.tickets for request in box.drop(lambda request: request.partition == 0)] == [["a"]]
    assert values(box.next()) == ["b"]
    box.settled()
    assert box.is_empty


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"), st.sampled_from([None, 0, 1]), st.sampled_from([1, REQUEST_BYTES // 3, REQUEST_BYTES])
        ),
        st.tuples(st.sampled_from(["send", "settle", "postpone", "halve", "break"]), st.none(), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_record_is_settled_once_and_in_the_order_of_its_partition(
    steps: list[tuple[str, int | None, int]],
) -> None:
    box = outbox()
    added: dict[int | None, list[str]] = {}
    settled: dict[int | None, list[str]] = {}

    def settle() -> None:
        request = box.settled()
        settled.setdefault(request.partition, []).extend(request.tickets)

    is_refusing = False
    for number, (step, partition, size_bytes) in enumerate(steps):
        oldest = box.oldest
        if step == "add":
            add(box, str(number), partition, size_bytes)
            added.setdefault(partition, []).append(str(number))
        elif step == "break":
            box.broken()
            is_refusing = False
        elif step == "send" and not is_refusing:
            box.next()
        elif oldest is not None and not is_refusing:
            if step == "settle":
                settle()
            elif step == "postpone" or len(oldest.tickets) < 2:
                box.postponed()
                is_refusing = True
            else:
                box.halved()
                is_refusing = True
    box.broken()
    while not box.is_empty:
        while box.next() is not None:
            pass
        settle()
    assert settled == added
