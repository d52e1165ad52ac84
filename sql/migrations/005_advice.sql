-- Advice and its record. The database itself refuses a leg that the session's stored chain does not hold.

CREATE TABLE recommendations (
    id                  uuid PRIMARY KEY,
    snapshot_time       timestamptz NOT NULL CHECK (snapshot_time = session_time(recommendation_date)),
    snapshot_symbol     varchar(20) NOT NULL CHECK (snapshot_symbol = symbol),
    symbol              varchar(20) NOT NULL,
    recommendation_date date NOT NULL,
    direction           text NOT NULL CHECK (direction IN ('LONG', 'SHORT', 'NEUTRAL')),
    action              text NOT NULL CHECK (action IN ('ENTER', 'WAIT', 'NO_TRADE', 'EXIT')),
    confidence          numeric NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    p_direction         numeric CHECK (p_direction BETWEEN 0 AND 1),
    justification       text NOT NULL CHECK (justification <> ''),
    entry_price_target  numeric,
    stop_loss           numeric,
    profit_target       numeric,
    option_strike       double precision,
    option_expiration   date,
    option_type         text CHECK (option_type IN ('call', 'put')),
    option_strategy     text CHECK (option_strategy IN ('LONG_CALL', 'LONG_PUT', 'CSP', 'VERTICAL_SPREAD')),
    candidate_id        text,
    breakeven           numeric,
    max_loss            numeric,
    max_gain            numeric,
    status              text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'closed', 'expired')),
    provider            text NOT NULL,
    model_version       varchar(50) NOT NULL,
    rule_trace          jsonb NOT NULL,
    alternatives        jsonb NOT NULL,
    missing_data        jsonb NOT NULL,
    what_would_change   text,
    evidence            jsonb NOT NULL,
    UNIQUE (symbol, recommendation_date, id)
);
CREATE INDEX recommendations_by_date ON recommendations (recommendation_date, symbol);
COMMENT ON COLUMN recommendations.confidence IS 'Relative rank within the session, not a probability.';
COMMENT ON COLUMN recommendations.p_direction IS 'Probability that the direction is right at 20 sessions; the only number that Brier scores use.';
COMMENT ON COLUMN recommendations.evidence IS 'Copy of the snapshot''s numbers, so that advice outlives retention.';
COMMENT ON COLUMN recommendations.entry_price_target IS 'Entry, stop and target are levels of the underlying, USD.';

CREATE TABLE recommendation_legs (
    recommendation_id   uuid NOT NULL,
    leg                 smallint NOT NULL CHECK (leg IN (1, 2)),
    symbol              varchar(20) NOT NULL,
    recommendation_date date NOT NULL,
    contract            varchar(32) NOT NULL,
    expiration          date NOT NULL,
    strike              double precision NOT NULL,
    option_type         text NOT NULL,
    side                text NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity            integer NOT NULL CHECK (quantity > 0),
    price               double precision NOT NULL CHECK (price >= 0),
    price_source        text NOT NULL CHECK (price_source IN ('mid', 'day_close')),
    price_session       date NOT NULL,
    PRIMARY KEY (recommendation_id, leg),
    FOREIGN KEY (symbol, recommendation_date, recommendation_id)
        REFERENCES recommendations (symbol, recommendation_date, id) ON DELETE CASCADE,
    FOREIGN KEY (contract, symbol, expiration, strike, option_type)
        REFERENCES option_contracts (contract, symbol, expiration, strike, option_type)
);

-- No foreign key may point at a table that retention deletes from, so the chain itself is asked by a trigger.
CREATE FUNCTION leg_is_in_the_chain() RETURNS trigger
    LANGUAGE plpgsql AS
$$
DECLARE
    quoted record;
BEGIN
    SELECT * INTO quoted FROM options_chains c
    WHERE c.symbol = NEW.symbol AND c.time = session_time(NEW.recommendation_date) AND c.contract = NEW.contract
      AND c.expiration = NEW.expiration AND c.strike = NEW.strike AND c.option_type = NEW.option_type;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'contract % is not in the stored chain of % for session %',
            NEW.contract, NEW.symbol, NEW.recommendation_date
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF NOT quoted.is_standard THEN
        RAISE EXCEPTION 'contract % does not deliver 100 shares: it is stored, never advised', NEW.contract
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.price_source = 'mid' AND (NEW.price IS DISTINCT FROM (quoted.bid + quoted.ask) / 2
                                      OR NEW.price_session <> NEW.recommendation_date))
       OR (NEW.price_source = 'day_close'
           AND (NEW.price IS DISTINCT FROM quoted.close OR NEW.price_session IS DISTINCT FROM quoted.last_session)) THEN
        RAISE EXCEPTION 'price % (%) of % is not the one stored for session %',
            NEW.price, NEW.price_source, NEW.contract, NEW.recommendation_date
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER leg_is_in_the_chain BEFORE INSERT OR UPDATE ON recommendation_legs
    FOR EACH ROW EXECUTE FUNCTION leg_is_in_the_chain();

-- Whether the stored legs are those of the strategy, the first of them being the one that the advice itself names.
CREATE FUNCTION legs_of_the_strategy(advice recommendations) RETURNS boolean
    LANGUAGE sql STABLE AS
$$
    SELECT CASE advice.option_strategy
        WHEN 'LONG_CALL' THEN legs.sides = '{buy}' AND legs.types = '{call}'
        WHEN 'LONG_PUT' THEN legs.sides = '{buy}' AND legs.types = '{put}'
        WHEN 'CSP' THEN legs.sides = '{sell}' AND legs.types = '{put}'
        WHEN 'VERTICAL_SPREAD' THEN legs.sides @> '{buy,sell}' AND cardinality(legs.sides) = 2
            AND legs.types[1] = legs.types[2] AND legs.expirations[1] = legs.expirations[2]
            AND legs.strikes[1] <> legs.strikes[2]
        ELSE legs.sides IS NULL
    END
    AND (legs.strikes[1], legs.expirations[1], legs.types[1])
        IS NOT DISTINCT FROM (advice.option_strike, advice.option_expiration, advice.option_type)
    FROM (
        SELECT array_agg(side ORDER BY leg) AS sides, array_agg(option_type ORDER BY leg) AS types,
               array_agg(expiration ORDER BY leg) AS expirations, array_agg(strike ORDER BY leg) AS strikes
        FROM recommendation_legs WHERE recommendation_id = advice.id) legs
$$;

-- ENTER has the legs of its strategy; WAIT, NO_TRADE and EXIT name no contract. Judged at commit.
CREATE FUNCTION legs_fit_the_action() RETURNS trigger
    LANGUAGE plpgsql AS
$$
DECLARE
    advice recommendations;
BEGIN
    FOR advice IN
        SELECT r.* FROM recommendations r
        WHERE r.id IN ((to_jsonb(OLD) ->> TG_ARGV[0])::uuid, (to_jsonb(NEW) ->> TG_ARGV[0])::uuid)
    LOOP
        IF (advice.action = 'ENTER') <> (advice.option_strategy IS NOT NULL) 
            OR NOT coalesce(legs_of_the_strategy(advice), false) THEN
            RAISE EXCEPTION '% advice on % (%): its legs are not those of the action and strategy',
                advice.action, advice.symbol, coalesce(advice.option_strategy, 'no strategy')
                USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER legs_fit_the_action AFTER INSERT OR UPDATE ON recommendations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION legs_fit_the_action('id');
CREATE CONSTRAINT TRIGGER legs_fit_the_action AFTER INSERT OR UPDATE OR DELETE ON recommendation_legs
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION legs_fit_the_action('recommendation_id');

CREATE TABLE recommendation_outcomes (
    id                   uuid PRIMARY KEY,
    recommendation_id    uuid NOT NULL REFERENCES recommendations,
    horizon              text NOT NULL CHECK (horizon IN ('5', '10', '20', '40', 'exit')),
    evaluation_date      date NOT NULL,
    entry_price_actual   numeric,
    exit_price_actual    numeric,
    exit_reason          text,
    direction_correct    boolean,
    predicted_confidence numeric,
    directional_brier    numeric CHECK (directional_brier BETWEEN 0 AND 1),
    underlying_return    numeric,
    option_pnl           numeric,
    option_price_source  text,
    mfe                  numeric,
    mae                  numeric,
    success_score_v1     numeric,
    outcome_status       text CHECK (outcome_status IN ('WIN', 'LOSS', 'NEUTRAL')),
    missing_data         jsonb NOT NULL,
    UNIQUE (recommendation_id, horizon)
);
CREATE INDEX recommendation_outcomes_by_date ON recommendation_outcomes (evaluation_date);
COMMENT ON COLUMN recommendation_outcomes.predicted_confidence IS 'The p_direction that was scored.';
COMMENT ON COLUMN recommendation_outcomes.option_pnl IS 'USD per one trade of 100 shares, a spread as one; NULL when a later price was not stored.';
CREATE VIEW outcomes AS SELECT * FROM recommendation_outcomes;
COMMENT ON VIEW outcomes IS 'The table under the name of its asset.';
