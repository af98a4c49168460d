"""`genai-spine migrate`: the database's tables, the root secret and the first key."""

from typing import Annotated

import typer

from genai_spine.cli.output import Json, print_json, run
from genai_spine.cli.service.configured import settings_with


def migrate(
    no_key: Annotated[bool, typer.Option("--no-key", help="Make no first key.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the database's tables up to this version; make a root secret and a first key where they are due.

    With SQLite a root secret is made beside the database. Where GENAI_AUTH=on and there is no key, the first
    admin key is made, and printed this once.
    """
    from genai_spine.access import secrets
    from genai_spine.cli.access import keys
    from genai_spine.store import schema

    settings = settings_with()
    applied = run(schema.upgrade(settings.database))
    head = schema.head()
    made = secrets.create_beside(settings.database) if settings.has_no_secret else None
    wants_key = settings.auth == "on" and not no_key
    first = run(keys.first_key(settings)) if wants_key else None
    if as_json:
        secret = {
            "secret_key_file": str(made) if made else None,
            "first_key": first.secret if first else None,
        }
        print_json({"applied": applied, "revision": head, **secret})
        return
    done = f"applied {', '.join(applied)}" if applied else "nothing to do"
    typer.echo(f"database at revision {head}: {done}")
    if made:
        typer.echo(f"root secret: made {made}; keep a copy of it as safe as the database")
    if first:
        typer.echo(f"first admin key, not shown again: {first.secret}")
