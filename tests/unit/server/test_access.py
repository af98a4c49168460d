"""A server without a token issuer does not pay for one."""

import subprocess
import sys


def test_without_an_issuer_no_cryptography_is_imported() -> None:
    program = (
        "import sys, genai_spine.server, genai_spine.configuration.loader\n"
        "print([name for name in ('cryptography', 'joserfc') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
