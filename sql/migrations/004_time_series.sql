-- The market's and the watchlist's rows, one per session. `time` is always session_time(session).

CREATE TABLE ohlcv_daily_template (
    time   timestamptz NOT NULL CHECK (time = session_time(session_of(time))),
    symbol varchar(20) NOT NULL,
    open   double precision NOT NULL,
    high   double precision NOT NULL,
    low    double precision NOT NULL,
    close  double precision NOT NULL,
    volume double precision NOT NULL CHECK (volume >= 0),
    vwap   double precision,
    source text NOT NULL,
    CHECK (low > 0 AND high >= greatest(open, close) AND low <= least(open, close)),
    PRIMARY KEY (symbol, time)
);
CREATE INDEX ON ohlcv_daily_template USING brin (time) WITH (pages_per_range = 16);
COMMENT ON TABLE ohlcv_daily_template IS 'Daily bars as traded (unadjusted), USD and shares; volume may be fractional.';
SELECT create_time_series('ohlcv_daily', interval '1 year');

CREATE TABLE options_chains_template (
    time                timestamptz NOT NULL CHECK (time = session_time(session_of(time))),
    symbol              varchar(20) NOT NULL,
    contract            varchar(32) NOT NULL,
    expiration          date NOT NULL,
    strike              double precision NOT NULL CHECK (strike > 0),
    option_type         text NOT NULL CHECK (option_type IN ('call', 'put')),
    bid                 double precision,
    ask                 double precision,
    last                double precision,
    close               double precision,
    volume              double precision,
    open_interest       double precision CHECK (open_interest >= 0),
    implied_volatility  double precision CHECK (implied_volatility > 0),
    delta               double precision CHECK (abs(delta) <= 1),
    gamma               double precision CHECK (gamma >= 0),
    theta               double precision,
    vega                double precision,
    shares_per_contract double precision NOT NULL,
    last_session        date,
    is_standard         boolean NOT NULL,
    is_live             boolean NOT NULL,
    greeks_source       text CHECK (greeks_source IN ('vendor', 'computed')),
    PRIMARY KEY (symbol, time, contract)
);
CREATE INDEX ON options_chains_template USING brin (time) WITH (pages_per_range = 16);
COMMENT ON TABLE options_chains_template IS 'Every listed contract of a watchlist underlying as the vendor showed it for the session.';
COMMENT ON COLUMN options_chains_template.volume IS 'Contracts traded in this session; NULL when the last bar is older.';
COMMENT ON COLUMN options_chains_template.close IS 'Close of the most recent day bar, from session last_session.';
SELECT create_time_series('options_chains', interval '1 month');

CREATE TABLE option_contracts (
    contract            varchar(32) PRIMARY KEY,
    symbol              varchar(20) NOT NULL,
    expiration          date NOT NULL,
    strike              double precision NOT NULL,
    option_type         text NOT NULL CHECK (option_type IN ('call', 'put')),
    shares_per_contract double precision NOT NULL,
    is_standard         boolean NOT NULL,
    first_session       date NOT NULL,
    UNIQUE (contract, symbol, expiration, strike, option_type)
);
COMMENT ON TABLE option_contracts IS 'Every contract ever seen in a stored chain; filled by ingestion only. Advice refers to it.';

CREATE TABLE options_daily_summary_template (
    time                 timestamptz NOT NULL CHECK (time = session_time(session_of(time))),
    symbol               varchar(20) NOT NULL,
    total_call_oi        bigint,
    total_put_oi         bigint,
    total_call_volume    bigint,
    total_put_volume     bigint,
    put_call_oi_ratio    numeric GENERATED ALWAYS AS (total_put_oi::numeric / NULLIF(total_call_oi, 0)) STORED,
    put_call_volume_ratio numeric GENERATED ALWAYS AS (total_put_volume::numeric / NULLIF(total_call_volume, 0)) STORED,
    weighted_avg_iv      numeric,
    top_call_strike_1    numeric,
    top_call_oi_1        bigint,
    top_call_strike_2    numeric,
    top_call_oi_2        bigint,
    top_call_strike_3    numeric,
    top_call_oi_3        bigint,
    top_put_strike_1     numeric,
    top_put_oi_1         bigint,
    top_put_strike_2     numeric,
    top_put_oi_2         bigint,
    top_put_strike_3     numeric,
    top_put_oi_3         bigint,
    total_call_gamma     numeric,
    total_put_gamma      numeric,
    total_call_delta     numeric,
    total_put_delta      numeric,
    calculated_gex       numeric,
    calculated_net_gex   numeric,
    contract_count       integer NOT NULL,
    contracts_with_greeks integer NOT NULL,
    PRIMARY KEY (symbol, time)
);
COMMENT ON TABLE options_daily_summary_template IS 'One row per underlying and session, aggregated from options_chains. GEX: USD of delta per 1 % move, calls +, puts -.';
SELECT create_time_series('options_daily_summary', interval '1 year');

-- The specification's 65 columns. NUMERIC without precision: its NUMERIC(6,4) cannot hold a ratio above 99.
CREATE TABLE daily_snapshots_template (
    time                     timestamptz NOT NULL CHECK (time = session_time(session_of(time))),
    symbol                   varchar(20) NOT NULL,
    wyckoff_phase            char(1) CHECK (wyckoff_phase IN ('A', 'B', 'C', 'D', 'E')),
    phase_score              numeric CHECK (phase_score BETWEEN 0 AND 1),
    phase_confidence         numeric CHECK (phase_confidence BETWEEN 0 AND 1),
    phase_sub_stage          varchar(20),
    events_detected          varchar(20)[] NOT NULL DEFAULT '{}',
    primary_event            varchar(20),
    primary_event_confidence numeric CHECK (primary_event_confidence BETWEEN 0 AND 1),
    events_json              jsonb,
    bc_score                 integer CHECK (bc_score BETWEEN 0 AND 28),
    spring_score             integer CHECK (spring_score BETWEEN 0 AND 12),
    composite_score          numeric CHECK (composite_score BETWEEN 0 AND 1),
    rsi_14                   numeric,
    macd_line                numeric,
    macd_signal              numeric,
    macd_histogram           numeric,
    stoch_k                  numeric,
    stoch_d                  numeric,
    mfi_14                   numeric,
    sma_20                   numeric,
    sma_50                   numeric,
    sma_200                  numeric,
    ema_12                   numeric,
    ema_26                   numeric,
    adx_14                   numeric,
    atr_14                   numeric,
    bbands_upper             numeric,
    bbands_middle            numeric,
    bbands_lower             numeric,
    bbands_width             numeric,
    obv                      bigint,
    vwap                     numeric,
    gex_total                numeric,
    gex_net                  numeric,
    gamma_flip_level         numeric,
    call_wall_primary        numeric,
    call_wall_primary_oi     bigint,
    put_wall_primary         numeric,
    put_wall_primary_oi      bigint,
    dgpi                     numeric CHECK (dgpi BETWEEN -100 AND 100),
    dealer_position          varchar(15) CHECK (dealer_position IN ('long_gamma', 'short_gamma', 'neutral')),
    iv_skew_25d              numeric,
    iv_term_structure        numeric,
    put_call_ratio_oi        numeric,
    put_call_ratio_volume    numeric,
    average_iv               numeric,
    iv_rank                  numeric CHECK (iv_rank BETWEEN 0 AND 100),
    iv_percentile            numeric CHECK (iv_percentile BETWEEN 0 AND 100),
    rvol                     numeric,
    vsi                      numeric,
    hv_20                    numeric,
    hv_60                    numeric,
    iv_hv_diff               numeric,
    price_vs_sma20           numeric,
    price_vs_sma50           numeric,
    price_vs_sma200          numeric,
    technical_indicators_json jsonb,
    dealer_metrics_json      jsonb,
    volatility_metrics_json  jsonb,
    price_metrics_json       jsonb,
    checklist_json           jsonb,
    volatility_regime        varchar(20) CHECK (volatility_regime IN ('low', 'normal', 'high', 'extreme')),
    model_version            varchar(50) NOT NULL,
    data_quality             varchar(20) NOT NULL CHECK (data_quality IN ('complete', 'partial', 'stale')),
    PRIMARY KEY (symbol, time)
);
COMMENT ON TABLE daily_snapshots_template IS 'One row per watchlist symbol and session: Wyckoff, indicators, dealer, volatility and price metrics.';
SELECT create_time_series('daily_snapshots', interval '1 year');
