# The precision study: does the floating-point format of training change what is learnt, or how it spreads?


rule train_policy:
    """Train one policy by GRPO in one precision mode from one seed."""
    input:
        base="<results>/base/policy",
        problems=training_problems(),
    output:
        policy=directory("<results>/precision/train/{mode}/seed{seed}/rep{rep}/policy"),
        snapshots=directory("<results>/precision/train/{mode}/seed{seed}/rep{rep}/snapshots"),
        metrics=ensure("<results>/precision/train/{mode}/seed{seed}/rep{rep}/metrics.csv", non_empty=True),
        rollouts="<results>/precision/train/{mode}/seed{seed}/rep{rep}/rollouts.jsonl.gz",
        tensorboard=directory("<results>/precision/train/{mode}/seed{seed}/rep{rep}/tensorboard"),
        provenance="<results>/precision/train/{mode}/seed{seed}/rep{rep}/provenance.json",
    log:
        "<logs>/train_policy/{mode}/seed{seed}/rep{rep}.log",
    benchmark:
        "<benchmarks>/train_policy/{mode}/seed{seed}/rep{rep}.tsv"
    threads: config["compute_threads"] * STUDY["training"]["trainer"]["gpus"]
    resources:
        gpu=config["resources"]["train_policy"]["gpu"],
        mem_mb=memory_of("train_policy"),
        runtime=runtime_of("train_policy"),
        checkpoint_lock=config["checkpoint_lock"],
        verification_workers=config["verification"]["workers"],
    params:
        job=training_job,
        checkpoints=f"{RESULTS}/checkpoints/train_policy/{{mode}}/seed{{seed}}/rep{{rep}}",
        code=code_of("train_policy.py"),
    script:
        "../workflow_scripts/train_policy.py"


rule evaluate_policy:
    """Sample one suite of tasks from a trained policy, and measure its distance from the base."""
    input:
        policy="<results>/precision/train/{mode}/seed{seed}/rep{rep}/policy",
        snapshots="<results>/precision/train/{mode}/seed{seed}/rep{rep}/snapshots",
        base="<results>/base/policy",
        problems=lambda wildcards: task_files(SUITES[wildcards.suite]),
    output:
        result="<results>/precision/eval/{mode}/seed{seed}/rep{rep}/{suite}.json",
        samples="<results>/precision/eval/{mode}/seed{seed}/rep{rep}/{suite}.samples.jsonl.gz",
        kl="<results>/precision/eval/{mode}/seed{seed}/rep{rep}/{suite}.kl.jsonl.gz",
    log:
        "<logs>/evaluate_policy/{mode}/seed{seed}/rep{rep}/{suite}.log",
    benchmark:
        "<benchmarks>/evaluate_policy/{mode}/seed{seed}/rep{rep}/{suite}.tsv"
    threads: config["compute_threads"]
    resources:
        gpu=config["resources"]["evaluate_policy"]["gpu"],
        mem_mb=memory_of("evaluate_policy"),
        runtime=runtime_of("evaluate_policy"),
        checkpoint_lock=config["checkpoint_lock"],
        verification_workers=config["verification"]["workers"],
    params:
        job=lambda wildcards: evaluation_job(wildcards, wildcards.mode, wildcards.seed, wildcards.rep),
        checkpoints=f"{RESULTS}/checkpoints/evaluate_policy/{{mode}}/seed{{seed}}/rep{{rep}}/{{suite}}",
        code=code_of("evaluate_policy.py"),
    script:
        "../workflow_scripts/evaluate_policy.py"


use rule evaluate_policy as evaluate_base with:
    """Sample one suite from the base, more often than from a run, since its error is common to all runs."""
    input:
        policy="<results>/base/policy",
        problems=lambda wildcards: task_files(SUITES[wildcards.suite]),
    output:
        result="<results>/precision/eval/base/{suite}.json",
        samples="<results>/precision/eval/base/{suite}.samples.jsonl.gz",
    log:
        "<logs>/evaluate_base/{suite}.log",
    benchmark:
        "<benchmarks>/evaluate_base/{suite}.tsv"
    params:
        job=lambda wildcards: evaluation_job(wildcards, "base", 0, 0),
        checkpoints=f"{RESULTS}/checkpoints/evaluate_base/{{suite}}",
        code=code_of("evaluate_policy.py"),


use rule evaluate_policy as evaluate_external with:
    """Sample one suite from a policy trained elsewhere, and measure its distance from the base."""
    input:
        policy="<results>/precision/external/{policy}/policy",
        base="<results>/base/policy",
        problems=lambda wildcards: task_files(SUITES[wildcards.suite]),
    output:
        result="<results>/precision/eval/external/{policy}/{suite}.json",
        samples="<results>/precision/eval/external/{policy}/{suite}.samples.jsonl.gz",
        kl="<results>/precision/eval/external/{policy}/{suite}.kl.jsonl.gz",
    log:
        "<logs>/evaluate_external/{policy}/{suite}.log",
    benchmark:
        "<benchmarks>/evaluate_external/{policy}/{suite}.tsv"
    params:
        job=external_evaluation_job,
        checkpoints=f"{RESULTS}/checkpoints/evaluate_external/{{policy}}/{{suite}}",
        code=code_of("evaluate_policy.py"),


rule measure_update_geometry:
    """Measure what training did to each weight matrix of a mode's runs, against changes without direction."""
    input:
        base="<results>/base/policy",
        policies=lambda wildcards: run_files("policy", wildcards.mode),
        snapshots=lambda wildcards: run_files("snapshots", wildcards.mode),
    output:
        table=ensure("<results>/precision/geometry/{mode}.csv", non_empty=True),
    log:
        "<logs>/measure_update_geometry/{mode}.log",
    benchmark:
        "<benchmarks>/measure_update_geometry/{mode}.tsv"
    threads: config["compute_threads"]
    resources:
        gpu=config["resources"]["measure_updates"]["gpu"],
        mem_mb=memory_of("measure_updates"),
        runtime=runtime_of("measure_updates"),
    params:
        runs=lambda wildcards: runs(wildcards.mode),
        steps=STUDY["training"]["steps"],
        settings=geometry_settings,
        code=code_of("measure_update_geometry.py"),
    script:
        "../workflow_scripts/measure_update_geometry.py"


rule compare_updates:
    """Compare which weights the runs changed, between seeds and between modes, against independent changes."""
    input:
        base="<results>/base/policy",
        policies=run_files("policy"),
    output:
        table=ensure("<results>/precision/overlap.csv", non_empty=True),
    log:
        "<logs>/compare_updates.log",
    benchmark:
        "<benchmarks>/compare_updates.tsv"
    threads: config["compute_threads"]
    resources:
        gpu=0,
        mem_mb=memory_of("measure_updates"),
        runtime=runtime_of("measure_updates"),
    params:
        runs=runs(),
        settings={
            "eta": EVALUATION["sparsity_eta"],
            "compute_threads": config["compute_threads"],
        },
        code=code_of("compare_updates.py"),
    script:
        "../workflow_scripts/compare_updates.py"


rule analyse_precision_study:
    """Test the hypotheses over all runs, and put every number of the study into tables."""
    input:
        base=base_evaluation_files("json"),
        runs=evaluation_files("json"),
        metrics=run_files("metrics.csv"),
        provenance=run_files("provenance.json"),
    output:
        runs=report(
            "<results>/precision/analysis/runs.csv",
            caption="../report/runs.rst",
            category="Precision study",
            labels={"content": "runs and tasks", "kind": "table"},
        ),
        arms=report(
            "<results>/precision/analysis/arms.csv",
            caption="../report/arms.rst",
            category="Precision study",
            labels={"content": "arms and tasks", "kind": "table"},
        ),
        modes=report(
            "<results>/precision/analysis/modes.csv",
            caption="../report/modes.rst",
            category="Precision study",
            labels={"content": "modes side by side", "kind": "table"},
        ),
        weights="<results>/precision/analysis/weights.csv",
        drift="<results>/precision/analysis/drift.csv",
        variance_components="<results>/precision/analysis/variance_components.csv",
        hypotheses="<results>/precision/analysis/hypotheses.json",
        gain="<results>/precision/analysis/gain.json",
        matches="<results>/precision/analysis/matches.csv",
        predictions="<results>/precision/analysis/predictions.csv",
        missing="<results>/precision/analysis/missing.csv",
    log:
        "<logs>/analyse_precision_study.log",
    benchmark:
        "<benchmarks>/analyse_precision_study.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        analysis=STUDY["analysis"],
        on_task=EVALUATION["on_task"],
        runs=runs(),
        code=code_of("analyse_precision_study.py"),
    script:
        "../workflow_scripts/analyse_precision_study.py"


rule draw_training_figures:
    """Draw what training did, for the screen (SVG) and for print (PDF), with their numbers (CSV)."""
    input:
        metrics=run_files("metrics.csv"),
        geometry=GEOMETRY_TABLES,
        overlap="<results>/precision/overlap.csv",
    output:
        svg=study_figures("precision", TRAINING_FIGURES),
        pdf=collect("<results>/precision/figures/{figure}.pdf", figure=TRAINING_FIGURES),
        csv=collect("<results>/precision/figures/{figure}.csv", figure=TRAINING_FIGURES),
    log:
        "<logs>/draw_training_figures.log",
    benchmark:
        "<benchmarks>/draw_training_figures.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        runs=runs(),
        code=code_of("draw_training_figures.py"),
    script:
        "../workflow_scripts/draw_training_figures.py"


rule draw_outcome_figures:
    """Draw what the evaluations came to, for the screen (SVG) and for print (PDF), with their numbers (CSV)."""
    input:
        **PRECISION_ANALYSIS,
    output:
        svg=study_figures("precision", OUTCOME_FIGURES),
        pdf=collect("<results>/precision/figures/{figure}.pdf", figure=OUTCOME_FIGURES),
        csv=collect("<results>/precision/figures/{figure}.csv", figure=OUTCOME_FIGURES),
    log:
        "<logs>/draw_outcome_figures.log",
    benchmark:
        "<benchmarks>/draw_outcome_figures.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        analysis=STUDY["analysis"],
        code=code_of("draw_outcome_figures.py"),
    script:
        "../workflow_scripts/draw_outcome_figures.py"
