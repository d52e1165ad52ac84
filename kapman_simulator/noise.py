"""Reproducible randomness: named streams for paths, a hash for values that are looked up, not drawn.

A stream is read row by row in time, so a longer path begins with the shorter one; only `Generator.random` is
used anywhere, because its values do not depend on how much is asked for at once.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Hashes = NDArray[np.uint64]

_MASK = 0xFFFFFFFFFFFFFFFF


def digest(*names: object) -> int:
    """A 64-bit number that depends on every name and on nothing else (not on PYTHONHASHSEED)."""
    text = "\x1f".join(str(name) for name in names).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def stream(*names: object) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(digest(*names)))


def normals(u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Two independent standard normals from two uniforms (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log1p(-u))
    return radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)


def students(u: Floats, v: Floats, freedom: float) -> Floats:
    """Student t of unit variance from two uniforms (Bailey 1994, polar method)."""
    radius = np.sqrt(freedom * (np.power(1.0 - u, -2.0 / freedom) - 1.0))
    return radius * np.cos(2 * np.pi * v) * np.sqrt((freedom - 2.0) / freedom)


def mix(*parts: Hashes | int) -> Hashes:
    """Hash integer arrays (broadcast together) to uint64 (splitmix64 finaliser after each part)."""
    state: Hashes = np.asarray(0x9E3779B97F4A7C15, np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            value = np.asarray(part if isinstance(part, np.ndarray) else part & _MASK, np.uint64)
            state = np.asarray((state ^ value) + np.uint64(0x9E3779B97F4A7C15), np.uint64)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return np.asarray(state, np.uint64)


def uniform(hashes: Hashes, salt: int) -> Floats:
    """Uniforms in (0, 1), one for each hash; different salts give independent ones."""
    return ((mix(hashes, salt) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(hashes: Hashes, salt: int) -> Floats:
    return normals(uniform(hashes, salt), uniform(hashes, salt + 1_000_003))[0]
