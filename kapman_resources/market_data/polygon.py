"""Polygon (now Massive): bars from its flat files, the rest from its REST interface. Two credentials, one vendor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import polars as pl

from kapman_resources.market_data.flat_files import OPTION_DAYS, STOCK_DAYS, FlatFiles
from kapman_resources.market_data.protocol import BarFile, ChainCapture, KnownFile, MissingFile
from kapman_resources.market_data.rest import RestClient
from kapman_resources.settings import Settings


class Polygon:
    """The MarketData protocol on the vendor's two services; nothing is opened until it is asked."""

    def __init__(self, flat_files: FlatFiles, rest: RestClient) -> None:
        self._flat_files, self._rest = flat_files, rest

    @classmethod
    def from_settings(cls, settings: Settings) -> Polygon:
        """Raises SettingsError when a vendor credential is not set."""
        settings.require_market_data_keys()
        assert settings.aws_access_key_id and settings.aws_secret_access_key and settings.polygon_api_key
        return cls(
            FlatFiles(
                endpoint=settings.polygon_s3_endpoint,
                bucket=settings.s3_bucket,
                access_key=settings.aws_access_key_id.get_secret_value(),
                secret_key=settings.aws_secret_access_key.get_secret_value(),
            ),
            RestClient(
                base_url=settings.polygon_base_url,
                api_key=settings.polygon_api_key.get_secret_value(),
                requests_per_second=settings.requests_per_second,
                option_history=settings.polygon_option_history == "on",
            ),
        )

    def bars(
        self, sessions: Sequence[date], known: Mapping[date, KnownFile]
    ) -> Iterator[BarFile | MissingFile]:
        return self._flat_files.files(STOCK_DAYS, sessions, known)

    def grouped(self, sessions: Sequence[date]) -> Iterator[BarFile | MissingFile]:
        return self._rest.grouped(sessions)

    def option_bars(
        self, sessions: Sequence[date], known: Mapping[date, KnownFile]
    ) -> Iterator[BarFile | MissingFile]:
        return self._flat_files.files(OPTION_DAYS, sessions, known)

    def option_history(self, session: date, symbols: Sequence[str]) -> pl.DataFrame:
        return self._rest.option_history(session, symbols)

    def chains(self, symbols: Sequence[str]) -> ChainCapture:
        return self._rest.chains(symbols)

    def splits(self, since: date, until: date) -> pl.DataFrame:
        return self._rest.splits(since, until)

    def tickers(self) -> pl.DataFrame:
        return self._rest.tickers()

    def check(self) -> dict[str, str]:
        return {"REST key": self._rest.check(), "flat-file keys": self._flat_files.check()}

    def close(self) -> None:
        self._rest.close()
