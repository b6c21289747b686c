"""Makes a workbook of a CSV with XlsxWriter, row by row: xlsxwriter_make.py CSV XLSX."""

import csv
import sys

import xlsxwriter

rows, made = sys.argv[1:]
# Holds one row at a time, and so keeps each text in its cell instead of in the list that cells share.
book = xlsxwriter.Workbook(made, {"constant_memory": True, "strings_to_urls": False})
sheet = book.add_worksheet("Customers")
with open(rows, newline="") as file:
    reader = csv.reader(file)
    names = next(reader)
    sheet.write_row(0, 0, names)
    counted = names.index("Employees")
    for number, row in enumerate(reader, 1):
        row[counted] = int(row[counted])
        sheet.write_row(number, 0, row)
book.close()
