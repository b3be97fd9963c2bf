# What a person reads at the end.


rule build_precision_report:
    """Put verdicts, figures, tables, configuration and provenance on one self-contained page."""
    input:
        **PRECISION_ANALYSIS,
        figures=[f"<results>/precision/figures/{figure}.svg" for figure in PRECISION_FIGURES],
        manifest="<results>/data/manifest.json",
        provenance=run_files("provenance.json"),
        geometry=GEOMETRY_TABLES,
        overlap="<results>/precision/overlap.csv",
    output:
        report(
            "<results>/report.html",
            caption="../report/precision_report.rst",
            category="Precision study",
            labels={"content": "the whole report", "kind": "page"},
        ),
    log:
        "<logs>/build_precision_report.log",
    benchmark:
        "<benchmarks>/build_precision_report.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        config=report_config(),
        runs=runs(),
        code=code_of("build_precision_report.py"),
    script:
        "../workflow_scripts/build_precision_report.py"


rule build_alignment_report:
    """Put the findings, figures and tables of the alignment study on one page."""
    input:
        **ALIGNMENT_ANALYSIS,
        figures=[f"<results>/alignment/figures/{figure}.svg" for figure in ALIGNMENT_FIGURES],
        categories=zero_shot_files("categories.csv"),
        failures=zero_shot_files("failures.jsonl"),
        generations=arm_files("generations.jsonl.gz"),
        provenance=arm_files("provenance.json"),
        manifest="<results>/alignment/data/manifest.json",
    output:
        report(
            "<results>/alignment/report.html",
            caption="../report/alignment_report.rst",
            category="Alignment study",
            labels={"content": "the whole report", "kind": "page"},
        ),
    log:
        "<logs>/build_alignment_report.log",
    benchmark:
        "<benchmarks>/build_alignment_report.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        config={"name": config["name"], "alignment": ALIGNMENT},
        arms=alignment_arms(),
        prompts=list(ALIGNMENT["prompts"]),
        experiments=ALIGNMENT_EXPERIMENTS,
        code=code_of("build_alignment_report.py"),
    script:
        "../workflow_scripts/build_alignment_report.py"


rule build_advantage_report:
    """Put the findings, figures and tables of the advantage study on one page."""
    input:
        **ADVANTAGE_ANALYSIS,
        figures=[f"<results>/advantage/figures/{figure}.svg" for figure in ADVANTAGE_FIGURES],
        provenance=estimator_files("provenance.json"),
    output:
        report(
            "<results>/advantage/report.html",
            caption="../report/advantage_report.rst",
            category="Advantage study",
            labels={"content": "the whole report", "kind": "page"},
        ),
    log:
        "<logs>/build_advantage_report.log",
    benchmark:
        "<benchmarks>/build_advantage_report.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        config={"name": config["name"], "advantage": ADVANTAGE},
        estimators=ESTIMATORS,
        code=code_of("build_advantage_report.py"),
    script:
        "../workflow_scripts/build_advantage_report.py"


rule build_repair_report:
    """Put calibration, known submissions, theory and measurement of the repair study on one page."""
    input:
        results="<results>/repair/validation_results.json",
        known="<results>/repair/known_submissions.csv",
        variance="<results>/repair/variance_error.csv",
        provenance="<results>/repair/provenance.json",
        figures=[f"<results>/repair/figures/{figure}.svg" for figure in REPAIR_FIGURES],
    output:
        report(
            "<results>/repair/report.html",
            caption="../report/repair_report.rst",
            category="Repair study",
            labels={"content": "the whole report", "kind": "page"},
        ),
    log:
        "<logs>/build_repair_report.log",
    benchmark:
        "<benchmarks>/build_repair_report.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["analyse"]["gpu"],
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        config={"name": config["name"], "repair": config["repair"]},
        code=code_of("build_repair_report.py"),
    script:
        "../workflow_scripts/build_repair_report.py"


# Every result is a target, because Snakemake does not make an intermediate file anew that was deleted. The weights
# are none: they may be deleted to save space, and are trained again only when an evaluation needs them.
rule precision:
    """The precision study, with its report."""
    input:
        "<results>/report.html",
        "<results>/data/manifest.json",
        "<results>/base/metrics.csv",
        run_files("metrics.csv"),
        run_files("rollouts.jsonl.gz"),
        run_files("provenance.json"),
        base_evaluation_files("json"),
        base_evaluation_files("samples.jsonl.gz"),
        evaluation_files("json"),
        evaluation_files("samples.jsonl.gz"),
        evaluation_files("kl.jsonl.gz"),
        GEOMETRY_TABLES,
        "<results>/precision/overlap.csv",
        PRECISION_ANALYSIS.values(),
        collect(
            "<results>/precision/figures/{figure}.{format}",
            figure=PRECISION_FIGURES,
            format=["svg", "pdf", "csv"],
        ),


rule alignment:
    """The alignment study, with its report."""
    input:
        "<results>/alignment/report.html",
        "<results>/alignment/data/manifest.json",
        "<results>/alignment/base/metrics.csv",
        zero_shot_files("validation.csv"),
        zero_shot_files("generations.jsonl.gz"),
        zero_shot_files("categories.csv"),
        zero_shot_files("failures.jsonl"),
        arm_files("metrics.csv"),
        arm_files("validation.csv"),
        arm_files("generations.jsonl.gz"),
        arm_files("provenance.json"),
        ALIGNMENT_ANALYSIS.values(),
        collect(
            "<results>/alignment/figures/{figure}.{format}",
            figure=ALIGNMENT_FIGURES,
            format=["svg", "pdf", "csv"],
        ),


rule advantage:
    """The advantage study, with its report."""
    input:
        "<results>/advantage/report.html",
        "<results>/advantage/data/manifest.json",
        "<results>/advantage/base/metrics.csv",
        reference_files("rewards.csv"),
        reference_files("scores.csv"),
        reference_files("statistics.npz"),
        estimator_files("metrics.csv"),
        estimator_files("validation.csv"),
        estimator_files("generations.jsonl.gz"),
        estimator_files("provenance.json"),
        ADVANTAGE_ANALYSIS.values(),
        collect(
            "<results>/advantage/figures/{figure}.{format}",
            figure=ADVANTAGE_FIGURES,
            format=["svg", "pdf", "csv"],
        ),


rule repair:
    """The repair study, with its report."""
    input:
        "<results>/repair/report.html",
        "<results>/repair/validation_results.json",
        "<results>/repair/VALIDATION_RESULTS.md",
        "<results>/repair/transcripts.jsonl.gz",
        "<results>/repair/known_submissions.csv",
        "<results>/repair/variance_error.csv",
        "<results>/repair/provenance.json",
        collect(
            "<results>/repair/figures/{figure}.{format}",
            figure=REPAIR_FIGURES,
            format=["svg", "pdf", "csv"],
        ),
