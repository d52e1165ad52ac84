"""The Wyckoff engine: bars in, dated records of structure out. Causal, append-only, deterministic.

Does not belong here: databases, vendors, clocks, option chains, and what to do about a signal
(kapman_advice).
"""
