"""The cast: which symbols exist, since when, how large and how lively each one is.

A member depends on the seed and its own place only, so a larger market contains the smaller one unchanged.
Prices of real tickers are invented like all others.
"""

from __future__ import annotations

from dataclasses import dataclass

from kapman_simulator.noise import digest, stream

ETFS = ("SPY", "QQQ", "IWM", "DIA", "TLT", "GLD", "XLF", "XLK", "XLE", "XLV", "XLI", "SMH")
WATCHLIST = (
    "NVDA", "MSFT", "META", "TSLA", "GOOGL", "AMZN", "AAPL",
    "AMD", "AVGO", "PLTR", "MU", "ANET", "ARM", "DELL",
)  # fmt: skip
TEST_SYMBOLS = ("ZVZZT", "ZWZZT", "ZXZZT", "ZTEST", "CBO")
REUSED = "VELTO"  # one company's ticker until it was delisted, months later another's
SECTORS = 11
TECH = 0

_NEVER = 10**9


@dataclass(frozen=True)
class Member:
    """One listed security; offsets count sessions from the market's epoch, volatilities are daily."""

    symbol: str
    name: str
    kind: str
    exchange: str
    sector: int
    beta: float
    sector_load: float
    idiosyncratic: float
    price: float
    dollars: float
    listed: int = 0
    delisted: int = _NEVER
    silent: float = 0.0  # share of sessions without a qualifying trade
    fractional: bool = False
    optionable: bool = True
    campaigns: bool = False
    earnings: bool = True
    split_above: float = 500.0
    company: str = ""  # told apart by this where two companies bore one ticker

    @property
    def identity(self) -> str:
        """What this company's chance numbers and identifiers hang on."""
        return self.company or self.symbol

    @property
    def composite_figi(self) -> str | None:
        """A FIGI of valid form, the same in every market; some securities have none, as at the vendor."""
        number = digest("figi", self.identity)
        if self.kind in ("WARRANT", "UNIT") or self.symbol in TEST_SYMBOLS or number % 40 == 0:
            return None
        return figi("BBG0" + "".join(_FIGI_SIGNS[(number >> 5 * place) % 31] for place in range(1, 8)))


_FIGI_SIGNS = "0123456789BCDFGHJKLMNPQRSTVWXYZ"


def figi(body: str) -> str:
    """Eleven characters with their check digit (OMG FIGI 1.0, section 6.1.2)."""
    values = [int(sign, 36) * (1 + place % 2) for place, sign in enumerate(body)]
    return f"{body}{-sum(value // 10 + value % 10 for value in values) % 10}"


def _etf(symbol: str, name: str, sector: int, beta: float, load: float, own: float, price: float) -> Member:
    kind = "ETF"
    return Member(
        symbol, name, kind, "ARCX", sector, beta, load, own, price, 4e9, earnings=False, split_above=2500.0
    )


_ETF_MEMBERS = (
    _etf("SPY", "Simulated S&P 500 ETF", 0, 1.0, 0.0, 0.0006, 382.0),
    _etf("QQQ", "Simulated Nasdaq 100 ETF", TECH, 1.05, 0.6, 0.001, 265.0),
    _etf("IWM", "Simulated Russell 2000 ETF", 0, 1.15, 0.0, 0.005, 174.0),
    _etf("DIA", "Simulated Dow Jones ETF", 7, 0.88, 0.2, 0.001, 331.0),
    _etf("TLT", "Simulated 20+ Year Treasury ETF", 0, -0.15, 0.0, 0.008, 100.0),
    _etf("GLD", "Simulated Gold ETF", 0, 0.05, 0.0, 0.008, 171.0),
    _etf("XLF", "Simulated Financial Sector ETF", 5, 0.95, 0.9, 0.002, 34.0),
    _etf("XLK", "Simulated Technology Sector ETF", TECH, 1.1, 1.0, 0.002, 124.0),
    _etf("XLE", "Simulated Energy Sector ETF", 4, 0.8, 1.3, 0.004, 85.0),
    _etf("XLV", "Simulated Health Care Sector ETF", 6, 0.7, 0.8, 0.002, 136.0),
    _etf("XLI", "Simulated Industrial Sector ETF", 7, 0.95, 0.8, 0.002, 99.0),
    _etf("SMH", "Simulated Semiconductor ETF", TECH, 1.3, 1.5, 0.006, 205.0),
)

# symbol, price at the epoch, daily dollar volume, unit of the daily range, price above which the board splits
_WATCHLIST = (
    ("NVDA", 640.0, 2.4e10, 0.030, 900.0), ("MSFT", 240.0, 7.0e9, 0.017, 900.0),
    ("META", 125.0, 6.0e9, 0.024, 700.0), ("TSLA", 110.0, 2.0e10, 0.034, 480.0),
    ("GOOGL", 89.0, 5.0e9, 0.019, 260.0), ("AMZN", 86.0, 8.0e9, 0.021, 300.0),
    ("AAPL", 125.0, 1.0e10, 0.016, 320.0), ("AMD", 64.0, 6.0e9, 0.030, 260.0),
    ("AVGO", 550.0, 4.0e9, 0.024, 780.0), ("PLTR", 16.0, 3.0e9, 0.036, 180.0),
    ("MU", 50.0, 2.0e9, 0.027, 240.0), ("ANET", 118.0, 1.0e9, 0.026, 170.0),
    ("ARM", 51.0, 1.2e9, 0.034, 240.0), ("DELL", 40.0, 7.0e8, 0.028, 200.0),
)  # fmt: skip


def _watchlist(symbol: str, price: float, dollars: float, unit: float, split_above: float) -> Member:
    return Member(
        symbol, f"{symbol} (simulated)", "CS", "XNAS", TECH, 1.2, 0.8, unit, price, dollars,
        fractional=True, campaigns=True, split_above=split_above,
    )  # fmt: skip


def _odd() -> tuple[Member, ...]:
    """Symbols that break careless parsers: null and boolean words, dots, twins that differ in case."""
    return (
        Member(
            "NA", "Nano Simulated", "CS", "XNAS", 6, 1.1, 0.5, 0.035, 4.2, 2e6,
            silent=0.04, optionable=False,
        ),
        Member("TRUE", "Truth Simulated", "CS", "XNAS", 2, 1.2, 0.6, 0.030, 2.4, 4e6, optionable=False),
        Member("BRK.B", "Berg Simulated B", "CS", "XNYS", 5, 0.8, 0.6, 0.007, 309.0, 1.5e9, fractional=True),
        Member(
            "BACpL", "Bac Simulated Preferred L", "PFD", "XNYS", 5, 0.1, 0.2, 0.004, 1160.0, 5e6,
            silent=0.05, optionable=False, earnings=False, split_above=1e9,
        ),
        Member("BACPL", "Bacpol Simulated", "CS", "XNYS", 8, 1.0, 0.6, 0.025, 21.0, 3e6, optionable=False),
        Member(
            "ACHR.WS", "Archer Simulated Warrants", "WARRANT", "XNYS", 7, 1.6, 0.5, 0.06, 1.9, 2e5,
            silent=0.18, optionable=False, earnings=False,
        ),
        Member(
            "CCV.U", "Churn Simulated Units", "UNIT", "XNYS", 5, 0.0, 0.0, 0.002, 10.1, 9e4,
            silent=0.3, optionable=False, earnings=False,
        ),
    )  # fmt: skip


def _test_symbol(symbol: str) -> Member:
    return Member(
        symbol, "Exchange test issue", "CS", "XNAS", 0, 0.0, 0.0, 0.09, 15.0, 4e4,
        silent=0.35, optionable=False, earnings=False, split_above=1e9,
    )  # fmt: skip


_REUSED_MEMBERS = (
    Member(
        REUSED, "Velto Mining (simulated)", "CS", "XASE", 3, 0.9, 0.5, 0.012, 14.0, 9e6,
        delisted=560, optionable=False, split_above=1e9, company="Velto Mining",
    ),
    Member(
        REUSED, "Velto Robotics (simulated)", "CS", "XNAS", TECH, 1.1, 0.8, 0.014, 96.0, 6e7,
        listed=690, optionable=False, split_above=1e9, company="Velto Robotics",
    ),
)  # fmt: skip

_CONSONANTS, _VOWELS, _FINALS = "BCDFGHJKLMNPQRSTVWXZ", "AEIOUY", "BDFGKLMNPSTZ"
_ENDINGS = (
    "Works",
    "Systems",
    "Holdings",
    "Labs",
    "Energy",
    "Foods",
    "Therapeutics",
    "Bancorp",
    "Rail",
    "Materials",
)


def _invented_symbols(seed: int, count: int, taken: set[str]) -> list[str]:
    """Five pronounceable letters, a form that real common stocks do not have."""
    rng = stream(seed, "symbols")
    shape = (_CONSONANTS, _VOWELS, _CONSONANTS, _VOWELS, _FINALS)
    found: list[str] = []
    while len(found) < count:
        u = rng.random(5)
        symbol = "".join(letters[int(x * len(letters))] for letters, x in zip(shape, u, strict=True))
        if symbol not in taken:
            taken.add(symbol)
            found.append(symbol)
    return found


def _invented(seed: int, symbol: str) -> Member:
    u = stream(seed, "member", symbol).random(14)
    price = float(6.0 * 40.0 ** u[0])
    thin = bool(u[1] < 0.15)
    dollars = float(6e4 * 20 ** u[2]) if thin else float(3e6 * 400 ** u[2])
    exchange = ("XNAS", "XNYS", "XASE", "BATS")[
        0 if u[3] < 0.55 else 1 if u[3] < 0.92 else 2 if u[3] < 0.97 else 3
    ]
    kind = "CS" if u[4] < 0.86 else "ADRC" if u[4] < 0.94 else "ETF"
    listed, delisted = 0, _NEVER
    if u[5] < 0.14:
        listed = int(1500 * u[6])
    elif u[5] < 0.28:
        delisted = 60 + int(1500 * u[6])
    return Member(
        symbol,
        f"{symbol.title()} {_ENDINGS[digest(symbol) % len(_ENDINGS)]} (simulated)",
        kind,
        exchange,
        sector=int(u[7] * SECTORS),
        beta=0.5 + 1.1 * float(u[8]),
        sector_load=0.3 + float(u[9]),
        idiosyncratic=0.011 + 0.03 * float(u[10]) ** 2 + (0.012 if thin else 0.0),
        price=price,
        dollars=dollars,
        listed=listed,
        delisted=delisted,
        silent=0.03 + 0.2 * float(u[11]) if thin else 0.0,
        fractional=bool(u[12] < 0.4),
        optionable=not thin and price > 9.0,
        earnings=kind != "ETF",
        split_above=150.0 + 700.0 * float(u[13]),
    )


def members(seed: int, count: int) -> list[Member]:
    """The first `count` members of the seed's market, sorted by symbol; ValueError below the fixed cast.

    The two companies of the re-used ticker come on top of `count`, so that they displace nobody.
    """
    fixed = [*_ETF_MEMBERS, *(_watchlist(*row) for row in _WATCHLIST), *_odd()]
    fixed += [_test_symbol(symbol) for symbol in TEST_SYMBOLS]
    if count < len(fixed):
        raise ValueError(f"symbols={count} is too few: the fixed cast alone has {len(fixed)}; ask for more")
    invented = _invented_symbols(seed, count - len(fixed), {member.symbol for member in fixed})
    cast = [*fixed, *_REUSED_MEMBERS, *(_invented(seed, symbol) for symbol in invented)]
    return sorted(cast, key=lambda member: (member.symbol, member.listed))
