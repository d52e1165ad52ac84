"""Market data vendors behind one protocol: daily bars, option chains, splits, tickers.

Vendor field names and status codes end here; what the numbers mean belongs to the pure rooms.
"""

from kapman_resources.market_data.protocol import (
    BadCredentials,
    BarFile,
    ChainCapture,
    MarketData,
    NotEntitled,
    NotYetPublished,
    VendorAnswerError,
    VendorError,
    VendorUnreachable,
)

__all__ = [
    "BadCredentials",
    "BarFile",
    "ChainCapture",
    "MarketData",
    "NotEntitled",
    "NotYetPublished",
    "VendorAnswerError",
    "VendorError",
    "VendorUnreachable",
]
