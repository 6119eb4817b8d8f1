"""Gives each vehicle's directory the records of a slice in time of one person's wrist.

Usage: cut.py inertial.arrow VEHICLES; writes VEHICLES/ID.arrow for each folder VEHICLES/ID.
"""

import json
import os
import sys

import pyarrow as pa
import pyarrow.ipc

source, folder = sys.argv[1:]
table = pa.ipc.open_file(source).read_all()
names = json.loads(table.schema.metadata[b"features"])
labels = json.loads(table.schema.metadata[b"labels"])
rows = table.to_pylist()


def sign(x):
    """A symbol for a mean acceleration: below, near or above zero."""
    return "-" if x < -0.25 else "+" if x > 0.25 else "0"


records = []
for row in rows:
    feature = dict(zip(names, row["features"]))
    records.append(
        {
            "wrist": (row["subject"], row["side"]),
            "exercise": labels[row["label"]],
            "max_ax": feature["max_ax"],
            "std_gy": feature["std_gy"],
            "motion": "".join(sign(feature[f"mean_{axis}"]) for axis in ("ax", "ay", "az")),
        }
    )
wrists = sorted({r["wrist"] for r in records})
vehicles = sorted(v for v in os.listdir(folder) if os.path.isdir(os.path.join(folder, v)))
for i, vehicle in enumerate(vehicles):
    own = [r for r in records if r["wrist"] == wrists[i % len(wrists)]]
    share = -(-len(own) // -(-len(vehicles) // len(wrists)))  # of as many vehicles as share a wrist, rounded up
    part = own[i // len(wrists) * share :][:share]
    columns = {k: [r[k] for r in part] for k in ("exercise", "max_ax", "std_gy", "motion")}
    path = os.path.join(folder, vehicle + ".arrow")
    with pa.ipc.new_file(path, pa.table(columns).schema) as out:
        out.write_table(pa.table(columns))
