"""Ledger of a command that writes into it, with a chain of its own."""

from genai_spine.access.secrets import LEDGER
from genai_spine.server.access import root_secret
from genai_spine.settings import Settings
from genai_spine.store.booking.chain import Chain
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions

NO_SECRET = (
    "the ledger is sealed with the root secret, and there is none: "
    "set GENAI_SECRET_KEY or GENAI_SECRET_KEY_FILE"
)


async def executions_of(settings: Settings, database: Database) -> Executions:
    """Ledger in which a command writes. Errors: ValueError where there is a chain, and no key for it."""
    root = root_secret(settings)
    executions = Executions(database, None if root is None else Chain(root.keys(LEDGER)[0]))
    if root is None and await executions.chain.is_used():
        raise ValueError(NO_SECRET)
    await executions.chain.open()
    return executions
