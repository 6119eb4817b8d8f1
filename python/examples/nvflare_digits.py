"""Ten NVIDIA FLARE sites learn to read digits; two of them are lost in every round.

    python examples/nvflare_digits.py

All roles run on this machine, in FLARE's simulator. In production ``veilsum.local`` goes away: the committee is ``veilsum
committee serve`` on machines of different owners, and each site has its own state directory.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import digits
import numpy as np
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.model import ModelLearnable, ModelLearnableKey, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.shareablegenerators.full_model_shareable_generator import FullModelShareableGenerator
from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather
from nvflare.job_config.api import FedJob, FilterType

import veilsum
import veilsum.nvflare
from veilsum.local import Federation

SITES, ROUNDS = 10, 4  # the simulator takes some 20 seconds a round


class Trainer(Executor):
    """What trains on a site: an ordinary executor."""

    def __init__(self, steps: int = 10, rate: float = 0.5, plain: str = "") -> None:
        super().__init__()
        self.steps, self.rate, self.plain = steps, rate, plain

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        i = int(fl_ctx.get_identity_name().removeprefix("site-")) - 1
        epoch = shareable.get_header(AppConstants.CURRENT_ROUND) + 1
        if (i + epoch) % 5 == 0:  # off the road
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)
        old = from_shareable(shareable).data
        new = digits.train(old, *digits.data(200, seed=i), steps=self.steps, rate=self.rate)
        if self.plain:  # the test compares the opened mean with this
            np.savez(Path(self.plain) / f"{epoch}-{i}.npz", **{k: new[k] - old[k] for k in new})
        return DXO(data_kind=DataKind.WEIGHTS, data=new, meta={"accuracy": 0.5}).to_shareable()


class Keeper(ModelPersistor):
    """Starts from a new model, and keeps that of each round as NumPy's file."""

    def __init__(self, folder: str, hidden: int = 0) -> None:
        super().__init__()
        self.folder, self.hidden, self.saved = folder, hidden, 0

    def load_model(self, fl_ctx: FLContext) -> ModelLearnable:
        return make_model_learnable(digits.model(self.hidden), {})

    def save_model(self, model: ModelLearnable, fl_ctx: FLContext) -> None:
        self.saved += 1
        # Nothing is multiplied here: the simulator forks at times, and OpenBLAS may then wait forever in this process.
        np.savez(Path(self.folder) / f"model-{self.saved}.npz", **model[ModelLearnableKey.WEIGHTS])


def job(federation: Federation, trainer: Trainer, keeper: Keeper, rounds: int) -> FedJob:
    """The job: what is Veilsum's in it are the aggregator and the filters."""
    job = FedJob(name="digits", min_clients=SITES)
    controller = ScatterAndGather(
        min_clients=SITES - 2,
        num_rounds=rounds,
        start_round=0,
        wait_time_after_min_received=60,  # FLARE counts a site that failed as one that answered
        persistor_id=job.to_server(keeper, id="persistor"),
        shareable_generator_id=job.to_server(FullModelShareableGenerator(), id="generator"),
        aggregator_id=job.to_server(
            veilsum.nvflare.SealedAggregator(
                store=federation.store.url,
                task_id=federation.task.task_id,
                owner=federation.owner,
                collector_key=str(federation.directory / "collector" / "identity.pem"),
                poll=0.2,
            ),
            id="aggregator",
        ),
        ignore_result_error=True,
    )
    job.to_server(controller)
    job.to_clients(trainer, tasks=["train"])
    for direction in (FilterType.TASK_DATA, FilterType.TASK_RESULT):
        # state: Federation made directories 0 to 9, the simulator's sites are called site-1 to site-10
        seal = veilsum.nvflare.SealFilter(federation.owner, str(federation.directory / "{site}"), sync=False)
        job.to_clients(seal, filter_type=direction, tasks=["train"])
    return job


def run(federation: Federation, job: FedJob, workspace: str) -> int:
    """Runs the job in the simulator, with the committee beside it."""
    for i, state in enumerate(federation.states, 1):
        (federation.directory / f"site-{i}").symlink_to(state)
    done = threading.Event()

    def committee() -> None:
        while not done.wait(0.2):
            federation.step()

    members = threading.Thread(target=committee)
    members.start()
    try:
        return int(job.simulator_run(workspace, n_clients=SITES, threads=2))
    finally:
        done.set()
        members.join()


def main() -> None:
    # Ten sites hardly hide in this noise, and it slows learning: thousands would average it away.
    shapes = {k: np.shape(a) for k, a in digits.model().items()}
    with tempfile.TemporaryDirectory() as d, Federation(
        shapes, clients=SITES, min_batch_size=SITES - 2, noise_multiplier=0.5, directory=Path(d) / "federation"
    ) as federation:
        run(federation, job(federation, Trainer(), Keeper(d), ROUNDS), str(Path(d) / "workspace"))
        for epoch in range(1, ROUNDS + 1):
            score = digits.accuracy(dict(np.load(Path(d) / f"model-{epoch}.npz")), *digits.data(2000, seed=1000))
            print(f"after round {epoch}: accuracy {score:.3f}")
        print("epsilon", federation.task.budget().epsilon)
        print("audit:", veilsum.audit(federation.store, federation.owner)["complete"])


if __name__ == "__main__":
    main()
