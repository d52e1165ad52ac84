"""Frames to PostgreSQL's binary COPY format, column by column in numpy: no Python object per cell.

Format: https://www.postgresql.org/docs/current/sql-copy.html (signature, int16 field count a row, int32 length and
big-endian payload a field, -1 for NULL). Does not belong here: connections and tables.
"""

from __future__ import annotations

import numpy as np
import polars as pl

HEADER = b"PGCOPY\n\xff\r\n\x00" + (0).to_bytes(4, "big") + (0).to_bytes(4, "big")
TRAILER = (-1).to_bytes(2, "big", signed=True)
_PG_EPOCH_US = 946_684_800_000_000  # 2000-01-01T00:00Z, PostgreSQL's zero of time
_PG_EPOCH_DAYS = 10_957

# SQL type -> (polars type to cast to, numpy wire type); text-like types are handled apart
_FIXED: dict[str, tuple[pl.DataType, str]] = {
    "double precision": (pl.Float64(), ">f8"),
    "bigint": (pl.Int64(), ">i8"),
    "integer": (pl.Int32(), ">i4"),
    "smallint": (pl.Int16(), ">i2"),
    "boolean": (pl.UInt8(), "u1"),
    "date": (pl.Int32(), ">i4"),
    "timestamp with time zone": (pl.Int64(), ">i8"),
}
_TEXT = ("text", "character varying", "character")


def is_encodable(sql_type: str) -> bool:
    """Whether a column of this type (as format_type prints it) can be sent by `encode`."""
    return sql_type in _FIXED or sql_type.split("(")[0] in _TEXT


def _fixed_payload(column: pl.Series, sql_type: str) -> np.ndarray:
    """Rows x width bytes, big-endian; rows that are NULL hold anything."""
    polars_type, wire = _FIXED[sql_type]
    if sql_type == "timestamp with time zone":
        if column.dtype == pl.Null:
            column = column.cast(pl.Datetime("us", "UTC"))
        column = column.dt.convert_time_zone("UTC").dt.timestamp("us") - _PG_EPOCH_US
    elif sql_type == "date":
        column = column.cast(pl.Int32) - _PG_EPOCH_DAYS
    zero = 0.0 if polars_type.is_float() else 0
    values = column.cast(polars_type).fill_null(zero).to_numpy()
    return np.ascontiguousarray(values.astype(wire)).view(np.uint8).reshape(len(column), -1)


def _text_payload(column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """(all bytes in row order, byte length of each row; 0 where NULL)."""
    text = column.cast(pl.String)
    lengths = text.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
    joined = "".join(text.fill_null("").to_list()).encode()
    return np.frombuffer(joined, np.uint8), lengths


def encode(frame: pl.DataFrame, sql_types: list[str]) -> bytes:
    """One COPY stream of the frame, columns in its order, `sql_types` parallel to them.

    Raises ValueError for a type it does not know, and for NUL in text, which PostgreSQL cannot store.
    """
    rows = frame.height
    if rows == 0:
        return HEADER + TRAILER
    payloads: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for column, sql_type in zip(frame.iter_columns(), sql_types, strict=True):
        if not is_encodable(sql_type):
            raise ValueError(f"column {column.name!r}: type {sql_type!r} has no binary encoding here")
        present = column.is_not_null().to_numpy()
        if sql_type in _FIXED:
            block = _fixed_payload(column, sql_type)
            lengths = np.where(present, block.shape[1], 0)
            payloads.append((block[present].reshape(-1), lengths, present))
        else:
            data, lengths = _text_payload(column)
            if (data == 0).any():
                raise ValueError(f"column {column.name!r} holds a NUL character")
            payloads.append((data, lengths, present))

    row_size = np.full(rows, 2 + 4 * len(payloads), np.int64)
    for _, lengths, _ in payloads:
        row_size += lengths
    ends = np.cumsum(row_size)
    out = np.empty(int(ends[-1]), np.uint8)
    position = ends - row_size
    _scatter(
        out, position, np.frombuffer(len(payloads).to_bytes(2, "big"), np.uint8)[None, :].repeat(rows, 0)
    )
    position = position + 2
    for data, lengths, present in payloads:
        wire_length = np.where(present, lengths, -1).astype(">i4")
        _scatter(out, position, wire_length.view(np.uint8).reshape(rows, 4))
        position = position + 4
        starts = np.cumsum(lengths) - lengths
        target = np.arange(data.size) + np.repeat(position - starts, lengths)
        out[target] = data
        position = position + lengths
    return HEADER + out.tobytes() + TRAILER


def _scatter(out: np.ndarray, position: np.ndarray, block: np.ndarray) -> None:
    """Writes each row of `block` at its position: one pass a byte column."""
    for offset in range(block.shape[1]):
        out[position + offset] = block[:, offset]
