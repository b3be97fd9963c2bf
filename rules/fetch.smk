# What a config names on the Hugging Face hub, into the hub cache (HF_HOME), so that no other job needs the network.


localrules:
    fetch_hub,


rule fetch:
    """Data sets and policies of the hub, at their pinned commits, into the hub cache; needs internet."""
    input:
        "<results>/hub/fetched.json",


rule fetch_hub:
    """Download what the config names and the cache lacks; `make fetch` repeats it, since a cache can be lost."""
    input:
        [],
    output:
        record="<results>/hub/fetched.json",
    log:
        "<logs>/fetch_hub.log",
    benchmark:
        "<benchmarks>/fetch_hub.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=memory_of("prepare_data"),
        runtime=runtime_of("prepare_data"),
    params:
        needs=[asdict(need) for need in hub_needs(config)],
        code=code_of("fetch_hub.py"),
    script:
        "../workflow_scripts/fetch_hub.py"
