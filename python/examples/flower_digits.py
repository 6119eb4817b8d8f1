"""Ten Flower nodes learn to read digits; two of them are lost in every round.

    python examples/flower_digits.py

All roles run on this machine, in Flower's simulation. In production ``veilsum.local`` goes away: the committee is ``veilsum
committee serve`` on machines of different owners, and each node has its state directory and the owner's key in its own
configuration (``flower-supernode --node-config``).
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import digits
import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

import veilsum.flower
import veilsum.local
from veilsum.coordinator import Coordinator

NODES, ROUNDS = 10, 8


def client_app(states: list[str], owner: str) -> ClientApp:
    """What runs on a node: an ordinary ClientApp, and the mod that seals what it trained."""

    def state(context: Context) -> str:
        return states[int(context.node_config["partition-id"])]

    app = ClientApp(mods=[veilsum.flower.SealMod(owner, state, sync=False)])

    @app.train()
    def train(msg: Message, context: Context) -> Message:
        i, epoch = int(context.node_config["partition-id"]), int(msg.content["config"]["server-round"])
        if (i + epoch) % 5 == 0:
            raise RuntimeError("off the road")
        x, labels = digits.data(200, seed=i)
        old = {k: a.numpy() for k, a in msg.content["arrays"].items()}
        new = digits.train(old, x, labels)
        arrays = ArrayRecord({k: Array(a) for k, a in new.items()})
        metrics = MetricRecord({"num-examples": 200, "accuracy": digits.accuracy(new, x, labels)})  # the mod keeps these here
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=msg)

    return app


def server_app(federation: veilsum.local.Federation, initial: digits.Model) -> ServerApp:
    """What runs at the coordinator: a strategy that sees sealed reports and one noisy mean."""
    app = ServerApp()
    x, labels = digits.data(2000, seed=1000)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        score = digits.accuracy({k: a.numpy() for k, a in arrays.items()}, x, labels)
        print(f"after round {server_round}: accuracy {score:.3f}", flush=True)
        return MetricRecord({"accuracy": score})

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        coordinator = Coordinator(federation.task, federation.collector, committee=federation.step)
        strategy = veilsum.flower.SealedFedAvg(coordinator, min_train_nodes=NODES, min_available_nodes=NODES)
        result = strategy.start(
            grid, ArrayRecord({k: Array(a) for k, a in initial.items()}), num_rounds=ROUNDS, evaluate_fn=evaluate
        )
        print("last round:", result.train_metrics_clientapp[ROUNDS])

    return app


def main() -> None:
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    initial = digits.model()
    # Ten nodes hardly hide in this noise, and it slows learning: thousands would average it away.
    with tempfile.TemporaryDirectory() as d, veilsum.local.Federation(
        {k: np.shape(a) for k, a in initial.items()}, clients=NODES, min_batch_size=NODES - 2, noise_multiplier=0.5, directory=Path(d) / "federation"
    ) as federation:
        run_simulation(
            server_app(federation, initial),
            client_app([str(s) for s in federation.states], federation.owner),
            num_supernodes=NODES,
            backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
        )
        print("epsilon", federation.task.budget().epsilon)
        print("audit:", veilsum.audit(federation.store, federation.owner)["complete"])


if __name__ == "__main__":
    main()
