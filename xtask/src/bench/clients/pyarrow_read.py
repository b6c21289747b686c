"""Reads a Parquet file with pyarrow, batch by batch, and writes its rows as CSV to nowhere: pyarrow_read.py PARQUET."""

import sys

import pyarrow.csv
import pyarrow.parquet

file = pyarrow.parquet.ParquetFile(sys.argv[1])
rows = 0
with pyarrow.csv.CSVWriter("/dev/null", file.schema_arrow) as out:
    for batch in file.iter_batches():
        out.write_batch(batch)
        rows += batch.num_rows
print(rows, "rows")
