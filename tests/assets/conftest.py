"""Fixtures of the room: one small installation per module."""

from assets_world import shared_world, world

__all__ = ["shared_world", "world"]
