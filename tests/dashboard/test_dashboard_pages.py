"""What the trader sees: the banner, the table of advice, the watchlist, one ticker, one piece of advice."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import dashboard_market as market
import pytest
from starlette.testclient import TestClient

AAPL = f"/recommendations/{market.recommendation_id('AAPL')}"
EVIL = f"/recommendations/{market.recommendation_id('EVIL')}"
PAGES = (
    "/", "/?session=2026-05-04", "/?signal=ENTRY_SIGNAL", "/tickers/AAPL", "/tickers/NVDA", "/tickers/EVIL",
    "/tickers/AMD", "/tickers/SPY", AAPL, EVIL, "/tickers/NOSUCH", "/nowhere",
)  # fmt: skip


class Page(HTMLParser):
    """The tags of a page, and its visible words joined by single blanks."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._words).split())


def read(client: TestClient, url: str, status: int = 200) -> Page:
    response = client.get(url)
    assert response.status_code == status, response.text
    return Page(response.text)


def section(client: TestClient, url: str, opening: str, closing: str) -> str:
    """The visible text of the page's part between two pieces of its HTML."""
    html = client.get(url).text
    return Page(html[html.index(opening) : html.index(closing, html.index(opening))]).text


def test_a_buying_climax_of_25_stands_in_a_banner_above_everything(client: TestClient) -> None:
    html = client.get("/").text
    banner = html.index('class="critical-banner" role="alert"')
    assert market.BC_ALERT in html[banner : html.index("<header")]


def test_no_filter_hides_the_critical_banner(client: TestClient) -> None:
    page = client.get("/?signal=NEUTRAL&direction=SHORT&strategy=CSP&portfolio=nobody").text
    assert market.BC_ALERT in page[: page.index("<header")]


def test_a_replay_shows_what_was_shown_before_the_climax(client: TestClient) -> None:
    page = read(client, "/?session=2026-05-04")
    assert "EXIT: close all positions" not in page.text
    assert "Replay of Mon 4 May 2026" in page.text
    assert "No advice is stored for this session" in page.text
    assert ("a", {"href": "/tickers/NVDA?session=2026-05-04"}) in page.tags


def test_a_day_without_a_session_shows_the_session_before_it(client: TestClient) -> None:
    assert "Nothing is stored for Sun 10 May 2026" in read(client, "/?session=2026-05-10").text


def test_a_day_before_everything_stored_says_where_the_history_begins(client: TestClient) -> None:
    assert "the oldest stored is 2026-05-04" in read(client, "/?session=2020-01-02").text


def test_advice_names_the_contract_in_words_with_its_price_source(client: TestClient) -> None:
    advice = section(client, "/", 'id="advice"', 'id="watchlist"')
    assert "buy 1 AAPL 2026-06-19 290 call at 8.35 (mid)" in advice
    assert "56 % base rate of SOS in phase A, n = 212" in advice
    assert "underlying, USD" in advice
    assert "284.00 274.50 310.00" in advice


def test_exits_come_first_and_refusals_are_collapsed_but_counted(client: TestClient) -> None:
    html = client.get("/").text
    advice = html[html.index('id="advice"') : html.index('id="watchlist"')]
    assert advice.index("Close all positions in NVDA") < advice.index("buy 1 AAPL")
    folded = advice[advice.index("<details") :]
    assert "Wait 1" in Page(folded).text and "No trade 1" in Page(folded).text
    assert "bars for AMD are stored" in folded
    assert "1 to exit, 1 to enter, 1 to wait for, 1 no trade" in Page(html).text


def test_the_watchlist_is_ordered_by_urgency_and_holds_the_specified_columns(client: TestClient) -> None:
    watch = section(client, "/", 'id="watchlist"', 'id="alerts"')
    assert [watch.index(s) for s in ("NVDA", "AAPL", "EVIL")] == sorted(
        watch.index(s) for s in ("NVDA", "AAPL", "EVIL")
    )
    assert "D · Distribution BC 90 % 1 25 /28 0 /12" in watch
    assert "A · Accumulation SOS 77 % 2 5 /28 max 24 10 /12" in watch


def test_a_signal_is_a_word_and_a_shape_never_colour_alone(client: TestClient) -> None:
    html = client.get("/").text
    for shape, word in (("■", "Exit now"), ("▲", "Entry"), ("◆", "Caution")):
        assert f'<span class="shape" aria-hidden="true">{shape}</span>{word}' in html


def test_filters_stand_in_the_url_and_narrow_both_tables(client: TestClient) -> None:
    entries = section(client, "/?signal=ENTRY_SIGNAL", 'id="advice"', 'id="alerts"')
    assert "AAPL" in entries and "EVIL" not in entries and "NVDA" not in entries
    assert "1 of 4 after filters" in entries and "1 of 5 after filters" in entries
    core = section(client, "/?portfolio=Core", 'id="watchlist"', 'id="alerts"')
    assert "NVDA" in core and "AMD" not in core
    puts = section(client, "/?strategy=LONG_PUT", 'id="advice"', 'id="watchlist"')
    assert "Nothing to enter or exit under these filters" in puts
    shorts = section(client, "/?direction=SHORT", 'id="advice"', 'id="watchlist"')
    assert "buy 1" not in shorts
    selected = [tag for tag, attrs in read(client, "/?direction=LONG").tags if "selected" in attrs]
    assert selected == ["option"]


def test_an_unknown_filter_value_is_refused_with_the_allowed_ones(client: TestClient) -> None:
    assert "is not one of LONG, SHORT, NEUTRAL" in read(client, "/?direction=UP", 422).text


def test_the_source_bar_tells_age_degraded_inputs_and_the_failed_stage(client: TestClient) -> None:
    sources = section(client, "/", 'aria-label="Sources"', 'aria-label="Filters"')
    assert "2026-05-05 the last completed one" in sources
    assert "3 of 5 degraded" in sources
    assert "AMD ◐ Partial no bars" in sources
    assert "MU ○ None no snapshot is stored" in sources
    assert "failed daily" in sources and "outcomes failed:" in sources


def test_an_old_session_is_called_old(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAPMAN_NOW", "2026-05-08T06:00:00-04:00")
    assert "2 sessions old, 2026-05-07 is due" in read(client, "/").text


@pytest.mark.parametrize("url", PAGES)
def test_the_data_label_stands_on_every_page(client: TestClient, url: str) -> None:
    assert "SIMULATED DATA" in Page(client.get(url).text).text


@pytest.mark.parametrize("url", PAGES)
def test_pages_obey_their_own_strict_policy(client: TestClient, url: str) -> None:
    response = client.get(url)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'") and "unsafe" not in policy
    for tag, attrs in Page(response.text).tags:
        assert tag not in ("script", "style", "iframe", "object", "base"), (url, tag)
        assert not [name for name in attrs if name == "style" or name.startswith("on")], (url, tag, attrs)
        for name in ("href", "src", "action"):
            assert (attrs.get(name) or "/").startswith(("/", "#", "?")), (url, tag, attrs)


@pytest.mark.parametrize("url", ["/", "/tickers/EVIL", EVIL, "/?portfolio=%3Cscript%3E", "/tickers/AAPL"])
def test_hostile_text_is_shown_as_text(client: TestClient, url: str) -> None:
    page = client.get(url)
    assert "<script" not in page.text and "<img" not in page.text
    assert page.status_code == 200


def test_the_stepper_tells_the_state_of_all_eight_events(client: TestClient) -> None:
    steps = section(client, "/tickers/AAPL", '<ol class="stepper">', "</ol>")
    assert steps == (
        "✓ SC Detected 2 Mar 80 % ✓ AR Detected 9 Mar 70 % ✕ ST Failed 20 Mar 40 % "
        "✓ SPRING Detected 20 Apr 85 % "
        "◐ TEST In progress ✓ SOS Detected 1 May 77 % ○ BC Pending ○ SOW Pending"
    )
    html = client.get("/tickers/AAPL").text
    assert re.search(r'aria-current="step">\s*<span class="dot" aria-hidden="true">◐', html)
    assert "Next expected: BU (Back-up to the edge), or LPS (Last point of support)" in Page(html).text


def test_scores_are_broken_into_signals_and_unmeasured_ones_say_why(client: TestClient) -> None:
    scores = section(client, "/tickers/AAPL", 'id="scores"', 'id="metrics"')
    assert "Volume explosion 3 /4" in scores
    assert "Sentiment extreme no options sentiment for this symbol and window — /4" in scores
    assert "Support break 3 /3" in scores


def test_metrics_carry_units_and_missing_ones_a_dash_and_the_stored_reason(client: TestClient) -> None:
    metrics = section(client, "/tickers/AAPL", 'id="metrics"', 'id="chain"')
    assert "Sign convention: calls +, puts -" in metrics
    assert "Net gamma exposure +1.23 B USD per 1 % move" in metrics
    assert "Average IV 28.4 %" in metrics
    assert "IV rank 3 stored sessions of IV, 20 needed —" in metrics
    assert "3 of 4 contracts count; left out: 1 not standard" in metrics
    without_bar = section(client, "/tickers/AMD", 'id="metrics"', 'id="chain"')
    assert "the symbol has no bar for this session, so there is no spot price" in without_bar


def test_the_chart_is_split_adjusted_and_has_a_table_twin(client: TestClient) -> None:
    html = client.get("/tickers/AAPL").text
    figure = html[html.index("<figure") : html.index("</figure>")]
    assert (
        'role="img"' in figure
        and 'class="range-box"' in figure
        and "Call wall" in figure
        and "Gamma flip" in figure
    )
    rows = re.findall(r'<th scope="row">(\d{4}-\d{2}-\d{2})</th>(?:<td[^>]*>([^<]*)</td>)+?', figure)
    assert len(rows) == 120
    closes = [
        float(text)
        for text in re.findall(r'<tr>(?:<t[hd][^>]*>[^<]*</t[hd]>){4}<td class="num">([\d.]+)</td>', figure)
    ]
    assert max(closes) < 300, "bars before the split stand at twice the price unless they are adjusted"


def test_the_chain_is_anchored_at_the_money_for_an_expiry_of_thirty_days_or_more(client: TestClient) -> None:
    chain = section(client, "/tickers/AAPL", 'id="chain"', 'id="history"')
    assert "Fri 19 Jun 2026, 45 days, 4 of 4 strikes around close 284.00" in chain
    assert "290 CW" in chain and "270 PW" in chain
    assert "8.20 \N{MULTIPLICATION SIGN} 8.50" in chain


def test_history_lists_the_snapshots_up_to_the_session(client: TestClient) -> None:
    assert "2026-05-05" in section(client, "/tickers/AAPL", 'id="history"', "</main>")
    replay = section(client, "/tickers/AAPL?session=2026-05-04", 'id="history"', "</main>")
    assert "2026-05-04" in replay and "2026-05-05" not in replay


def test_an_unknown_symbol_is_not_found_and_a_wrong_case_gets_a_hint(client: TestClient) -> None:
    assert "no ticker 'NOSUCH' is stored" in read(client, "/tickers/NOSUCH", 404).text
    assert "did you mean AAPL?" in read(client, "/tickers/aapl", 404).text


@pytest.mark.parametrize("symbol", ["1ABC", "A B", "%3Cscript%3E", "A" * 21, "AAPL%0A", "AA%00PL", "..%2e"])
def test_text_that_is_no_symbol_is_refused(client: TestClient, symbol: str) -> None:
    assert "is not a ticker symbol" in read(client, f"/tickers/{symbol}", 422).text


def test_a_ticker_that_is_never_analysed_says_how_to_change_that(client: TestClient) -> None:
    assert "Only symbols of a portfolio are analysed" in read(client, "/tickers/SPY").text


def test_a_recommendation_explains_itself(client: TestClient) -> None:
    page = read(client, AAPL).text
    assert "price of 2026-05-05, the session itself" in page
    assert "Reward to risk 2.74" in page
    rules = section(client, AAPL, 'id="rules"', 'id="changes"')
    assert rules.index("Vetoed") < rules.index("Fired") < rules.index("Missing")
    assert "Would change when the price closes above the call wall." in rules and "iv_rank —" in rules
    assert "C02 Vertical spread — ranked below the choice" in page
    assert "a close beyond the stop at $274.50" in page
    assert "Decided by rules rules-1" in page
    assert "5 sessions 2026-05-12 WIN +3.1 %" in page


def test_a_replayed_recommendation_does_not_know_its_outcome(client: TestClient) -> None:
    assert "None yet: the first is due 5 sessions after" in read(client, f"{AAPL}?session=2026-05-05").text


def test_an_empty_database_says_what_to_do(empty_client: TestClient) -> None:
    for url in ("/", "/tickers/AAPL"):
        assert "no session stored yet: run ./kapman demo or ./kapman run" in read(empty_client, url).text
