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
Block = bytes | memoryview
_ROWS_AT_ONCE = 32_768  # bounds the padded copy to some 10 MB


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
    column = column.cast(polars_type)
    values = (column.fill_null(zero) if column.null_count() else column).to_numpy()
    return np.ascontiguousarray(values.astype(wire)).view(np.uint8).reshape(len(column), -1)


def _text_payload(column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """(rows x longest, padded with zeros; byte length of each row, 0 where NULL).

    Raises ValueError for NUL, which PostgreSQL cannot store.
    """
    text = column.cast(pl.String)
    if text.null_count():
        text = text.fill_null("")
    joined = "".join(text.str.join("").to_list()).encode()
    if b"\0" in joined:
        raise ValueError(f"column {column.name!r} holds a NUL character")
    lengths = text.str.len_bytes().to_numpy().astype(np.int64)
    width = int(lengths.max(initial=0))
    padded = np.zeros((len(text), width), np.uint8)
    padded[np.arange(width) < lengths[:, None]] = np.frombuffer(joined, np.uint8)
    return padded, lengths


def encode(frame: pl.DataFrame, sql_types: list[str]) -> list[Block]:
    """One COPY stream of the frame in blocks to be sent in order; columns in the frame's order, `sql_types` parallel.

    Raises ValueError for a type it does not know, and for NUL in text, which PostgreSQL cannot store.
    """
    starts = range(0, frame.height, _ROWS_AT_ONCE)
    rows = [_encode_rows(frame.slice(start, _ROWS_AT_ONCE), sql_types) for start in starts]
    return [HEADER, *rows, TRAILER]


def _encode_rows(frame: pl.DataFrame, sql_types: list[str]) -> Block:
    """Every field at a fixed place of a padded row, then the padding (and what is NULL) squeezed out at once."""
    rows = frame.height
    payloads = [_payload(column, kind) for column, kind in zip(frame.iter_columns(), sql_types, strict=True)]
    width = 2 + sum(4 + block.shape[1] for block, _ in payloads)
    padded = np.empty((rows, width), np.uint8)
    padded[:, :2] = _big_endian(len(payloads), 2)
    sent: np.ndarray | None = None
    at = 2
    for block, lengths in payloads:
        size = block.shape[1]
        if lengths is None:
            padded[:, at : at + 4] = _big_endian(size, 4)
        else:
            if sent is None:
                sent = np.ones((rows, width), bool)
            padded[:, at : at + 4] = lengths.astype(">i4").view(np.uint8).reshape(rows, 4)
            sent[:, at + 4 : at + 4 + size] = np.arange(size) < lengths[:, None]
        padded[:, at + 4 : at + 4 + size] = block
        at += 4 + size
    return padded.reshape(-1).data if sent is None else padded[sent].data


def _big_endian(number: int, size: int) -> np.ndarray:
    return np.frombuffer(number.to_bytes(size, "big"), np.uint8)


def _payload(column: pl.Series, sql_type: str) -> tuple[np.ndarray, np.ndarray | None]:
    """(rows x bytes, length of each row's field as the wire has it: -1 for NULL; None where all are full)."""
    if not is_encodable(sql_type):
        raise ValueError(f"column {column.name!r}: type {sql_type!r} has no binary encoding here")
    lengths: np.ndarray | None = None
    if sql_type in _FIXED:
        block = _fixed_payload(column, sql_type)
    else:
        block, lengths = _text_payload(column)
        if (lengths == block.shape[1]).all():
            lengths = None
    if column.null_count():
        full = block.shape[1] if lengths is None else lengths
        lengths = np.where(column.is_not_null().to_numpy(), full, -1)
    return block, lengths
