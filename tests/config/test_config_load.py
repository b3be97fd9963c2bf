"""A config is completed, or answered with the path of every problem and what is allowed."""

import copy

import pytest

from rlvr.config.load import ConfigError, check_data_files, load_config, validate_config
from rlvr.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def problems(config) -> str:
    with pytest.raises(ConfigError) as caught:
        validate_config(config)
    return str(caught.value)


def nested(path: str, value):
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


SIMPLE = [
    # key path, value, what the message says of it
    ("nam", "x", "unknown key (did you mean name?); allowed: name, device"),
    ("name", "a/b", "a/b is not allowed; allowed: letters, digits"),
    ("device", "gpu", "gpu is not allowed; allowed: auto, cpu, cuda"),
    ("compute_threads", 0, "0 is not allowed; allowed: a whole number, at least 1"),
    ("compute_threads", 1.5, "1.5 is of the wrong type; allowed: a whole number"),
    ("data.train.template", "plane", "plane is unknown (did you mean plain?); allowed: plain, r1_zero"),
    ("data.train.verifier", "cod", "cod is unknown (did you mean code?); allowed: exact, choice, math"),
    ("data.train.sources", [], "[] is not allowed; allowed: a list, 1 or more entries"),
    ("data.evaluation", {"a b": {"source": {"kind": "holdout"}}}, "a b is not allowed; allowed: letters"),
    ("base.kind", "big", "big is not allowed; allowed: tiny, pretrained"),
    ("base.sft.step", 1, "unknown key (did you mean steps?); allowed: steps, batch_size"),
    (
        "base.architecture.heads",
        3,
        "gives them no even whole width; allowed: numbers for which hidden_size / heads is even",
    ),
    ("precision.training.minibatches", 33, "more than prompts in a step; allowed: at most 24"),
    ("base.examples.weights", {"ad": 1}, "ad is unknown (did you mean add?); allowed: add, sub, max"),
    ("precision.modes", ["fp33"], "fp33 is unknown (did you mean fp32?); allowed: fp32, bf16, bf16_mixed"),
    ("precision.modes", [["fp32"]], "[fp32] is of the wrong type; allowed: letters, digits"),
    (
        "precision.custom_modes",
        {"bf16": {}},
        "bf16: is the name of a named mode; allowed: a name of its own",
    ),
    ("precision.custom_modes", {"base": {}}, "base is the policy that runs start from; allowed: any other"),
    ("precision.custom_modes", {1: {}}, "1 is of the wrong type; allowed: letters, digits"),
    ("precision.custom_modes", {"m": {"master": "fp8"}}, "fp8 is not allowed; allowed: float32, bfloat16"),
    ("precision.custom_modes", {"m": {"mastr": "float32"}}, "unknown key (did you mean master?)"),
    ("precision.custom_modes", {"m": {"write_back": "kahan"}}, "but master is float32"),
    (
        "precision.custom_modes",
        {"m": {"compute": "float16", "reduce": "bfloat16"}},
        "reduce: float16 compute scales the loss, and the scaled sum does not fit bfloat16; allowed: float32",
    ),
    ("precision.custom_modes", {"m": {"importance_level": "sequence"}}, "sequence without an importance_cap"),
    ("precision.modes", ["fp32", "fp32"], "allowed: a list, 1 or more entries, no entry twice"),
    ("precision.seeds", "many", "many is of the wrong type; allowed: a whole number, at least 1"),
    ("precision.seeds", True, "true is of the wrong type; allowed: a whole number"),
    ("precision.training", 3, "3 is of the wrong type; allowed: a section of keys"),
    (
        "precision.training.optimizer.learning_rate",
        -1,
        "-1.0 is not allowed; allowed: a number, greater than 0",
    ),
    (
        "precision.training.optimizer.learning_rate",
        float("nan"),
        ".nan is of the wrong type; allowed: a number",
    ),
    ("precision.training.optimizer.learning_rate", "nan", ".nan is of the wrong type; allowed: a number"),
    ("precision.training.optimizer.learning_rate", float("inf"), ".inf is of the wrong type; allowed"),
    ("precision.training.optimizer.betas", [0.9], "allowed: a list, 2 or more entries, 2 or fewer entries"),
    ("precision.training.group_size", 1, "always zero; allowed: 2 or more, or another estimator"),
    ("alignment.grpo.settings.group_size", 1, "always zero; allowed: 2 or more, or another estimator"),
    (
        "precision.training.sampling.max_tokens",
        32,
        "32 leaves no room for a prompt in the policy's 32 positions; allowed: at most 31, or more base.arch",
    ),
    (
        "precision.evaluation.tasks.add.max_tokens",
        500,
        "500 leaves no room for a prompt in the policy's 32 positions",
    ),
    (
        "alignment.sft.experiments.own",
        {"title": "t", "why": "", "arms": [{}, {"batch_size": 8}, {}]},
        "the same settings as arm 0; allowed: arms that differ",
    ),
    ("precision.training.snapshot_steps", [999], "999 is after the last step; allowed: 1 to 60"),
    ("precision.training.sampling.min_tokens", 9, "above max_tokens; allowed: at most 6"),
    ("precision.evaluation.on_task", "zz", "zz is in no suite; allowed: add, sub, max"),
    ("precision.evaluation.suites", {"s": ["add", "q"]}, "q is no task; allowed: add, sub"),
    ("precision.evaluation.suites", {"s": ["add"], "t": ["add"]}, "add stands in 2 suites"),
    ("precision.evaluation.tasks", {"add": {"samples": 1}}, "4 exceeds samples; allowed: at most 1"),
    ("precision.evaluation.tasks", {"aime": {}}, "has no data; allowed: add, sub"),
    ("precision.analysis.reference", "fp64", "fp64 is no arm of the study; allowed: fp32, bf16"),
    ("alignment.mode", "fp31", "fp31 is unknown (did you mean fp32?); allowed: fp32, bf16"),
    ("alignment.mode", "fp16_mixed", "fp16_mixed has compute float16, which not all methods compute"),
    ("alignment.prompt", "r1", "r1 is unknown; allowed: r1_zero, question_only"),
    ("alignment.generation.min_tokens", 17, "above max_tokens; allowed: at most 16"),
    ("alignment.base.architecture.kv_heads", 3, "does not divide heads; allowed: divisors of 4"),
    (
        "alignment.base.examples",
        {"kind": "tagged_families", "right": 1.0},
        "sum to 1.55; allowed: a sum of 1",
    ),
    ("alignment.sft.settings.gradient_accumulation_steps", 5, "5 does not divide batch_size, 32"),
    (
        "alignment.expert_iteration.settings.gradient_accumulation_steps",
        5,
        "does not divide sft_batch_size, 32; allowed: divisors of 32",
    ),
    ("alignment.grpo.settings.train_batch_size", 64, "64 does not divide rollout_batch_size, 96"),
    ("alignment.grpo.settings.prompt", "plain", "plain is unknown; allowed: r1_zero, question_only"),
    (
        "alignment.grpo.experiments.rates",
        {"title": "Rates", "arms": [{}, {"learning_rat": 1.0}]},
        "unknown key (did you mean learning_rate?); allowed: steps",
    ),
    (
        "alignment.grpo.experiments.rates",
        {"title": "Rates", "arms": [{"learning_rate": -1.0}]},
        "-1.0 is not allowed; allowed: a number",
    ),
    ("advantage.reference.tracker.min_count", 33, "33 is above buffer_size, 32; allowed: at most 32"),
    ("advantage.reference.tracker.decay", 0.8, "0.8 is none of decays"),
    ("advantage.reference.problem.score_epochs", 1001, "1001 is above epochs, 1000; allowed: at most 1000"),
    (
        "advantage.reference.sweep.min_counts",
        [65],
        "none of [65] rewards fits in a buffer of [8, 32, 64]",
    ),
    ("advantage.reference.decays", [1.0], "1.0 is not allowed"),
    ("advantage.grpo.mode", "fp31", "fp31 is unknown (did you mean fp32?); allowed: fp32, bf16"),
    ("advantage.grpo.generation.min_tokens", 17, "17 is above max_tokens, 16; allowed: at most 16"),
    ("advantage.grpo.comparison.score_steps", 33, "33 is above settings.steps, 24; allowed: at most 24"),
    ("advantage.grpo.settings.min_count", 17, "17 is above buffer_size, 16; allowed: at most 16"),
    ("advantage.grpo.settings.prompts_per_step", 33, "33 is above data.questions, 32; allowed: at most 32"),
    ("advantage.grpo.estimators", ["group", "prompt"], "prompt is not allowed"),
    ("advantage.grpo.base.architecture.kv_heads", 3, "does not divide heads; allowed: divisors of 4"),
    ("alignment.sft.experiments.none", {"title": "None", "arms": []}, "[] is not allowed; allowed: a list"),
    ("resources.train_policy.gpu", -1, "-1 is not allowed; allowed: a whole number, at least 0"),
]


@pytest.mark.parametrize(("path", "value", "said"), SIMPLE)
def test_a_wrong_value_is_named_with_its_path_and_what_is_allowed(path, value, said):
    message = problems(nested(path, value))
    line = next((line for line in message.splitlines() if said in line), None)
    assert line is not None, message
    assert line.strip().startswith(path)


@pytest.mark.parametrize("raw", [[1], "text", 3])
def test_a_config_that_is_no_mapping(raw):
    assert "the config: " in problems(raw)


def test_every_problem_is_listed():
    message = problems({"precision": {"modes": [1], "seed": 1}, "name": "", "nme": 1})
    assert len(message.splitlines()) == 5
    for path in ("precision.modes.0", "precision.seed", "name", "nme"):
        assert f"  {path}: " in message


def test_corrections_that_cannot_act_are_named():
    capped = {"custom_modes": {"m": {"importance_cap": 2.0}}, "training": {"sampling": {"temperature": 0.7}}}
    message = problems({"precision": capped})
    assert (
        "precision.custom_modes.m.importance_cap: engine and trainer then differ in the distribu" in message
    )
    gspo = {
        "custom_modes": {"m": {"policy_ratio": "sequence"}},
        "training": {"loss": {"type": "grpo_no_clip"}},
    }
    message = problems({"precision": gspo})
    assert "precision.custom_modes.m.policy_ratio: loss type grpo_no_clip clips no ratio" in message


def test_a_missing_key_is_named():
    message = problems({"data": {"evaluation": {"t": {"source": {"kind": "jsonl"}}}}})
    assert "data.evaluation.t.source.path: missing; allowed: text" in message


def test_several_missing_keys_are_named_once_each():
    message = problems({"precision": {"external_policies": [{"name": "run7", "path": "."}]}})
    missing = [line.split(":")[0].strip() for line in message.splitlines()[1:]]
    assert missing == ["precision.external_policies.0.arm", "precision.external_policies.0.seed"]


def test_a_holdout_and_its_task_need_each_other():
    source = {"kind": "holdout"}
    lonely_task = problems({"data": {"evaluation": {"add": {"source": source}}}})
    assert "data.evaluation.add.source: is a holdout, but data.train.holdout is not set" in lonely_task
    lonely_rows = problems({"data": {"train": {"holdout": {"task": "val", "rows": 3}}}})
    assert "data.train.holdout.task: val is no evaluation task" in lonely_rows
    renamed = {"train": {"holdout": {"task": "val", "rows": 3}}, "evaluation": {"add": {"source": source}}}
    assert "data.train.holdout.task is val" in problems({"data": renamed})
    trained_on = problems({"data": {"train": {"sources": [source]}}})
    assert "data.train.sources: a holdout cannot be trained on" in trained_on


def test_programs_stand_alone():
    source = {"kind": "jsonl", "path": "x.jsonl", "tests_field": "tests", "entry_point_field": "name"}
    task = {"source": source, "verifier": "code", "template": "r1_zero"}
    message = problems({"data": {"evaluation": {"t": task}}})
    assert "data.evaluation.t.template: r1_zero puts words around a program" in message
    message = problems(nested("data.train.verifier", "code"))
    assert "data.train: verifier code needs tests" in message
    config = {
        "data": {"evaluation": {"add": task | {"template": "plain"}}},
        "precision": {"evaluation": {"tasks": {"add": {"stop": ["x"]}}, "suites": {"s": ["add"]}}},
    }
    assert "precision.evaluation.tasks.add.keep_stop: true would leave the stop string" in problems(config)


def test_a_training_has_the_gpus_that_its_job_has():
    config = {"device": "cuda", **nested("precision.training.trainer.gpus", 4)}
    message = problems(config | nested("resources.train_policy.gpu", 2))
    assert (
        "precision.training.trainer.gpus: 4, but the job asks for 2 (resources.train_policy.gpu)" in message
    )
    assert validate_config(config | nested("resources.train_policy.gpu", 4))


@pytest.mark.parametrize(("part", "job"), [("training", "train_policy"), ("evaluation", "evaluate_policy")])
def test_vllm_has_the_gpus_that_its_job_has(part, job):
    rollout = {"engine": "vllm", "vllm": {"tensor_parallel": 4}}
    config = {"device": "cuda", "precision": {part: {"rollout": rollout}}}
    message = problems(config | nested(f"resources.{job}.gpu", 2))
    key = f"precision.{part}.rollout.vllm.tensor_parallel"
    assert f"{key}: 4, but the job asks for 2 GPUs (resources.{job}.gpu); allowed: at most 2" in message
    assert validate_config(config | nested(f"resources.{job}.gpu", 4))
    unused = {"device": "cuda", "precision": {part: {"rollout": rollout | {"engine": "native"}}}}
    assert validate_config(unused | nested(f"resources.{job}.gpu", 2))


def test_vllm_serves_a_training_of_one_process():
    training = {"rollout": {"engine": "vllm"}, "trainer": {"gpus": 2}}
    message = problems({"precision": {"training": training}})
    assert "precision.training.rollout.engine: vllm, but the training is shared among GPUs" in message
    assert validate_config({"precision": {"training": training | {"trainer": {"gpus": 1}}}})


def test_gradients_of_several_gpus_have_the_dtype_of_the_weights():
    study = {"modes": ["fp32", "m"], "custom_modes": {"m": {"master": "bfloat16"}}}
    message = problems({"precision": study | {"training": {"trainer": {"gpus": 2}}}})
    assert "precision.custom_modes.m.reduce: float32, but on several GPUs gradients have the dtype" in message
    assert validate_config({"precision": study})
    aside = study | {"modes": ["fp32"], "training": {"trainer": {"gpus": 2}}}
    assert validate_config({"precision": aside})


def test_labels_of_the_base_sum_to_one():
    assert "base.examples: right, wrong_rule and slip sum to 1.1" in problems(
        nested("base.examples.right", 0.55)
    )


def test_a_hub_id_needs_a_revision_and_a_folder_does_not(tmp_path):
    hub = {"kind": "pretrained", "path": "Qwen/Qwen2.5-Math-7B"}
    assert "base.revision: missing for the hub id Qwen/Qwen2.5-Math-7B" in problems({"base": hub})
    message = problems({"base": hub | {"revision": "main"}})
    assert "base.revision: main is no commit for the hub id Qwen/Qwen2.5-Math-7B" in message
    assert "git ls-remote https://huggingface.co/Qwen/Qwen2.5-Math-7B HEAD" in message
    assert validate_config({"base": hub | {"revision": COMMIT}})["base"]["revision"] == COMMIT
    assert validate_config({"base": {"kind": "pretrained", "path": str(tmp_path)}})["base"]["revision"] == ""


def test_external_policies_have_their_own_names_and_seeds(tmp_path):
    policy = {"name": "a", "path": str(tmp_path), "arm": "fp32", "seed": 6}
    assert validate_config(nested("precision.external_policies", [policy]))
    message = problems(
        nested("precision.external_policies", [policy, policy, policy | {"seed": 5, "name": "b"}])
    )
    assert "external_policies.1.name: a is taken" in message
    assert "external_policies.1.seed: fp32 has a seed 6 already" in message
    assert "external_policies.2.seed: fp32 has a seed 5 already" in message
    assert "arm: base is the policy" in problems(
        nested("precision.external_policies", [policy | {"arm": "base"}])
    )


def test_defaults_fill_every_depth_and_a_given_list_replaces_the_default():
    config = validate_config(
        {"precision": {"evaluation": {"tasks": {"add": {"rows": 3}}, "suites": {"s": ["add"]}}}}
    )
    assert config["precision"]["evaluation"]["tasks"] == {
        "add": {
            "rows": 3,
            "samples": 8,
            "max_tokens": 6,
            "stop": [],
            "keep_stop": True,
            "pass_at": [1, 4, 8],
        }
    }
    assert config["base"]["architecture"]["layers"] == 4


def test_defaults_are_not_shared_between_configs():
    validate_config({})["precision"]["modes"].append("mine")
    assert "mine" not in validate_config({})["precision"]["modes"]


def test_the_input_is_left_alone():
    raw = {"precision": {"seeds": 2}}
    before = copy.deepcopy(raw)
    validate_config(raw)
    assert raw == before


@pytest.mark.parametrize("spelling", [1, 1.0, "1", "1.0", "1e0"])
def test_spellings_of_a_number_are_equal(spelling):
    config = validate_config({"compute_threads": spelling, "base": {"sft": {"eps": spelling}}})
    assert config["compute_threads"] == 1
    assert type(config["compute_threads"]) is int
    assert config["base"]["sft"]["eps"] == 1.0
    assert type(config["base"]["sft"]["eps"]) is float


@pytest.mark.parametrize(("text", "meant"), [("true", True), ("False", False)])
def test_text_of_the_command_line_is_read_as_the_schema_wants_it(text, meant):
    path = "precision.training.dynamic_sampling.enabled"
    enabled = validate_config(nested(path, text))["precision"]["training"]["dynamic_sampling"]["enabled"]
    assert enabled is meant


def test_null_from_the_command_line():
    evaluation = {"tasks": {"add": {"rows": "null"}}, "suites": {"s": ["add"]}}
    config = validate_config({"precision": {"evaluation": evaluation}})
    assert config["precision"]["evaluation"]["tasks"]["add"]["rows"] is None


def test_missing_data_files_are_one_error_with_every_file(tmp_path):
    jsonl = {"kind": "jsonl", "path": "a.jsonl"}
    config = validate_config(
        {
            "data_root": str(tmp_path),
            "data": {
                "train": {"sources": [jsonl]},
                "evaluation": {"add": {"source": jsonl | {"path": "b.jsonl"}}},
            },
            "precision": {"evaluation": {"suites": {"s": ["add"]}, "tasks": {"add": {}}}},
        }
    )
    with pytest.raises(ConfigError) as caught:
        check_data_files(config)
    message = str(caught.value)
    assert f"data.train.sources.0.path: the file {tmp_path}/a.jsonl does not exist" in message
    assert f"data.evaluation.add.source.path: the file {tmp_path}/b.jsonl does not exist" in message
    assert f"data_root is {tmp_path}" in message
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).touch()
    check_data_files(config)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "has no config.json, model.safetensors"),
        (["config.json"], "has no model.safetensors"),
        (["config.json", "model.safetensors"], None),
    ],
)
def test_a_policy_folder_that_is_not_whole_is_named(tmp_path, files, said):
    for name in files:
        (tmp_path / name).touch()
    config = validate_config({"base": {"kind": "pretrained", "path": str(tmp_path)}})
    if said is None:
        check_data_files(config)
        return
    with pytest.raises(ConfigError) as caught:
        check_data_files(config)
    assert f"base.path: the folder {tmp_path} {said}\n" in f"{caught.value}\n"


def test_load_config_names_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read"):
        load_config(tmp_path / "nowhere.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1,\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml: is not valid YAML"):
        load_config(tmp_path / "broken.yaml")
    (tmp_path / "empty.yaml").touch()
    assert load_config(tmp_path / "empty.yaml") == validate_config({})


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path):
    twice = tmp_path / "twice.yaml"
    twice.write_text("precision: {seeds: 2}\nname: x\nprecision:\n  training: {steps: 3, steps: 4}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(twice)
    assert f"{twice}:3: precision stands there again" in str(caught.value)
    assert f"{twice}:4: precision.training.steps stands there again" in str(caught.value)


def test_a_config_error_is_an_error_for_people():
    assert issubclass(ConfigError, UserError)
