"""Readers and writers of other hands, for interop_test.go.

  interop.py check AGGREGATE EXPECTED.json   read with pyarrow, Polars and DuckDB
  interop.py write FOLDER                    write update files with pyarrow, Polars

Values in EXPECTED.json are exact in the tensor's dtype. Any difference ends
with a message and exit status 1.
"""

import json
import os
import sys

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def expect_values(what, got, tensor):
    want = np.array(tensor["values"], dtype=tensor["dtype"])
    got = np.asarray(got)
    expect(f"{what}: dtype", str(got.dtype), tensor["dtype"])
    expect(f"{what}: values", got.reshape(-1).tobytes(), want.tobytes())


def check_pyarrow(path, expected):
    with pa.memory_map(path) as source:
        reader = pa.ipc.open_file(source)
        expect("pyarrow: batches", reader.num_record_batches, 1)
        table = reader.read_all()
    table.validate(full=True)
    expect("pyarrow: rows", table.num_rows, 1)
    expect("pyarrow: names", table.column_names, [t["name"] for t in expected["tensors"]])
    meta = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
    expect("pyarrow: metadata", meta, expected["meta"])
    expect("pyarrow: order of keys", list(meta), sorted(meta))
    for tensor in expected["tensors"]:
        name, shape = tensor["name"], tensor["shape"]
        column = table[name].combine_chunks()
        want = pa.fixed_shape_tensor(pa.type_for_alias(tensor["dtype"]), shape)
        expect(f"pyarrow: {name}: type", column.type, want)
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0)
        array = column.to_numpy_ndarray() if shape else column.storage.flatten().to_numpy()
        expect(f"pyarrow: {name}: shape", list(array.shape), [1] + shape)
        expect_values(f"pyarrow: {name}", array, tensor)
    return table


def check_polars(path, expected):
    # Polars 2.1 has no call that tells a file's schema metadata.
    for how, frame in (("read_ipc", pl.read_ipc(path)), ("scan_ipc", pl.scan_ipc(path).collect())):
        expect(f"polars {how}: shape", frame.shape, (1, len(expected["tensors"])))
        expect(f"polars {how}: names", frame.columns, [t["name"] for t in expected["tensors"]])
        for tensor in expected["tensors"]:
            series = frame[tensor["name"]]
            if isinstance(series.dtype, pl.BaseExtension):
                expect("polars: type", series.dtype.ext_name(), "arrow.fixed_shape_tensor")
                expect("polars: shape", json.loads(series.dtype.ext_metadata())["shape"], tensor["shape"])
                series = series.ext.storage()
            expect_values(f"polars {how}: {tensor['name']}", series.explode().to_numpy(), tensor)


def check_duckdb(table, expected):
    connection = duckdb.connect()
    connection.register("aggregate", table)
    kinds = {"float32": "FLOAT", "float64": "DOUBLE"}
    want = [(t["name"], f"{kinds[t['dtype']]}[{len(t['values'])}]") for t in expected["tensors"]]
    expect("duckdb: columns", [row[:2] for row in connection.execute("DESCRIBE aggregate").fetchall()], want)
    for tensor in expected["tensors"]:
        quoted = '"' + tensor["name"].replace('"', '""') + '"'
        rows = connection.execute(f"SELECT {quoted} FROM aggregate").fetchall()
        expect(f"duckdb: {tensor['name']}: rows", len(rows), 1)
        expect_values(f"duckdb: {tensor['name']}", np.array(rows[0][0], dtype=tensor["dtype"]), tensor)


def tensor_column(values, dtype, shape):
    array = np.array(values, dtype=dtype).reshape([1] + shape)
    return pa.FixedShapeTensorArray.from_numpy_ndarray(array)


def save(path, columns, **options):
    table = pa.table(columns)
    options = pa.ipc.IpcWriteOptions(**options)
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)


def write(folder):
    """Writes w = 0, 0.5, 1 ... of shape 2x3x4 and b = -1.5, 2.25, of the dtype in the name."""
    w = [0.5 * i for i in range(24)]
    b = [-1.5, 2.25]
    for dtype in ("float32", "float64"):
        value = pa.type_for_alias(dtype)
        for codec in (None, "zstd", "lz4"):
            def to(layout):
                return os.path.join(folder, f"{layout}-{dtype}-{codec or 'plain'}.arrow")

            save(to("tensor"), {"w": tensor_column(w, dtype, [2, 3, 4]), "b": tensor_column(b, dtype, [2])}, compression=codec)
            flat = {"b": pa.array([b], pa.list_(value, 2)), "w": pa.array([w], pa.list_(value, 24))}
            save(to("flat"), flat, compression=codec)
            lists = {"w": pa.array([w], pa.large_list(value)), "b": pa.array([b], pa.list_(value))}
            save(to("list"), lists, compression=codec)
            rows = {
                "name": pa.array(["b", "w"]),
                "shape": pa.array([[2], [2, 3, 4]], pa.list_(pa.int64())),
                "values": pa.array([b, w], pa.large_list(value)),
            }
            save(to("table"), rows, compression=codec)
        frame = pl.DataFrame(
            {"w": np.array(w, dtype=dtype).reshape(1, 2, 3, 4), "b": np.array(b, dtype=dtype).reshape(1, 2)}
        )
        for codec in ("uncompressed", "zstd"):
            frame.write_ipc(os.path.join(folder, f"polars-{dtype}-{codec}.arrow"), compression=codec)
        rows = pl.DataFrame({"name": ["b", "w"], "shape": [[2], [2, 3, 4]], "values": [b, w]})
        rows = rows.cast({"values": pl.List(pl.Float32 if dtype == "float32" else pl.Float64)})
        rows.write_ipc(os.path.join(folder, f"polarstable-{dtype}.arrow"))
    turned = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [4, 3, 2], permutation=[2, 1, 0]), pa.array([w], pa.list_(pa.float32(), 24))
    )
    save(os.path.join(folder, "refuse-turned.arrow"), {"w": turned, "b": tensor_column(b, "float32", [2])})
    null = pa.array([[None] + w[1:]], pa.list_(pa.float32(), 24))
    save(os.path.join(folder, "refuse-null.arrow"), {"w": null, "b": tensor_column(b, "float32", [2])})


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "check":
        with open(sys.argv[3], encoding="utf-8") as f:
            expected = json.load(f)
        table = check_pyarrow(sys.argv[2], expected)
        check_polars(sys.argv[2], expected)
        check_duckdb(table, expected)
    elif len(sys.argv) == 3 and sys.argv[1] == "write":
        write(sys.argv[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
