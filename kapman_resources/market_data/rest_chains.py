"""One underlying's chain, complete and in few round trips: long ones are asked in ranges of expiry beside each other.

The vendor's own paging from page 1 is the truth; ranges only replace its tail, and only when everything they return is
provably that tail. Does not belong here: which contracts are good (kapman_metrics.chain).
"""

from __future__ import annotations

import asyncio
import re
from datetime import date, timedelta
from urllib.parse import quote

from kapman_resources.market_data.protocol import VendorAnswerError
from kapman_resources.market_data.rest_transport import RestTransport, Trail, all_of, target
from kapman_resources.market_data.rest_wire import Contract, chain_page

PAGE_SIZE = 250  # the vendor's maximum
# Days after the newest expiry of page 1 at which ranges begin, by the number of expiries that fill page 1. In 25
# recorded chains these days cut what follows into about equal parts. One expiry alone fills it from 3,000 contracts
# upward (SPX: 29,000), two from 2,100; three and more stay below 3,300, and what a range costs (half a page) is not
# worth it there.
_RANGES = {1: (7, 18, 40, 105, 200, 310, 600), 2: (30, 200)}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class _NotThatRange(Exception):
    """The vendor did not keep to the range that was asked, or could not answer it."""


async def chain_of(transport: RestTransport, symbol: str) -> tuple[list[Contract], int]:
    """Every contract of the underlying as sent, and the pages it took; raises VendorError subclasses.

    A contract comes twice only where the vendor doubled it. No part of a chain is ever returned for the whole.
    """
    front = _Front(transport, f"/v3/snapshot/options/{quote(symbol, safe=':')}")
    await front.step()
    if starts := _range_starts(front):
        behind = await _side_by_side(front, starts)
        if behind is not None:
            return front.split_at(starts[0])[0] + behind, front.trail.pages
    while front.following:
        await front.step()
    return front.contracts, front.trail.pages


class _Front:
    """The vendor's own paging from page 1, oldest expiry first: one page after the other, and always right."""

    def __init__(self, transport: RestTransport, path: str) -> None:
        self.transport, self.path, self.trail = transport, path, Trail(path)
        self.contracts: list[Contract] = []
        self.following: str | None = _target(path)
        self.newest = ""  # the last contract's expiry, as long as they came in order
        self.in_order = True

    async def step(self) -> None:
        """Fetches the next page; the caller has seen that there is one."""
        assert self.following
        page = await self.transport.get(self.following, chain_page, self.trail)
        self.following = self.trail.next(page)
        self.contracts += page.rows
        for contract in page.rows:
            day = contract.expiration or ""
            self.in_order = self.in_order and day >= self.newest and bool(_DAY.fullmatch(day))
            self.newest = day

    def split_at(self, day: str) -> tuple[list[Contract], list[Contract]]:
        """What expires before the day, and the rest."""
        before = [contract for contract in self.contracts if (contract.expiration or "") < day]
        return before, self.contracts[len(before) :]


def _target(path: str, **within: str) -> str:
    bounds = {f"expiration_date.{bound}": day for bound, day in within.items()}
    return target(path, {"limit": str(PAGE_SIZE), "sort": "expiration_date", "order": "asc"} | bounds)


def _range_starts(front: _Front) -> list[str]:
    """Where side-by-side ranges begin when page 1 promises a long chain; empty when it does not."""
    offsets = _RANGES.get(len({contract.expiration for contract in front.contracts}), ())
    if not front.following or not front.in_order or len(front.contracts) < PAGE_SIZE:
        return []
    try:
        newest = date.fromisoformat(front.newest)
        return [str(newest + timedelta(days)) for days in offsets]
    except (ValueError, OverflowError):
        return []  # an expiry that no calendar knows


async def _side_by_side(front: _Front, starts: list[str]) -> list[Contract] | None:
    """The contracts that expire from starts[0] on, while `front` runs up to that day.

    None when the vendor's paging says otherwise or has ended by itself: then it alone is followed.
    """
    ranges = asyncio.create_task(
        all_of(_range(front, start, end) for start, end in zip(starts, [*starts[1:], None], strict=True))
    )
    try:
        while front.following and front.in_order and front.newest < starts[0]:
            await front.step()
        if not front.following or not front.in_order:
            return None
        behind = [contract for found in await ranges for contract in found]
    except _NotThatRange:
        return None
    finally:
        ranges.cancel()
        await asyncio.wait([ranges])
    # where the two meet they must tell the same: in order, the front holds all that expires before its newest day
    overlap = {contract.ticker for contract in front.split_at(starts[0])[1]}
    older = {contract.ticker for contract in behind if (contract.expiration or "") < front.newest}
    return behind if older <= overlap <= {contract.ticker for contract in behind} else None


async def _range(front: _Front, start: str, end: str | None) -> list[Contract]:
    trail = front.trail.branch()
    following: str | None = _target(front.path, gte=start, **({"lt": end} if end else {}))
    found: list[Contract] = []
    while following:
        try:
            page = await front.transport.get(following, chain_page, trail)
            following = trail.next(page)
        except VendorAnswerError as error:
            raise _NotThatRange from error
        if not all(_within(contract.expiration, start, end) for contract in page.rows):
            raise _NotThatRange
        found += page.rows
    return found


def _within(day: str | None, start: str, end: str | None) -> bool:
    return day is not None and start <= day and (end is None or day < end) and bool(_DAY.fullmatch(day))
