"""The market you can run without keys: generated or recorded data behind a server in the vendor's dialect.

Does not belong here: anything the product imports at run time, and any of the product's own computations (the
simulator prices its options itself, so that a mistake in the product cannot hide behind the same mistake
here).
"""
