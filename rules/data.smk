# Problems: checked, deduplicated, hashed.


localrules:
    merge_manifests,


rule prepare_evaluation_task:
    """Check, deduplicate and hash the problems of one evaluation task."""
    input:
        sources=evaluation_source_files,
        exclude=holdout_excludes,
    output:
        problems=ensure("<results>/data/eval/{task}.jsonl", non_empty=True),
        manifest="<results>/data/manifests/eval/{task}.json",
    log:
        "<logs>/prepare_evaluation_task/{task}.log",
    benchmark:
        "<benchmarks>/prepare_evaluation_task/{task}.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["prepare_data"]["gpu"],
        mem_mb=memory_of("prepare_data"),
        runtime=runtime_of("prepare_data"),
    params:
        data=lookup(dpath="data/evaluation/{task}", within=config),
        train=lambda wildcards: holdout_training_data(wildcards.task),
        data_root=lambda wildcards: data_root_for(evaluation_source_files(wildcards)),
        code=code_of("prepare_evaluation_task.py"),
    script:
        "../workflow_scripts/prepare_evaluation_task.py"


rule prepare_training_data:
    """Check, deduplicate and hash the training problems, and drop what overlaps with evaluation."""
    input:
        sources=source_files(config["data"]["train"]["sources"]),
        evaluation=task_files(config["data"]["evaluation"]),
    output:
        problems=ensure("<results>/data/train.jsonl", non_empty=True),
        manifest="<results>/data/manifests/train.json",
    log:
        "<logs>/prepare_training_data.log",
    benchmark:
        "<benchmarks>/prepare_training_data.tsv"
    threads: 1
    resources:
        gpu=config["resources"]["prepare_data"]["gpu"],
        mem_mb=memory_of("prepare_data"),
        runtime=runtime_of("prepare_data"),
    params:
        data=config["data"]["train"],
        data_root=data_root_for(source_files(config["data"]["train"]["sources"])),
        code=code_of("prepare_training_data.py"),
    script:
        "../workflow_scripts/prepare_training_data.py"


rule select_perfectible:
    """Keep the training problems that the base policy solves sometimes, which a sound algorithm must learn."""
    input:
        base="<results>/base/policy",
        problems="<results>/data/train.jsonl",
    output:
        kept=ensure("<results>/data/train_perfectible.jsonl", non_empty=True),
        counts="<results>/data/perfectible.json",
        accuracy=ensure("<results>/data/base_accuracy.csv", non_empty=True),
    log:
        "<logs>/select_perfectible.log",
    benchmark:
        "<benchmarks>/select_perfectible.tsv"
    threads: config["compute_threads"]
    resources:
        gpu=config["resources"]["evaluate_policy"]["gpu"],
        mem_mb=memory_of("evaluate_policy"),
        runtime=runtime_of("evaluate_policy"),
        checkpoint_lock=config["checkpoint_lock"],
        verification_workers=config["verification"]["workers"],
    params:
        job=selection_job(),
        checkpoints=f"{RESULTS}/checkpoints/select_perfectible",
        code=code_of("select_perfectible.py"),
    script:
        "../workflow_scripts/select_perfectible.py"


rule merge_manifests:
    """Put the counts and hashes of all data sets into one file, for the report and for people."""
    input:
        train="<results>/data/manifests/train.json",
        evaluation=[f"<results>/data/manifests/eval/{task}.json" for task in config["data"]["evaluation"]],
        perfectible=perfectible_counts(),
    output:
        "<results>/data/manifest.json",
    log:
        "<logs>/merge_manifests.log",
    benchmark:
        "<benchmarks>/merge_manifests.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory_of("prepare_data"),
        runtime=runtime_of("prepare_data"),
    params:
        code=code_of("merge_manifests.py"),
    script:
        "../workflow_scripts/merge_manifests.py"
