"""The question of the monitor about processes, and the facts with which its helper answers.

Both sides check every value. No content of a file, no path and no argument of a process has a place in an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

from genvd.collectors.host.cgroups import CgroupKind
from genvd.common.text import MAX_TEXT
from genvd.helper import values
from genvd.helper.messages import ProtocolError, parse
from genvd.model.facts import UNKNOWN_ENVIRONMENT, EnvironmentRecord, ProcessFacts, ProcessOwner, ProcessRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genvd.helper.values import Check

MAX_QUESTION_BYTES = 48 * 1024 * 1024
"""A state file of genv, which names the processes, may have 8 MiB. Escaping makes five bytes of one."""

_MAX_KEPT_BYTES = 2**20
"""Larger questions are not kept: the helper is to be small."""

_MAX_GPU_PIDS = 100_000
"""More than an answer can hold."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Enough for 40,000 GPU processes."""

# --- Questions ---------------------------------------------------------------------------------------------------


def encode_question(request: ProcessRequest) -> object:
    """Return the question. Only those values of the records are in it that the answer depends on.

    The pids and kernels of the records are not sent twice.
    """
    in_records = {pid for record in request.environments for pid in record.pids}
    return {
        "gpu_pids": sorted(request.gpu_pids),
        "more_pids": sorted(request.environment_pids - in_records),
        "environments": [
            [record.eid, record.uid, list(record.pids), list(record.kernel_ids)] for record in request.environments
        ],
        "all_seen": request.all_seen,
    }


class QuestionDecoder:
    """Makes requests of the questions of one connection. Most are the same as the one before."""

    def __init__(self) -> None:
        self._last: tuple[bytes, ProcessRequest] | None = None

    def decode(self, content: bytes) -> ProcessRequest:
        """Return the request in the content of a message.

        Raises:
            ProtocolError: it is not a question.
        """
        if self._last is not None and self._last[0] == content:
            return self._last[1]
        request = decode_question(parse(content))
        self._last = (content, request) if len(content) <= _MAX_KEPT_BYTES else None
        return request


def decode_question(message: object) -> ProcessRequest:
    """Return the request in a question.

    Raises:
        ProtocolError: it is not a question.
    """
    gpu_pids, more_pids, environments, all_seen = values.fields(message, _QUESTION)
    if len(gpu_pids) > _MAX_GPU_PIDS:
        raise ProtocolError(f"more than {_MAX_GPU_PIDS} GPU processes")
    return ProcessRequest(
        gpu_pids=gpu_pids,
        environment_pids=more_pids.union(*(record.pids for record in environments)),
        kernel_ids=frozenset(kernel for record in environments for kernel in record.kernel_ids),
        all_seen=all_seen,
        environments=tuple(environments),
    )


def _record(value: object) -> EnvironmentRecord:
    eid, uid, pids, kernel_ids = values.items(value, _RECORD)
    return EnvironmentRecord(eid, uid, pids=tuple(pids), kernel_ids=tuple(kernel_ids))


# --- Answers -----------------------------------------------------------------------------------------------------


class Failure(NamedTuple):
    """An answer without facts."""

    text: str
    """Why there are none, in one line."""
    again: bool = False
    """Whether to ask again at once: the helper starts anew, because processes block it."""


class AnswerEncoder:
    """Makes answers of facts, for one connection. The owner of a process is sent when it has changed."""

    def __init__(self) -> None:
        self._sent: Mapping[int, ProcessOwner] = {}

    def encode(self, facts: ProcessFacts) -> object:
        """Return the answer. The next one refers to it, so it has to be sent."""
        same = {pid for pid, owner in facts.owners.items() if self._sent.get(pid) is owner}
        self._sent = facts.owners
        return {
            "owners": [[pid, _encode_owner(owner)] for pid, owner in facts.owners.items() if pid not in same],
            "same": sorted(same),
            "live": [[pid, uid, facts.starts.get(pid)] for pid, uid in facts.uids.items()],
            "login_uids": list(facts.login_uids.items()),
            "kernels": [
                [kernel, sorted(uids), facts.kernel_starts.get(kernel)] for kernel, uids in facts.kernel_uids.items()
            ],
            "confirmed": sorted(facts.confirmed),
            "gone": sorted(facts.gone),
            "all_seen": facts.all_seen,
            "sees_machine": facts.sees_machine,
        }


def encode_failure(failure: Failure) -> object:
    """Return the answer that says that there are no facts."""
    return {"failure": failure.text[:MAX_TEXT], "again": failure.again}


class AnswerDecoder:
    """Makes facts of the answers of one connection."""

    def __init__(self, earlier: Mapping[int, ProcessOwner]) -> None:
        """Create it for a new connection.

        Args:
            earlier: the last owners from the connection before it.
        """
        self.owners = earlier
        """The last owners."""

    def decode(self, message: object, request: ProcessRequest) -> ProcessFacts | Failure:
        """Return the facts in an answer.

        Args:
            message: the answer.
            request: what was asked for. The answer may contain nothing else.

        Raises:
            ProtocolError: it is not an answer to this request.
        """
        if isinstance(message, dict) and "failure" in message:
            return Failure(*values.fields(message, {"failure": values.text, "again": values.boolean}))
        owners, same, live, login_uids, kernels, confirmed, gone, all_seen, sees_machine = values.fields(
            message, _ANSWER
        )
        uids = {pid: uid for pid, uid, _ in live}
        facts = ProcessFacts(
            owners=_keep_claims(owners, self.owners) | self._known(same),
            live_pids=frozenset(uids),
            uids=uids,
            login_uids=dict(login_uids),
            kernel_uids={kernel: frozenset(found) for kernel, found, _ in kernels},
            confirmed=frozenset(confirmed),
            gone=gone,
            all_seen=all_seen,
            sees_machine=sees_machine,
            starts={pid: start for pid, _, start in live if start is not None},
            kernel_starts={kernel: start for kernel, _, start in kernels if start is not None},
            environments=request.environments,
        )
        _require_asked(facts, request)
        self.owners = facts.owners
        return facts

    def _known(self, pids: Iterable[int]) -> dict[int, ProcessOwner]:
        try:
            return {pid: self.owners[pid] for pid in pids}
        except KeyError:
            raise ProtocolError("a process that no earlier answer contained") from None


def _keep_claims(
    owners: Iterable[tuple[int, ProcessOwner]], earlier: Mapping[int, ProcessOwner]
) -> dict[int, ProcessOwner]:
    """Return the owners, with the environment that was known of the same process before, if it is now unknown.

    A helper keeps what it has read before a program overwrote its variables. The helper that replaces it has not seen
    that.
    """
    return {
        pid: owner._replace(eid=before.eid, environment_unknown=None)
        if owner.environment_unknown is not None
        and (before := earlier.get(pid)) is not None
        and before.environment_unknown is None
        and (before.uid, before.started) == (owner.uid, owner.started) != (None, None)
        else owner
        for pid, owner in owners
    }


def _require_asked(facts: ProcessFacts, request: ProcessRequest) -> None:
    asked = (
        facts.owners.keys() <= request.gpu_pids
        and facts.gone <= request.gpu_pids
        and facts.live_pids <= request.environment_pids
        and facts.login_uids.keys() <= facts.live_pids
        and facts.kernel_uids.keys() <= request.kernel_ids
        and facts.confirmed <= {(record.eid, record.uid) for record in request.environments}
    )
    if not asked:
        raise ProtocolError("what was not asked for")


def _encode_owner(owner: ProcessOwner) -> dict[str, object]:
    return {name: getattr(owner, name) for name in _OWNER} | {"ancestors": sorted(owner.ancestors)}


def _owner(value: object) -> ProcessOwner:
    return ProcessOwner(*values.fields(value, _OWNER))


_RECORD: tuple[Check, ...] = (
    values.text,
    values.optional(values.uid),
    values.pid_list,
    values.list_of(values.text),
)

_QUESTION: dict[str, Check] = {
    "gpu_pids": values.pids,
    "more_pids": values.pids,
    "environments": values.list_of(_record),
    "all_seen": values.boolean,
}

_OWNER: dict[str, Check] = {
    "uid": values.optional(values.uid),
    "eid": values.optional(values.text),
    "command": values.optional(values.text),
    "started": values.optional(values.seconds),
    "cgroup_kind": values.optional(values.one_of(get_args(CgroupKind))),
    "cgroup": values.optional(values.text),
    "namespace_uid": values.optional(values.uid),
    "environment_unknown": values.optional(values.one_of(UNKNOWN_ENVIRONMENT)),
    "login_uid": values.optional(values.uid),
    "ancestors": values.ancestors,
}
"""The fields of :class:`ProcessOwner`, in their order."""

_ANSWER: dict[str, Check] = {
    "owners": values.list_of(values.tuple_of(values.pid, _owner)),
    "same": values.pids,
    "live": values.list_of(values.tuple_of(values.pid, values.uid, values.optional(values.seconds))),
    "login_uids": values.list_of(values.tuple_of(values.pid, values.uid)),
    "kernels": values.list_of(
        values.tuple_of(values.text, values.list_of(values.uid), values.optional(values.seconds))
    ),
    "confirmed": values.list_of(values.tuple_of(values.text, values.uid)),
    "gone": values.pids,
    "all_seen": values.boolean,
    "sees_machine": values.boolean,
}
