"""Run by Alembic inside the transaction that genai_spine.store.schema opened."""

from alembic import context

from genai_spine.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
