"""How the simulator's tests speak to it: pages, fault plans, a clock that moves back, signed requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import httpx2 as httpx

from kapman_resources.calendar import NEW_YORK
from kapman_simulator.server import Serving


def pages(client: httpx.Client, path: str, **params: object) -> Iterator[dict]:
    """Every page of a listing, following next_url as the vendor wants it: path and query on the own base."""
    body = client.get(path, params=params).raise_for_status().json()
    yield body
    while "next_url" in body:
        address = httpx.URL(body["next_url"])
        body = client.get(address.path, params=address.params).raise_for_status().json()
        yield body


def results(client: httpx.Client, path: str, **params: object) -> list[dict]:
    return [row for body in pages(client, path, **params) for row in body.get("results", [])]


@contextmanager
def clock_at(client: httpx.Client, vendor: Serving, now: datetime) -> Iterator[dict]:
    before = vendor.simulation.now
    yield client.post("/simulator/clock", json={"now": now.isoformat()}).raise_for_status().json()
    vendor.simulation.move_to(before)


def new_york(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=NEW_YORK)


def plan(client: httpx.Client, **faults: object) -> None:
    client.post("/simulator/faults", json=faults).raise_for_status()
