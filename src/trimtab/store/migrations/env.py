"""Alembic's way in: it runs this file with the connection that `schema` has begun a transaction on."""

from alembic import context

from trimtab.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
