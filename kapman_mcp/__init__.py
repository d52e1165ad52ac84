"""Kapman's numbers over the Model Context Protocol, for AI clients and for the pipeline's own metrics provider.

Does not belong here: formulas, SQL, anything that writes.
"""
