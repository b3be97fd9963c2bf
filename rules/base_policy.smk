# The policy that every run starts from, and policies trained elsewhere.


rule train_base_policy:
    """Train the base policy by SFT, or link a pretrained one, so that all runs start from equal weights."""
    input:
        sources=base_sources,
        evaluation=base_excludes,
    output:
        policy=directory("<results>/base/policy"),
        metrics="<results>/base/metrics.csv",
    log:
        "<logs>/train_base_policy.log",
    benchmark:
        "<benchmarks>/train_base_policy.tsv"
    threads: config["base"].get("compute_threads", 1)
    resources:
        gpu=config["resources"]["train_base_policy"]["gpu"],
        mem_mb=memory_of("train_base_policy"),
        runtime=runtime_of("train_base_policy"),
        checkpoint_lock=config["checkpoint_lock"],
    params:
        base=config["base"],
        data_root=lambda wildcards: data_root_for(base_sources(wildcards)),
        device=config["device"],
        checkpoints=f"{RESULTS}/checkpoints/train_base_policy",
        code=code_of("train_base_policy.py"),
    script:
        "../workflow_scripts/train_base_policy.py"


use rule train_base_policy as fetch_external_policy with:
    """Link a policy trained elsewhere, from a folder or the hub, so that it can be evaluated like the others."""
    input:
        sources=lambda wildcards: local_folder(EXTERNAL_POLICIES[wildcards.policy]["path"]),
        evaluation=[],
    output:
        policy=directory("<results>/precision/external/{policy}/policy"),
        metrics="<results>/precision/external/{policy}/metrics.csv",
    log:
        "<logs>/fetch_external_policy/{policy}.log",
    benchmark:
        "<benchmarks>/fetch_external_policy/{policy}.tsv"
    params:
        base=external_policy,
        data_root="",
        device=config["device"],
        checkpoints=f"{RESULTS}/checkpoints/fetch_external_policy/{{policy}}",
        code=code_of("train_base_policy.py"),
