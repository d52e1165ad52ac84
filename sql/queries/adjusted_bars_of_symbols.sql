SELECT symbol, session, open, high, low, close, volume, vwap
FROM adjusted_bars(%(symbols)s, %(last)s, %(first)s)
