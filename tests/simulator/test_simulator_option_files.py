"""Option day files over S3: the session's trades in the chains, promised before they are made."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from datetime import UTC, date, datetime

import httpx2 as httpx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator_wire import plan

from kapman_resources.calendar import NEW_YORK
from kapman_simulator.chains import day_bars_of, option_bars, option_chain
from kapman_simulator.data_sets import OPTIONS, STOCKS, parse_key
from kapman_simulator.day_files import HEADER, padded_gzip
from kapman_simulator.market import Market
from kapman_simulator.server import Serving, serving
from kapman_simulator.source import GeneratedSource

LAST = date(2026, 6, 12)
FILE = "/flatfiles/" + OPTIONS.key(LAST)


@pytest.fixture(scope="module")
def body(_running: Serving) -> bytes:
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={_running.s3_key_id}/x"}
    return httpx.get(_running.url + FILE, headers=headers, trust_env=False).raise_for_status().content


def listed(signed: httpx.Client, prefix: str) -> str:
    return signed.get("/flatfiles", params={"list-type": 2, "prefix": prefix}).raise_for_status().text


def test_an_option_file_holds_what_traded_in_every_chain_of_the_session(body: bytes, vendor: Serving) -> None:
    table = pl.read_csv(io.BytesIO(gzip.decompress(body)), schema_overrides={"ticker": pl.String})
    assert tuple(table.columns) == HEADER and table["ticker"].is_unique().all()
    midnight = int(datetime(2026, 6, 12, 4, tzinfo=UTC).timestamp()) * 10**9
    assert set(table["window_start"]) == {midnight}
    source = vendor.simulation.source
    asked = [source.chain_of(symbol, LAST) for symbol in source.chain_symbols(LAST)]
    chains = pl.concat([chain for chain in asked if chain is not None])
    traded = chains.filter(pl.col("day_session") == LAST).unique("contract").sort("contract")
    assert table["ticker"].to_list() == traded["contract"].to_list() and table.height > 10_000
    for name in ("open", "high", "low", "close", "volume"):
        assert table[name].cast(pl.Float64).equals(traded[f"day_{name}"], check_names=False), name
    assert (table["high"] >= table["low"]).all() and table["transactions"].min() >= 1
    assert (table["transactions"] <= table["volume"]).all()
    # the series that expired on that Friday traded too, and so did contracts with a digit behind the root
    assert table["ticker"].str.contains("260612[CP]").any()
    assert table["ticker"].str.contains(r"^O:[A-Z]+1\d{6}[CP]").any()


@pytest.mark.parametrize("symbol", ["NVDA", "SPY", "BRK.B", "ZVZZT"])
def test_bars_made_without_the_chain_are_the_chain_s(market: Market, symbol: str) -> None:
    for session in (LAST, date(2024, 7, 5), date(2023, 2, 1)):
        cheap = option_bars(market, symbol, session)
        assert cheap.drop("transactions").equals(
            day_bars_of(option_chain(market, symbol, session), session).drop("transactions")
        )


def test_list_head_and_get_agree_although_the_size_is_promised_first(signed: httpx.Client) -> None:
    source = GeneratedSource(7, LAST, symbols=50, contracts_per_symbol=60)
    with serving(source, now=datetime(2026, 6, 13, 4, tzinfo=NEW_YORK)) as fresh:
        url = fresh.url + FILE
        text = httpx.get(
            fresh.url + "/flatfiles", params={"list-type": 2, "prefix": OPTIONS.prefix + "2026/06/"},
            headers=signed.headers, trust_env=False,
        ).text  # fmt: skip
        head = httpx.head(url, headers=signed.headers, trust_env=False).headers
        got = httpx.get(url, headers=signed.headers, trust_env=False)
        part = httpx.get(url, headers={**signed.headers, "Range": "bytes=5-104"}, trust_env=False)
    size = int(head["content-length"])
    assert text.count("<Key>") == 10 and f"<Size>{size}</Size>" in text
    assert len(got.content) == size and got.headers["etag"] == head["etag"]
    assert head["etag"].strip('"') in text and head["etag"] != f'"{hashlib.md5(got.content).hexdigest()}"'
    assert head["last-modified"] == "Sat, 13 Jun 2026 03:00:00 GMT"
    assert (part.status_code, part.content) == (206, got.content[5:105])


def test_padding_is_invisible_to_every_decoder(body: bytes) -> None:
    text = gzip.decompress(body)
    whole = zlib.decompressobj(31)
    assert whole.decompress(body) == text and whole.eof and not whole.unused_data
    assert pl.read_csv(body, infer_schema=False).height == text.count(b"\n") - 1
    with pytest.raises(EOFError):
        gzip.decompress(body[:-3])


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 600))
def test_a_padded_file_has_exactly_the_promised_size_and_content(content: bytes, room: int) -> None:
    needed = 0
    with pytest.raises(ValueError, match="promised") as refused:
        padded_gzip(content, needed)
    needed = int(str(refused.value).split(" need ")[1].split()[0])
    padded = padded_gzip(content, needed + room)
    assert len(padded) == needed + room and gzip.decompress(padded) == content


def test_option_files_appear_after_the_stock_files_and_only_where_chains_are_known(
    signed: httpx.Client, vendor: Serving
) -> None:
    before = vendor.simulation.now
    vendor.simulation.move_to(datetime(2026, 6, 12, 22, 30, tzinfo=NEW_YORK))
    assert signed.head("/flatfiles/" + STOCKS.key(LAST)).status_code == 200
    assert signed.head(FILE).status_code == signed.get(FILE).status_code == 403
    assert "2026-06-12.csv" not in listed(signed, OPTIONS.prefix + "2026/06/")
    vendor.simulation.move_to(before)
    for session in (date(2023, 1, 10), date(2026, 6, 13), date(2026, 5, 25)):
        answer = signed.get("/flatfiles/" + OPTIONS.key(session))
        assert answer.status_code == 404 and "<Code>NoSuchKey</Code>" in answer.text
    assert "2023-02-14.csv" in listed(signed, OPTIONS.prefix + "2023/02/")  # the thirtieth session
    assert "2023-02-13.csv" not in listed(signed, OPTIONS.prefix + "2023/02/")
    assert signed.get("/flatfiles/" + OPTIONS.key(date(2026, 6, 15))).status_code == 403


def test_both_data_sets_are_listed_in_the_order_of_their_keys(signed: httpx.Client) -> None:
    root = signed.get("/flatfiles", params={"list-type": 2, "delimiter": "/"}).text
    assert root.index("us_options_opra/") < root.index("us_stocks_sip/")
    assert root.count("<CommonPrefixes>") == 2
    assert parse_key(OPTIONS.key(LAST)) == (OPTIONS, LAST) and parse_key("us_options_opra/x") is None
    assert parse_key(OPTIONS.key(LAST).replace("06-12", "06-31")) is None


def test_a_dropped_underlying_leaves_the_option_file(signed: httpx.Client, client: httpx.Client) -> None:
    whole = signed.head(FILE).headers["etag"]
    plan(client, drop_symbols=["NVDA"])
    other = signed.get(FILE)
    assert other.headers["etag"] != whole and b"O:NVDA" not in gzip.decompress(other.content)
