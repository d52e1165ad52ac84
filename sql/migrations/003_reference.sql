-- Reference and bookkeeping tables: who is tracked, what was loaded, what was refused, what ran.

CREATE TABLE tickers (
    id                  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol              varchar(20) NOT NULL UNIQUE,
    name                text,
    sector              text,
    ticker_type         text,
    primary_exchange    text,
    universe_tier       text NOT NULL DEFAULT 'polygon_full'
        CHECK (universe_tier IN ('sp500', 'russell3000', 'polygon_full', 'etf', 'index', 'custom')),
    is_active           boolean NOT NULL DEFAULT true,
    options_enabled     boolean NOT NULL DEFAULT false,
    first_ohlcv_date    date,
    last_ohlcv_date     date,
    last_analysis_date  date,
    list_date           date,
    delisted_date       date
);
COMMENT ON TABLE tickers IS 'Every symbol seen in the vendor''s bars or reference list; case-sensitive.';

CREATE TABLE portfolios (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    description text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE portfolio_tickers (
    portfolio_id integer NOT NULL REFERENCES portfolios ON DELETE CASCADE,
    ticker_id    integer NOT NULL REFERENCES tickers,
    priority     text NOT NULL DEFAULT 'P2' CHECK (priority IN ('P1', 'P2')),
    added_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (portfolio_id, ticker_id)
);
COMMENT ON COLUMN portfolio_tickers.priority IS 'P1: analysed and advised. P2: analysed only.';

CREATE TABLE splits (
    symbol          varchar(20) NOT NULL,
    execution_date  date NOT NULL,
    split_from      double precision NOT NULL CHECK (split_from > 0),
    split_to        double precision NOT NULL CHECK (split_to > 0),
    adjustment_type text,
    source          text NOT NULL,
    PRIMARY KEY (symbol, execution_date)
);
COMMENT ON TABLE splits IS 'split_to new shares for split_from old ones; execution_date already trades on the new basis.';

CREATE TABLE model_parameters (
    model       text NOT NULL,
    version     text NOT NULL,
    parameters  jsonb NOT NULL,
    valid_from  date,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, version)
);

CREATE TABLE job_runs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       text NOT NULL,
    job_name     text NOT NULL,
    stage        text NOT NULL,
    first_session date,
    last_session date,
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    state        text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'succeeded', 'failed')),
    row_count    bigint,
    symbol_count integer,
    rejected_count integer,
    error        text,
    details      jsonb
);
CREATE INDEX job_runs_by_start ON job_runs (started_at DESC);

CREATE TABLE load_manifest (
    dataset        text NOT NULL,
    session_date   date NOT NULL,
    symbol         varchar(20) NOT NULL DEFAULT '*',
    source         text NOT NULL,
    etag           text,
    size_bytes     bigint,
    row_count      bigint NOT NULL,
    rejected_count integer NOT NULL DEFAULT 0,
    checksum       text,
    captured_at    timestamptz,
    oi_session     date,
    data_label     text,
    loaded_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset, session_date, symbol)
);
COMMENT ON TABLE load_manifest IS 'What each stored partition came from, written in the same transaction as its rows.';
COMMENT ON COLUMN load_manifest.symbol IS '* for a whole-market file, else the underlying of one captured chain.';
COMMENT ON COLUMN load_manifest.oi_session IS 'The session whose end the open interest refers to: one before the capture''s.';
COMMENT ON COLUMN load_manifest.data_label IS 'SIMULATED or RECORDED as the source declares itself; NULL for the vendor.';

CREATE TABLE rejected_rows (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dataset      text NOT NULL,
    session_date date NOT NULL,
    symbol       text,
    reason       text NOT NULL,
    detail       text,
    raw          jsonb
);
CREATE INDEX rejected_rows_by_partition ON rejected_rows (dataset, session_date);

CREATE TABLE notifications (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedupe_key      text NOT NULL UNIQUE,
    kind            text NOT NULL,
    severity        text NOT NULL CHECK (severity IN ('CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'INFO')),
    symbol          varchar(20),
    session_date    date,
    subject         text NOT NULL,
    body            text NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    delivered_at    timestamptz,
    acknowledged_at timestamptz
);
