"""Read what tensors.Write wrote into the folder of the first argument, with NumPy and safetensors."""
import json
import math
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open

folder = Path(sys.argv[1])
want = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3) + np.float32(0.5),
    "b": np.float32(6.5).reshape(()),
    "c": np.array([7.5, 8.5, 9.5, 10.5, math.pi]),
}


def check(name, got):
    assert got.dtype == want[name].dtype and got.shape == want[name].shape and (got == want[name]).all(), (name, got)


with np.load(folder / "mean.npz") as z:
    for name in want:
        check(name, z[name])
    assert json.loads(z["veilsum.json"]) == {"epsilon": "1.5"}
with safe_open(folder / "mean.safetensors", "numpy") as f:
    assert set(f.keys()) == set(want) and f.metadata() == {"epsilon": "1.5"}
    for name in want:
        check(name, f.get_tensor(name))
print("ok")
