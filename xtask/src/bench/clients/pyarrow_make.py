"""Makes a Parquet file of a CSV with pyarrow, as it does when nobody says how: pyarrow_make.py CSV PARQUET."""

import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

rows, made = sys.argv[1:]
with open(rows) as file:
    names = file.readline().rstrip("\n").split(",")
# Texts, but for the one column that counts: postal codes would lose their zeros.
types = {name: pa.int64() if name == "Employees" else pa.string() for name in names}
table = pyarrow.csv.read_csv(rows, convert_options=pyarrow.csv.ConvertOptions(column_types=types))
pyarrow.parquet.write_table(table, made)
