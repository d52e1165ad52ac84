INSERT INTO tickers (symbol, universe_tier, options_enabled) VALUES (%(symbol)s, 'custom', true)
ON CONFLICT (symbol) DO NOTHING
