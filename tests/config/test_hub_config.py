"""What a config says of the hub: pinned, known, and listed for fetching."""

import pytest
from hub_cache import COMMIT

from rlvr.config.load import ConfigError, check_data_files, validate_config
from rlvr.config.places import HubNeed, hub_needs

HUB = {"kind": "hub", "repo": "openai/gsm8k", "revision": COMMIT, "schema": "gsm8k", "split": "train"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"revision": "main"},
            "sources.0.revision: main is not allowed; allowed: a commit of 40 hexadecimal",
        ),
        ({"revision": COMMIT[:12]}, "git ls-remote https://huggingface.co/datasets/OWNER/NAME HEAD"),
        ({"repo": "gsm8k"}, "sources.0.repo: gsm8k is not allowed; allowed: an owner and a name"),
        (
            {"schema": "gsm8"},
            "sources.0.schema: gsm8 is unknown (did you mean gsm8k?); allowed: dapo_math_17k",
        ),
        ({"path": "a.jsonl"}, "sources.0.path: unknown key"),
    ],
)
def test_a_hub_source_is_pinned_and_its_schema_known(settings, said):
    with pytest.raises(ConfigError) as caught:
        validate_config({"data": {"train": {"sources": [HUB | settings]}}})
    assert said in str(caught.value)


def test_a_hub_source_needs_a_revision():
    without = {key: value for key, value in HUB.items() if key != "revision"}
    with pytest.raises(ConfigError, match=r"data\.train\.sources\.0\.revision: "):
        validate_config({"data": {"train": {"sources": [without]}}})


def test_what_a_config_reads_of_the_hub_is_listed_once_and_needs_no_file(tmp_path):
    model = {"kind": "pretrained", "path": "some-one/policy", "revision": COMMIT}
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    local = {"name": "l", "path": str(tmp_path), "arm": "fp32", "seed": 8}
    theirs = {"name": "t", "path": "some-one/other", "revision": COMMIT, "arm": "fp32", "seed": 9}
    config = validate_config(
        {
            "base": model,
            "data": {
                "train": {"sources": [HUB, HUB | {"subsets": ["socratic"]}]},
                "evaluation": {"add": {"source": HUB | {"split": "test"}}},
            },
            "precision": {
                "external_policies": [local, theirs],
                "evaluation": {"suites": {"s": ["add"]}, "tasks": {"add": {}}},
            },
            "alignment": {"base": model, "data": {"train": HUB}},
            "advantage": {"grpo": {"base": model, "data": {"validation": HUB | {"split": "test"}}}},
            "repair": {"solver": "engine", "model": "some-one/mender", "revision": COMMIT},
        }
    )
    check_data_files(config)
    assert hub_needs(config) == [
        HubNeed("dataset", "openai/gsm8k", COMMIT, (), "train"),
        HubNeed("dataset", "openai/gsm8k", COMMIT, ("socratic",), "train"),
        HubNeed("dataset", "openai/gsm8k", COMMIT, (), "test"),
        HubNeed("model", "some-one/policy", COMMIT),
        HubNeed("model", "some-one/other", COMMIT),
        HubNeed("model", "some-one/mender", COMMIT),
    ]
    assert hub_needs(validate_config({})) == []
