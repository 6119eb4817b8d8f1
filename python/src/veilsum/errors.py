"""What may go wrong. Each class stands for an exit status of the program ``veilsum``; see :attr:`VeilsumError.code`."""

from __future__ import annotations

from typing import Any


class VeilsumError(Exception):
    """Something failed. ``hint`` says how to cure it, if that is known; no secret stands in either."""

    code: int = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.hint})" if self.hint else message


class UsageError(VeilsumError, ValueError):
    """A mistake of the caller's: an argument, a file, a task whose fields do not fit together."""

    code = 2


class ForkedProcess(UsageError):
    """The library was loaded before this process was forked: start processes with "spawn", or load it in the child."""


class BudgetExceeded(VeilsumError):
    """The privacy budget would be exceeded. Nothing was reserved or opened."""

    code = 4


class ParticipationLimit(BudgetExceeded):
    """This client has given what the task allows, for now or for good."""


class VerificationFailed(VeilsumError):
    """An object is not what its signer made: a task of another owner, a changed bundle, a forged vote."""

    code = 5


class ReportRefused(VerificationFailed):
    """A report does not verify. ``reason`` is "header", "signature", "vehicle", "box", "missing", "piece" or "limit", "" if
    its bytes do not even fit together."""

    reason: str = ""


class BelowFloor(VerificationFailed):
    """The task protects less than this client insists on."""


class AuditFlaw(VerificationFailed):
    """An audit found a flaw. ``report`` is the whole report, with the flaw in it."""

    report: dict[str, Any]


class NotEnoughDecryptors(VeilsumError):
    """Too few committee members have checked, voted or answered yet."""

    code = 6


class NotReady(VeilsumError):
    """Try later: the round is not open yet, the batch is too small, the store cannot be reached."""

    code = 75


class EpochUsed(VeilsumError):
    """This client has reported in this epoch or a later one."""


class WrongModel(VeilsumError):
    """The update starts from a model that the round does not accept."""


class RoundExpired(VeilsumError):
    """The round's keys have expired."""


class RoundEnded(VeilsumError):
    """The round has a receipt; nothing more may happen in it."""


class RoundExists(VeilsumError):
    """The round is open already, with another model."""


class TooFewReports(VeilsumError):
    """The frozen list has too few reports that count: abort the round and open the next epoch."""


class Locked(VeilsumError):
    """Another process, or another object of this one, uses the state directory."""


class NotFound(VeilsumError):
    """There is no such store, task, file or object."""


_BY_CODE: dict[int, type[VeilsumError]] = {
    2: UsageError,
    4: BudgetExceeded,
    5: VerificationFailed,
    6: NotEnoughDecryptors,
    75: NotReady,
}
_BY_KIND: dict[str, type[VeilsumError]] = {
    c.__name__: c
    for c in (
        ParticipationLimit, ReportRefused, BelowFloor, AuditFlaw, EpochUsed, WrongModel, RoundExpired, RoundEnded,
        RoundExists, TooFewReports, Locked, NotFound,
    )
}  # fmt: skip


def _from_answer(status: int, answer: dict[str, Any]) -> VeilsumError:
    kind = _BY_KIND.get(answer.get("kind", "")) or _BY_CODE.get(status, VeilsumError)
    error = kind(answer.get("message", "the call failed"), answer.get("hint", ""))
    if isinstance(error, ReportRefused):
        error.reason = answer.get("reason", "")
    if isinstance(error, AuditFlaw):
        error.report = answer.get("report") or {}
    return error
