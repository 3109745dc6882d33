"""Answers of the gateway as typed errors, and its refusals as this side says them."""

from __future__ import annotations

import pickle

import grpc
import grpc.aio
import pytest

from mesh.errors import MeshError
from mesh.local.errors import CursorInUse, message_of
from mesh.local.names import ERROR_METADATA
from mesh.sdk import errors
from mesh.sdk.connection import failure_of
from mesh.sdk.errors import Answer, GatewayError, GatewayUnreachable, TokenRefused, error_of


def rpc_error(code: grpc.StatusCode, said: MeshError | None = None) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata()
    if said is not None:
        trailing.add(ERROR_METADATA, message_of(said).SerializeToString())
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, "what gRPC says")


def test_an_answer_has_the_class_of_its_code_and_all_that_was_said() -> None:
    refused = CursorInUse("billing", "orders")
    error = failure_of(rpc_error(grpc.StatusCode.FAILED_PRECONDITION, refused), "127.0.0.1:1")
    assert type(error) is errors.CursorInUse
    assert (error.code, error.actor, error.retriable) == ("cursor-in-use", "caller", False)
    assert (str(error), error.remedy) == (str(refused), refused.remedy)


def test_an_answer_with_another_code_is_a_gateway_error() -> None:
    error = error_of(Answer("disk-full", "no space left", "free space", "operator", True))
    assert type(error) is GatewayError
    assert (error.code, error.retriable, error.actor) == ("disk-full", True, "operator")


def test_two_errors_do_not_share_what_they_say() -> None:
    first, second = error_of(Answer("one", "1")), error_of(Answer("two", "2", retriable=True))
    assert (first.code, second.code, GatewayError.code) == ("one", "two", "")
    assert not first.retriable


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL])
def test_what_grpc_says_of_a_process_that_goes_away_may_pass(code: grpc.StatusCode) -> None:
    error = failure_of(rpc_error(code), "127.0.0.1:7461")
    assert isinstance(error, GatewayUnreachable)
    assert error.retriable
    assert str(error) == "the gateway at 127.0.0.1:7461 does not answer: what gRPC says"


def test_what_grpc_refuses_itself_is_no_reason_to_try_again() -> None:
    error = failure_of(rpc_error(grpc.StatusCode.UNIMPLEMENTED), "127.0.0.1:1")
    assert (error.code, error.retriable) == ("unimplemented", False)
    assert isinstance(failure_of(rpc_error(grpc.StatusCode.UNAUTHENTICATED), "127.0.0.1:1"), TokenRefused)


def test_an_error_survives_a_queue_between_processes() -> None:
    error = pickle.loads(pickle.dumps(error_of(Answer("topic-absent", "there is none", "create it", "caller"))))
    assert type(error) is errors.TopicAbsent
    assert (error.code, str(error), error.remedy, error.actor) == (
        "topic-absent",
        "there is none",
        "create it",
        "caller",
    )
