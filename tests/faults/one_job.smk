configfile: "job.json"


rule train_policy:
    """Train the policy of a trial, by the adaptor of the workflow's own rule."""
    input:
        base=config["base"],
        problems=config["problems"],
    output:
        policy=directory("out/policy"),
        snapshots=directory("out/snapshots"),
        metrics="out/metrics.csv",
        rollouts="out/rollouts.jsonl.gz",
        tensorboard=directory("out/tensorboard"),
        provenance="out/provenance.json",
    log:
        "job.log",
    resources:
        gpu=0,
        checkpoint_lock="stop",
        verification_workers=1,
    params:
        job=config["job"],
        checkpoints="out/checkpoints",
        code="code of the trials",
    script:
        "../../workflow_scripts/train_policy.py"
