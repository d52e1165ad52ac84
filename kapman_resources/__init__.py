"""The outside world behind small protocols: database, vendor, providers, clock, calendar, settings.

Does not belong here: what a number means (the pure rooms) or which table is written when (kapman_assets).
"""
