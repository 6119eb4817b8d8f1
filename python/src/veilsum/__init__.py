"""Private sums over a fleet: each client seals one message a round, a committee opens only one noisy sum of one list.

A client without a store seals from a *bundle* and hands its report over as bytes::

    client = veilsum.Client("state", owner="5f0c…")
    report = client.seal(bundle, {"w": update}).report

The coordinator opens rounds, ships bundles and adds reports::

    store = veilsum.Store("file:./store")
    task = store.task(task_id, owner)
    round = veilsum.Collector("collector.pem").open(task, epoch=1)
    bundle = task.bundle(epoch=1)
    round.add(report)

:mod:`veilsum.local` plays all roles in one process, to try things out. Errors are in :mod:`veilsum.errors`.
"""

from importlib.metadata import PackageNotFoundError, version

from . import errors
from ._accounting import Guarantee, account, audit
from ._aggregate import Aggregate
from ._clients import Client, Delivery, Sealed, init_client
from ._rounds import Added, Collector, Member, PartialSum, Proposal, Refusal, Round, Status
from ._tasks import Budget, Bundle, Store, Task, keygen, public_key
from ._values import Tensor
from .errors import VeilsumError

try:
    __version__ = version("veilsum")
except PackageNotFoundError:  # the sources, not the wheel
    __version__ = "0+unknown"

__all__ = [
    "Added",
    "Aggregate",
    "Budget",
    "Bundle",
    "Client",
    "Collector",
    "Delivery",
    "Guarantee",
    "Member",
    "PartialSum",
    "Proposal",
    "Refusal",
    "Round",
    "Sealed",
    "Status",
    "Store",
    "Task",
    "Tensor",
    "VeilsumError",
    "account",
    "audit",
    "errors",
    "init_client",
    "keygen",
    "public_key",
]
