# Input, params and resource functions of all rules. They read wildcards and config, nothing else.
from dataclasses import asdict
from pathlib import Path

from rlvr.advantage_study.files import AdvantageAnalysisFiles
from rlvr.advantage_study.estimators import grpo_settings
from rlvr.advantage_study.methods import study_methods
from rlvr.alignment.analysis.files import AlignmentAnalysisFiles
from rlvr.alignment.arms import METHODS, arms, experiments
from rlvr.analysis.files import AnalysisFiles
from rlvr.config.advantage import EstimatorSettings, ReferenceConfig
from rlvr.config.build import build
from rlvr.config.places import hub_needs
from rlvr.figures.advantage_captions import ESTIMATOR_FIGURES, REFERENCE_FIGURES
from rlvr.figures.alignment_captions import ALIGNMENT_CAPTIONS
from rlvr.figures.captions import FIGURES, OUTCOME_FIGURES, TRAINING_FIGURES
from rlvr.figures.repair_captions import REPAIR_CAPTIONS
from rlvr.precision import resolve_mode
from rlvr.sources import code_digest, load_facts, save_facts

# The folder of <results>, for params, where path variables are not filled in.
RESULTS = f"results/{config['name']}"
STUDY = config["precision"]
EVALUATION = STUDY["evaluation"]
SUITES = EVALUATION["suites"]
# What decides verdicts; the number of workers does not.
VERIFICATION = {key: value for key, value in config["verification"].items() if key != "workers"}
# The modes of the study, by name; and as plain records, made once since thousands of jobs have them as params.
ARMS = {name: resolve_mode(name, STUDY["dropout_rate"], STUDY["custom_modes"]) for name in STUDY["modes"]}
ARM_RECORDS = {name: asdict(mode) for name, mode in ARMS.items()}
EXTERNAL_POLICIES = {policy["name"]: policy for policy in STUDY["external_policies"]}
PRECISION_ANALYSIS = AnalysisFiles.in_folder("<results>/precision/analysis").by_name()
GEOMETRY_TABLES = [f"<results>/precision/geometry/{mode}.csv" for mode in STUDY["modes"]]
PRECISION_FIGURES = list(FIGURES)
REPAIR_FIGURES = list(REPAIR_CAPTIONS)
ALIGNMENT = config["alignment"]
ALIGNMENT_ARMS = {method: arms(ALIGNMENT[method]) for method in METHODS}
ALIGNMENT_ANALYSIS = AlignmentAnalysisFiles.in_folder("<results>/alignment/analysis").by_name()
ALIGNMENT_FIGURES = list(ALIGNMENT_CAPTIONS)
ALIGNMENT_EXPERIMENTS = [asdict(one) for method in METHODS for one in experiments(method, ALIGNMENT[method])]
ADVANTAGE = config["advantage"]
REFERENCE_METHODS = {one.name: one for one in study_methods(build(ReferenceConfig, ADVANTAGE["reference"]))}
ESTIMATORS = ADVANTAGE["grpo"]["estimators"]
ADVANTAGE_ANALYSIS = AdvantageAnalysisFiles.in_folder("<results>/advantage/analysis").by_name()
ADVANTAGE_FIGURES = [*REFERENCE_FIGURES, *ESTIMATOR_FIGURES]


CODE_FACTS = ".snakemake/rlvr_code_facts.json"  # only to start faster
load_facts(CODE_FACTS)


def code_of(adaptor):
    """Digest of the code that an adaptor reaches: an edit of it reruns the rule."""
    return code_digest(Path(workflow.basedir) / "workflow_scripts" / adaptor)


def memory_of(group):
    """Host memory in MB of a group of jobs; each retry asks for as much again."""
    return lambda wildcards, attempt: attempt * config["resources"][group]["mem_mb"]


def runtime_of(group):
    """Time limit in minutes of a group of jobs; each retry asks for as much again."""
    return lambda wildcards, attempt: attempt * config["resources"][group]["runtime"]


def source_files(sources):
    """The local files that data sources read."""
    return [str(Path(config["data_root"]) / source["path"]) for source in sources if "path" in source]


def data_root_for(files):
    """`data_root` where a job reads files from it: moving the data reruns no job without any."""
    return config["data_root"] if files else ""


def task_files(tasks):
    """The prepared problems of evaluation tasks."""
    return [f"<results>/data/eval/{task}.jsonl" for task in tasks]


def is_holdout(task):
    """Whether a task is held out of the training sources."""
    return config["data"]["evaluation"][task]["source"]["kind"] == "holdout"


def holdout_training_data(task):
    """The training section, for the task that is held out of it."""
    return config["data"]["train"] if is_holdout(task) else None


def evaluation_source_files(wildcards):
    """The files that a task's rows come from; those of the training set for the holdout."""
    if is_holdout(wildcards.task):
        return source_files(config["data"]["train"]["sources"])
    return source_files([config["data"]["evaluation"][wildcards.task]["source"]])


def holdout_excludes(wildcards):
    """The other tasks' problems, which the holdout must not repeat."""
    others = (task for task in config["data"]["evaluation"] if task != wildcards.task)
    return task_files(others) if is_holdout(wildcards.task) else []


def base_sources(wildcards):
    """What the base policy is made from, as far as it lies in local files."""
    return policy_sources(config["base"])


def policy_sources(base):
    """What a starting policy is made from, as far as it lies in local files."""
    return local_folder(base["path"]) if base["kind"] == "pretrained" else source_files([base["examples"]])


def base_excludes(wildcards):
    """The evaluation problems, which examples from a file must not hold; the families never draw them."""
    from_file = config["base"].get("examples", {}).get("kind") == "jsonl"
    return task_files(config["data"]["evaluation"]) if from_file else []


def local_folder(path):
    """The files of a policy's folder, since a change inside leaves the folder's time as it is; a hub id has none."""
    folder = Path(path)
    return sorted(str(file) for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []


def external_policy(wildcards):
    """A checkpoint trained elsewhere, as a pretrained policy."""
    policy = EXTERNAL_POLICIES[wildcards.policy]
    return {"kind": "pretrained", "path": policy["path"], "revision": policy["revision"]}


def training_job(wildcards):
    """One training run, with every factor of its mode."""
    return {
        "mode": ARM_RECORDS[wildcards.mode],
        "seed": int(wildcards.seed),
        "rep": int(wildcards.rep),
        "template": config["data"]["train"]["template"],
        "device": config["device"],
        "compute_threads": config["compute_threads"],
        "verification": VERIFICATION,
        "training": STUDY["training"],
    }


def evaluation_job(wildcards, arm, seed, rep):
    """One evaluation of a suite; arm "base" is sampled more often and has no KL to itself."""
    is_base = arm == "base"
    tasks = SUITES[wildcards.suite]
    return {
        "arm": arm,
        "seed": int(seed),
        "rep": int(rep),
        "suite": wildcards.suite,
        "tasks": {task: EVALUATION["tasks"][task] for task in tasks},
        "templates": {task: config["data"]["evaluation"][task]["template"] for task in tasks},
        "temperature": EVALUATION["temperature"],
        "top_p": EVALUATION["top_p"],
        "evaluation_seed": EVALUATION["seed"],
        "samples_factor": EVALUATION["base_samples_factor"] if is_base else 1,
        "max_batch_rows": EVALUATION["max_batch_rows"],
        "rollout": EVALUATION["rollout"],
        "kl": None if is_base else EVALUATION["kl"],
        "sparsity_eta": None if is_base else EVALUATION["sparsity_eta"],
        "snapshot_samples": None if is_base else EVALUATION["snapshot_samples"],
        "steps": STUDY["training"]["steps"] if arm in ARMS else None,
        "dtype": ARMS[arm].evaluation if arm in ARMS else "float32",
        "device": config["device"],
        "compute_threads": config["compute_threads"],
        "verification": VERIFICATION,
    }


def external_evaluation_job(wildcards):
    """One evaluation of a checkpoint trained elsewhere, under the arm and seed that the config gives it."""
    policy = EXTERNAL_POLICIES[wildcards.policy]
    return evaluation_job(wildcards, policy["arm"], policy["seed"], 1)


def runs(*modes):
    """(mode, seed, rep) of every training run, of all modes or of those given."""
    seeds, reps = range(1, STUDY["seeds"] + 1), range(1, STUDY["repeats"] + 1)
    return [(mode, seed, rep) for mode in modes or STUDY["modes"] for seed in seeds for rep in reps]


def run_files(name, *modes):
    """A file of every training run, in the order of `runs`."""
    return [
        f"<results>/precision/train/{mode}/seed{seed}/rep{rep}/{name}" for mode, seed, rep in runs(*modes)
    ]


def geometry_settings(wildcards):
    """How the updates of a mode's runs are measured."""
    return {
        "eta": EVALUATION["sparsity_eta"],
        "learning_rate": STUDY["training"]["optimizer"]["learning_rate"],
        "storage_dtype": ARMS[wildcards.mode].master,
        **STUDY["geometry"],
        "compute_threads": config["compute_threads"],
        "device": config["device"],
    }


def evaluation_files(ending):
    """A file of every evaluated run and external policy, by suite."""
    folders = [f"{mode}/seed{seed}/rep{rep}" for mode, seed, rep in runs()]
    folders += [f"external/{name}" for name in EXTERNAL_POLICIES]
    return [f"<results>/precision/eval/{folder}/{suite}.{ending}" for folder in folders for suite in SUITES]


def base_evaluation_files(ending):
    """A file of the evaluated base, by suite."""
    return [f"<results>/precision/eval/base/{suite}.{ending}" for suite in SUITES]


def report_config():
    """The config of the precision study, without the other studies and what never changes a result."""
    others = ("alignment", "advantage", "repair", "resources", "checkpoint_lock")
    return {key: section for key, section in config.items() if key not in others}


def repair_policy_files():
    """The files of the local policy that attempts the repair; other solvers have none."""
    return local_folder(config["repair"]["model"]) if config["repair"]["solver"] == "engine" else []


def training_problems():
    """The problems that runs train on: all, or those that the base policy solves sometimes."""
    return f"<results>/data/{'train_perfectible' if STUDY['perfectible']['enabled'] else 'train'}.jsonl"


def perfectible_counts():
    """The manifest's entry of the perfectible problems, where the study trains on them."""
    return ["<results>/data/perfectible.json"] if STUDY["perfectible"]["enabled"] else []


def selection_job():
    """The choice of the perfectible problems; responses are drawn as in training, and bounds and seed say the rest."""
    return {
        "template": config["data"]["train"]["template"],
        "device": config["device"],
        "compute_threads": config["compute_threads"],
        "verification": VERIFICATION,
        "sampling": STUDY["training"]["sampling"],
        "perfectible": STUDY["perfectible"],
    }


def study_figures(study, names, caption="../report/{}.rst"):
    """SVG files of a study's figures, shown in Snakemake's report; `caption`: their texts, by name."""
    figures = []
    for name in names:
        labels = {"content": name.removeprefix(f"{study}_").replace("_", " "), "kind": "figure"}
        path, category = f"<results>/{study}/figures/{name}.svg", f"{study.capitalize()} study"
        figures.append(report(path, caption=caption.format(name), category=category, labels=labels))
    return figures


def alignment_base_sources(wildcards):
    """What the base of the alignment study is made from, as far as it lies in local files."""
    return policy_sources(ALIGNMENT["base"])


def common_of(study, prompt):
    """What every arm of a study is told; `study` is `alignment` or `advantage.grpo` of the config."""
    return {
        "seeds": study["seeds"],
        "mode": asdict(resolve_mode(study["mode"], STUDY["dropout_rate"], STUDY["custom_modes"])),
        "prompt": prompt,
        "generation": study["generation"],
        "validation": study["validation"],
        "optimization": study["optimization"],
        "collapse_share": study["comparison"]["collapse_share"],
        "device": config["device"],
        "compute_threads": config["compute_threads"],
        "verification": VERIFICATION,
    }


def alignment_common(prompt):
    """What every job of the alignment study is told."""
    return common_of(ALIGNMENT, ALIGNMENT["prompts"][prompt])


def alignment_job(method, arm):
    """One arm of a method, all seeds."""
    settings = ALIGNMENT_ARMS[method][arm]
    common = alignment_common(settings.get("prompt", ALIGNMENT["prompt"]))
    return {"arm": arm, "settings": settings, "common": common}


def zero_shot_job(wildcards):
    """The base under one prompt."""
    return {"prompt": wildcards.prompt, "common": alignment_common(wildcards.prompt)}


def alignment_arms():
    """(method, arm) of everything that is trained."""
    return [(method, arm) for method in METHODS for arm in ALIGNMENT_ARMS[method]]


def arm_files(name):
    """A file of every arm, in the order of `alignment_arms`."""
    return [f"<results>/alignment/{method}/{arm}/{name}" for method, arm in alignment_arms()]


def zero_shot_files(name):
    """A file of the zero-shot evaluation, by prompt."""
    return [f"<results>/alignment/zero_shot/{prompt}/{name}" for prompt in ALIGNMENT["prompts"]]


def reference_files(name):
    """A file of every method on the reference problem, in the order of REFERENCE_METHODS."""
    return [f"<results>/advantage/reference/{method}/{name}" for method in REFERENCE_METHODS]


def estimator_files(name):
    """A file of every estimator in training, in the order of ESTIMATORS."""
    return [f"<results>/advantage/grpo/{estimator}/{name}" for estimator in ESTIMATORS]


def estimator_base_sources(wildcards):
    """What the base of the estimators' comparison is made from, as far as it lies in local files."""
    return policy_sources(ADVANTAGE["grpo"]["base"])


def estimator_data_files():
    """The local files of the estimators' questions."""
    data = ADVANTAGE["grpo"]["data"]
    return source_files([data["train"], data["validation"]])


def estimator_job(wildcards):
    """The training with one estimator of the advantage, all seeds."""
    study = ADVANTAGE["grpo"]
    return {
        "arm": wildcards.estimator,
        "settings": asdict(grpo_settings(build(EstimatorSettings, study["settings"]), wildcards.estimator)),
        "common": common_of(study, study["prompt"]),
    }
