SELECT make_partitions_ahead(%(today)s)
