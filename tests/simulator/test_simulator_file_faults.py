"""Faults of the day files as they look on the wire: replaced, malformed, forbidden, cut."""

from __future__ import annotations

import gzip
from datetime import date

import httpx2 as httpx
import pytest
from simulator_wire import plan

from kapman_simulator.data_sets import OPTIONS, STOCKS
from kapman_simulator.day_files import HEADER

DAY = "2026-06-11"
STOCK_FILE = "/flatfiles/" + STOCKS.key(date(2026, 6, 11))
OPTION_FILE = "/flatfiles/" + OPTIONS.key(date(2026, 6, 11))
GROUPED = f"/v2/aggs/grouped/locale/us/market/stocks/{DAY}?adjusted=false"


def lines(signed: httpx.Client, path: str = STOCK_FILE) -> list[str]:
    return gzip.decompress(signed.get(path).raise_for_status().content).decode().split("\n")[:-1]


def row(signed: httpx.Client, symbol: str, path: str = STOCK_FILE) -> dict[str, str]:
    found = [line.split(",") for line in lines(signed, path) if line.startswith(symbol + ",")]
    assert len(found) == 1, found
    return dict(zip(HEADER, found[0], strict=True))


def listing(signed: httpx.Client, path: str) -> str:
    return signed.get("/flatfiles", params={"list-type": 2, "prefix": path.removeprefix("/flatfiles/")}).text


def test_a_replaced_file_has_corrected_rows_another_etag_and_age_and_grouped_stays(
    client: httpx.Client, signed: httpx.Client
) -> None:
    first, before, grouped = signed.head(STOCK_FILE), row(signed, "AAPL"), client.get(GROUPED).json()
    plan(client, replace={DAY: [
        {"symbol": "AAPL", "close": 1.5, "volume": 12.25},
        {"symbol": "MSFT", "removed": True},
        {"symbol": "NEWCO", "open": 1, "high": 2, "low": 1, "close": 2, "volume": 3, "transactions": 1},
    ]})  # fmt: skip
    second = signed.head(STOCK_FILE)
    assert first.headers["etag"] != second.headers["etag"]
    assert first.headers["last-modified"] < second.headers["last-modified"]
    after = row(signed, "AAPL")
    assert after == before | {"close": "1.5", "volume": "12.25"}
    assert not any(line.startswith("MSFT,") for line in lines(signed))
    assert row(signed, "NEWCO") == {
        "ticker": "NEWCO", "volume": "3", "open": "1", "close": "2", "high": "2", "low": "1",
        "window_start": before["window_start"], "transactions": "1",
    }  # fmt: skip
    assert client.get(GROUPED).json()["results"] == grouped["results"]
    assert signed.head(STOCK_FILE).headers["content-length"] in listing(signed, STOCK_FILE)


def test_malformed_rows_are_appended_as_they_are(client: httpx.Client, signed: httpx.Client) -> None:
    healthy = lines(signed)
    stamp = row(signed, "AAPL")["window_start"]
    bad = [
        f"AAPL,NaN,1,1,1,1,{stamp},1", f"BAD,-5,-1,-1,-1,-1,{stamp},1", healthy[5],
        "SPY,1,1,1,1,1,1736917200000000000,1", f"NA,1,2,2,2,2,{stamp},1", f"TRUE,1,2,2,2,2,{stamp},1",
        f'"QUOTED,1",1,2,2,2,2,{stamp},1', f"CTRL\x01\x0b\x1c,1,2,2,2,2,{stamp},1", "too,few", "",
    ]  # fmt: skip
    plan(client, append_rows={DAY: bad})
    assert lines(signed) == healthy + bad
    plan(client)
    assert lines(signed) == healthy


def test_columns_can_be_missing_and_the_header_wrong(client: httpx.Client, signed: httpx.Client) -> None:
    plan(client, drop_columns={DAY: ["volume", "transactions"]})
    assert lines(signed)[0] == "ticker,open,close,high,low,window_start"
    assert all(line.count(",") == 5 for line in lines(signed))
    plan(client, header={DAY: "symbol;vol"})
    assert lines(signed)[0] == "symbol;vol" and lines(signed)[1].count(",") == 7


def test_a_forbidden_file_is_listed_with_its_size_and_refused(
    client: httpx.Client, signed: httpx.Client
) -> None:
    size = signed.head(STOCK_FILE).headers["content-length"]
    plan(client, forbidden=[DAY])
    assert f"<Size>{size}</Size>" in listing(signed, STOCK_FILE)
    refused = signed.get(STOCK_FILE)
    assert (refused.status_code, signed.head(STOCK_FILE).status_code) == (403, 403)
    assert "<Code>AccessDenied</Code>" in refused.text and signed.head(STOCK_FILE).content == b""
    assert signed.head(OPTION_FILE).status_code == 200


@pytest.mark.parametrize("fault", [
    {"forbidden_data_sets": ["us_options_opra"]}, {"forbidden": [DAY], "data_sets": ["us_options_opra"]},
])  # fmt: skip
def test_a_lost_subscription_concerns_one_data_set(
    client: httpx.Client, signed: httpx.Client, fault: dict
) -> None:
    plan(client, **fault)
    assert signed.get(OPTION_FILE).status_code == signed.head(OPTION_FILE).status_code == 403
    assert "<Size>" in listing(signed, OPTION_FILE)
    assert signed.head(STOCK_FILE).status_code == 200


def test_a_file_below_the_plan_s_history_is_listed_and_refused(
    client: httpx.Client, signed: httpx.Client
) -> None:
    plan(client, history_from="2026-06-12")
    assert "<Size>" in listing(signed, STOCK_FILE) and signed.get(STOCK_FILE).status_code == 403
    assert signed.head(STOCK_FILE.replace("06-11", "06-12")).status_code == 200


@pytest.mark.parametrize(("path", "chosen"), [(STOCK_FILE, []), (OPTION_FILE, ["us_options_opra"])])
def test_an_etag_can_change_while_the_content_does_not(
    client: httpx.Client, signed: httpx.Client, path: str, chosen: list[str]
) -> None:
    before = signed.get(path)
    plan(client, etag_only=[DAY], data_sets=chosen)
    after = signed.get(path)
    assert after.content == before.content and after.headers["etag"] != before.headers["etag"]
    assert after.headers["etag"] == signed.head(path).headers["etag"]
    assert after.headers["etag"].strip('"') in listing(signed, path)
    assert after.headers["last-modified"] > before.headers["last-modified"]


def test_the_faults_of_files_reach_option_files_when_they_are_named(
    client: httpx.Client, signed: httpx.Client
) -> None:
    healthy, stocks = lines(signed, OPTION_FILE), lines(signed)
    contract = healthy[7].split(",")[0]
    plan(
        client, data_sets=["us_options_opra"], append_rows={DAY: ["O:WRONG,1,1,1,1,1,1,1"]},
        replace={DAY: [{"symbol": contract, "close": 9.99}]},
    )  # fmt: skip
    assert lines(signed, OPTION_FILE)[-1] == "O:WRONG,1,1,1,1,1,1,1"
    assert row(signed, contract, OPTION_FILE)["close"] == "9.99"
    assert int(signed.head(OPTION_FILE).headers["content-length"]) == len(signed.get(OPTION_FILE).content)
    assert lines(signed) == stocks
    plan(client, data_sets=["us_options_opra", "us_stocks_sip"], unpublished=[DAY])
    for path in (OPTION_FILE, STOCK_FILE):
        assert signed.get(path).status_code == 403 and "<Key>" not in listing(signed, path)
    plan(client, data_sets=["us_options"], truncate={DAY: 900})
    assert len(signed.get(OPTION_FILE).content) == 900
    plan(client, data_sets=["us_options"], cut={DAY: 900})
    with pytest.raises(httpx.RemoteProtocolError):
        signed.get(OPTION_FILE)


def test_a_wrong_signature_has_a_code_of_its_own(client: httpx.Client, signed: httpx.Client) -> None:
    plan(client, statuses=[{"prefix": "/flatfiles", "status": 403, "code": "SignatureDoesNotMatch"}])
    assert "<Code>SignatureDoesNotMatch</Code>" in signed.get(STOCK_FILE).text
