# The repair study: an environment in which a model mends a program, can its grader be trusted, and how hard is it?


rule calibrate_repair:
    """Let a solver attempt the repair many times, and measure how often it succeeds."""
    input:
        policy=repair_policy_files(),
    output:
        results="<results>/repair/validation_results.json",
        summary=report(
            "<results>/repair/VALIDATION_RESULTS.md",
            caption="../report/validation_results.rst",
            category="Repair study",
            labels={"content": "calibration", "kind": "text"},
        ),
        transcripts="<results>/repair/transcripts.jsonl.gz",
        provenance="<results>/repair/provenance.json",
    log:
        "<logs>/calibrate_repair.log",
    benchmark:
        "<benchmarks>/calibrate_repair.tsv"
    threads: config["resources"]["calibrate_repair"]["parallel"]
    resources:
        gpu=config["resources"]["calibrate_repair"]["gpu"],
        mem_mb=memory_of("calibrate_repair"),
        runtime=runtime_of("calibrate_repair"),
        checkpoint_lock=config["checkpoint_lock"],
    params:
        repair=config["repair"],
        isolation=config["verification"]["require_isolation"],
        device=config["device"],
        checkpoints=f"{RESULTS}/checkpoints/calibrate_repair",
        code=code_of("calibrate_repair.py"),
    script:
        "../workflow_scripts/calibrate_repair.py"


rule grade_known_submissions:
    """Grade solutions, wrong edits and forgeries whose verdict is known, since a reward is worth what its grader is."""
    input:
        [],
    output:
        known=report(
            "<results>/repair/known_submissions.csv",
            caption="../report/known_submissions.rst",
            category="Repair study",
            labels={"content": "known submissions", "kind": "table"},
        ),
    log:
        "<logs>/grade_known_submissions.log",
    benchmark:
        "<benchmarks>/grade_known_submissions.tsv"
    threads: config["resources"]["calibrate_repair"]["parallel"]
    resources:
        gpu=0,
        mem_mb=memory_of("calibrate_repair"),
        runtime=runtime_of("calibrate_repair"),
    params:
        time_limit_s=config["repair"]["time_limit_s"],
        isolation=config["verification"]["require_isolation"],
        code=code_of("grade_known_submissions.py"),
    script:
        "../workflow_scripts/grade_known_submissions.py"


rule measure_variance_error:
    """Measure the error of the variance at each drop rate, beside what theory says."""
    input:
        [],
    output:
        variance="<results>/repair/variance_error.csv",
    log:
        "<logs>/measure_variance_error.log",
    benchmark:
        "<benchmarks>/measure_variance_error.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        code=code_of("measure_variance_error.py"),
    script:
        "../workflow_scripts/measure_variance_error.py"


rule draw_repair_figures:
    """Draw the figures of the study, for the screen (SVG) and for print (PDF), with their numbers (CSV)."""
    input:
        results="<results>/repair/validation_results.json",
        variance="<results>/repair/variance_error.csv",
    output:
        svg=study_figures("repair", REPAIR_FIGURES),
        pdf=collect("<results>/repair/figures/{figure}.pdf", figure=REPAIR_FIGURES),
        csv=collect("<results>/repair/figures/{figure}.csv", figure=REPAIR_FIGURES),
    log:
        "<logs>/draw_repair_figures.log",
    benchmark:
        "<benchmarks>/draw_repair_figures.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory_of("analyse"),
        runtime=runtime_of("analyse"),
    params:
        code=code_of("draw_repair_figures.py"),
    script:
        "../workflow_scripts/draw_repair_figures.py"
