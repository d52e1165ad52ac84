"""PostgreSQL as the record: connections, transactions, bulk reads and writes, migrations, the audit of runs.

Does not belong here: which table an asset fills, or what its columns mean.
"""

from kapman_resources.database.core import Database, DatabaseError
from kapman_resources.database.migrations import Migrations

__all__ = ["Database", "DatabaseError", "Migrations"]
