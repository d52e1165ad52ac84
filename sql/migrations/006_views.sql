-- What the trader's pages read. Nothing here looks at the clock: every answer is as of a session, the newest
-- stored one unless `SET kapman.as_of = 'YYYY-MM-DD'` names another, so that a replay shows what was shown.

CREATE FUNCTION fn_as_of() RETURNS date
    LANGUAGE sql STABLE
    RETURN coalesce(
        nullif(current_setting('kapman.as_of', true), '')::date,
        (SELECT session_of(max(time)) FROM daily_snapshots));

CREATE VIEW v_watchlist_tickers AS
SELECT t.symbol, t.name, t.universe_tier, t.last_ohlcv_date, t.last_analysis_date,
       min(pt.priority) AS priority, array_agg(p.name ORDER BY p.name) AS portfolio_names
FROM tickers t
JOIN portfolio_tickers pt ON pt.ticker_id = t.id
JOIN portfolios p ON p.id = pt.portfolio_id
WHERE t.is_active
GROUP BY t.id;
COMMENT ON VIEW v_watchlist_tickers IS 'One row per active symbol of any portfolio, with its highest priority (P1 before P2).';

CREATE FUNCTION fn_latest_snapshots(as_of date) RETURNS SETOF daily_snapshots
    LANGUAGE sql STABLE AS
$$
    -- a lateral probe per analysed symbol: its cost does not grow with the history
    SELECT s.* FROM tickers t
    CROSS JOIN LATERAL (
        SELECT * FROM daily_snapshots d
        WHERE d.symbol = t.symbol AND d.time <= session_time(as_of)
        ORDER BY d.time DESC LIMIT 1) s
    WHERE t.last_analysis_date IS NOT NULL
$$;
CREATE VIEW v_latest_snapshots AS SELECT * FROM fn_latest_snapshots(fn_as_of());

-- The signal itself is decided once, in kapman_advice.signals, and stored in events_json; views only read it.
CREATE FUNCTION fn_alerts(as_of date) RETURNS TABLE (
        symbol varchar, "time" timestamptz, signal_type text, alert_type text, alert_value numeric,
        alert_message text, alert_priority text, priority integer, is_current boolean)
    LANGUAGE sql STABLE AS
$$
    WITH latest AS (
        SELECT l.symbol, l.time FROM fn_latest_snapshots(as_of) l
    ), recent AS (
        SELECT s.*, s.events_json ->> 'signal_type' AS signal, (s.events_json ->> 'signal_rule')::integer AS rule,
               s.time = l.time AS is_current
        FROM daily_snapshots s JOIN latest l ON l.symbol = s.symbol
        WHERE s.time > session_time(as_of - 14) AND s.time <= session_time(as_of)
    ), rules (rule, alert_type, days) AS (
        VALUES (1, 'BC_CRITICAL', 7), (2, 'SPRING_SOS', 14), (3, 'SPRING_CONFIRMED', 7),
               (4, 'BC_WARNING', 7), (5, 'SOW_DETECTED', 7), (6, 'SOS_BREAKOUT', 7), (7, 'SPRING_OR_TEST', 7)
    )
    SELECT r.symbol, r.time, r.signal, k.alert_type,
           CASE WHEN r.rule IN (1, 4) THEN r.bc_score WHEN r.rule IN (2, 3) THEN r.spring_score
                ELSE r.primary_event_confidence END,
           r.events_json ->> 'signal_message', r.events_json ->> 'alert_priority', r.rule, r.is_current
    FROM recent r JOIN rules k USING (rule)
    WHERE r.time > session_time(as_of - k.days)
    UNION ALL
    SELECT r.symbol, r.time, 'INFO', 'VOLUME_SURGE', r.vsi,
           'volume ' || round(r.vsi, 1) || ' standard deviations above its 20-session mean', 'INFO', 8, r.is_current
    FROM recent r WHERE r.vsi > 2 AND r.time > session_time(as_of - 7)
    ORDER BY 8, 2 DESC, 1
$$;
CREATE VIEW v_alerts AS SELECT * FROM fn_alerts(fn_as_of());
COMMENT ON VIEW v_alerts IS 'Alert conditions of the last 7 (SPRING_SOS: 14) days up to the as-of session; is_current marks those of a symbol''s newest snapshot.';

CREATE VIEW v_wyckoff_events AS
SELECT s.symbol, s.time, s.wyckoff_phase, s.phase_confidence, s.phase_sub_stage, s.events_detected, s.primary_event,
       s.primary_event_confidence, s.bc_score, s.spring_score,
       s.events_json ->> 'signal_type' AS signal_type,
       s.events_json ->> 'alert_priority' AS alert_priority,
       'SC' = ANY (s.events_detected) AS has_sc,
       'AR' = ANY (s.events_detected) AS has_ar,
       'ST' = ANY (s.events_detected) AS has_st,
       'SPRING' = ANY (s.events_detected) AS has_spring,
       'TEST' = ANY (s.events_detected) AS has_test,
       'SOS' = ANY (s.events_detected) AS has_sos,
       'BC' = ANY (s.events_detected) AS has_bc,
       'SOW' = ANY (s.events_detected) AS has_sow,
       cardinality(s.events_detected) AS events_count,
       s.events_json
FROM v_latest_snapshots s
JOIN v_watchlist_tickers w USING (symbol);

CREATE VIEW v_entry_signals AS
SELECT * FROM v_wyckoff_events WHERE signal_type IN ('ENTRY_SIGNAL', 'ENTRY_SETUP');

CREATE VIEW v_exit_signals AS
SELECT * FROM v_wyckoff_events WHERE signal_type IN ('EXIT_CRITICAL', 'EXIT_WARNING');

CREATE FUNCTION fn_symbols_needing_ohlcv(as_of date) RETURNS TABLE (symbol varchar, last_ohlcv_date date)
    LANGUAGE sql STABLE AS
$$
    SELECT t.symbol, t.last_ohlcv_date FROM tickers t
    WHERE t.is_active AND (t.last_ohlcv_date IS NULL OR t.last_ohlcv_date < as_of)
    ORDER BY 1
$$;

CREATE FUNCTION fn_watchlist_needing_analysis(as_of date) RETURNS TABLE (symbol varchar, priority text)
    LANGUAGE sql STABLE AS
$$
    SELECT w.symbol, w.priority FROM v_watchlist_tickers w
    WHERE NOT EXISTS (
        SELECT 1 FROM daily_snapshots s WHERE s.symbol = w.symbol AND s.time = session_time(as_of))
    ORDER BY 2, 1
$$;
