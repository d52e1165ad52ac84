"""One generated market and one running vendor for all tests of the simulator, healed after each of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

import httpx2 as httpx
import pytest

from kapman_resources.calendar import NEW_YORK
from kapman_simulator.market import Market, generate
from kapman_simulator.server import Serving, serving
from kapman_simulator.source import GeneratedSource

SEED = 7
LAST = date(2026, 6, 12)
NOW = datetime(2026, 6, 13, 4, tzinfo=NEW_YORK)


@pytest.fixture(scope="session")
def market() -> Market:
    return generate(SEED, LAST, symbols=150)


@pytest.fixture(scope="session")
def _running() -> Iterator[Serving]:
    source = GeneratedSource(SEED, LAST, symbols=90)
    with serving(source, now=NOW) as running:
        yield running


@pytest.fixture
def vendor(_running: Serving) -> Iterator[Serving]:
    """The vendor at 04:00 New York of Saturday 2026-06-13, after the session of Friday the 12th."""
    yield _running
    _running.simulation.faults.set(b"{}")
    _running.simulation.move_to(NOW)


@pytest.fixture
def client(vendor: Serving) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {vendor.api_key}"}
    with httpx.Client(base_url=vendor.url, headers=headers, trust_env=False) as opened:
        yield opened


@pytest.fixture
def signed(vendor: Serving) -> Iterator[httpx.Client]:
    """A client for the files; the simulator looks at the access key id only."""
    signature = (
        f"AWS4-HMAC-SHA256 Credential={vendor.s3_key_id}/20260613/us-east-1/s3/aws4_request, Signature=00"
    )
    with httpx.Client(base_url=vendor.url, headers={"Authorization": signature}, trust_env=False) as opened:
        yield opened
