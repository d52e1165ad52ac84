"""Advice: from a snapshot and a stored chain to signal, candidates, decision and its honest record.

Pure functions over frames and mappings. No network, no database, no clock, no randomness lives here.
"""
