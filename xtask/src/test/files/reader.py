"""Reads a CSV or JSON file with Python's own modules and tells what is in it, as one JSON object.

usage: reader.py --source FILE ENCODING DELIMITER [REFUSED_ROW ...]   a file as people have it; DELIMITER json: JSON
       reader.py --results FILE COLUMNS                              a result file: its first COLUMNS are those of the input

`file` is a digest of every row, in order. `taken` and `sent` leave out the refused rows: `taken` has the cells as they
stand, in order; `sent` as Salesforce gets the columns that have a name of their own, in any order.
"""

import csv
import hashlib
import io
import json
import re
import sys

csv.field_size_limit(1 << 30)
BLANK = " \t\n\x0c\r"


def digest(rows, in_order=True):
    lines = ["\x1f".join(row) + "\n" for row in rows]
    return hashlib.sha256("".join(lines if in_order else sorted(lines)).encode()).hexdigest()


def sent(cell):
    """A blank cell leaves its field empty, and line ends inside a cell become LF."""
    return re.sub("\r\n?", "\n", cell) if cell.strip(BLANK) else ""


def traits(raw, text, delimiter, records, header):
    """What makes the file unlike plain UTF-8 with commas and LF."""
    outside = re.sub('"[^"]*"', "", text)
    cells = [cell for record in records for cell in record]
    found = {
        "byte order mark": raw.startswith(b"\xef\xbb\xbf"),
        "UTF-16": raw.startswith((b"\xff\xfe", b"\xfe\xff")),
        "CRLF": "\r\n" in outside,
        "CR": bool(re.search("\r(?!\n)", outside)),
        "semicolons": delimiter == ";",
        "tabs": delimiter == "\t",
        "JSON": delimiter == "json",
        "another delimiter": delimiter not in (",", ";", "\t", "json"),
        "line ends in cells": any("\n" in cell or "\r" in cell for cell in cells),
        "non-ASCII": not text.isascii(),
        "ragged rows": any(record and len(record) != len(header) for record in records),
        "empty lines": [] in records,
        "NUL": "\0" in text,
    }
    try:
        raw.decode("utf-16" if found["UTF-16"] else "utf-8")
        found["legacy code page"] = False
    except UnicodeDecodeError:
        found["legacy code page"] = True
    return [name for name, is_so in found.items() if is_so]


def objects(text):
    """The names and the values of an array of flat objects, numbers as they are written."""
    rows = json.loads(text, parse_float=str, parse_int=str)
    header = list(dict.fromkeys(name for row in rows for name in row))
    words = {None: "", True: "true", False: "false"}
    return [header] + [[words.get(row.get(name), row.get(name)) for name in header] for row in rows]


def read(path, encoding, delimiter):
    """The text, all its records, and those that hold anything: the header and the rows."""
    with open(path, encoding=encoding, newline="") as file:
        text = file.read()
    records = objects(text) if delimiter == "json" else list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    header, *rows = [record for record in records if any(cell.strip(" \t") for cell in record)]
    return text, records, header, rows


def source(path, encoding, delimiter, *refused):
    text, records, header, rows = read(path, encoding, delimiter)
    refused = set(map(int, refused))
    taken = [row for number, row in enumerate(rows, start=1) if number not in refused]
    names = [name.strip() for name in header]
    own = [at for at, name in enumerate(names) if name and names.count(name) == 1]
    with open(path, "rb") as file:
        found = traits(file.read(), text, delimiter, records, header)
    return {
        "header": header, "own": own, "rows": len(rows), "traits": found, "file": digest(rows), "taken": digest(taken),
        "sent": digest(([sent(row[at]) for at in own if at < len(row)] for row in taken), in_order=False),
    }


def results(path, columns):
    _, _, header, rows = read(path, "utf-8", ",")
    columns = int(columns)
    return {"header": header[:columns], "taken": digest(row[:columns] for row in rows), "errors": [row[-1] for row in rows]}


command, *words = sys.argv[1:]
print(json.dumps({"--source": source, "--results": results}[command](*words)))
