"""`genai-spine tenants webhook-secret` as a process."""

import base64
import os
import subprocess
import sys

from genai_spine.access.secrets import derived

NEW, OLD = "ab" * 32, "cd" * 32


def secrets(tenant: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "genai_spine", "tenants", "webhook-secret", tenant]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)


def test_secrets_are_those_of_the_tenant_the_newer_first(tmp_path) -> None:
    shown = secrets("acme", GENAI_SECRET_KEY=f"{NEW},{OLD}", GENAI_DATABASE_URL=f"sqlite:///{tmp_path}/x.db")
    keys = [derived(bytes.fromhex(root), "webhooks of acme") for root in (NEW, OLD)]
    assert shown.stdout.split() == [f"whsec_{base64.b64encode(key).decode()}" for key in keys]


def test_without_a_root_secret_it_says_what_to_set(tmp_path) -> None:
    shown = secrets("acme", GENAI_DATABASE_URL=f"sqlite:///{tmp_path}/x.db")
    assert shown.returncode == 1
    assert "GENAI_SECRET_KEY" in shown.stderr
