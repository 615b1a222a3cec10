"""Bring a database to the schema of this code; Alembic is imported only where there is something to do."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from trimtab.errors import StorageError
from trimtab.store.tables import HEAD, metadata

MIGRATIONS = Path(__file__).parent / "migrations"


def prepare(engine: Engine, path: Path, say: Callable[[str], None]) -> None:
    """Create or migrate in one transaction. Raises `StorageError` for a newer or a foreign database."""
    with engine.connect() as connection:
        if revision(connection) == HEAD:
            return
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if (found := revision(connection)) != HEAD:  # another process may have been quicker
            _check(connection, found, path)
            if not found:
                _create(connection)
                return
            _upgrade(connection)
            say(f"Brought {path} from schema {found} to {HEAD}.")


def revision(connection: Connection) -> str | None:
    """The migration that a database is at, None for one without a schema."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _check(connection: Connection, found: str | None, path: Path) -> None:
    if found is None and inspect(connection).get_table_names():
        raise StorageError(
            f"{path} is a database of something else.", "Move it aside, or set TRIMTAB_HOME to another folder."
        )
    if found is not None and not list(MIGRATIONS.glob(f"versions/{found}_*.py")):
        raise StorageError(
            f"{path} was written by a newer Trimtab: its schema is {found}, this one knows them up to {HEAD}.",
            "Upgrade Trimtab, or set TRIMTAB_HOME to another folder.",
            code="newer_database",
        )


def _create(connection: Connection) -> None:
    """All tables as they are now: what the migrations make one after the other, without Alembic's 12 MB."""
    metadata.create_all(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
