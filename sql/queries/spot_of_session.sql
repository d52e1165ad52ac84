SELECT symbol, close FROM ohlcv_daily WHERE time = session_time(%(session)s) AND symbol = ANY (%(symbols)s)
