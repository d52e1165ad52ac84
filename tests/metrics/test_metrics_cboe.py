"""Our gamma against the exchange's own, on every recorded Cboe chain: the same volatility must give the same gamma.

Spot is the regular close that belongs to the greeks. The after-hours print of an earnings night is another price, and
gamma computed at it is wrong: that this is noticed is tested too.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from recorded_chains import Recorded, cboe_chains, share_within

from kapman_metrics import greeks


@pytest.fixture(scope="module")
def chains() -> list[Recorded]:
    return list(cboe_chains())


def gamma_ratio(chain: Recorded, spot: float) -> np.ndarray:
    """Ours over theirs, contracts of 0.05 < |delta| < 0.95 and 7 to 180 days that have both volatility and gamma."""
    rows = chain.contracts.filter(
        pl.col("delta").abs().is_between(0.05, 0.95, closed="none")
        & pl.col("dte").is_between(7, 180)
        & (pl.col("iv") > 0)
        & (pl.col("gamma") > 0)
    )
    years = greeks.years_to_expiry(rows["dte"].to_numpy())
    ours = greeks.gamma(np.asarray(spot), rows["strike"].to_numpy(), years, rows["iv"].to_numpy())
    return ours / rows["gamma"].to_numpy()


def test_our_gamma_is_the_exchange_s_on_every_recorded_chain(chains: list[Recorded]) -> None:
    assert len(chains) == 12
    for chain in chains:
        ratio = gamma_ratio(chain, chain.close)
        assert len(ratio) > 500, chain.name
        assert np.median(ratio) == pytest.approx(1.0, abs=0.02), chain.name
        assert share_within(ratio, 0.10) >= 0.90, chain.name


def test_the_price_after_hours_gives_another_gamma_and_the_comparison_notices(chains: list[Recorded]) -> None:
    nights = {name: chain for chain in chains for name in ("AMD", "GOOGL") if chain.name.startswith(name)}
    assert len(nights) == 2
    for chain in nights.values():
        ratio = gamma_ratio(chain, chain.last_print)
        assert abs(np.median(ratio) - 1.0) > 0.02, chain.name
        assert share_within(ratio, 0.10) < 0.50, chain.name


def test_delta_one_half_lies_at_the_regular_close_not_at_the_last_print(chains: list[Recorded]) -> None:
    amd = next(chain for chain in chains if chain.name.startswith("AMD"))
    calls = amd.contracts.filter((pl.col("type") == "call") & (pl.col("dte") == 10)).sort("strike")
    assert calls.height > 20
    at_half = np.interp(-0.5, -calls["delta"].to_numpy(), calls["strike"].to_numpy())
    assert at_half == pytest.approx(amd.close, rel=0.02)
    assert abs(at_half / amd.last_print - 1) > 0.10


def test_our_delta_is_the_exchange_s_where_early_exercise_is_worth_nothing(chains: list[Recorded]) -> None:
    for chain in chains:
        rows = chain.contracts.filter(
            (pl.col("type") == "call") & pl.col("dte").is_between(7, 180) & (pl.col("iv") > 0)
        ).filter(pl.col("delta").is_between(0.05, 0.95, closed="none"))
        ours = greeks.delta(
            np.asarray(chain.close),
            rows["strike"].to_numpy(),
            greeks.years_to_expiry(rows["dte"].to_numpy()),
            rows["iv"].to_numpy(),
            np.asarray(True),
        )
        off = np.abs(ours - rows["delta"].to_numpy())
        assert np.median(off) < 0.01, chain.name
        assert np.mean(off < 0.03) > 0.95, chain.name
