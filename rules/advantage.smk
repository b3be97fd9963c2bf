# The advantage study: do reward statistics of each prompt serve better than those of the batch or of the group?


rule run_reference_problem:
    """Train the reference problem by one method, once for every seed."""
    input:
        [],
    output:
        rewards=ensure("<results>/advantage/reference/{method}/rewards.csv", non_empty=True),
        scores=ensure("<results>/advantage/reference/{method}/scores.csv", non_empty=True),
        statistics="<results>/advantage/reference/{method}/statistics.npz",
    log:
        "<logs>/run_reference_problem/{method}.log",
    benchmark:
        "<benchmarks>/run_reference_problem/{method}.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        problem=ADVANTAGE["reference"]["problem"],
        method=lambda wildcards: asdict(REFERENCE_METHODS[wildcards.method].method),
        seeds=lambda wildcards: REFERENCE_METHODS[wildcards.method].seeds,
        code=code_of("run_reference_problem.py"),
    script:
        "../workflow_scripts/run_reference_problem.py"


rule prepare_estimator_data:
    """Choose a few questions to train on and others to validate on, checked and hashed."""
    input:
        sources=estimator_data_files(),
    output:
        train=ensure("<results>/advantage/data/train.jsonl", non_empty=True),
        validation=ensure("<results>/advantage/data/validation.jsonl", non_empty=True),
        manifest="<results>/advantage/data/manifest.json",
    log:
        "<logs>/prepare_estimator_data.log",
    benchmark:
        "<benchmarks>/prepare_estimator_data.tsv"
    priority: 1  # the trainings are the longest way through the study
    threads: 1
    resources:
        gpu=config["resources"]["prepare_data"]["gpu"],
        mem_mb=memory_of("prepare_data"),
        runtime=runtime_of("prepare_data"),
    params:
        data=ADVANTAGE["grpo"]["data"],
        verifier=ADVANTAGE["grpo"]["prompt"]["verifier"],
        data_root=data_root_for(estimator_data_files()),
        code=code_of("prepare_estimator_data.py"),
    script:
        "../workflow_scripts/prepare_estimator_data.py"


use rule train_base_policy as train_estimator_base with:
    """Train the policy that the comparison of estimators starts from, or link a pretrained one."""
    input:
        sources=estimator_base_sources,
        evaluation=[],
    output:
        policy=directory("<results>/advantage/base/policy"),
        metrics="<results>/advantage/base/metrics.csv",
    log:
        "<logs>/train_estimator_base.log",
    benchmark:
        "<benchmarks>/train_estimator_base.tsv"
    priority: 1
    threads: ADVANTAGE["grpo"]["base"].get("compute_threads", 1)
    params:
        base=ADVANTAGE["grpo"]["base"],
        data_root=lambda wildcards: data_root_for(estimator_base_sources(wildcards)),
        device=config["device"],
        checkpoints=f"{RESULTS}/checkpoints/train_estimator_base",
        code=code_of("train_base_policy.py"),


use rule train_grpo_arm as train_with_estimator with:
    """Train by GRPO with one estimator of the advantage, once for every seed."""
    input:
        base="<results>/advantage/base/policy",
        examples="<results>/advantage/data/train.jsonl",
        validation="<results>/advantage/data/validation.jsonl",
    output:
        policies=directory("<results>/advantage/grpo/{estimator}/policies"),
        metrics=ensure("<results>/advantage/grpo/{estimator}/metrics.csv", non_empty=True),
        validation=ensure("<results>/advantage/grpo/{estimator}/validation.csv", non_empty=True),
        generations="<results>/advantage/grpo/{estimator}/generations.jsonl.gz",
        tensorboard=directory("<results>/advantage/grpo/{estimator}/tensorboard"),
        provenance="<results>/advantage/grpo/{estimator}/provenance.json",
    log:
        "<logs>/train_with_estimator/{estimator}.log",
    benchmark:
        "<benchmarks>/train_with_estimator/{estimator}.tsv"
    priority: 1
    params:
        job=estimator_job,
        checkpoints=f"{RESULTS}/checkpoints/train_with_estimator/{{estimator}}",
        code=code_of("train_grpo_arm.py"),


rule analyse_advantage_study:
    """Compare the methods and the estimators seed by seed, and say in words what was found."""
    input:
        scores=reference_files("scores.csv"),
        grpo_metrics=estimator_files("metrics.csv"),
        grpo_validation=estimator_files("validation.csv"),
    output:
        scores="<results>/advantage/analysis/scores.csv",
        methods=report(
            "<results>/advantage/analysis/methods.csv",
            caption="../report/advantage_methods.rst",
            category="Advantage study",
            labels={"content": "methods", "kind": "table"},
        ),
        comparisons=report(
            "<results>/advantage/analysis/comparisons.csv",
            caption="../report/advantage_comparisons.rst",
            category="Advantage study",
            labels={"content": "comparisons of methods", "kind": "table"},
        ),
        grpo="<results>/advantage/analysis/grpo.csv",
        grpo_comparisons=report(
            "<results>/advantage/analysis/grpo_comparisons.csv",
            caption="../report/advantage_grpo_comparisons.rst",
            category="Advantage study",
            labels={"content": "comparisons of estimators", "kind": "table"},
        ),
        findings="<results>/advantage/analysis/findings.json",
    log:
        "<logs>/analyse_advantage_study.log",
    benchmark:
        "<benchmarks>/analyse_advantage_study.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        methods=[asdict(method) for method in REFERENCE_METHODS.values()],
        estimators=ESTIMATORS,
        confidence=ADVANTAGE["reference"]["confidence"],
        score_steps=ADVANTAGE["grpo"]["comparison"]["score_steps"],
        code=code_of("analyse_advantage_study.py"),
    script:
        "../workflow_scripts/analyse_advantage_study.py"


rule draw_reference_figures:
    """Draw the figures of the reference problem, for the screen (SVG) and for print (PDF), with their numbers (CSV)."""
    input:
        scores=reference_files("scores.csv"),
        rewards=reference_files("rewards.csv"),
        statistics=reference_files("statistics.npz"),
    output:
        svg=study_figures("advantage", REFERENCE_FIGURES),
        pdf=collect("<results>/advantage/figures/{figure}.pdf", figure=REFERENCE_FIGURES),
        csv=collect("<results>/advantage/figures/{figure}.csv", figure=REFERENCE_FIGURES),
    log:
        "<logs>/draw_reference_figures.log",
    benchmark:
        "<benchmarks>/draw_reference_figures.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        methods=[asdict(method) for method in REFERENCE_METHODS.values()],
        confidence=ADVANTAGE["reference"]["confidence"],
        code=code_of("draw_reference_figures.py"),
    script:
        "../workflow_scripts/draw_reference_figures.py"


rule draw_estimator_figure:
    """Draw the figure of GRPO with each estimator, for the screen (SVG) and for print (PDF), with their numbers (CSV)."""
    input:
        metrics=estimator_files("metrics.csv"),
        validation=estimator_files("validation.csv"),
    output:
        svg=study_figures("advantage", ESTIMATOR_FIGURES),
        pdf=collect("<results>/advantage/figures/{figure}.pdf", figure=ESTIMATOR_FIGURES),
        csv=collect("<results>/advantage/figures/{figure}.csv", figure=ESTIMATOR_FIGURES),
    log:
        "<logs>/draw_estimator_figure.log",
    benchmark:
        "<benchmarks>/draw_estimator_figure.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        estimators=ESTIMATORS,
        confidence=ADVANTAGE["reference"]["confidence"],
        code=code_of("draw_estimator_figure.py"),
    script:
        "../workflow_scripts/draw_estimator_figure.py"
