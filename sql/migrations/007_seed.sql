-- The specification's 12 ETFs and a first portfolio to start from.
INSERT INTO tickers (symbol, name, universe_tier, ticker_type, options_enabled) VALUES
    ('SPY', 'SPDR S&P 500 ETF', 'etf', 'ETF', true),
    ('QQQ', 'Invesco QQQ Trust', 'etf', 'ETF', true),
    ('IWM', 'iShares Russell 2000 ETF', 'etf', 'ETF', true),
    ('DIA', 'SPDR Dow Jones Industrial Average ETF', 'etf', 'ETF', true),
    ('TLT', 'iShares 20+ Year Treasury Bond ETF', 'etf', 'ETF', true),
    ('GLD', 'SPDR Gold Shares', 'etf', 'ETF', true),
    ('XLF', 'Financial Select Sector SPDR', 'etf', 'ETF', true),
    ('XLK', 'Technology Select Sector SPDR', 'etf', 'ETF', true),
    ('XLE', 'Energy Select Sector SPDR', 'etf', 'ETF', true),
    ('XLV', 'Health Care Select Sector SPDR', 'etf', 'ETF', true),
    ('XLI', 'Industrial Select Sector SPDR', 'etf', 'ETF', true),
    ('SMH', 'VanEck Semiconductor ETF', 'etf', 'ETF', true);

INSERT INTO tickers (symbol, name, sector, universe_tier, ticker_type, options_enabled) VALUES
    ('NVDA', 'NVIDIA', 'Technology', 'sp500', 'CS', true),
    ('MSFT', 'Microsoft', 'Technology', 'sp500', 'CS', true),
    ('META', 'Meta Platforms', 'Communication Services', 'sp500', 'CS', true),
    ('TSLA', 'Tesla', 'Consumer Discretionary', 'sp500', 'CS', true),
    ('GOOGL', 'Alphabet', 'Communication Services', 'sp500', 'CS', true),
    ('AMZN', 'Amazon', 'Consumer Discretionary', 'sp500', 'CS', true),
    ('AAPL', 'Apple', 'Technology', 'sp500', 'CS', true),
    ('AMD', 'Advanced Micro Devices', 'Technology', 'sp500', 'CS', true),
    ('AVGO', 'Broadcom', 'Technology', 'sp500', 'CS', true),
    ('PLTR', 'Palantir', 'Technology', 'sp500', 'CS', true),
    ('MU', 'Micron', 'Technology', 'sp500', 'CS', true),
    ('ANET', 'Arista Networks', 'Technology', 'sp500', 'CS', true),
    ('ARM', 'Arm Holdings', 'Technology', 'custom', 'ADRC', true),
    ('DELL', 'Dell Technologies', 'Technology', 'sp500', 'CS', true);

INSERT INTO portfolios (name, description) VALUES ('AI stocks', 'A first watchlist; change it with `kapman portfolio`.');
INSERT INTO portfolio_tickers (portfolio_id, ticker_id, priority)
SELECT p.id, t.id, CASE WHEN t.symbol IN ('MU', 'ANET', 'ARM', 'DELL') THEN 'P2' ELSE 'P1' END
FROM portfolios p, tickers t
WHERE p.name = 'AI stocks' AND t.universe_tier <> 'etf';
