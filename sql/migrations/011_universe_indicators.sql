-- The whole market's indicators, one wide row per symbol and session, and the screens that were saved over them.

-- Double precision throughout: rows are written column by column. The key leads with time: a screen reads one session
-- whole, and a session's rows, sorted by symbol, are appended at the key's end. What screens ask for most stands first:
-- a column is reached through those before it.
CREATE TABLE universe_indicators_template (
    time                            timestamptz NOT NULL,
    symbol                          varchar(20) NOT NULL,
    close                           double precision NOT NULL,
    volume                          double precision NOT NULL,
    rvol                            double precision,
    vsi                             double precision,
    hv_20                           double precision,
    hv_60                           double precision,
    price_vs_sma20                  double precision,
    price_vs_sma50                  double precision,
    price_vs_sma200                 double precision,
    dollar_volume_20                double precision,
    high_252                        double precision,
    low_252                         double precision,
    sma_20                          double precision,
    sma_50                          double precision,
    sma_200                         double precision,
    ema_12                          double precision,
    ema_26                          double precision,
    awesome_oscillator              double precision,
    kama                            double precision,
    ppo                             double precision,
    ppo_signal                      double precision,
    ppo_hist                        double precision,
    pvo                             double precision,
    pvo_signal                      double precision,
    pvo_hist                        double precision,
    roc                             double precision,
    rsi                             double precision,
    stochrsi                        double precision,
    stochrsi_k                      double precision,
    stochrsi_d                      double precision,
    stoch                           double precision,
    stoch_signal                    double precision,
    tsi                             double precision,
    ultimate_oscillator             double precision,
    williams_r                      double precision,
    average_true_range              double precision,
    bollinger_hband                 double precision,
    bollinger_lband                 double precision,
    bollinger_mavg                  double precision,
    bollinger_pband                 double precision,
    bollinger_wband                 double precision,
    bollinger_hband_indicator       double precision,
    bollinger_lband_indicator       double precision,
    donchian_channel_hband          double precision,
    donchian_channel_lband          double precision,
    donchian_channel_mband          double precision,
    donchian_channel_pband          double precision,
    donchian_channel_wband          double precision,
    keltner_channel_hband           double precision,
    keltner_channel_lband           double precision,
    keltner_channel_mband           double precision,
    keltner_channel_pband           double precision,
    keltner_channel_wband           double precision,
    keltner_channel_hband_indicator double precision,
    keltner_channel_lband_indicator double precision,
    ulcer_index                     double precision,
    adx                             double precision,
    adx_pos                         double precision,
    adx_neg                         double precision,
    aroon_up                        double precision,
    aroon_down                      double precision,
    aroon_indicator                 double precision,
    cci                             double precision,
    dpo                             double precision,
    ema_indicator                   double precision,
    ichimoku_conversion_line        double precision,
    ichimoku_base_line              double precision,
    ichimoku_a                      double precision,
    ichimoku_b                      double precision,
    kst                             double precision,
    kst_sig                         double precision,
    kst_diff                        double precision,
    macd                            double precision,
    macd_signal                     double precision,
    macd_diff                       double precision,
    mass_index                      double precision,
    psar                            double precision,
    psar_up                         double precision,
    psar_down                       double precision,
    psar_up_indicator               double precision,
    psar_down_indicator             double precision,
    sma_indicator                   double precision,
    stc                             double precision,
    trix                            double precision,
    vortex_indicator_pos            double precision,
    vortex_indicator_neg            double precision,
    vortex_indicator_diff           double precision,
    wma                             double precision,
    acc_dist_index                  double precision,
    chaikin_money_flow              double precision,
    ease_of_movement                double precision,
    sma_ease_of_movement            double precision,
    force_index                     double precision,
    money_flow_index                double precision,
    negative_volume_index           double precision,
    on_balance_volume               double precision,
    volume_price_trend              double precision,
    volume_weighted_average_price   double precision,
    cumulative_return               double precision,
    daily_log_return                double precision,
    daily_return                    double precision,
    PRIMARY KEY (time, symbol)
);
COMMENT ON TABLE universe_indicators_template IS 'One row per symbol with a bar in the session: 84 indicators, averages and price metrics on bars split-adjusted as of it.';
SELECT create_time_series('universe_indicators', interval '1 month');

-- 260 sessions are a year and a fortnight at most.
INSERT INTO retention VALUES ('universe_indicators', interval '380 days', NULL);

DO $$
BEGIN
    IF is_hypertable_server() THEN
        -- native partitions get the same check, month by month, from begin_partition
        ALTER TABLE universe_indicators ADD CHECK (time = session_time(session_of(time)));
        PERFORM add_retention_policy('universe_indicators', interval '380 days');
    END IF;
END
$$;

CREATE TABLE saved_screens (
    name       text PRIMARY KEY CHECK (name <> ''),
    expression text NOT NULL,
    sort       text,
    row_limit  integer CHECK (row_limit > 0),
    saved_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN saved_screens.sort IS 'A column, or column:desc; NULL sorts by symbol.';
