# What bench/dag.py measures the precision study against: as many jobs with as many files, and nothing else.
MODES = [f"mode{n}" for n in range(config["modes"])]
SEEDS = range(1, config["seeds"] + 1)
SUITES = [f"suite{n}" for n in range(config["suites"])]
RUN = "train/{mode}/seed{seed}/rep1"
EVALUATION = "eval/{mode}/seed{seed}/rep1/{suite}"
ANALYSIS = [f"analysis/{n}.csv" for n in range(11)]
FIGURES = [f"figures/{n}" for n in range(13)]


rule all:
    input:
        "report.html",
        "manifest.json",
        "base/metrics.csv",
        expand(f"{RUN}/metrics.csv", mode=MODES, seed=SEEDS),
        expand(f"{RUN}/rollouts.jsonl.gz", mode=MODES, seed=SEEDS),
        expand(f"{RUN}/provenance.json", mode=MODES, seed=SEEDS),
        expand("eval/base/{suite}.json", suite=SUITES),
        expand("eval/base/{suite}.samples.jsonl.gz", suite=SUITES),
        expand(f"{EVALUATION}.json", mode=MODES, seed=SEEDS, suite=SUITES),
        expand(f"{EVALUATION}.samples.jsonl.gz", mode=MODES, seed=SEEDS, suite=SUITES),
        expand(f"{EVALUATION}.kl.jsonl.gz", mode=MODES, seed=SEEDS, suite=SUITES),
        expand("geometry/{mode}.csv", mode=MODES),
        "overlap.csv",
        ANALYSIS,
        expand("{figure}.{format}", figure=FIGURES, format=["svg", "pdf"]),


rule prepare_evaluation_task:
    output:
        "data/{suite}.jsonl",
        "data/{suite}.json",
    shell:
        "touch {output}"


rule prepare_training_data:
    input:
        expand("data/{suite}.jsonl", suite=SUITES),
    output:
        "train.jsonl",
        "train.json",
    shell:
        "touch {output}"


rule merge_manifests:
    input:
        "train.json",
        expand("data/{suite}.json", suite=SUITES),
    output:
        "manifest.json",
    shell:
        "touch {output}"


rule train_base_policy:
    output:
        directory("base/policy"),
        "base/metrics.csv",
    shell:
        "touch {output}"


rule train_policy:
    input:
        "base/policy",
        "train.jsonl",
    output:
        directory(f"{RUN}/policy"),
        directory(f"{RUN}/snapshots"),
        f"{RUN}/metrics.csv",
        f"{RUN}/rollouts.jsonl.gz",
        directory(f"{RUN}/tensorboard"),
        f"{RUN}/provenance.json",
    shell:
        "touch {output}"


rule evaluate_base:
    input:
        "base/policy",
        "data/{suite}.jsonl",
    output:
        "eval/base/{suite}.json",
        "eval/base/{suite}.samples.jsonl.gz",
    shell:
        "touch {output}"


rule evaluate_policy:
    input:
        f"{RUN}/policy",
        f"{RUN}/snapshots",
        "base/policy",
        "data/{suite}.jsonl",
    output:
        f"{EVALUATION}.json",
        f"{EVALUATION}.samples.jsonl.gz",
        f"{EVALUATION}.kl.jsonl.gz",
    shell:
        "touch {output}"


rule measure_update_geometry:
    input:
        "base/policy",
        expand("train/{{mode}}/seed{seed}/rep1/policy", seed=SEEDS),
        expand("train/{{mode}}/seed{seed}/rep1/snapshots", seed=SEEDS),
    output:
        "geometry/{mode}.csv",
    shell:
        "touch {output}"


rule compare_updates:
    input:
        "base/policy",
        expand(f"{RUN}/policy", mode=MODES, seed=SEEDS),
    output:
        "overlap.csv",
    shell:
        "touch {output}"


rule analyse_precision_study:
    input:
        expand("eval/base/{suite}.json", suite=SUITES),
        expand(f"{EVALUATION}.json", mode=MODES, seed=SEEDS, suite=SUITES),
        expand(f"{RUN}/metrics.csv", mode=MODES, seed=SEEDS),
        expand(f"{RUN}/provenance.json", mode=MODES, seed=SEEDS),
    output:
        ANALYSIS,
    shell:
        "touch {output}"


rule draw_training_figures:
    input:
        expand(f"{RUN}/metrics.csv", mode=MODES, seed=SEEDS),
        expand("geometry/{mode}.csv", mode=MODES),
        "overlap.csv",
    output:
        expand("{figure}.{format}", figure=FIGURES[:7], format=["svg", "pdf"]),
    shell:
        "touch {output}"


rule draw_outcome_figures:
    input:
        ANALYSIS,
    output:
        expand("{figure}.{format}", figure=FIGURES[7:], format=["svg", "pdf"]),
    shell:
        "touch {output}"


rule build_precision_report:
    input:
        ANALYSIS,
        expand("{figure}.svg", figure=FIGURES),
        "manifest.json",
        expand(f"{RUN}/provenance.json", mode=MODES, seed=SEEDS),
        expand("geometry/{mode}.csv", mode=MODES),
        "overlap.csv",
    output:
        "report.html",
    shell:
        "touch {output}"
