"""`genai-spine config`: check, show, import and envoy, as a person and a script use them."""

import json
from pathlib import Path

from tests.acceptance.stack import ROOT
from tests.acceptance.test_cli import at

LITELLM = """
model_list:
- model_name: gpt-4o
  litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}
- model_name: other
  litellm_params: {model: cohere/command-r}
"""


def test_check_says_every_fault_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "genai.yaml").write_text("alises: {}\nproviders:\n  x: {base_ulr: y}\n")
    said = at(tmp_path, "config", "check")
    assert said.returncode == 1
    assert said.stderr.splitlines() == [
        "genai-spine: genai.yaml:1: alises: unknown key; did you mean aliases?",
        "genai.yaml:3: providers.x.base_ulr: unknown key; did you mean base_url?",
    ]
    as_json = at(tmp_path, "config", "check", "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["faults"][1] == {
        "file": "genai.yaml",
        "line": 3,
        "path": "providers.x.base_ulr",
        "problem": "unknown key; did you mean base_url?",
    }


def test_check_takes_a_file_and_the_example_is_right(tmp_path: Path) -> None:
    said = at(tmp_path, "config", "check", str(ROOT / "docs" / "genai.yaml"), "--json")
    assert said.returncode == 0, said.stderr
    assert {"gpu", "ollama-desk", "openai-eu", "gateway"} <= set(json.loads(said.stdout)["providers"])


def test_every_command_refuses_a_bad_file_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "genai.yaml").write_text("settings: {api_port: many}")
    where = "genai.yaml:1: settings.api_port: input should be a valid integer"
    for command in (["up"], ["serve"], ["doctor"], ["migrate"], ["prices", "list"], ["reload"]):
        said = at(tmp_path, *command)
        assert said.returncode == 1
        if command == ["reload"]:  # which reads nothing but where the service is
            where = "'many' is no port: GENAI_API_PORT, or settings.api_port of genai.yaml"
        assert said.stderr.startswith(f"genai-spine: {where}")
        assert len(said.stderr.splitlines()) == 1


def test_show_has_both_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "genai.yaml").write_text("providers: {openai: {api_key: '${KEY}'}}")
    said = at(tmp_path, "config", "show", KEY="sk-secret", GENAI_API_PORT="8123")
    assert "sk-secret" not in said.stdout
    assert "api_port: 8123" in said.stdout
    found = json.loads(at(tmp_path, "config", "show", "--json", KEY="sk-secret").stdout)
    assert found["providers"]["openai"]["api_keys"] == ["***"]


def test_a_litellm_configuration_becomes_one_that_is_valid(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(LITELLM)
    said = at(tmp_path, "config", "import", "litellm", "config.yaml", "-o", "genai.yaml")
    assert said.returncode == 0
    assert (
        said.stderr
        == "not carried: config.yaml:5: model_list[1]: cohere/command-r: this version has no such provider\n"
    )
    assert at(tmp_path, "config", "check", OPENAI_API_KEY="k").returncode == 0
    again = at(tmp_path, "config", "import", "litellm", "config.yaml", "-o", "genai.yaml")
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    printed = at(tmp_path, "config", "import", "litellm", "config.yaml")
    assert printed.stdout == (tmp_path / "genai.yaml").read_text()
    as_json = json.loads(at(tmp_path, "config", "import", "litellm", "config.yaml", "--json").stdout)
    assert as_json["configuration"]["providers"]["openai"]["api_key"] == "${OPENAI_API_KEY}"
    assert len(as_json["left_out"]) == 1
