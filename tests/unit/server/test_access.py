"""A server that starts does not pay for what its settings leave out, nor for migrations."""

import subprocess
import sys


def test_neither_cryptography_nor_migrations_are_imported_without_need() -> None:
    program = (
        "import sys, genai_spine.server, genai_spine.configuration.loader\n"
        "print([name for name in ('alembic', 'cryptography', 'joserfc') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
