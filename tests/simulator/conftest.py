"""One generated market and one running vendor for all tests of the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

import httpx
import pytest

from kapman_resources.calendar import NEW_YORK
from kapman_simulator.market import Market, generate
from kapman_simulator.server import Serving, serving
from kapman_simulator.source import GeneratedSource

SEED = 7
LAST = date(2026, 6, 12)


@pytest.fixture(scope="session")
def market() -> Market:
    return generate(SEED, LAST, symbols=150)


@pytest.fixture(scope="module")
def vendor() -> Iterator[Serving]:
    """The vendor at 04:00 New York of Saturday 2026-06-13, after the session of Friday the 12th."""
    source = GeneratedSource(SEED, LAST, symbols=90)
    with serving(source, now=datetime(2026, 6, 13, 4, tzinfo=NEW_YORK)) as running:
        yield running


@pytest.fixture
def client(vendor: Serving) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {vendor.api_key}"}
    with httpx.Client(base_url=vendor.url, headers=headers, trust_env=False) as opened:
        yield opened
