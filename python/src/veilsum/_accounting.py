"""Guarantees and audits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _abi
from ._tasks import Path, Store


@dataclass(frozen=True)
class Guarantee:
    """What every accountant proves of an event; None where one has no bound for it."""

    epsilon: float
    """The least epsilon that is proven, at ``delta``."""
    delta: float
    relation: str
    exact: float | None
    """The least epsilon there is, where there is a formula."""
    rdp: float | None
    """By Rényi differential privacy."""
    pld: tuple[float, float] | None
    """By privacy-loss distributions: a lower and an upper bound."""


def account(event: Mapping[str, Any], *, delta: float, relation: str = "add_remove") -> Guarantee:
    """Judges what was released, by every accountant, without any store.

    ``event`` is, for example, ``{"type": "gaussian", "noise_multiplier": 1}``, or many steps of it:
    ``{"type": "self_composed", "count": 100, "event": {...}}``. ``veilsum budget account --help`` lists all.
    ``relation`` is "add_remove", "zero_out" or "replace_one". What no accountant supports is :class:`UsageError`, never guessed."""
    found = _abi.call("account", {"event": dict(event), "relation": relation, "delta": float(delta)})
    rdp = None if found["rdp"] is None else float(found["rdp"]["epsilon"])
    pld = None if found["pld"] is None else (float(found["pld"]["lower"]), float(found["pld"]["upper"]))
    exact = None if found["exact"] is None else float(found["exact"])
    bounds = [x for x in (exact, rdp, pld and pld[1]) if x is not None]
    return Guarantee(min(bounds, default=float("inf")), float(delta), relation, exact, rdp, pld)


def audit(
    store: Store, owner: Path, *, task_id: str | None = None, pieces: str = "auto", pass_unnamed: bool = False
) -> dict[str, Any]:
    """Recomputes every claim of a store from the privacy owner's public key alone, and returns the report: what
    ``veilsum audit --json`` prints.

    ``pieces`` is "require" to add every sum again from all reports, "skip" to read none of them, "auto" for what is
    there. :class:`AuditFlaw` is raised at the first flaw, with the report. ``pass_unnamed`` only notes objects that do not
    verify if no receipt names them: whoever can write to the store can plant one."""
    request = {
        "store": store._handle,
        "owner": _abi.path(owner),
        "task": task_id or "",
        "pieces": pieces,
        "pass_unnamed": pass_unnamed,
    }
    return dict(_abi.call("audit", request))
