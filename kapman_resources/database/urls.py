"""Where the two databases are: Kapman's record and, in the same server, Dagster's own storage."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url

from kapman_resources import embedded_postgres
from kapman_resources.settings import Settings, SettingsError


def _configured(settings: Settings) -> URL | None:
    if settings.database_url is None:
        return None
    try:
        url = make_url(settings.database_url)
    except Exception as error:
        raise SettingsError(
            "DATABASE_URL is not a URL such as postgresql://user:password@host:5432/kapman"
        ) from error
    if not url.drivername.startswith("postgres"):
        raise SettingsError(f"DATABASE_URL names {url.drivername}: Kapman needs PostgreSQL 16 or newer")
    if url.password is None and settings.db_password is not None:
        url = url.set(password=settings.db_password.get_secret_value())
    return url


def kapman_url(settings: Settings) -> str:
    """Address of Kapman's database for psycopg; starts the embedded server when DATABASE_URL is not set."""
    url = _configured(settings)
    if url is None:
        return embedded_postgres.url(settings.home)
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def dagster_url(settings: Settings) -> str:
    """Address of Dagster's database, driver spelled out: a bare one would pick psycopg 3, which it cannot use."""
    url = _configured(settings)
    if url is None:
        url = make_url(embedded_postgres.url(settings.home, embedded_postgres.DAGSTER_DATABASE))
    else:
        url = url.set(database=embedded_postgres.DAGSTER_DATABASE)
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def ensure_dagster_database(settings: Settings) -> None:
    """Creates the database `dagster` beside Kapman's; the embedded server has it already.

    Raises DatabaseError when the user of DATABASE_URL may not create it.
    """
    url = _configured(settings)
    if url is None:
        return
    import psycopg
    from psycopg import errors

    from kapman_resources.database.core import DatabaseError

    name = embedded_postgres.DAGSTER_DATABASE
    with psycopg.connect(kapman_url(settings), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            return
        try:
            connection.execute(f"CREATE DATABASE {name}")
        except errors.DuplicateDatabase:
            return  # another process was a moment earlier
        except errors.InsufficientPrivilege as error:
            raise DatabaseError(
                f"user {url.username} may not create the database {name} for Dagster: run CREATE DATABASE {name} OWNER "
                f"{url.username} as an administrator, once"
            ) from error
