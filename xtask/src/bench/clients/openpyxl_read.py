"""Reads every value of a workbook's first sheet with openpyxl, row by row: openpyxl_read.py XLSX."""

import sys

import openpyxl

# It looks at the ending of the name of a path.
with open(sys.argv[1], "rb") as file:
    book = openpyxl.load_workbook(file, read_only=True)
    rows = sum(1 for _ in book.worksheets[0].iter_rows(values_only=True)) - 1
print(rows, "rows")
