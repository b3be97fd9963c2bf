# The studies as one DAG: configuration, then the rules in the order of the data's way through them.
import gc
import re
import sys

from snakemake.utils import min_version

from rlvr.config.load import ConfigError, check_data_files, check_repeated_keys, validate_config

min_version("9.14")
# A large DAG is millions of objects and hardly any garbage: looking for it often takes much of a dry run's time.
gc.set_threshold(200_000, 20, 50)


# Another config file replaces the default one wholly, since its tasks must not mix with the default's; what it
# leaves out comes from config/schema.yaml. `--config` changes single values of either.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config.yaml"


try:
    for path in workflow.configfiles:
        check_repeated_keys(path)
    config = validate_config(config)
    check_data_files(config)
except ConfigError as error:
    sys.exit(f"error: {error}")


include: "rules/common.smk"


# Only for `--sdm apptainer`; containers/rlvr.def says how to build it.
container: "containers/rlvr.sif"


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


wildcard_constraints:
    mode="|".join(config["precision"]["modes"]),
    seed=r"\d+",
    rep=r"\d+",
    task="|".join(config["data"]["evaluation"]),
    suite="|".join(SUITES),
    policy=r"[\w-]+",
    prompt="|".join(ALIGNMENT["prompts"]),
    arm=r"[\w=,.+-]+",
    method="|".join(re.escape(method) for method in REFERENCE_METHODS),
    estimator="|".join(ESTIMATORS),


include: "rules/fetch.smk"
include: "rules/data.smk"
include: "rules/base_policy.smk"
include: "rules/precision.smk"
include: "rules/alignment.smk"
include: "rules/advantage.smk"
include: "rules/repair.smk"
include: "rules/report.smk"


rule all:
    """Every study, with its report."""
    default_target: True
    input:
        rules.precision.input,
        rules.alignment.input,
        rules.advantage.input,
        rules.repair.input,


save_facts(CODE_FACTS)
