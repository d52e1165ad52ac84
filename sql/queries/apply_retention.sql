SELECT dropped FROM apply_retention(%(today)s)
