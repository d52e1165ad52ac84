"""What the numbers are: indicators, price, dealer positioning and volatility from frames of bars and option
chains.

Pure: numpy and polars in, frames out. Does not belong here: Dagster, SQL, HTTP, the clock.
"""
