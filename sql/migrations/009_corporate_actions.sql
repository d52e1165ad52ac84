-- Bars as a session saw them: one company's, in that session's shares. The same rule in Python stands in
-- kapman_metrics.adjust and kapman_metrics.listings; a test holds that both give the same bars.

CREATE AGGREGATE product(double precision) (
    SFUNC = float8mul, COMBINEFUNC = float8mul, STYPE = double precision, INITCOND = '1', PARALLEL = SAFE
);

-- Bars of [first, as_of]. factor = product of split_to / split_from over bar session < execution_date <= as_of: prices
-- are divided by it, volume is multiplied. Only the listing in force at the newest of these bars: it begins at a row
-- of listing_breaks, or after a hole of more than 90 calendar days.
CREATE FUNCTION adjusted_bars(symbols text[], as_of date, first date DEFAULT '-infinity')
    RETURNS TABLE (symbol varchar, session date, open double precision, high double precision, low double precision,
                   close double precision, volume double precision, vwap double precision)
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    WITH bar AS (
        SELECT o.symbol, session_of(o.time) AS session, o.open, o.high, o.low, o.close, o.volume, o.vwap,
               session_of(o.time) - lag(session_of(o.time)) OVER (PARTITION BY o.symbol ORDER BY o.time) AS hole
        FROM ohlcv_daily o
        WHERE o.symbol = ANY (symbols) AND o.time BETWEEN session_time(first) AND session_time(as_of)
    ),
    newest AS (
        SELECT b.symbol, max(b.session) AS session, max(b.session) FILTER (WHERE b.hole > 90) AS after_hole
        FROM bar b GROUP BY b.symbol
    ),
    listing AS MATERIALIZED (
        SELECT n.symbol, coalesce(greatest(n.after_hole, (
            SELECT max(l.first_session) FROM listing_breaks l
            WHERE l.symbol = n.symbol AND l.first_session <= n.session)), '-infinity') AS start
        FROM newest n
    ),
    executed AS (
        SELECT s.symbol, s.execution_date,
               coalesce(lag(s.execution_date) OVER (PARTITION BY s.symbol ORDER BY s.execution_date), '-infinity') AS since,
               product(s.split_to / s.split_from) OVER (PARTITION BY s.symbol ORDER BY s.execution_date DESC) AS factor
        FROM splits s
        WHERE s.symbol = ANY (symbols) AND s.execution_date <= as_of AND s.is_applied
    )
    SELECT b.symbol, b.session, b.open / f.factor, b.high / f.factor, b.low / f.factor, b.close / f.factor,
           b.volume * f.factor, b.vwap / f.factor
    FROM bar b
    JOIN listing g ON g.symbol = b.symbol AND b.session >= g.start
    LEFT JOIN executed e ON e.symbol = b.symbol AND b.session >= e.since AND b.session < e.execution_date
    CROSS JOIN LATERAL (SELECT coalesce(e.factor, 1) AS factor) f
    ORDER BY b.symbol, b.session
$$;
COMMENT ON FUNCTION adjusted_bars IS 'Bars of one listing a symbol, split-adjusted as of a session, sorted by symbol and session.';

COMMENT ON COLUMN splits.finding IS 'Why a listed split is not applied; NULL for one that is.';
COMMENT ON COLUMN tickers.is_active IS 'As the vendor lists it; a symbol in neither of its lists is active while it trades.';
COMMENT ON COLUMN tickers.universe_tier IS 'polygon_full and etf follow the vendor''s type; every other tier is the user''s.';
COMMENT ON COLUMN listing_breaks.reason IS 'Rows whose reason begins with "delisted" follow the vendor''s list; any other stays until it is deleted.';
