"""The API's reads, its refusals, health, and how the server starts."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import dashboard_market as market
import pytest
from starlette.testclient import TestClient

from kapman_dashboard.app import CannotListen, create_app, run
from kapman_resources.database import Database

REPOSITORY = Path(__file__).resolve().parents[2]
READS = (
    "/api/tickers", "/api/tickers?watched=false&limit=3", "/api/tickers/AAPL", "/api/tickers/AAPL/snapshots",
    "/api/tickers/AAPL/options", "/api/events/recent", "/api/recommendations", "/api/portfolios",
    "/api/dashboard/alerts", "/api/dashboard/summary", "/api/jobs/history",
)  # fmt: skip


def get(client: TestClient, url: str):
    response = client.get(url)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("url", READS)
def test_every_read_answers_json_under_the_strict_policy(client: TestClient, url: str) -> None:
    response = client.get(url)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.json()


def test_alerts_and_summary_tell_the_critical_symbol(client: TestClient) -> None:
    alerts = get(client, "/api/dashboard/alerts")
    assert (alerts[0]["symbol"], alerts[0]["alert_type"], alerts[0]["alert_value"]) == (
        "NVDA",
        "BC_CRITICAL",
        25.0,
    )
    summary = get(client, "/api/dashboard/summary")
    assert summary["critical"] == ["NVDA"] and summary["advice"] == {
        "EXIT": 1,
        "ENTER": 1,
        "NO_TRADE": 1,
        "WAIT": 1,
    }
    assert summary["data_labels"] == ["SIMULATED"] and summary["age_in_sessions"] == 0
    assert get(client, "/api/dashboard/summary?session=2026-05-04")["critical"] == []


def test_a_ticker_carries_its_newest_snapshot_as_of_the_session(client: TestClient) -> None:
    assert get(client, "/api/tickers/NVDA")["snapshot"]["bc_score"] == 25
    assert get(client, "/api/tickers/NVDA?session=2026-05-04")["snapshot"]["bc_score"] == 14
    assert get(client, "/api/tickers/SPY")["snapshot"] is None
    history = get(client, "/api/tickers/NVDA/snapshots")
    assert [row["session"] for row in history] == ["2026-05-05", "2026-05-04"]


def test_options_are_paged_and_filtered_by_expiration(client: TestClient) -> None:
    chain = get(client, "/api/tickers/AAPL/options?limit=3&offset=2")
    assert chain["session"] == "2026-05-05" and len(chain["contracts"]) == 3
    assert chain["expirations"] == [{"expiration": "2026-06-19", "days": 45, "contracts": 8}]
    assert get(client, "/api/tickers/AAPL/options?expiration=2030-01-18")["contracts"] == []
    assert get(client, "/api/tickers/AMD/options")["session"] is None


def test_recommendations_carry_real_legs_and_obey_filters(client: TestClient) -> None:
    advice = get(client, "/api/recommendations?direction=LONG")
    assert [leg["contract"] for leg in advice[0]["legs"]] == [market.CALL]
    assert len(advice) == 1 and len(get(client, "/api/recommendations")) == 4
    detail = get(client, f"/api/recommendations/{advice[0]['id']}")
    assert detail["rule_trace"][2]["outcome"] == "vetoed" and detail["outcomes"][0]["outcome_status"] == "WIN"


def test_events_are_those_detected_up_to_the_session(client: TestClient) -> None:
    events = get(client, "/api/events/recent?days=7")
    assert [(row["symbol"], row["event"]) for row in events] == [("NVDA", "BC"), ("AAPL", "SOS")]
    assert get(client, "/api/events/recent?days=7&session=2026-05-04") == []


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("/api/tickers/NOSUCH", 404, "no ticker 'NOSUCH' is stored"),
        ("/api/tickers/NOSUCH/options", 404, "no ticker 'NOSUCH' is stored"),
        ("/api/tickers/1%3B--", 422, "is not a ticker symbol"),
        ("/api/tickers/AAPL?session=yesterday", 422, "is not a date: write it like 2026-05-05"),
        ("/api/tickers/AAPL?session=1800-01-01", 422, "outside the calendar"),
        ("/api/recommendations?strategy=STRADDLE", 422, "is not one of LONG_CALL"),
        ("/api/recommendations?portfolio=%00", 422, "NUL"),
        ("/api/recommendations/12", 422, "identity"),
        ("/api/recommendations/00000000-0000-0000-0000-000000000000", 404, "is stored"),
        ("/api/tickers?limit=100000", 422, "limit"),
        ("/api/nothing", 404, "there is no page /api/nothing"),
    ],
)
def test_refusals_are_problem_documents_that_say_what_is_wrong(
    client: TestClient, url: str, status: int, words: str
) -> None:
    response = client.get(url)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert words in response.json()["detail"] and response.json()["status"] == status


def test_nothing_can_be_changed_by_any_method(client: TestClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert client.request(method, "/api/portfolios").status_code == 405
        assert client.request(method, "/").status_code == 405


def test_an_empty_database_is_ready_and_says_so_in_the_api(empty_client: TestClient) -> None:
    assert get(empty_client, "/healthz") == {"status": "ok"}
    assert get(empty_client, "/readyz")["newest_session"] is None
    assert get(empty_client, "/api/portfolios")[0]["name"] == "AI stocks"
    assert "./kapman demo" in empty_client.get("/api/dashboard/summary").json()["detail"]


def test_readiness_tells_migrations_and_age(client: TestClient, bare_database: Database) -> None:
    assert get(client, "/readyz") == {
        "ready": True,
        "database": "ok",
        "pending_migrations": [],
        "newest_session": "2026-05-05",
        "age_in_sessions": 0,
    }
    bare = TestClient(create_app(bare_database))
    response = bare.get("/readyz")
    assert response.status_code == 503 and "001_extension.sql" in response.json()["pending_migrations"]
    page = bare.get("/")
    assert page.status_code == 503 and "run `./kapman migrate`" in page.text
    assert bare.get("/healthz").status_code == 200


def test_a_database_that_is_away_gives_one_clear_page_and_not_ready() -> None:
    with Database("postgresql://nobody@localhost:1/kapman") as away:
        lost = TestClient(create_app(away))
        assert lost.get("/readyz").status_code == 503
        page = lost.get("/")
        assert page.status_code == 503 and "no PostgreSQL at host=localhost port=1" in page.text
        assert page.headers["content-security-policy"]


def test_an_unforeseen_failure_keeps_the_headers_and_hides_the_details(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(database)

    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(app.state.reader, "watchlist", broken)
    page = TestClient(app, raise_server_exceptions=False).get("/")
    assert page.status_code == 500 and "secret" not in page.text
    assert page.headers["content-security-policy"]


def test_the_stylesheet_is_served_whole_and_reaches_for_nothing_outside(client: TestClient) -> None:
    sheet = client.get("/static/kapman.css")
    assert sheet.status_code == 200 and "prefers-color-scheme: dark" in sheet.text
    assert "url(" not in sheet.text and "@import" not in sheet.text
    assert client.get("/static/../app.py").status_code == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_a_host_that_others_can_reach_is_refused_without_a_login(host: str) -> None:
    with pytest.raises(CannotListen, match=r"no login yet.*use 127\.0\.0\.1"):
        run(host=host)


def test_a_port_in_use_ends_the_process_with_one_line_and_exit_code_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "kapman_dashboard", "--port", str(port)],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert (
        ended.stderr == f"port {port} on 127.0.0.1 is in use: choose another, for example --port {port + 1}\n"
    )
    assert ended.stdout == ""
