"""The rule of the perfectible problems is in the DAG exactly where the study asks for it."""

TINY = ("--configfile", "config/tiny.yaml")
ENABLED = (*TINY, "--config", "precision={perfectible: {enabled: true}}")


def test_a_study_without_it_selects_nothing(project):
    planned = project.planned(*TINY)
    assert planned["train_policy"] == 4
    assert "select_perfectible" not in planned


def test_runs_train_on_the_selection_where_it_is_asked_for(project):
    planned = project.planned("results/tiny/precision/train/fp32/seed1/rep1/policy", *ENABLED)
    assert planned["select_perfectible"] == planned["train_policy"] == 1


def test_the_manifest_has_its_counts_where_it_is_asked_for(project):
    planned = project.planned("results/tiny/data/manifest.json", *ENABLED)
    assert planned["select_perfectible"] == planned["train_base_policy"] == planned["merge_manifests"] == 1
