"""The Dagster graph: one module per table, plus partitions, jobs, schedules and what every table's module shares.

Does not belong here: formulas, vendor field names, SQL longer than a line.
"""
