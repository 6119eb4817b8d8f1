"""All roles of a task in one process, to try things out and to test: in a notebook, or before the committee exists.

It protects nobody from this process, which holds every key. In production the committee is ``veilsum committee serve`` on
machines of different owners, and the privacy owner's key is offline.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path as _Path
from types import TracebackType
from typing import Any, Self

from ._aggregate import Aggregate
from ._clients import Client, init_client
from ._rounds import Added, Collector, Member, Round
from ._tasks import Path, Store, keygen


class Federation:
    """Keys, a signed task, enrolled clients and a committee of four (any three open a sum, one may lie), in a directory.

    ``tensors`` maps names to shapes; they are float32. ``clients`` is how many are enrolled. Noise is for batches of
    ``min_batch_size`` (default: half of the clients, at least 4) of which ``max_dishonest`` add none. ``epsilon`` and
    ``delta`` are the budget of the whole federation. ``post_quantum`` keys make a report some 6 KB longer.
    ``directory`` keeps all of it (also for ``veilsum audit``); by default it is temporary. ``store`` is the URL of another
    store than the directory's own. Further arguments are fields of the task. Use it in a ``with`` statement, or call
    :meth:`close`."""

    def __init__(
        self,
        tensors: Mapping[str, Sequence[int]],
        clients: int = 8,
        *,
        clipping_norm: float = 1.0,
        noise_multiplier: float = 1.0,
        epsilon: float = 1000.0,
        delta: float = 1e-5,
        min_batch_size: int | None = None,
        max_dishonest: int = 1,
        post_quantum: bool = False,
        directory: Path | None = None,
        store: Path | None = None,
        **task: Any,
    ) -> None:
        self._stack = contextlib.ExitStack()
        try:
            if directory is None:
                directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="veilsum-"))
            self.directory = _Path(directory)
            """Where store and state directories are."""
            least = max(4, clients // 2) if min_batch_size is None else min_batch_size
            spec = {
                "name": "local",
                "scope": {
                    "name": f"local {secrets.token_hex(4)}",
                    "population": "the clients of one local federation",
                    "epsilon": epsilon,
                    "delta": delta,
                    "unit": "vehicle",
                    "relation": "zero_out",
                },
                "tensors": [{"name": n, "dtype": "float32", "shape": list(s)} for n, s in tensors.items()],
                "privacy": {
                    "trust_model": "distributed",
                    "mechanism": "discrete_gaussian",
                    "clipping_norm": clipping_norm,
                    "noise_multiplier": noise_multiplier,
                    "kappa": 1,
                    "kappa_inf": 1,
                },
                "batch": {"min_batch_size": least, "max_batch_size": max(clients, least), "max_dishonest": max_dishonest, "lanes": 1},
                "participation": {"max": 0, "min_separation": 1},
                "suite": 1 if post_quantum else 2,
            } | task
            self._make(spec, clients, f"file:{self.directory / 'store'}" if store is None else store)
        except BaseException:
            self._stack.close()
            raise

    def _make(self, spec: dict[str, Any], clients: int, store: Path) -> None:
        d = self.directory
        keys = {}
        for role in ("owner", "authority", "collector", *(f"member-{k}" for k in range(4))):
            (d / role).mkdir(parents=True)
            keys[role] = keygen(d / role / "identity.pem")
        spec["committee"] = {"size": 4, "threshold": 3, "malicious": 1, "keys": [keys[f"member-{k}"] for k in range(4)]}
        spec |= {"collector": keys["collector"], "authority": keys["authority"], "owner": keys["owner"]}
        self.store = self._stack.enter_context(Store(store, create=True, sync=False))
        self.task = self._stack.enter_context(self.store.publish(spec, d / "owner" / "identity.pem"))
        self.owner: str = keys["owner"]
        """The privacy owner's public key, which clients and auditors pin."""
        self.collector = self._stack.enter_context(Collector(d / "collector" / "identity.pem"))
        self.states: list[_Path] = []
        """The clients' state directories: open one by ``veilsum.Client(state, federation.owner)``."""
        self.enroll(clients)
        self.members = [self._member(k) for k in range(4)]
        self._epoch = 0
        self._open: Round | None = None
        self.step()

    def _member(self, k: int) -> Member:
        home = self.directory / f"member-{k}"
        member = Member(
            self.store,
            [self.task.task_id],
            self.owner,
            key=home / "identity.pem",
            state=home / "state",
            record=home / "record",
            sync=False,
        )
        return self._stack.enter_context(member)

    def enroll(self, n: int) -> list[_Path]:
        """Makes and enrolls n more clients, for the rounds that are opened later; returns their state directories."""
        new = [self.directory / "clients" / str(len(self.states) + i) for i in range(n)]
        ids = self.task.enroll(self.directory / "authority" / "identity.pem", [init_client(s) for s in new])
        for state, id in zip(new, ids, strict=True):
            init_client(state, id)
        self.states += new
        return new

    def client(self, i: int) -> Client:
        """Opens client i; close it when it is done. No two may be open on one directory."""
        return Client(self.states[i], self.owner, sync=False)

    @property
    def round(self) -> Round:
        """The round that was opened last."""
        if self._open is None:
            raise RuntimeError("no round is open: call open() first")
        return self._open

    @property
    def bundle(self) -> bytes:
        """The bundle of the round that was opened last, for clients."""
        return self.task.bundle(self.round.epoch)

    def open(self, model: Any = b"") -> Round:
        """Opens the round of the next epoch."""
        self.step()
        self._epoch += 1
        self._open = self._stack.enter_context(self.collector.open(self.task, self._epoch, model=model))
        return self._open

    def add(self, report: Any) -> Added:
        """Adds a report to the round that was opened last."""
        return self.round.add(report)

    def step(self) -> None:
        """Lets every member of the committee do what can be done."""
        for m in self.members:
            m.step()

    def collect(self) -> Aggregate:
        """Plays the rest of the round: freezes the list, lets the committee check, reserves the cost, lets the committee vote
        and answer, and opens the sum."""
        self.collector.close_round(self.round)
        self.step()
        self.collector.propose(self.round)
        self.step()  # votes
        self.step()  # answers, once enough votes are there
        return self.collector.collect(self.round)

    def close(self) -> None:
        """Closes everything, and removes the directory if it is temporary."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


__all__ = ["Federation"]
