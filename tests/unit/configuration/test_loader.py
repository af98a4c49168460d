"""genai.yaml and environment together: what is in force, and what is refused with its line."""

from pathlib import Path

import pytest

from genai_spine.configuration import loader
from genai_spine.configuration.document import ConfigurationError
from genai_spine.routing.router import Alias, Member
from genai_spine.settings import Settings
from genai_spine.v1 import routing_pb2
from tests.unit.configuration.conftest import Faults, Load

ORDINARY = """
providers:
  gpu-a: {provider: vllm, base_url: "http://gpu-a:8000/v1", models: [qwen3-32b]}
  gpu-b: {provider: vllm, base_url: "http://gpu-b:8000/v1", models: [qwen3-32b, mistral]}
  ollama: {base_url: "http://one:11434"}
  ollama-two: {protocol: ollama, base_url: "http://two:11434", default_model: "llama3.2:latest"}
  ollama-three: {protocol: ollama, base_url: "http://three:11434", models: ["gemma3:4b"]}
"""


class TestProviders:
    def test_two_vllm_hosts_and_three_ollama_hosts_are_the_ordinary_case(self, load: Load) -> None:
        found = load(ORDINARY)
        assert set(found.endpoints) == {
            *("gpu-a", "gpu-b", "ollama", "ollama-two", "ollama-three", "builtin")
        }
        rows = {name: endpoint.registry_name for name, endpoint in found.endpoints.items()}
        assert rows["gpu-a"] == rows["gpu-b"] == "vllm"
        assert rows["ollama"] == rows["ollama-two"] == rows["ollama-three"] == "ollama"
        models = {name: endpoint.default_model for name, endpoint in found.endpoints.items()}
        assert models["gpu-b"] == "qwen3-32b"
        assert (models["ollama"], models["ollama-three"]) == ("llama3.2:latest", "gemma3:4b")
        assert not found.endpoints["ollama"].implicit

    def test_first_provider_is_the_default_unless_something_else_is_said(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert load(ORDINARY).default_provider == "gpu-a"
        assert (
            load(f"settings: {{default_provider: ollama-two}}\n{ORDINARY}").default_provider == "ollama-two"
        )
        monkeypatch.setenv("GENAI_DEFAULT_PROVIDER", "builtin")
        assert load(ORDINARY).default_provider == "builtin"

    def test_a_plain_name_is_that_of_the_providers_that_name_it(self, load: Load) -> None:
        aliases = load(ORDINARY).model_aliases
        assert aliases["qwen3-32b"] == Alias((Member("gpu-a:qwen3-32b"), Member("gpu-b:qwen3-32b")))
        assert aliases["gemma3:4b"] == Alias((Member("ollama-three:gemma3:4b"),))
        assert aliases["mistral"] == Alias((Member("gpu-b:mistral"),))

    def test_the_name_of_a_configured_provider_is_that_of_no_model(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GENAI_MISTRAL_API_KEY", "k")
        assert "mistral" not in load(ORDINARY).model_aliases

    def test_environment_fills_what_the_file_leaves_open(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GENAI_OPENAI_API_KEY", "sk-1")
        monkeypatch.setenv("GENAI_OPENAI_TIMEOUT", "7")
        monkeypatch.setenv("GENAI_GROQ_API_KEY", "gsk")
        found = load("providers: {openai: {models: [gpt-4o]}}")
        assert found.endpoints["openai"].api_key == "sk-1"
        assert found.endpoints["openai"].timeouts.first_token_s == 7
        assert "groq" in found.endpoints

    def test_instances_of_one_protocol_have_keys_and_addresses_of_their_own(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GENAI_OPENAI_API_KEY", "sk-env")
        monkeypatch.setenv("TEAM_KEY", "sk-team")
        found = load(
            """
            providers:
              team: {protocol: openai, api_key: "${TEAM_KEY}"}
              eu: {provider: openai, base_url: "https://eu.api.openai.com/v1", api_keys: [a, b]}
              own: {protocol: openai, base_url: "http://own:1/v1", headers: {X-Team: blue}}
            """
        ).endpoints
        assert (found["openai"].api_key, found["team"].api_key) == ("sk-env", "sk-team")
        assert (found["eu"].api_key, found["eu"].more_keys) == ("a", ("b",))
        assert (found["own"].api_key, found["own"].headers) == (None, {"x-team": "blue"})
        assert [found[name].registry_name for name in ("team", "eu", "own")] == [
            *("openai", "openai", "compatible")
        ]

    def test_azure_and_bedrock_have_their_settings(self, load: Load) -> None:
        found = load(
            """
            providers:
              azure: {base_url: "https://x.openai.azure.com", api_key: k, api_version: "2024-10-21"}
              azure-b:
                protocol: azure
                base_url: https://y.openai.azure.com
                tenant_id: t
                client_id: c
                client_secret: s
              aws: {protocol: bedrock, api_key: k, region: eu-central-1}
            """
        ).endpoints
        assert found["azure"].further == {"api_version": "2024-10-21"}
        assert found["azure-b"].further == {"tenant_id": "t", "client_id": "c", "client_secret": "s"}
        assert found["aws"].further == {"region": "eu-central-1"}

    def test_limits_flags_and_ways_out_arrive(self, load: Load, bare: Path) -> None:
        found = load(
            """
            providers:
              x:
                provider: vllm
                base_urls: ["http://a:1/v1", "http://b:1/v1"]
                timeouts: {connect_s: 1, first_token_s: 600, between_tokens_s: 30, total_s: 900}
                max_concurrency: 8
                local: false
                residency: eu
                retention_days: 0
                health_check_s: 3
                proxy: http://user:word@proxy:3128
            """
        ).endpoints["x"]
        assert (found.base_url, found.more_base_urls) == ("http://a:1/v1", ("http://b:1/v1",))
        limits = found.timeouts
        assert (limits.connect_s, limits.first_token_s, limits.between_tokens_s, limits.total_s) == (
            *(1, 600, 30, 900),
        )
        assert (found.max_concurrency, found.local, found.residency, found.retention_days) == (
            *(8, False, "eu", 0),
        )
        assert found.health_check_s == 3
        assert found.egress.https_proxy == found.egress.http_proxy == "http://user:word@proxy:3128"

    def test_a_provider_of_another_lane_is_known_by_its_lane(self, load: Load) -> None:
        text = "providers: {big: {provider: vllm, base_url: 'http://x:1', lane: gpu}}"
        found = load(text)
        assert found.default_provider == "ollama"
        assert "big" not in found.endpoints
        assert found.other_lanes == {"big": "gpu"}
        on_gpu = load(f"settings: {{lane: gpu}}\n{text}")
        assert "big" in on_gpu.endpoints
        assert on_gpu.default_provider == "big"

    def test_a_model_can_say_all_about_itself(self, load: Load) -> None:
        found = load(
            """
            providers:
              x:
                provider: vllm
                base_url: http://a:1/v1
                models:
                  big:
                    aliases: [huge, best]
                    context_length: 32768
                    capabilities: [tools, reasoning]
                    quality: premium
                    options:
                      temperature: 0.2
                      stop_sequences: [END]
                      reasoning_effort: low
                      provider_options: {min_p: 0.05}
                    price: {input: 0.15, output: 0.60, cache_read: 0.000000000000000001}
                  plain:
            """
        )
        terms = found.endpoints["x"].models["big"]
        assert (terms.context_length, terms.capabilities) == (32768, {"tools", "reasoning"})
        assert terms.options is not None
        assert (terms.options.temperature, list(terms.options.stop_sequences)) == (0.2, ["END"])
        assert terms.options.provider_options_json == '{"min_p": 0.05}'
        assert found.endpoints["x"].models["plain"].options is None
        assert found.model_aliases["huge"] == found.model_aliases["best"] == Alias((Member("x:big"),))
        assert found.quality_tiers == {"x:big": "premium"}
        [price] = found.stated_prices
        assert price.fields == {"input": "0.15", "output": "0.6", "cache_read": "1e-18"}


class TestNames:
    def test_aliases_have_the_forms_of_the_variable(self, load: Load) -> None:
        found = load(
            """
            aliases:
              fast: openai:gpt-4o-mini
              both: [openai:gpt-4o, anthropic]
              mix: {models: [{model: "a:b", weight: 3}, "c:d"], strategy: weighted}
            """
        ).model_aliases
        assert found["fast"] == Alias((Member("openai:gpt-4o-mini"),))
        assert found["both"] == Alias((Member("openai:gpt-4o"), Member("anthropic")))
        assert found["mix"].strategy == routing_pb2.ROUTING_STRATEGY_WEIGHTED

    def test_fallbacks_are_for_all_models_or_for_one(self, load: Load) -> None:
        assert load("fallbacks: [ollama, builtin]").fallback_chain == ("ollama", "builtin")
        found = load("fallbacks: {gpt-4o: [claude, builtin], x: y, '*': [builtin]}")
        assert found.fallback_chain == ("builtin",)
        assert found.fallbacks == {"gpt-4o": ("claude", "builtin"), "x": ("y",)}


class TestSettings:
    def test_settings_can_stand_in_the_file(self, load: Load, bare: Path) -> None:
        (bare / "prices.yaml").write_text("[]")
        found = load(
            """
            settings:
              api_port: 8200
              provider_retries: 1
              price_overrides: prices.yaml
              cors_origins: [https://a.example]
              quality_tiers: {gpt-4o: premium}
              total_timeout:
            """
        )
        assert (found.api_port, found.provider_retries) == (8200, 1)
        assert found.price_overrides == bare / "prices.yaml"
        assert found.cors_origins == ("https://a.example",)
        assert found.quality_tiers == {"gpt-4o": "premium"}

    def test_options_of_the_command_line_win_over_both(self, load: Load, bare: Path) -> None:
        load("settings: {api_port: 8200, processes: 2}")
        found = loader.load(api_port=1, processes=None).settings
        assert (found.api_port, found.processes) == (1, 2)

    def test_another_file_is_named_by_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, bare: Path
    ) -> None:
        (bare / "conf").mkdir()
        (bare / "conf" / "x.yaml").write_text("settings: {api_port: 5}")
        monkeypatch.setenv("GENAI_CONFIG", "conf/x.yaml")
        assert loader.load().settings.api_port == 5
        monkeypatch.setenv("GENAI_CONFIG", "none.yaml")
        with pytest.raises(ConfigurationError, match=r"none\.yaml: GENAI_CONFIG names no file"):
            loader.load()

    def test_without_a_file_the_environment_is_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GENAI_API_PORT", "9")
        found = loader.load()
        assert found.source.path is None
        assert found.settings.api_port == 9
        monkeypatch.setenv("GENAI_API_PORT", "many")
        with pytest.raises(ConfigurationError, match=r"^GENAI_API_PORT: "):
            loader.load()

    def test_a_reload_takes_all_but_what_listens_and_stores(self, load: Load) -> None:
        old = load("settings: {api_port: 1, lane: cpu, provider_retries: 1}\naliases: {a: b}")
        new = load("settings: {api_port: 2, lane: gpu, provider_retries: 2}\naliases: {a: c}")
        taken, fixed = loader.reloaded(old, new)
        assert fixed == ["api_port", "lane"]
        assert (taken.api_port, taken.lane, taken.provider_retries) == (1, "cpu", 2)
        assert taken.model_aliases["a"] == Alias((Member("c"),))

    def test_every_setting_is_reloaded_or_fixed_on_purpose(self) -> None:
        assert set(Settings.model_fields) >= loader.RELOADED


class TestFaults:
    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("alises: {}", "1: alises: unknown key; did you mean aliases?"),
            ("settings:\n  api_prot: 1", "2: settings.api_prot: unknown key; did you mean api_port?"),
            ("settings: {endpoints: 1}", "1: settings.endpoints: unknown key"),
            (
                "settings: {model_aliases: {a: b}}",
                "1: settings.model_aliases: stands at the top of the file, as aliases",
            ),
            ("settings: {api_port: many}", "1: settings.api_port: input should be a valid integer"),
            ("settings:\n- a", "1: settings: must be a mapping"),
            ("settings:\n  price_overrides: none.yaml", "2: settings.price_overrides: "),
            ("- a", "must be a mapping at its top"),
            (
                "providers:\n  x:\n    base_ulr: y",
                "3: providers.x.base_ulr: unknown key; did you mean base_url?",
            ),
            (
                "providers:\n  x:\n    models:\n      m:\n        contxt_length: 1",
                "5: providers.x.models.m.contxt_length: unknown key; did you mean context_length?",
            ),
            (
                "providers:\n  x:\n    timeouts:\n      connect: 1",
                "4: providers.x.timeouts.connect: unknown key; did you mean connect_s?",
            ),
            ("providers:\n  x: {protocol: grpc}", "2: providers.x.protocol: input should be 'openai'"),
            ("providers:\n  x: {provider: vlm}", "there is no provider 'vlm'; did you mean vllm?"),
            ("providers:\n  x: {}", "2: providers.x: needs protocol, or provider"),
            ("providers:\n  x: {provider: vllm}", "2: providers.x: needs base_url"),
            ("providers:\n  openai: {}", "2: providers.openai: needs api_key"),
            ("providers:\n  openai: {provider: vllm, base_url: 'http://x'}", "give this one another name"),
            (
                "providers:\n  x: {provider: vllm, protocol: ollama}",
                "providers.x.protocol: vllm speaks openai",
            ),
            ("providers:\n  a b: {provider: vllm}", "'a b' is no name of a provider"),
            ("providers:\n  a:b: {provider: vllm}", "'a:b' is no name of a provider"),
            (
                "providers:\n  x:\n    provider: vllm\n    base_url: ftp://x",
                "4: providers.x.base_url: base_url: not an http(s) URL",
            ),
            ("providers:\n  x: {provider: vllm, base_url: a, base_urls: [b]}", "both base_url and base_urls"),
            ("providers:\n  x: {provider: vllm, base_url: 'http://x', region: eu}", "is no setting of vllm"),
            ("providers:\n  x: {max_concurrency: 0}", "greater than or equal to 1"),
            (
                "providers:\n  x: {timeouts: {total_s: .inf}}",
                "timeouts.total_s: input should be a valid number",
            ),
            ("providers:\n  x: {api_key: 5}", "providers.x.api_key: input should be a valid string"),
            ("providers:\n  x: {headers: {'a b': c}}", "is no name of a header"),
            ('providers:\n  x: {headers: {a: "b\\nc"}}', "must be printable ASCII"),
            ("providers:\n  x: {models: 5}", "providers.x.models: must be a list of names"),
            ("providers:\n  x: {lane: tpu}", "providers.x.lane: input should be 'cpu', 'gpu' or 'batch'"),
            ("aliases: {a: []}", "1: aliases.a: needs at least one model"),
            ("aliases: {a: {models: [b], strategy: best}}", "aliases.a: strategy 'best' is not one of"),
            ("fallbacks: 5", "1: fallbacks: must be a list of names"),
            ("fallbacks: {a: 5}", "fallbacks.a: input should be a valid list"),
            ("providers:\n  openai: {api_key: '${NONE}'}", "openai.api_key: the environment has no NONE"),
            ("providers:\n  openai: {api_key: 'file:none'}", "providers.openai.api_key: "),
            ("providers:\n  x: {provider: vllm, base_url: 'http://x', proxy: 'socks5://x'}", "not supported"),
            (
                "providers:\n  x: {provider: vllm, base_url: 'http://x', ca_file: none.pem}",
                "none.pem: No such file",
            ),
        ],
    )
    def test_what_is_wrong_has_its_line_and_path(self, faults: Faults, text: str, fault: str) -> None:
        assert fault in faults(text)[0]

    @pytest.mark.parametrize(
        ("model", "fault"),
        [
            ("{options: {temprature: 1}}", "options.temprature: is no option that a model has a default of"),
            ("{options: {temperature: 9}}", "options.temperature: must be at most 2"),
            ("{options: {temperature: hot}}", "options: cannot be read"),
            ("{options: {reasoning_effort: huge}}", "options: cannot be read"),
            ("{options: {messages: []}}", "options.messages: is no option"),
            ("{price: {output: 1}}", "price: input: needed"),
            ("{price: {input: -1}}", "price: "),
            ("{price: {input: 1, cheap: 2}}", "cheap"),
            ("{capabilities: [telepathy]}", "capabilities[0]: input should be 'tools'"),
            ("{context_length: 0}", "context_length: input should be greater than or equal to 1"),
            ("{aliases: [a, a]}", "aliases[1]: a is an alias of another model already"),
        ],
    )
    def test_what_is_wrong_with_a_model_has_its_line_and_path(
        self, faults: Faults, model: str, fault: str
    ) -> None:
        text = (
            f"providers:\n  x:\n    provider: vllm\n    base_url: http://x/v1\n    models:\n      m: {model}"
        )
        [found] = faults(text)
        assert found.startswith("genai.yaml:6: providers.x.models.m.")
        assert fault in found

    def test_an_option_that_the_upstream_does_not_take_is_refused(self, faults: Faults) -> None:
        text = "providers: {anthropic: {api_key: k, models: {m: {options: {seed: 1}}}}}"
        assert "providers.anthropic.models.m.options: " in faults(text)[0]
        assert "seed" in faults(text)[0]

    def test_all_faults_are_told_at_once(self, faults: Faults) -> None:
        text = "setings: 1\nproviders:\n  x: {bse_url: 1, api_kye: 2}\nfallback: []\n"
        assert [line.split(":")[1] for line in faults(text)] == ["1", "3", "3", "4"]

    def test_secrets_stand_in_no_message(self, faults: Faults) -> None:
        text = "providers: {openai: {api_key: sk-secret, headers: {a: sk-secret2}, lane: sk, timeouts: 5}}"
        assert "sk-secret" not in "".join(faults(text))


class TestConflicts:
    @pytest.mark.parametrize(
        ("text", "variable", "path"),
        [
            ("settings: {api_port: 1}", "GENAI_API_PORT", "settings.api_port"),
            ("settings: {port: 1}", "PORT", "settings.port"),
            ("aliases: {a: b}", "GENAI_MODEL_ALIASES", "aliases"),
            ("fallbacks: [builtin]", "GENAI_FALLBACK_CHAIN", "fallbacks"),
            ("providers: {openai: {api_key: k}}", "GENAI_OPENAI_API_KEY", "providers.openai.api_key"),
            ("providers: {openai: {api_keys: [k]}}", "GENAI_OPENAI_API_KEY", "providers.openai.api_keys"),
            ("providers: {ollama: {base_url: 'http://x'}}", "GENAI_OLLAMA_URL", "providers.ollama.base_url"),
            (
                "providers: {ollama: {base_urls: ['http://x']}}",
                "GENAI_OLLAMA_BASE_URL",
                "providers.ollama.base_urls",
            ),
            (
                "providers: {ollama: {timeouts: {first_token_s: 5}}}",
                "GENAI_OLLAMA_TIMEOUT",
                "providers.ollama.timeouts.first_token_s",
            ),
            (
                "providers: {bedrock: {api_key: k, region: x}}",
                "GENAI_BEDROCK_REGION",
                "providers.bedrock.region",
            ),
        ],
    )
    def test_what_stands_in_both_is_an_error_that_names_both(
        self, faults: Faults, monkeypatch: pytest.MonkeyPatch, text: str, variable: str, path: str
    ) -> None:
        monkeypatch.setenv(variable, "1")
        assert f"genai.yaml:1: {path}: is set here and by {variable}; take one of them away" in faults(text)

    def test_what_stands_in_the_env_file_counts_as_well(self, faults: Faults, bare: Path) -> None:
        (bare / ".env").write_text("GENAI_API_PORT=1\n")
        assert "settings.api_port: is set here and by GENAI_API_PORT" in faults("settings: {api_port: 1}")[0]

    def test_a_reference_to_the_variable_is_no_conflict(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GENAI_OPENAI_API_KEY", "sk-1")
        found = load("providers: {openai: {api_key: '${GENAI_OPENAI_API_KEY}'}}")
        assert found.endpoints["openai"].api_key == "sk-1"

    def test_variables_of_other_tools_give_way_to_the_file(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-sdk")
        found = load("providers: {openai: {api_key: sk-file}, team: {protocol: openai, api_key: sk-team}}")
        assert [found.endpoints[name].api_key for name in ("openai", "team")] == ["sk-file", "sk-team"]
