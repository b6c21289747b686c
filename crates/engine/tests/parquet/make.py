"""Writes tables with several libraries, and beside them what has to be read of each file.

The values that are expected are those that pyarrow reads from the file, written down by Python."""

import datetime as dt
import decimal
import json
import uuid
from pathlib import Path

import duckdb
import fastparquet
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

decimal.getcontext().prec = 100
D = decimal.Decimal
EPOCH = dt.datetime(1970, 1, 1)


def repeated(values, rows):
    """A column that begins with nothing and has nothing in between."""
    values = [None, *values]
    return [values[row % len(values)] for row in range(rows)]


def every_type(rows):
    """A column of each type that can be read."""
    instants = [dt.datetime(2024, 1, 31, 18, 30, 15, 999000), dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59), dt.datetime(1969, 12, 31, 23, 59, 59, 1000)]
    near = [dt.datetime(2024, 1, 31, 18, 30, 15, 999999), dt.datetime(1969, 12, 31, 23, 59, 59, 999999), dt.datetime(1700, 2, 28)]
    columns = {
        "bool": (pa.bool_(), [True, False]),
        "int8": (pa.int8(), [-128, 127]),
        "int16": (pa.int16(), [-32768, 32767]),
        "int32": (pa.int32(), [-(2**31), 2**31 - 1, 0]),
        "int64": (pa.int64(), [-(2**63), 2**63 - 1]),
        "uint8": (pa.uint8(), [0, 255]),
        "uint16": (pa.uint16(), [0, 65535]),
        "uint32": (pa.uint32(), [0, 2**32 - 1]),
        "uint64": (pa.uint64(), [0, 2**64 - 1]),
        "float16": (pa.float16(), [np.float16(0.1), np.float16(-65504), np.float16(6e-8)]),
        "float32": (pa.float32(), [0.1, 1.5e10, 1e-7, -3.4028235e38]),
        "float64": (pa.float64(), [0.1, 1e21, 1e-7, 0.30000000000000004, -12.5]),
        "text": (pa.string(), ["Zoë", "", "two\nlines", "😀 日本語", "00123", "x" * 300]),
        "large": (pa.large_string(), ["a", "b\tc"]),
        "bytes": (pa.binary(), [b"plain", "ä".encode()]),
        "json": (pa.json_(), ['{"a": 1}', "null"]),
        "uuid": (pa.uuid(), [uuid.UUID(int=0).bytes, uuid.UUID("123e4567-e89b-12d3-a456-426614174000").bytes]),
        "decimal9": (pa.decimal128(9, 2), [D("1.50"), D("-9999999.99"), D("0.00")]),
        "decimal18": (pa.decimal128(18, 4), [D("0.0001"), D("-99999999999999.9999")]),
        "decimal38": (pa.decimal128(38, 10), [D("1234567890123456789012345678.0123456789"), D("-0.0000000001")]),
        "decimal76": (pa.decimal256(76, 20), [D("9" * 56 + "." + "9" * 20), -D("9" * 56 + "." + "1" * 20)]),
        "whole76": (pa.decimal256(76, 0), [D("9" * 76), -D("9" * 76)]),
        "date": (pa.date32(), [dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1969, 12, 31)]),
        "time_ms": (pa.time32("ms"), [dt.time(9, 30), dt.time(23, 59, 59, 999000)]),
        "time_us": (pa.time64("us"), [dt.time(9, 30), dt.time(23, 59, 59, 999999)]),
        "time_ns": (pa.time64("ns"), [dt.time(0, 0), dt.time(23, 59, 59, 999999)]),
        "utc_ms": (pa.timestamp("ms", tz="UTC"), instants),
        "utc_us": (pa.timestamp("us", tz="Europe/Berlin"), instants + near),
        "utc_ns": (pa.timestamp("ns", tz="UTC"), near),
        "local_ms": (pa.timestamp("ms"), instants),
        "local_us": (pa.timestamp("us"), instants + near),
        "local_ns": (pa.timestamp("ns"), near),
        "nothing": (pa.null(), []),
        "repeats": (pa.string(), ["same"]),
    }
    arrays = {}
    for name, (kind, values) in columns.items():
        storage = {pa.json_(): pa.string(), pa.uuid(): pa.binary(16)}.get(kind, kind)
        array = pa.array(repeated(values, rows), storage)
        arrays[name] = array if storage == kind else pa.ExtensionArray.from_storage(kind, array)
    arrays["number"] = pa.array(range(rows), pa.int32())
    fields = [pa.field(name, array.type, nullable=name != "number") for name, array in arrays.items()]
    return pa.table(arrays, schema=pa.schema(fields))


def with_pyarrow():
    ways = [
        ("none-plain-v1", dict(compression="none", use_dictionary=False, data_page_version="1.0")),
        ("snappy-dictionary-v1", dict(compression="snappy", data_page_version="1.0", write_page_checksum=True)),
        ("gzip-dictionary-v2", dict(compression="gzip", data_page_version="2.0", write_page_checksum=True)),
        ("brotli-plain-v2", dict(compression="brotli", use_dictionary=False, data_page_version="2.0")),
        ("zstd-integers-v1", dict(compression="zstd", store_decimal_as_integer=True, version="1.0")),
        ("lz4-dictionary-v1", dict(compression="lz4", dictionary_pagesize_limit=64)),
    ]
    for name, way in ways:
        pq.write_table(every_type(50), f"pyarrow-{name}.parquet", **{"row_group_size": 20, "data_page_size": 256, "write_batch_size": 7, "store_schema": False, **way})
    table = every_type(150)
    encodings = {}
    for field in table.schema:
        kind = field.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            encodings[field.name] = "DELTA_BYTE_ARRAY"
        elif field.name in ("bytes", "json"):
            encodings[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
        elif pa.types.is_decimal(kind):
            encodings[field.name] = "DELTA_BYTE_ARRAY"
        elif pa.types.is_floating(kind) or field.name == "uuid":
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        elif not (pa.types.is_boolean(kind) or pa.types.is_null(kind)):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    for version in ("1.0", "2.0"):
        pq.write_table(table, f"pyarrow-delta-v{version[0]}.parquet", compression="zstd", use_dictionary=False, column_encoding=encodings, data_page_version=version, data_page_size=4096, store_schema=False)
    instants = pa.table({"int96": pa.array(repeated([dt.datetime(2024, 1, 31, 18, 30, 15, 999000), dt.datetime(1969, 12, 31, 23, 59, 59), dt.datetime(1700, 1, 1)], 9), pa.timestamp("ns"))})
    pq.write_table(instants, "pyarrow-int96.parquet", use_deprecated_int96_timestamps=True)
    pq.write_table(every_type(0), "pyarrow-empty.parquet")
    # Without any row group.
    with pq.ParquetWriter("pyarrow-no-groups.parquet", pa.schema([("a", pa.string())])):
        pass


def nested():
    address = pa.struct([("city", pa.string()), ("geo", pa.struct([("lat", pa.float64())]))])
    rows = [
        {"name": "Zoë", "address": {"city": "Bonn", "geo": {"lat": 50.7}}, "tags": ["a", "b"], "more": {"k": 1}, "deep": {"in": {"list": [1]}, "beside": 7}, "code": b"\x01\x02"},
        {"name": "Søn", "address": {"city": None, "geo": None}, "tags": [], "more": None, "deep": None, "code": None},
        {"name": None, "address": None, "tags": None, "more": {}, "deep": {"in": None, "beside": None}, "code": b"\xff\xff"},
    ]
    deep = pa.struct([("in", pa.struct([("list", pa.list_(pa.int32()))])), ("beside", pa.int32())])
    schema = pa.schema([("name", pa.string()), ("address", address), ("tags", pa.list_(pa.string())), ("more", pa.map_(pa.string(), pa.int64())), ("deep", deep), ("code", pa.binary(2))])
    pq.write_table(pa.Table.from_pylist(rows, schema), "pyarrow-nested.parquet")


def faults():
    """Values that Salesforce cannot have; the third row of each has none of them."""
    table = pa.table(
        {
            "nan": pa.array([float("nan"), float("inf"), 1.5], pa.float64()),
            "text": pa.array([b"\xff\xfe", b"nul\0", b"good"], pa.binary()),
            "date": pa.array([-800000, 3000000, 0], pa.int32()).cast(pa.date32()),
            "instant": pa.array([-(2**62), 2**62, 0], pa.int64()).cast(pa.timestamp("ms", tz="UTC")),
        }
    )
    pq.write_table(table, "pyarrow-faults.parquet")


def with_fastparquet():
    frame = pd.DataFrame(
        {
            "text": pd.Series(repeated(["Zoë", "", "😀"], 30), dtype=object),
            "int": pd.array(repeated([1, -(2**40)], 30), dtype="Int64"),
            "float": pd.Series([0.1 * row for row in range(30)]),
            "bool": pd.array(repeated([True, False], 30), dtype="boolean"),
            "instant": pd.Series(pd.to_datetime(["2024-01-31T18:30:15.999", "1969-12-31T23:59:59.000"] * 15)),
            "category": pd.Categorical(["a", "b", "c"] * 10),
        }
    )
    for name, way in [("none", {}), ("snappy", dict(compression="SNAPPY")), ("gzip", dict(compression="GZIP", times="int96")), ("zstd", dict(compression="ZSTD"))]:
        fastparquet.write(f"fastparquet-{name}.parquet", frame, row_group_offsets=[0, 11, 12], object_encoding={"text": "utf8"}, **way)


def with_duckdb():
    base = duckdb.connect()
    base.execute("SET TimeZone = 'UTC'")
    base.execute("CREATE TYPE mood AS ENUM ('happy', 'sad')")
    base.execute(
        """CREATE TABLE t AS SELECT row AS number, CASE WHEN row % 3 = 0 THEN NULL ELSE 'Zoë ' || row END AS text, row::UTINYINT AS tiny,
        (row * 1000000007)::BIGINT AS big, row / 7.0::DOUBLE AS "double", (row / 7.0)::FLOAT AS "float", (row - 1.25)::DECIMAL(9, 2) AS decimal9,
        (row * 12345678901.5)::DECIMAL(30, 3) AS decimal30, DATE '2024-02-28' + row::INTEGER AS day, TIME '09:30:00.123456' AS time,
        TIMESTAMP '2024-01-31 18:30:15.999999' AS local, TIMESTAMPTZ '2024-01-31 18:30:15.999999+00' AS utc,
        '123e4567-e89b-12d3-a456-426614174000'::UUID AS uuid, CASE WHEN row % 2 = 0 THEN 'happy' ELSE 'sad' END::mood AS mood, row % 5 = 0 AS yes,
        {'city': 'Bonn', 'zip': row} AS address, [row] AS list, INTERVAL 3 DAY AS passed FROM range(100) AS r(row)"""
    )
    for name, way in [("snappy-v1", "CODEC snappy"), ("zstd-v2", "CODEC zstd, PARQUET_VERSION v2"), ("none-v2", "CODEC uncompressed, PARQUET_VERSION v2"), ("gzip-v1", "CODEC gzip"), ("brotli-v1", "CODEC brotli"), ("lz4-v1", "CODEC lz4_raw")]:
        base.execute(f"COPY t TO 'duckdb-{name}.parquet' (FORMAT parquet, {way}, ROW_GROUP_SIZE 40)")


def plain(number):
    """All digits, no exponent."""
    text = format(D(str(number)), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def clock(milliseconds, utc):
    time = (EPOCH + dt.timedelta(milliseconds=milliseconds)).time()
    return f"{time:%H:%M:%S}.{time.microsecond // 1000:03}" + ("Z" if utc else "")


def cell(value, column, array_type):
    if value is None:
        return ""
    logical = json.loads(column.logical_type.to_json())
    kind = logical.get("Type")
    if column.physical_type == "INT96" or kind == "Timestamp":
        parts = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[array_type.unit]
        milliseconds = value * 1000 // parts
        days, rest = divmod(milliseconds, 86_400_000)
        utc = kind == "Timestamp" and logical["isAdjustedToUTC"]
        return (dt.date(1970, 1, 1) + dt.timedelta(days=days)).isoformat() + "T" + clock(rest, utc)
    if kind == "Time":
        return clock(value * 1000 // {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[array_type.unit], logical["isAdjustedToUTC"])
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if pa.types.is_float32(array_type):
        return plain(np.float32(value))
    if pa.types.is_float16(array_type):
        return plain(np.float16(value))
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if kind == "UUID" else value.decode()
    return str(value)


def counted(array):
    """Times and instants as numbers, as Python has none so fine and so far."""
    if isinstance(array.type, pa.ExtensionType):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_timestamp(array.type) or pa.types.is_time64(array.type):
        return array.type, array.cast(pa.int64()).to_pylist()
    if pa.types.is_time32(array.type):
        return array.type, array.cast(pa.int32()).to_pylist()
    return array.type, array.to_pylist()


def expected(path):
    """The columns that are no part of a list, by their paths, and their cells."""
    file = pq.ParquetFile(path)
    table = file.read().combine_chunks()
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    names, columns = [], []
    for number in range(len(file.schema)):
        column = file.schema.column(number)
        logical = json.loads(column.logical_type.to_json())
        if column.max_repetition_level > 0:
            continue
        names.append(column.path)
        no_text = column.physical_type == "FIXED_LEN_BYTE_ARRAY" and logical.get("Type") not in ("UUID", "Decimal", "Float16")
        if no_text:
            columns.append([""] * table.num_rows)
            continue
        chunks = table.column(column.path).combine_chunks()
        if isinstance(chunks, pa.ChunkedArray):
            chunks = chunks.chunk(0) if chunks.num_chunks else pa.array([], chunks.type)
        kind, values = counted(chunks)
        columns.append([cell(value, column, kind) for value in values])
    return {"columns": names, "rows": [list(row) for row in zip(*columns)]}


if __name__ == "__main__":
    for old in Path().glob("*.parquet"):
        old.unlink()
    with_pyarrow()
    nested()
    faults()
    with_fastparquet()
    with_duckdb()
    files = sorted(path.name for path in Path().glob("*.parquet") if "faults" not in path.name)
    # Files with the same rows share what is expected of them.
    tables = {}
    for name in files:
        tables.setdefault(json.dumps(expected(name), ensure_ascii=False), []).append(name)
    with open("expected.json", "w", encoding="utf-8") as out:
        lines = [f'{{"files": {json.dumps(names)}, {table[1:]}' for table, names in tables.items()]
        out.write("[\n" + ",\n".join(lines) + "\n]\n")
