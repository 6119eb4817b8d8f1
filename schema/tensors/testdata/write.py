"""Writes update files with NumPy and safetensors, for python_test.go: write.py FOLDER.

The tensors are a [2, 3], b [] and c [5], with the values 0.5, 1.5, 2.5 ... in
that order, which every type here holds exactly.
"""

import os
import sys

import numpy as np
from numpy.lib import format as npy
from safetensors.numpy import save_file

folder = sys.argv[1]
values = np.arange(12, dtype=np.float64) + 0.5
tensors = {"a": values[:6].reshape(2, 3), "b": values[6].reshape(()), "c": values[7:]}


def at(name):
    return os.path.join(folder, name)


for dtype in "<f2", "<f4", "<f8":
    np.save(at(f"flat{dtype[1:]}.npy"), values.astype(dtype))
    os.mkdir(at(f"folder{dtype[1:]}"))
    for name, t in tensors.items():
        np.save(at(f"folder{dtype[1:]}/{name}.npy"), t.astype(dtype))
    save_file({k: np.asarray(v.astype(dtype)) for k, v in tensors.items()}, at(f"{dtype[1:]}.safetensors"), metadata={"made by": "write.py"})
for version in (1, 0), (2, 0), (3, 0):
    with open(at(f"version{version[0]}.npy"), "wb") as f:
        npy.write_array(f, values.astype("<f4"), version=version)
values.astype("<f4").tofile(at("raw.f32"))
# Not taken: big-endian, Fortran order, integers, another shape.
np.save(at("big.npy"), values.astype(">f4"))
np.save(at("fortran.npy"), np.asfortranarray(tensors["a"].astype("<f4")))
np.save(at("integers.npy"), values.astype("<i4"))
np.save(at("pickled.npy"), np.array([None]), allow_pickle=True)
save_file({k: np.asarray(v.astype("<i4")) for k, v in tensors.items()}, at("integers.safetensors"))
save_file({"a": tensors["a"].T.astype("<f4"), "b": np.asarray(tensors["b"].astype("<f4")), "c": tensors["c"].astype("<f4")}, at("turned.safetensors"))
