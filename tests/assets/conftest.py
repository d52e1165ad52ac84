"""Fixtures of the room: one small installation per module, and chains on a database of each test's own."""

from assets_world import shared_world, world
from chains_world import chains

__all__ = ["chains", "shared_world", "world"]
