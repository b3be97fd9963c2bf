import numpy as np
import pandas as pd
from synthetic_study import write_provenance

from rlvr.files import read_json
from rlvr.report.provenance import prompts_table
from rlvr.report.words import (
    arm_factors,
    elsewhere_sentences,
    factor_sentences,
    factors_table,
    inert_sentences,
    perfectible_sentences,
    same_weights_sentences,
    uncompared_sentence,
)


def provenance(folder, arms, dropout_rate=0.1):
    """Records and labels of one run for each arm."""
    labels = [(arm, 1, 1) for arm in arms]
    files = [write_provenance(folder / f"{label[0]}.json", label, dropout_rate) for label in labels]
    return [read_json(file) for file in files], labels


def test_factors(tmp_path):
    factors = arm_factors(*provenance(tmp_path, ["fp32", "bf16", "bf16_mixed"]))
    assert factor_sentences(["fp32", "bf16_mixed"], "fp32", factors) == [
        "bf16_mixed differs from fp32 in compute, rollout weights and determinism at once; this "
        "comparison alone cannot say which of them acts."
    ]
    assert "trained elsewhere" in factor_sentences(["fp32", "downloaded"], "fp32", factors)[0]
    assert ("dropout", "none", "standard 0.1", "none") in factors_table(factors).rows
    assert "chance" in factor_sentences(["fp32", "copy"], "fp32", factors | {"copy": factors["fp32"]})[0]


def test_a_mode_name_of_an_arm_trained_elsewhere_says_nothing_of_its_factors(tmp_path):
    factors = arm_factors(*provenance(tmp_path, ["fp32"]))
    assert "trained elsewhere" in factor_sentences(["fp32", "bf16"], "fp32", factors)[0]
    runs = pd.DataFrame({"arm": ["fp32", "fp32", "bf16"], "seed": [1, 7, 1], "rep": 1})
    assert elsewhere_sentences(runs, [("fp32", 1, 1)]) == [
        "fp32 holds runs trained elsewhere too (seed 7); their factors are not known here."
    ]


def test_a_factor_that_cannot_act_is_shown_and_is_no_difference(tmp_path):
    records, labels = provenance(tmp_path, ["fp32", "bf16_mixed"])
    records[1]["inert"] = ["deterministic"]
    factors = arm_factors(records, labels)
    assert ("determinism", "yes", "no (cannot act here)") in factors_table(factors).rows
    assert factor_sentences(["bf16_mixed"], "fp32", factors) == [
        "bf16_mixed differs from fp32 in compute and rollout weights at once; this comparison alone cannot "
        "say which of them acts. They are also set apart in determinism, which cannot act here."
    ]
    records[1]["mode"] |= {"compute": "float32", "rollout": "float32"}
    (sentence,) = factor_sentences(["bf16_mixed"], "fp32", arm_factors(records, labels))
    assert "same factors here" in sentence and "determinism, which cannot act here" in sentence
    assert "alone" not in sentence


def test_a_factor_counts_where_it_acts_in_any_run_of_the_arm(tmp_path):
    (fp32, mixed), labels = provenance(tmp_path, ["fp32", "bf16_mixed"])
    idle = mixed | {"inert": ["deterministic"]}
    factors = arm_factors([fp32, idle, mixed], [*labels, ("bf16_mixed", 2, 1)])
    assert ("determinism", "yes", "no") in factors_table(factors).rows


def test_dropout_that_is_off_is_no_factor_and_is_flagged(tmp_path):
    records, labels = provenance(tmp_path, ["fp32", "bf16"], dropout_rate=0.0)
    assert "dropout" not in [row[0] for row in factors_table(arm_factors(records, labels)).rows]
    assert inert_sentences(records) == [
        "bf16 was trained with a dropout rate of 0 (precision.dropout_rate): it is bf16 without dropout, "
        "and dropout cannot be a cause of any difference."
    ]
    assert inert_sentences(provenance(tmp_path, ["fp32", "bf16"])[0]) == []


def test_arms_that_ended_in_the_same_weights_are_flagged():
    runs = pd.DataFrame(
        [("fp32", 1, "a"), ("fp32", 2, "b"), ("bf16", 1, "a"), ("bf16", 2, "b"), ("mixed", 1, "a"),
         ("mixed", 2, "c")], columns=["arm", "seed", "weight_hash"],
    ).assign(rep=1)  # fmt: skip
    found = same_weights_sentences(runs)
    assert len(found) == 1 and found[0].startswith("fp32 and bf16 ended in identical weights")


def test_prompts_left_out_are_counted(tmp_path):
    records, labels = provenance(tmp_path, ["fp32", "bf16"])
    assert prompts_table(records, labels).rows == ()
    records[1]["prompts"] = {"used": 1388, "too_long": 12, "room": 26}
    assert prompts_table(records, labels).rows == (("bf16", "1,388", "12", "26"),)


def test_why_nothing_was_compared():
    missing = pd.DataFrame([("bf16", 1), ("bf16", 2)], columns=["arm", "seed"])
    one = pd.DataFrame({"arm": ["fp32", "fp32"]})
    assert "no other arm than fp32" in uncompared_sentence(one, missing[:0], "fp32")
    assert "all runs of bf16 are left out" in uncompared_sentence(one, missing, "fp32")
    others = pd.DataFrame({"arm": ["bf16", "sr"]})
    lost = missing.assign(arm="fp32")
    assert "all runs of the reference arm, fp32, are left out" in uncompared_sentence(others, lost, "fp32")


def test_perfectible_problems_and_what_was_reached():
    counts = {
        "kept": 400, "problems": 1850, "lowest": 0.2, "highest": 0.8, "samples": 40, "too_hard": 450,
        "too_easy": 1000,
    }  # fmt: skip
    modes = pd.DataFrame({"arm": ["fp32", "bf16", "elsewhere"], "training_accuracy": [0.97, 0.8, np.nan]})
    (told,) = perfectible_sentences({"train": {"perfectible": counts}}, modes)
    assert "400 of 1,850 problems" in told and "fp32 97 % and bf16 80 %;" in told
    assert "given enough steps" in told and "a curve that still rises has not stalled" in told
    assert perfectible_sentences({"train": {}}, modes) == []
