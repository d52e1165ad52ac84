"""What became of one advice: prices actually seen at 5, 10, 20 and 40 sessions and at its exit.

Reads bars and stored option prices only. A price that was not stored is reported as missing, never filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import sqrt
from typing import Any

import polars as pl

from kapman_advice.evidence import number

HORIZONS = (5, 10, 20, 40)
EXIT = "exit"
NEUTRAL_BAND = 0.5
# A close this far from the advice's own spot means another price basis (a split), not a data correction.
BASIS_TOLERANCE = 0.20


@dataclass(frozen=True)
class Outcome:
    """One evaluation of one advice.

    `horizon` is '5', '10', '20', '40' or 'exit'; `exit_reason` stop, target or expiry, for 'exit' only.
    Prices are underlying dollars on the scale of the recommendation date (a later split is undone), so that
    they compare with the advice's own stop and target. Returns, `max_favorable` and `max_adverse` are
    decimals of the entry price; `max_*` are >= 0 and measured in the advised direction, `underlying_return`
    keeps the sign of the price. `option_pnl` is dollars for one unit of the whole trade, `option_return`
    the same over `max_loss`. `expected_move` is the decimal move expected over the days that had passed.
    The three score parts and their mean `success_score_v1` lie in 0..1; None parts are named in `missing`
    and left out of the mean.
    """

    symbol: str
    recommendation_date: date
    horizon: str
    evaluation_date: date
    sessions_since: int
    exit_reason: str | None = None
    entry_date: date | None = None
    exit_date: date | None = None
    entry_price_actual: float | None = None
    exit_price_actual: float | None = None
    underlying_return: float | None = None
    direction_correct: bool | None = None
    predicted_confidence: float | None = None
    p_direction: float | None = None
    directional_brier: float | None = None
    option_pnl: float | None = None
    option_return: float | None = None
    option_price_source: str | None = None
    max_favorable: float | None = None
    max_adverse: float | None = None
    expected_move: float | None = None
    outcome_status: str | None = None
    direction_score: float | None = None
    profitability_score: float | None = None
    timing_score: float | None = None
    success_score_v1: float | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Bar:
    date: date
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True)
class _Touch:
    """The first exit: why, on which session, at what price (None at expiry: that session's close)."""

    reason: str
    date: date
    price: float | None


@dataclass(frozen=True)
class _Course:
    """The bars of one advice on its own price scale: after the recommendation date, up to as_of."""

    advice: Mapping[str, Any]
    sign: float
    sessions: tuple[date, ...]
    bars: Mapping[date, _Bar]
    touch: _Touch | None

    @property
    def entry(self) -> _Bar | None:
        return self.bars.get(self.sessions[0]) if self.sessions else None

    def until(self, last: date) -> list[_Bar]:
        return [self.bars[day] for day in self.sessions if day <= last and day in self.bars]


def due_horizons(
    recommendation_date: date, sessions_since: int, horizons: Sequence[int] = HORIZONS
) -> tuple[int, ...]:
    """The horizons that fall due when `sessions_since` sessions have passed after `recommendation_date`.

    Raises ValueError for a negative count: an advice is not evaluated before its own session.
    """
    if sessions_since < 0:
        raise ValueError(
            f"sessions_since is {sessions_since} for advice of {recommendation_date}; "
            "count the sessions after that one"
        )
    return tuple(horizon for horizon in horizons if horizon == sessions_since)


def _leg_list(advice: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return advice.get("legs") or ()


def _as_date(value: date | str | None) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _expiration(advice: Mapping[str, Any]) -> date | None:
    days = [_as_date(leg["expiration"]) for leg in _leg_list(advice)]
    known = [day for day in days if day is not None]
    return min(known) if known else None


def _bars_on_scale(bars: pl.DataFrame, advice: Mapping[str, Any], as_of: date) -> dict[date, _Bar]:
    """The symbol's bars up to as_of, multiplied back to the scale of the recommendation date."""
    factor = number(advice, "split_factor") or 1.0
    prices = ("open", "high", "low", "close")
    rows = (
        bars.filter((pl.col("symbol") == advice["symbol"]) & (pl.col("date") <= as_of))
        .sort("date")
        .select("date", *(pl.col(name) * factor for name in prices))
    )
    return {row[0]: _Bar(*row) for row in rows.iter_rows()}


def _basis_problem(advice: Mapping[str, Any], bars: Mapping[date, _Bar]) -> str | None:
    spot, bar = number(advice, "spot"), bars.get(advice["recommendation_date"])
    if spot is None or bar is None or abs(bar.close / spot - 1) <= BASIS_TOLERANCE:
        return None
    return (
        f"price basis: close {bar.close:g} on {bar.date} against the advice's {spot:g}; "
        "give split_factor, the product of splits executed since"
    )


def _first_touch(
    bars: Sequence[_Bar], sign: float, stop: float | None, target: float | None, last: date | None
) -> _Touch | None:
    """Stop or target, whichever is touched first, not after `last`.

    Within a bar: the open first (a gap through a level exits at the open, also on the entry bar), then the
    range; a bar whose range holds both levels counts as stopped.
    """
    for bar in bars:
        if last is not None and bar.date > last:
            return None
        worst, best = (bar.low, bar.high) if sign > 0 else (bar.high, bar.low)
        if stop is not None and sign * (bar.open - stop) <= 0:
            return _Touch("stop", bar.date, bar.open)
        if target is not None and sign * (bar.open - target) >= 0:
            return _Touch("target", bar.date, bar.open)
        if stop is not None and sign * (worst - stop) <= 0:
            return _Touch("stop", bar.date, stop)
        if target is not None and sign * (best - target) >= 0:
            return _Touch("target", bar.date, target)
    return None


def _expiry_touch(expiration: date | None, sessions: Sequence[date]) -> tuple[_Touch | None, date | None]:
    """The last session up to the expiration, and the first session from which that is known."""
    known_on = next((day for day in sessions if expiration is not None and day >= expiration), None)
    settled_on = max((day for day in sessions if expiration is not None and day <= expiration), default=None)
    if known_on is None or settled_on is None:
        return None, None
    return _Touch("expiry", settled_on, None), known_on


def _settlement(advice: Mapping[str, Any], close: float) -> float:
    """Dollars that one unit of the trade is worth at expiry: intrinsic value, by the contract's own terms."""
    total = 0.0
    for leg in _leg_list(advice):
        toward = 1.0 if leg["option_type"] == "call" else -1.0
        total += _leg_size(leg) * max(toward * (close - leg["strike"]), 0.0)
    return total


def _leg_size(leg: Mapping[str, Any]) -> float:
    """Signed shares: positive when bought."""
    size = float(leg["quantity"]) * float(leg.get("shares_per_contract") or 100.0)
    return size if leg["side"] == "buy" else -size


def _stored_value(
    advice: Mapping[str, Any], prices: pl.DataFrame, day: date
) -> tuple[float | None, str | None, tuple[str, ...]]:
    """Dollars of the whole trade at the stored prices of `day`, their source, and contracts without one."""
    total, sources, missing = 0.0, [], []
    for leg in _leg_list(advice):
        rows = prices.filter(
            (pl.col("contract") == leg["contract"]) & (pl.col("date") == day) & pl.col("price").is_not_null()
        ).sort("price_source", descending=True)  # a midpoint before a day close
        if rows.is_empty():
            missing.append(f"option price of {leg['contract']} at {day}")
            continue
        total += _leg_size(leg) * rows["price"][0]
        sources.append(rows["price_source"][0])
    if missing:
        return None, None, tuple(missing)
    return total, "+".join(sorted(set(sources))), ()


def _option_result(
    course: _Course, prices: pl.DataFrame, day: date, close: float, reason: str | None
) -> tuple[float | None, str | None, tuple[str, ...]]:
    """(P&L in dollars of one unit of the trade, price source, what is missing)."""
    advice = course.advice
    if not _leg_list(advice):
        return None, None, ("option trade: the advice has no legs",)
    if (number(advice, "split_factor") or 1.0) != 1.0:
        return None, None, ("option price: the contracts were adjusted by a split",)
    paid = sum(_leg_size(leg) * float(leg["price"]) for leg in _leg_list(advice))
    expiration = _expiration(advice)
    if reason == "expiry":
        return _settlement(advice, close) - paid, "expiry_intrinsic", ()
    if expiration is not None and day > expiration:
        return None, None, (f"option price: the trade expired on {expiration}",)
    value, source, missing = _stored_value(advice, prices, day)
    return (None if value is None else value - paid), source, missing


def _excursions(course: _Course, last: date, entry: float, touch: _Touch | None) -> tuple[float, float]:
    """(favourable, adverse) as decimals of the entry; of an exit bar only open and exit price count."""
    seen = [entry]
    for bar in course.until(last):
        if touch is not None and touch.price is not None and bar.date == touch.date:
            seen += [bar.open, touch.price]
        else:
            seen += [bar.high, bar.low]
    moves = [course.sign * (price / entry - 1) for price in seen]
    return max(moves), max(-move for move in moves)


def _move_expected(advice: Mapping[str, Any], day: date) -> float | None:
    """The advice's expected move, scaled by the root of time to the days passed, as a decimal of spot."""
    move, spot, dte = (number(advice, key) for key in ("expected_move", "spot", "dte"))
    if move is None or spot is None or dte is None or min(move, spot, dte) <= 0:
        return None
    days = min(max((day - advice["recommendation_date"]).days, 1), dte)
    return move / spot * sqrt(days / dte)


def _status(directed_return: float, expected: float | None) -> str | None:
    if expected is None:
        return None
    if abs(directed_return) < NEUTRAL_BAND * expected:
        return "NEUTRAL"
    return "WIN" if directed_return > 0 else "LOSS"


def _timing(touch: _Touch | None, day: date, favorable: float, adverse: float) -> float | None:
    """1 when the target came first by `day`, 0 when the stop did, else the favourable share of excursions."""
    if touch is not None and touch.date <= day and touch.reason in ("stop", "target"):
        return 1.0 if touch.reason == "target" else 0.0
    reach = favorable + adverse
    return favorable / reach if reach > 0 else None


def _outcome(
    course: _Course, horizon: str, as_of: date, exit_touch: _Touch | None, prices: pl.DataFrame
) -> Outcome:
    advice = course.advice
    p = number(advice, "p_direction")
    day = exit_touch.date if exit_touch else as_of
    base = Outcome(
        symbol=advice["symbol"],
        recommendation_date=advice["recommendation_date"],
        horizon=horizon,
        evaluation_date=as_of,
        sessions_since=len(course.sessions),
        exit_reason=exit_touch.reason if exit_touch else None,
        exit_date=day,
        predicted_confidence=number(advice, "confidence"),
        p_direction=p,
    )
    entry, last = course.entry, course.bars.get(day)
    absent = [
        f"underlying {what} of {when}"
        for what, when, bar in (("open", course.sessions[0], entry), ("close", day, last))
        if bar is None
    ]
    if entry is None or last is None:
        return replace(base, missing=tuple(absent))
    exit_price = exit_touch.price if exit_touch and exit_touch.price is not None else last.close
    change = exit_price / entry.open - 1
    correct = course.sign * change > 0
    pnl, source, lacking = _option_result(course, prices, day, last.close, base.exit_reason)
    favorable, adverse = _excursions(course, day, entry.open, exit_touch)
    expected = _move_expected(advice, day)
    parts = {
        "direction": 1.0 if correct else 0.0,
        "profitability": None if pnl is None else float(pnl > 0),
        "timing": _timing(course.touch, day, favorable, adverse),
    }
    known = [part for part in parts.values() if part is not None]
    max_loss = number(advice, "max_loss")
    return replace(
        base,
        entry_date=entry.date,
        entry_price_actual=entry.open,
        exit_price_actual=exit_price,
        underlying_return=change,
        direction_correct=correct,
        directional_brier=None if p is None else (p - float(correct)) ** 2,
        option_pnl=pnl,
        option_return=pnl / max_loss if pnl is not None and max_loss else None,
        option_price_source=source,
        max_favorable=favorable,
        max_adverse=adverse,
        expected_move=expected,
        outcome_status=_status(course.sign * change, expected),
        direction_score=parts["direction"],
        profitability_score=parts["profitability"],
        timing_score=parts["timing"],
        success_score_v1=sum(known) / len(known),
        missing=(
            *lacking,
            *(() if expected is not None else ("expected move",)),
            *(f"success part {name}" for name, part in parts.items() if part is None),
        ),
    )


def _course(
    advice: Mapping[str, Any], bars: dict[date, _Bar], sign: float, sessions: tuple[date, ...]
) -> tuple[_Course, date | None]:
    """The course of the advice and the session on which its exit became known (None while it is open)."""
    after = [bars[day] for day in sessions if day in bars]
    expiration = _expiration(advice)
    touch = _first_touch(
        after, sign, number(advice, "stop_loss"), number(advice, "profit_target"), expiration
    )
    known_on = touch.date if touch else None
    if touch is None:
        touch, known_on = _expiry_touch(expiration, sessions)
    return _Course(advice, sign, sessions, bars, touch), known_on


def evaluate(
    advice: Mapping[str, Any],
    bars: pl.DataFrame,
    option_prices: pl.DataFrame,
    as_of: date,
    horizons: Sequence[int] = HORIZONS,
    sessions: Sequence[date] | None = None,
) -> list[Outcome]:
    """What falls due for one advice on the session `as_of`: horizons reached that day, and an exit that day.

    `advice` is a `decision.advice_record` (symbol, recommendation_date, direction, p_direction, confidence,
    spot, stop_loss, profit_target, expected_move, dte, max_loss, legs) and, when splits were executed after
    the recommendation date, `split_factor` = the product of their ratios (4-for-1: 4.0). `bars` are BARS
    adjusted as of `as_of`; `option_prices` has contract, date, price (dollars per share), price_source.
    `sessions` are the exchange's sessions after the recommendation date; without them the symbol's own bars
    count, and a halted day is not a session. Nothing after `as_of` is looked at.

    Entry is the open of the first session after the recommendation; a horizon exits at the close. The exit
    is the first touch in session order: a gap through a level exits at the open, otherwise at the level,
    and a bar that holds both counts as stopped; without a touch the trade ends at the close of the last
    session up to its expiration. It is reported once, on the session when it became known. The option trade
    is entered at the prices recorded with the advice and left at the stored prices of the exit session
    (intrinsic value at expiry); on a stop or target these are the prices of that session's end. A NEUTRAL
    advice has no outcome.
    """
    sign = {"LONG": 1.0, "SHORT": -1.0}.get(advice["direction"])
    start = advice["recommendation_date"]
    known_bars = _bars_on_scale(bars, advice, as_of)
    days = tuple(day for day in sorted(sessions or known_bars) if start < day <= as_of)
    if sign is None or not days or days[-1] != as_of:
        return []
    course, exit_known_on = _course(advice, known_bars, sign, days)
    due = [(str(horizon), None) for horizon in due_horizons(start, len(days), horizons)]
    closing = [(EXIT, course.touch)] if exit_known_on == as_of else []
    problem = _basis_problem(advice, known_bars)
    if problem is not None:
        # The exit cannot be trusted on another price basis; the horizons are still reported, without numbers.
        return [
            Outcome(advice["symbol"], start, name, as_of, len(days), missing=(problem,)) for name, _ in due
        ]
    return [_outcome(course, name, as_of, touch, option_prices) for name, touch in (*due, *closing)]
