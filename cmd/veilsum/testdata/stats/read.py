"""Reads a table of answers with DuckDB and with polars and prints what both find, as JSON.

Usage: read.py RESULT.arrow
"""

import json
import sys

import duckdb
import polars
import pyarrow.ipc

path = sys.argv[1]
answers = pyarrow.ipc.open_file(path).read_all()
meta = {k.decode(): v.decode() for k, v in answers.schema.metadata.items()}

connection = duckdb.connect()
connection.register("answers", answers)
by_query = connection.execute(
    "SELECT query, measure, count(*), sum(estimate), count(estimate), count(*) FILTER (suppressed) FROM answers GROUP BY ALL ORDER BY ALL"
).fetchall()
top = connection.execute(
    "SELECT lower, upper, estimate FROM answers WHERE query = 'turn' AND NOT suppressed ORDER BY estimate DESC LIMIT 3"
).fetchall()

frame = polars.read_ipc(path)
again = (
    frame.group_by("query", "measure")
    .agg(
        polars.len(),
        polars.col("estimate").sum(),
        polars.col("estimate").count().alias("known"),
        polars.col("suppressed").sum().alias("hidden"),
    )
    .sort("query", "measure")
    .rows()
)
if len(again) != len(by_query):
    sys.exit(f"polars finds {len(again)} queries, DuckDB {len(by_query)}")
for a, b in zip(by_query, again):
    same = list(a[:3]) == list(b[:3]) and list(a[4:]) == list(b[4:])
    if not same or abs((a[3] or 0) - (b[3] or 0)) > 1e-6 * (1 + abs(a[3] or 0)):
        sys.exit(f"DuckDB reads {a}, polars {b}")
print(json.dumps({"meta": meta, "queries": by_query, "top": top, "columns": frame.columns, "types": [str(t) for t in frame.dtypes]}))
