"""Lines as Snakemake 9.27 writes them into its log."""

HEAD = """\
Building DAG of jobs...
Job stats:
job                count
---------------  -------
train_policy           3
evaluate_policy        3
all                    1
total                  7

Select jobs to execute...
"""


def clock(second):
    return f"[Wed Nov 26 10:{second // 60:02}:{second % 60:02} 2025]\n"


def start(second, number, rule, name, wildcards):
    return (
        f"Execute 1 jobs...\n{clock(second)}localrule {rule}:\n"
        f"    input: results/study/base/policy\n    output: results/study/{name}/policy\n"
        f"    log: results/study/logs/{rule}/{name}.log\n    jobid: {number}\n"
        f"    benchmark: results/study/benchmarks/{rule}/{name}.tsv\n    reason: Missing output files: x\n"
        f"    wildcards: {wildcards}\n    resources: tmpdir=/tmp, gpu=0, runtime=60\n"
    )


def finish(second, number, rule, done):
    return (
        f"{clock(second)}Finished jobid: {number} (Rule: {rule})\n{done} of 7 steps ({done * 14}%) done\n"
        "Select jobs to execute...\n"
    )


def fail(second, number, rule, name):
    log = f"results/study/logs/{rule}/{name}.log"
    return (
        'RuleException:\nCalledProcessError in file "/x/rules/precision.smk", line 230:\n'
        f"{clock(second)}Error in rule {rule}:\n    message: None\n    jobid: {number}\n"
        f"    input: results/study/base/policy\n    log: {log} (check log file(s) for error details)\n"
        f"Logfile {log}:\n=====\n10:27:37 error: bad\n=====\nTrying to restart job {number}.\n"
    )


END = "Complete log(s): /x/.snakemake/log/2025-11-26T100000.000000.snakemake.log\nElapsed time: 0:00:27\n"
# A group of jobs in one SLURM job fails: its error has no headline, and its jobs are indented.
GROUP = (
    f"{clock(0)}group job 5f (jobs in lexicogr. order):\n    {clock(0)}    rule train_policy:\n"
    "        log: results/study/logs/train_policy/a.log\n        jobid: 4\n        wildcards: mode=fp32\n"
    f"{clock(30)}    message: SLURM job 12 failed\n    jobs:\n        rule train_policy:\n"
    "            jobid: 4\n"
    "            log: results/study/logs/train_policy/a.log (check log file(s) for error details)\n"
)
