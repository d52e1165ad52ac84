"""A market's day files on disk for the loading benchmarks, and the bucket that holds them, without a network.

15,000 symbols as random walks, no halts, no faults: the easy case, so only ratios of one run mean anything.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kapman_resources import calendar
from kapman_resources.market_data.flat_files import OPTION_DAYS, STOCK_DAYS, FlatFiles, key_of
from kapman_resources.market_data.protocol import BarFile, KnownFile, MissingFile

SYMBOLS = 15_000


def write_day_files(folder: Path, sessions: Sequence[date], symbols: int = SYMBOLS) -> None:
    """One gzip file a session, in the vendor's layout below `folder`."""
    random = np.random.default_rng(11)
    names = _names(random, symbols)
    close = random.lognormal(3.2, 1.0, symbols)
    for session in sessions:
        opened = close * np.exp(random.normal(0, 0.004, symbols))
        close = np.maximum(close * np.exp(random.normal(0, 0.02, symbols)), 0.05)
        frame = pl.DataFrame(
            {
                "ticker": names,
                "volume": random.lognormal(12, 2, symbols).astype(np.int64),
                "open": opened,
                "close": close,
                "high": np.maximum(opened, close) * 1.01,
                "low": np.minimum(opened, close) * 0.99,
            }
        ).with_columns(
            pl.col("open", "close", "high", "low").round(4),
            window_start=pl.lit(int(calendar.session_time(session).timestamp()) * 1_000_000_000),
            transactions=pl.col("volume") // 100,
        )
        path = folder / key_of(STOCK_DAYS, session)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(frame.write_csv().encode(), 5, mtime=0))


def _names(random: np.random.Generator, count: int) -> list[str]:
    """Distinct symbols of one to five letters, most of four, none an exchange's test symbol (those have Z or O)."""
    letters = list("ABCDEFGHIJKLMNPQRSTUVWXY")
    names: set[str] = set()
    while len(names) < count:
        length = random.choice([2, 3, 4, 5], p=[0.02, 0.2, 0.58, 0.2])
        names.add("".join(random.choice(letters, length)))
    return sorted(names)


class _Bucket:
    """The three calls of an S3 client that the flat-file client makes, on a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_paginator(self, _: str) -> _Bucket:
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        files = sorted((self._folder / Prefix).glob("*.csv.gz"))
        yield {"Contents": [{"Key": Prefix + file.name, **self._describe(file)} for file in files]}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        described = self._describe(self._folder / Key)
        return {"ETag": described["ETag"], "ContentLength": described["Size"]}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        body = (self._folder / Key).read_bytes()
        head = self.head_object(Bucket=Bucket, Key=Key)
        return head | {"Body": io.BytesIO(body), "ResponseMetadata": {"HTTPHeaders": {}}}

    def _describe(self, file: Path) -> dict[str, Any]:
        stat = file.stat()
        tag = hashlib.md5(f"{file.name}{stat.st_size}{stat.st_mtime_ns}".encode(), usedforsecurity=False)
        return {"ETag": f'"{tag.hexdigest()}"', "Size": stat.st_size}


class FolderVendor:
    """Day files through the real flat-file client, its S3 calls answered from a folder; no grouped daily."""

    def __init__(self, folder: Path) -> None:
        self._files = FlatFiles(endpoint="folder", bucket="flatfiles", access_key="-", secret_key="-")
        self._files._s3 = _Bucket(folder)

    def bars(self, sessions: Sequence[date], known: dict[date, KnownFile]) -> Iterator[BarFile | MissingFile]:
        return self._files.files(STOCK_DAYS, sessions, known)

    def option_bars(
        self, sessions: Sequence[date], known: dict[date, KnownFile]
    ) -> Iterator[BarFile | MissingFile]:
        return self._files.files(OPTION_DAYS, sessions, known)

    def grouped(self, sessions: Sequence[date]) -> Iterator[BarFile | MissingFile]:
        return iter(())
