"""The messages of the helper: what is sent arrives, and nothing else is taken."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genvd.collectors.genv.state_files import MAX_BYTES
from genvd.collectors.host.procfs import MAX_PID
from genvd.common.text import clean
from genvd.helper import protocol
from genvd.helper.messages import ProtocolError, parse, receive, send
from genvd.helper.protocol import (
    MAX_QUESTION_BYTES,
    AnswerDecoder,
    AnswerEncoder,
    Failure,
    decode_question,
    encode_question,
)
from genvd.model.facts import UNKNOWN_ENVIRONMENT, EnvironmentRecord, ProcessFacts, ProcessOwner, ProcessRequest

PIDS = st.integers(1, MAX_PID)
UIDS = st.integers(0, 2**32 - 1)
TEXTS = st.text(max_size=300).map(clean)
SECONDS = st.floats(-1e12, 1e12)
# Of a bare named tuple, builds() would also fill the fields that have defaults.
RECORDS = st.builds(
    partial(EnvironmentRecord),
    TEXTS,
    st.none() | UIDS,
    pids=st.lists(PIDS, max_size=3).map(tuple),
    kernel_ids=st.lists(TEXTS, max_size=3).map(tuple),
)
OWNERS = st.builds(
    partial(ProcessOwner),
    uid=st.none() | UIDS,
    eid=st.none() | TEXTS,
    command=st.none() | TEXTS,
    started=st.none() | SECONDS,
    cgroup_kind=st.sampled_from([None, "container", "slurm", "session", "service"]),
    cgroup=st.none() | TEXTS,
    namespace_uid=st.none() | UIDS,
    environment_unknown=st.sampled_from([None, *UNKNOWN_ENVIRONMENT]),
    login_uid=st.none() | UIDS,
    ancestors=st.frozensets(PIDS, max_size=64),
)


@st.composite
def requests(draw: st.DrawFn) -> ProcessRequest:
    """Return a request as the SnapshotBuilder makes it."""
    records = draw(st.lists(RECORDS, max_size=3))
    return ProcessRequest(
        gpu_pids=draw(st.frozensets(PIDS, max_size=5)),
        environment_pids=frozenset(pid for one in records for pid in one.pids) | draw(st.frozensets(PIDS, max_size=2)),
        kernel_ids=frozenset(kernel for one in records for kernel in one.kernel_ids),
        all_seen=draw(st.booleans()),
        environments=tuple(records),
    )


@st.composite
def answers(draw: st.DrawFn, request: ProcessRequest) -> ProcessFacts:
    """Return facts that answer the request."""

    def some(values: frozenset[Any]) -> frozenset[Any]:
        return draw(st.frozensets(st.sampled_from(sorted(values)))) if values else frozenset()

    live, kernels = some(request.environment_pids), some(request.kernel_ids)
    owners = {pid: draw(OWNERS) for pid in some(request.gpu_pids)}
    claims = frozenset((one.eid, one.uid) for one in request.environments if one.uid is not None)
    return ProcessFacts(
        owners=owners,
        live_pids=live,
        uids={pid: draw(UIDS) for pid in live},
        login_uids={pid: draw(UIDS) for pid in some(live)},
        kernel_uids={kernel: draw(st.frozensets(UIDS, max_size=3)) for kernel in kernels},
        confirmed=some(claims),
        gone=some(request.gpu_pids),
        all_seen=draw(st.booleans()),
        sees_machine=draw(st.booleans()),
        starts={pid: draw(SECONDS) for pid in some(live)},
        kernel_starts={kernel: draw(SECONDS) for kernel in kernels},
    )


def transfer(message: object) -> object:
    """Return what arrives of a message."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        deadline = time.monotonic() + 20
        send(ours, message, 2**20, deadline)
        return parse(receive(theirs, 2**20, deadline))


@given(requests())
def test_a_question_arrives_with_all_that_the_answer_depends_on(request: ProcessRequest) -> None:
    assert decode_question(transfer(encode_question(request))) == request


@given(st.data())
def test_answers_arrive_also_those_that_refer_to_earlier_ones(data: st.DataObject) -> None:
    request = data.draw(requests())
    encoder, decoder, kept = AnswerEncoder(), AnswerDecoder({}), None
    for _ in range(3):
        facts = kept if kept and data.draw(st.booleans()) else data.draw(answers(request))
        expected = {
            pid: one
            for pid, one in facts.owners.items()
            if one.environment_unknown is None or pid not in decoder.owners
        }
        found = decoder.decode(transfer(encoder.encode(facts)), request)
        assert isinstance(found, ProcessFacts)
        assert {pid: found.owners[pid] for pid in expected} == expected
        for name in (name for name in ProcessFacts._fields if name not in ("owners", "environments")):
            assert getattr(found, name) == getattr(facts, name)
        assert found.environments == request.environments
        kept = facts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([1, 0, [], {}, ""]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_json_or_refused(content: bytes) -> None:
    with suppress(ProtocolError):
        parse(content)


def replaced(message: Any, path: list[int], value: object) -> Any:
    """Return the message with one value, somewhere inside, replaced."""
    if not path or not isinstance(message, dict | list) or not message:
        return value
    if isinstance(message, dict):
        key = sorted(message)[path[0] % len(message)]
        return {**message, key: replaced(message[key], path[1:], value)}
    index = path[0] % len(message)
    return [*message[:index], replaced(message[index], path[1:], value), *message[index + 1 :]]


PATHS = st.lists(st.integers(0, 20), max_size=5)


@given(requests(), PATHS, JSON)
def test_any_question_is_taken_or_refused(request: ProcessRequest, path: list[int], value: object) -> None:
    message = replaced(json.loads(json.dumps(encode_question(request))), path, value)
    with suppress(ProtocolError):
        found = decode_question(message)
        assert all(1 <= pid <= MAX_PID for pid in found.gpu_pids | found.environment_pids)
        assert all(clean(kernel) == kernel or len(kernel) <= 256 for kernel in found.kernel_ids)


@given(st.data(), PATHS, JSON)
def test_any_answer_is_taken_or_refused(data: st.DataObject, path: list[int], value: object) -> None:
    request = data.draw(requests())
    message = json.loads(json.dumps(AnswerEncoder().encode(data.draw(answers(request)))))
    with suppress(ProtocolError):
        found = AnswerDecoder({}).decode(replaced(message, path, value), request)
        if not isinstance(found, Failure):
            assert found.owners.keys() <= request.gpu_pids
            assert found.live_pids <= request.environment_pids


def test_what_was_not_asked_for_is_refused() -> None:
    record = EnvironmentRecord("7", 1000, pids=(2,), kernel_ids=("k",))
    asked = ProcessRequest(frozenset({1}), frozenset({2}), frozenset("k"), environments=(record,))
    facts = (
        ProcessFacts(owners={3: ProcessOwner()}),
        ProcessFacts(gone=frozenset({3})),
        ProcessFacts(live_pids=frozenset({3}), uids={3: 0}),
        ProcessFacts(login_uids={2: 0}),
        ProcessFacts(kernel_uids={"l": frozenset()}),
        ProcessFacts(confirmed=frozenset({("7", 1001)})),
    )
    for one in facts:
        with pytest.raises(ProtocolError, match="asked"):
            AnswerDecoder({}).decode(transfer(AnswerEncoder().encode(one)), asked)


def test_what_was_not_sent_before_is_refused() -> None:
    request = ProcessRequest(frozenset({1}))
    encoder, facts = AnswerEncoder(), ProcessFacts(owners={1: ProcessOwner()})
    encoder.encode(facts)
    with pytest.raises(ProtocolError, match="earlier"):
        AnswerDecoder({}).decode(transfer(encoder.encode(facts)), request)


@pytest.mark.parametrize("content", [b"[" + b"[]," * 2_000_000 + b"[]]", b"{" * 2_000_001])
def test_the_number_of_values_is_limited_before_they_are_made(content: bytes) -> None:
    with pytest.raises(ProtocolError, match="values"):
        parse(content)


def test_every_field_of_an_owner_is_sent() -> None:
    assert list(protocol._OWNER) == list(ProcessOwner._fields)
    assert (
        len(protocol._ANSWER) == len(ProcessFacts._fields) - 3
    )  # live_pids, uids and starts are one list; no environments


def test_the_question_about_any_state_file_can_be_sent() -> None:
    """The names that become longest: each byte is escaped twice."""
    kernels = tuple(clean("\x7f" * 50 + str(number)) for number in range(MAX_BYTES // 60))
    message = json.dumps(encode_question(ProcessRequest(environments=(EnvironmentRecord("1", 1, kernel_ids=kernels),))))
    assert len(message) > 8 * 2**20
    assert len(message) < MAX_QUESTION_BYTES
    decode_question(json.loads(message))


def test_a_question_about_more_processes_than_an_answer_can_hold_is_refused() -> None:
    with pytest.raises(ProtocolError, match="GPU processes"):
        decode_question(encode_question(ProcessRequest(frozenset(range(1, 100_002)))))
