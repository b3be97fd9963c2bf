"""The schema, the default config and the dataclasses say the same."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from rlvr.config import advantage, alignment, data, policy, precision, rollout, sources
from rlvr.config.build import build
from rlvr.config.load import validate_config
from rlvr.config.schema import SCHEMA_PATH, fill_defaults, read_schema, resolve
from rlvr.precision import MODES, Dropout, PrecisionMode, resolve_mode

ROOT = SCHEMA_PATH.parents[1]

CONFIGS = [
    "config.yaml",
    *(f"config/{name}.yaml" for name in ("real-data", "qwen2.5-math-7b", "qwen2.5-math-1.5b")),
]

# Every section of the schema that has a dataclass.
SECTIONS = {
    "train_data": data.TrainDataConfig,
    "holdout": data.HoldoutConfig,
    "evaluation_data": data.EvaluationDataConfig,
    "synthetic_source": sources.SyntheticSource,
    "jsonl_source": sources.JsonlSource,
    "hub_source": sources.HubSource,
    "holdout_source": sources.HoldoutSource,
    "tiny_policy": policy.TinyPolicyConfig,
    "pretrained_policy": policy.PretrainedPolicyConfig,
    "architecture": policy.ArchitectureConfig,
    "family_examples": policy.FamilyExamples,
    "tagged_family_examples": policy.TaggedFamilyExamples,
    "jsonl_examples": policy.JsonlExamples,
    "sft": policy.SftConfig,
    "training": precision.GrpoConfig,
    "training/sampling": precision.SamplingConfig,
    "training/rewards": precision.RewardConfig,
    "training/advantage": precision.AdvantageConfig,
    "training/loss": precision.LossConfig,
    "training/dynamic_sampling": precision.DynamicSamplingConfig,
    "training/overlong": precision.OverlongConfig,
    "training/optimizer": precision.OptimizerConfig,
    "training/trainer": precision.TrainerConfig,
    "rollout": rollout.RolloutConfig,
    "rollout/vllm": rollout.VllmConfig,
    "evaluation": precision.EvaluationConfig,
    "evaluation_task": precision.EvaluationTaskConfig,
    "evaluation/kl": precision.KlConfig,
    "custom_mode/dropout": Dropout,
    "perfectible": precision.PerfectibleConfig,
    "geometry": precision.GeometryConfig,
    "analysis/equal_progress": precision.EqualProgressConfig,
    "analysis": precision.AnalysisConfig,
    "external_policy": precision.ExternalPolicyConfig,
    "alignment_prompt": alignment.PromptConfig,
    "alignment_data": alignment.AlignmentDataConfig,
    "tagged_source": alignment.TaggedExamples,
    "pairs_source": alignment.PairsSource,
    "alignment_generation": precision.SamplingConfig,
    "alignment_validation": alignment.ValidationConfig,
    "alignment_optimization": alignment.OptimizationConfig,
    "alignment_comparison": alignment.ComparisonConfig,
    "alignment_sft_settings": alignment.SftSettings,
    "alignment_expert_iteration_settings": alignment.ExpertIterationSettings,
    "alignment_grpo_settings": alignment.GrpoSettings,
    "advantage_reference": advantage.ReferenceConfig,
    "advantage_problem": advantage.ProblemConfig,
    "advantage_tracker": advantage.TrackerConfig,
    "advantage_sweep": advantage.SweepConfig,
    "advantage_grpo/data": advantage.EstimatorDataConfig,
    "advantage_grpo_settings": advantage.EstimatorSettings,
    "advantage_grpo_comparison": advantage.EstimatorComparisonConfig,
}


def section_schema(path: str) -> dict[str, Any]:
    name, *keys = path.split("/")
    schema = read_schema()["$defs"][name]
    for key in keys:
        schema = schema["properties"][key]
    return schema


def all_sections(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and "if" not in schema:
            yield schema
        for key, value in schema.items():
            if key != "if":
                yield from all_sections(value)
    elif isinstance(schema, list):
        for entry in schema:
            yield from all_sections(entry)


def plain_types(hint: Any) -> set[type]:
    """The JSON types that a field's annotation stands for."""
    origin = getattr(hint, "__origin__", None)
    if isinstance(hint, UnionType):
        return set().union(*map(plain_types, get_args(hint)))
    if str(hint).startswith("typing.Literal"):
        return {type(value) for value in get_args(hint)}
    if origin is tuple:
        return {list}
    if origin is dict or hasattr(hint, "__dataclass_fields__"):
        return {dict}
    return {hint}


SCHEMA_TYPES = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": NoneType,
}


def schema_types(schema: dict[str, Any]) -> set[type]:
    if "enum" in schema or "const" in schema or "names" in schema:
        return {str}
    words = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {SCHEMA_TYPES[word] for word in words}


@pytest.mark.parametrize("path", SECTIONS)
def test_dataclass_has_the_keys_and_types_of_the_schema(path):
    properties = section_schema(path)["properties"]
    hints = get_type_hints(SECTIONS[path])
    assert set(hints) == set(properties)
    for key, hint in hints.items():
        assert plain_types(hint) == schema_types(resolve(properties[key])), key


@pytest.mark.parametrize("path", SECTIONS)
def test_dataclass_defaults_are_those_of_the_schema(path):
    properties = section_schema(path)["properties"]
    for field in fields(SECTIONS[path]):
        if field.default is not MISSING:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert default == properties[field.name]["default"], field.name


def test_every_key_is_described_and_closed():
    schema = read_schema()
    for section in all_sections(schema):
        closed = section.get("additionalProperties") is False or "allOf" in section
        assert closed, list(section["properties"])
        for key, value in section["properties"].items():
            assert "description" in value or "const" in value, key


def test_every_default_is_valid_and_the_default_config_spells_them_out():
    written = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert validate_config({}) == validate_config(written)
    assert fill_defaults(written, read_schema()) == validate_config(written)


def leaves(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict) and value:
        return set().union(*(leaves(entry, f"{path}.{key}") for key, entry in value.items()))
    return {path}


def test_the_default_config_names_every_key_but_the_rarest():
    written = yaml.safe_load((ROOT / "config.yaml").read_text())
    unnamed = leaves(validate_config(written)) - leaves(written)
    shapes = (f".{section}base.architecture" for section in ("", "alignment.", "advantage.grpo."))
    rare = {".data.train.holdout"} | {
        f"{shape}.{key}" for shape in shapes for key in ("rope_theta", "rms_norm_eps", "vocab_size")
    }
    assert unnamed == rare


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_its_dataclasses(name):
    config = validate_config(yaml.safe_load((ROOT / name).read_text()))
    built = build(data.DataConfig, config["data"])
    assert set(built.evaluation) == set(config["data"]["evaluation"])
    assert build(policy.BasePolicyConfig, config["base"]).kind == config["base"]["kind"]
    study = config["precision"]
    assert build(precision.GrpoConfig, study["training"]).steps == study["training"]["steps"]
    evaluation = build(precision.EvaluationConfig, study["evaluation"])
    assert set(evaluation.tasks) == set(study["evaluation"]["tasks"])
    assert build(precision.AnalysisConfig, study["analysis"]).reference in study["modes"]


def test_a_custom_mode_is_fp32_but_for_what_it_says():
    assert set(section_schema("custom_mode")["properties"]) == {f.name for f in fields(PrecisionMode)} - {
        "name"
    }
    config = validate_config({"precision": {"custom_modes": {"m": {}}}})
    mode = resolve_mode("m", 0.1, config["precision"]["custom_modes"])
    assert mode == replace(MODES["fp32"], name="m")
