"""LiteLLM's config.yaml in our words."""

from pathlib import Path

import pytest

from genai_spine.configuration import litellm, loader
from genai_spine.configuration.document import ConfigurationError
from genai_spine.configuration.litellm import Imported

CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://my-endpoint-europe.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY_EU
      api_version: "2024-10-21"
      rpm: 6
  - model_name: gpt-4o
    litellm_params:
      model: gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      temperature: 0.2
      stop: END
      weight: 3
  - model_name: llama
    litellm_params:
      model: hosted_vllm/meta-llama/Llama-3-70b
      api_base: http://gpu1:8000/v1
      extra_headers: {x-team: os.environ/TEAM}
      timeout: 300
      stream_timeout: 30
      max_parallel_requests: 4
    model_info: {max_input_tokens: 8192, input_cost_per_token: 0.00000015, output_cost_per_token: 6e-7}
  - model_name: llama
    litellm_params: {model: hosted_vllm/meta-llama/Llama-3-70b, api_base: "http://gpu2:8000/v1"}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-20250514, api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: nova
    litellm_params: {model: bedrock/converse/amazon.nova-lite-v1:0, aws_region_name: eu-central-1, api_key: k}
  - model_name: local
    litellm_params: {model: ollama_chat/llama3.2, api_base: "http://one:11434"}
  - model_name: other
    litellm_params: {model: openai/qwen, api_base: "http://qwen/v1", api_key: "sk-$${literal"}
router_settings:
  num_retries: 2
  allowed_fails: 3
  cooldown_time: 60
  routing_strategy: latency-based-routing
  model_group_alias: {"gpt-4": "gpt-4o", "c": {model: claude, hidden: true}}
  fallbacks: [{"llama": ["gpt-4o"]}]
  context_window_fallbacks: [{"llama": ["claude", "gpt-4o"]}]
litellm_settings:
  default_fallbacks: ["claude"]
  request_timeout: 600
"""
KEYS = {"AZURE_API_KEY_EU": "a", "OPENAI_API_KEY": "b", "ANTHROPIC_API_KEY": "c", "TEAM": "blue"}


def imported(folder: Path, text: str) -> Imported:
    (folder / "config.yaml").write_text(text)
    return litellm.read(folder / "config.yaml")


def test_a_whole_configuration_becomes_ours(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = imported(bare, CONFIG)
    assert [line.partition(": ")[2] for line in found.left_out] == [
        "model_list[0].litellm_params.rpm: is taken for its weight; there is no such limit yet"
    ]
    (bare / "genai.yaml").write_text(found.text())
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings = loader.load().settings
    endpoints = settings.endpoints
    assert endpoints["azure"].api_key == "a"
    assert endpoints["azure"].further == {"api_version": "2024-10-21"}
    assert endpoints["openai"].models["gpt-4o"].options is not None
    assert list(endpoints["openai"].models["gpt-4o"].options.stop_sequences) == ["END"]
    first = endpoints["vllm"]
    assert (first.base_url, first.headers, first.max_concurrency) == (
        *("http://gpu1:8000/v1", {"x-team": "blue"}, 4),
    )
    assert (first.timeouts.total_s, first.timeouts.first_token_s) == (300, 30)
    assert endpoints["vllm-gpu2-8000"].base_url == "http://gpu2:8000/v1"
    assert endpoints["bedrock"].further == {"region": "eu-central-1"}
    assert endpoints["compatible-qwen"].api_key == "sk-$${literal"
    aliases = {name: alias.members for name, alias in settings.model_aliases.items()}
    assert [(member.model, member.weight) for member in aliases["gpt-4o"]] == [
        ("azure:gpt-4o-eu", 6.0),
        ("openai:gpt-4o", 3.0),
    ]
    assert aliases["gpt-4"] == aliases["gpt-4o"]
    assert [member.model for member in aliases["c"]] == ["anthropic:claude-sonnet-4-20250514"]
    assert settings.fallbacks == {"llama": ("gpt-4o", "claude")}
    assert settings.fallback_chain == ("claude",)
    assert (settings.provider_retries, settings.circuit_failures, settings.circuit_rest) == (2, 3, 60)
    assert settings.total_timeout == 600
    assert [dict(price.fields) for price in settings.stated_prices] == [{"input": "0.15", "output": "0.6"}]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            "{model_name: a, litellm_params: {model: cohere/command-r}}",
            "cohere/command-r: this version has no",
        ),
        ("{model_name: a, litellm_params: {model: strange-model}}", "strange-model: this version has no"),
        (
            "{model_name: 'openai/*', litellm_params: {model: 'openai/*', api_key: k}}",
            "the wildcard openai/*",
        ),
        ("{model_name: a}", "is no deployment"),
        ("just text", "is no deployment"),
        (
            "{model_name: a, litellm_params: {model: gpt-4o, drop: 1}}",
            "litellm_params.drop: has no counterpart",
        ),
        (
            "{model_name: a, litellm_params: {model: gpt-4o}, model_info: {team: x}}",
            "model_info.team: has no",
        ),
        (
            "{model_name: a, litellm_params: {model: gpt-4o, tpm: 5}}",
            "litellm_params.tpm: is taken for its weight",
        ),
    ],
)
def test_what_cannot_be_carried_is_listed_with_its_line(bare: Path, entry: str, line: str) -> None:
    [found] = imported(bare, f"model_list:\n- {entry}\n").left_out
    assert ":2: model_list[0]" in found
    assert line in found
    assert f"# Not carried: {found}\n" in imported(bare, f"model_list:\n- {entry}\n").text()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "general_settings: {master_key: sk-1}",
            "general_settings.master_key: this version has no authentication",
        ),
        (
            "general_settings: {database_url: x}",
            "general_settings.database_url: it is LiteLLM's own database",
        ),
        ("litellm_settings: {drop_params: true}", "litellm_settings.drop_params: has no counterpart"),
        (
            "router_settings: {routing_strategy: least-busy}",
            "router_settings.routing_strategy: least-busy: weighted",
        ),
        ("guardrails: []", "guardrails: has no counterpart"),
        (
            "router_settings: {content_policy_fallbacks: [{a: [b]}]}",
            "router_settings.content_policy_fallbacks: a content filter's refusal is asked of nobody else",
        ),
    ],
)
def test_settings_without_a_counterpart_are_listed(bare: Path, text: str, line: str) -> None:
    [found] = imported(bare, f"{text}\nmodel_list: []\n").left_out
    assert line in found
    assert "sk-1" not in found


@pytest.mark.parametrize("text", ["", "a: 1", "model_list: 5", "- a", "{broken"])
def test_what_is_no_configuration_of_litellm_is_refused(bare: Path, text: str) -> None:
    with pytest.raises(ConfigurationError):
        imported(bare, text)


def test_deployments_of_one_address_and_key_are_one_provider(bare: Path) -> None:
    text = "".join(
        f"- {{model_name: m{n}, litellm_params: {{model: openai/m{n}, api_key: k{n % 2}}}}}\n"
        for n in range(4)
    )
    found = imported(bare, f"model_list:\n{text}").data["providers"]
    assert {name: sorted(section["models"]) for name, section in found.items()} == {
        "openai": ["m0", "m2"],
        "openai-2": ["m1", "m3"],
    }


def test_numbers_may_be_text_or_references_and_what_is_none_is_listed(bare: Path) -> None:
    params = (
        'model: openai/m, api_key: k, timeout: "30", stream_timeout: os.environ/WAIT, weight: "2", '
        "output_cost_per_token: 2e-5, input_cost_per_token: free, max_parallel_requests: 0, "
        "temperature: os.environ/WARM, headers: {a: 1, b: null}"
    )
    found = imported(bare, f"model_list: [{{model_name: a, litellm_params: {{{params}}}}}]\n")
    section = found.data["providers"]["openai"]
    assert section["timeouts"] == {"total_s": 30, "first_token_s": "${WAIT}"}
    assert section["headers"] == {"a": "1"}
    assert section["models"]["m"] == {
        "options": {"temperature": "${WARM}"},
        "price": {"input": "0", "output": "20"},
    }
    assert [line.partition("litellm_params.")[2] for line in found.left_out] == [
        "max_parallel_requests: 0 is no number above 0",
        "input_cost_per_token: 'free' is no price",
    ]


def test_fallbacks_and_aliases_may_be_one_name_and_what_is_none_is_listed(bare: Path) -> None:
    text = (
        "model_list: [{litellm_params: {model: openai/m, api_key: k}}]\n"
        "router_settings: {default_fallbacks: best, fallbacks: [{a: b}, {c: [5]}, d], "
        "model_group_alias: {e: {model: [x]}, f: g}}\n"
    )
    found = imported(bare, text)
    assert found.data["fallbacks"] == {"*": ["best"], "a": ["b"], "c": ["5"]}
    assert found.data["aliases"] == {"f": "g"}
    assert [line.rpartition(": ")[2] for line in found.left_out] == [
        "has no model_name, so no alias is made",
        "'d' is no model with its fallbacks",
        "names no model",
    ]


def test_deployment_without_a_key_has_that_of_its_providers_variable(bare: Path) -> None:
    text = "model_list:\n" + "".join(
        f"- {{model_name: {name}, litellm_params: {{model: {name}{key}}}}}\n"
        for name, key in (("gpt-a", ", api_key: os.environ/OPENAI_API_KEY"), ("gpt-b", ""))
    )
    [(name, section)] = imported(bare, text).data["providers"].items()
    assert (name, section["api_key"], sorted(section["models"])) == (
        "openai",
        "${OPENAI_API_KEY}",
        ["gpt-a", "gpt-b"],
    )
