"""Reads the answers with DuckDB and with polars.

Usage: read.py answers.arrow
"""

import sys

import duckdb
import polars
import pyarrow.ipc

path = sys.argv[1]
answers = pyarrow.ipc.open_file(path).read_all()
meta = {k.decode(): v.decode() for k, v in answers.schema.metadata.items()}
print(f"{meta['veilsum.report_count']} vehicles, epsilon {float(meta['veilsum.epsilon']):.3g} at delta {meta['veilsum.delta']} per {meta['veilsum.unit']}")

print(duckdb.sql("SELECT query, measure, key, round(estimate, 2) AS estimate, round(ci_low, 2) AS low, round(ci_high, 2) AS high FROM answers WHERE query = 'exercises' ORDER BY estimate DESC"))
with polars.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True):
    print(polars.read_ipc(path).filter(polars.col("measure") == "quantile").select("query", "key", "estimate", "ci_low", "ci_high"))
