# The alignment study: zero-shot, SFT, expert iteration and GRPO with its ablations, from one base policy.


rule prepare_alignment_data:
    """Check and hash supervised examples and questions, and drop what overlaps with validation."""
    input:
        sources=source_files(ALIGNMENT["data"].values()),
    output:
        sft=ensure("<results>/alignment/data/sft.jsonl", non_empty=True),
        train=ensure("<results>/alignment/data/train.jsonl", non_empty=True),
        validation=ensure("<results>/alignment/data/validation.jsonl", non_empty=True),
        manifest="<results>/alignment/data/manifest.json",
    log:
        "<logs>/prepare_alignment_data.log",
    benchmark:
        "<benchmarks>/prepare_alignment_data.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["prepare_data"]["gpu"],
        mem_mb=memory_of("prepare_data"),
        runtime=runtime_of("prepare_data"),
        verification_workers=config["verification"]["workers"],
    params:
        data=ALIGNMENT["data"],
        prompt=ALIGNMENT["prompts"][ALIGNMENT["prompt"]],
        verification=VERIFICATION,
        data_root=data_root_for(source_files(ALIGNMENT["data"].values())),
        code=code_of("prepare_alignment_data.py"),
    script:
        "../workflow_scripts/prepare_alignment_data.py"


use rule train_base_policy as train_alignment_base with:
    """Train the policy that every arm starts from, or link a pretrained one."""
    input:
        sources=alignment_base_sources,
        evaluation=[],
    output:
        policy=directory("<results>/alignment/base/policy"),
        metrics="<results>/alignment/base/metrics.csv",
    log:
        "<logs>/train_alignment_base.log",
    benchmark:
        "<benchmarks>/train_alignment_base.tsv"
    threads: ALIGNMENT["base"].get("compute_threads", 1)
    params:
        base=ALIGNMENT["base"],
        data_root=lambda wildcards: data_root_for(alignment_base_sources(wildcards)),
        device=config["device"],
        checkpoints=f"{RESULTS}/checkpoints/train_alignment_base",
        code=code_of("train_base_policy.py"),


rule evaluate_zero_shot:
    """Sample the base with one prompt, and count what fails by its format and what by its answer."""
    input:
        base="<results>/alignment/base/policy",
        validation="<results>/alignment/data/validation.jsonl",
    output:
        validation=ensure("<results>/alignment/zero_shot/{prompt}/validation.csv", non_empty=True),
        generations="<results>/alignment/zero_shot/{prompt}/generations.jsonl.gz",
        categories=ensure("<results>/alignment/zero_shot/{prompt}/categories.csv", non_empty=True),
        failures="<results>/alignment/zero_shot/{prompt}/failures.jsonl",
    log:
        "<logs>/evaluate_zero_shot/{prompt}.log",
    benchmark:
        "<benchmarks>/evaluate_zero_shot/{prompt}.tsv"
    threads: config["compute_threads"]
    resources:
        gpu=config["resources"]["evaluate_policy"]["gpu"],
        mem_mb=memory_of("evaluate_policy"),
        runtime=runtime_of("evaluate_policy"),
        verification_workers=config["verification"]["workers"],
    params:
        job=zero_shot_job,
        code=code_of("evaluate_zero_shot.py"),
    script:
        "../workflow_scripts/evaluate_zero_shot.py"


rule train_sft_arm:
    """Fine-tune the base on examples, once for every seed of an arm."""
    input:
        base="<results>/alignment/base/policy",
        examples="<results>/alignment/data/sft.jsonl",
        validation="<results>/alignment/data/validation.jsonl",
    output:
        policies=directory("<results>/alignment/sft/{arm}/policies"),
        metrics=ensure("<results>/alignment/sft/{arm}/metrics.csv", non_empty=True),
        validation=ensure("<results>/alignment/sft/{arm}/validation.csv", non_empty=True),
        generations="<results>/alignment/sft/{arm}/generations.jsonl.gz",
        tensorboard=directory("<results>/alignment/sft/{arm}/tensorboard"),
        provenance="<results>/alignment/sft/{arm}/provenance.json",
    log:
        "<logs>/train_sft_arm/{arm}.log",
    benchmark:
        "<benchmarks>/train_sft_arm/{arm}.tsv"
    threads: config["compute_threads"]
    resources:
        gpu=config["resources"]["train_alignment_arm"]["gpu"],
        mem_mb=memory_of("train_alignment_arm"),
        runtime=runtime_of("train_alignment_arm"),
        checkpoint_lock=config["checkpoint_lock"],
        verification_workers=config["verification"]["workers"],
    params:
        job=lambda wildcards: alignment_job("sft", wildcards.arm),
        checkpoints=f"{RESULTS}/checkpoints/train_sft_arm/{{arm}}",
        code=code_of("train_sft_arm.py"),
    script:
        "../workflow_scripts/train_sft_arm.py"


rule train_expert_iteration_arm:
    """Sample, keep what is correct and train on it, round by round, once for every seed of an arm."""
    input:
        base="<results>/alignment/base/policy",
        examples="<results>/alignment/data/train.jsonl",
        validation="<results>/alignment/data/validation.jsonl",
    output:
        policies=directory("<results>/alignment/expert_iteration/{arm}/policies"),
        metrics=ensure("<results>/alignment/expert_iteration/{arm}/metrics.csv", non_empty=True),
        validation=ensure("<results>/alignment/expert_iteration/{arm}/validation.csv", non_empty=True),
        generations="<results>/alignment/expert_iteration/{arm}/generations.jsonl.gz",
        tensorboard=directory("<results>/alignment/expert_iteration/{arm}/tensorboard"),
        provenance="<results>/alignment/expert_iteration/{arm}/provenance.json",
    log:
        "<logs>/train_expert_iteration_arm/{arm}.log",
    benchmark:
        "<benchmarks>/train_expert_iteration_arm/{arm}.tsv"
    threads: config["compute_threads"]
    resources:
        gpu=config["resources"]["train_alignment_arm"]["gpu"],
        mem_mb=memory_of("train_alignment_arm"),
        runtime=runtime_of("train_alignment_arm"),
        checkpoint_lock=config["checkpoint_lock"],
        verification_workers=config["verification"]["workers"],
    params:
        job=lambda wildcards: alignment_job("expert_iteration", wildcards.arm),
        checkpoints=f"{RESULTS}/checkpoints/train_expert_iteration_arm/{{arm}}",
        code=code_of("train_expert_iteration_arm.py"),
    script:
        "../workflow_scripts/train_expert_iteration_arm.py"


rule train_grpo_arm:
    """Train by GRPO, once for every seed of an arm."""
    input:
        base="<results>/alignment/base/policy",
        examples="<results>/alignment/data/train.jsonl",
        validation="<results>/alignment/data/validation.jsonl",
    output:
        policies=directory("<results>/alignment/grpo/{arm}/policies"),
        metrics=ensure("<results>/alignment/grpo/{arm}/metrics.csv", non_empty=True),
        validation=ensure("<results>/alignment/grpo/{arm}/validation.csv", non_empty=True),
        generations="<results>/alignment/grpo/{arm}/generations.jsonl.gz",
        tensorboard=directory("<results>/alignment/grpo/{arm}/tensorboard"),
        provenance="<results>/alignment/grpo/{arm}/provenance.json",
    log:
        "<logs>/train_grpo_arm/{arm}.log",
    benchmark:
        "<benchmarks>/train_grpo_arm/{arm}.tsv"
    threads: config["compute_threads"]
    resources:
        gpu=config["resources"]["train_alignment_arm"]["gpu"],
        mem_mb=memory_of("train_alignment_arm"),
        runtime=runtime_of("train_alignment_arm"),
        checkpoint_lock=config["checkpoint_lock"],
        verification_workers=config["verification"]["workers"],
    params:
        job=lambda wildcards: alignment_job("grpo", wildcards.arm),
        checkpoints=f"{RESULTS}/checkpoints/train_grpo_arm/{{arm}}",
        code=code_of("train_grpo_arm.py"),
    script:
        "../workflow_scripts/train_grpo_arm.py"


rule analyse_alignment_study:
    """Compare the arms of every experiment, rank all policies, and say in words what was found."""
    input:
        validation=arm_files("validation.csv"),
        metrics=arm_files("metrics.csv"),
        provenance=arm_files("provenance.json"),
        zero_shot=zero_shot_files("validation.csv"),
    output:
        curves="<results>/alignment/analysis/curves.csv",
        arms=report(
            "<results>/alignment/analysis/arms.csv",
            caption="../report/alignment_arms.rst",
            category="Alignment study",
            labels={"content": "arms", "kind": "table"},
        ),
        comparisons=report(
            "<results>/alignment/analysis/comparisons.csv",
            caption="../report/alignment_comparisons.rst",
            category="Alignment study",
            labels={"content": "comparisons", "kind": "table"},
        ),
        leaderboard=report(
            "<results>/alignment/analysis/leaderboard.csv",
            caption="../report/alignment_leaderboard.rst",
            category="Alignment study",
            labels={"content": "leaderboard", "kind": "table"},
        ),
        findings="<results>/alignment/analysis/findings.json",
    log:
        "<logs>/analyse_alignment_study.log",
    benchmark:
        "<benchmarks>/analyse_alignment_study.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        arms=alignment_arms(),
        prompts=list(ALIGNMENT["prompts"]),
        prompt=ALIGNMENT["prompt"],
        seeds=ALIGNMENT["seeds"],
        experiments=ALIGNMENT_EXPERIMENTS,
        comparison=ALIGNMENT["comparison"],
        code=code_of("analyse_alignment_study.py"),
    script:
        "../workflow_scripts/analyse_alignment_study.py"


rule draw_alignment_figures:
    """Draw the figures of the study, for the screen (SVG) and for print (PDF), with their numbers (CSV)."""
    input:
        **ALIGNMENT_ANALYSIS,
        metrics=arm_files("metrics.csv"),
        categories=zero_shot_files("categories.csv"),
    output:
        svg=study_figures("alignment", ALIGNMENT_FIGURES, "../report/alignment_{}.rst"),
        pdf=collect("<results>/alignment/figures/{figure}.pdf", figure=ALIGNMENT_FIGURES),
        csv=collect("<results>/alignment/figures/{figure}.csv", figure=ALIGNMENT_FIGURES),
    log:
        "<logs>/draw_alignment_figures.log",
    benchmark:
        "<benchmarks>/draw_alignment_figures.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        arms=alignment_arms(),
        prompts=list(ALIGNMENT["prompts"]),
        experiments=ALIGNMENT_EXPERIMENTS,
        settings={method: ALIGNMENT[method]["settings"] for method in METHODS},
        code=code_of("draw_alignment_figures.py"),
    script:
        "../workflow_scripts/draw_alignment_figures.py"
