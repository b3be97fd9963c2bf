"""Where the data and the policies of a config come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Section = Mapping[str, Any]


@dataclass(frozen=True)
class HubNeed:
    """What a config reads of the hub: a model, or subsets (none: the default one) and split of a data set."""

    kind: Literal["model", "dataset"]
    repo: str
    revision: str
    subsets: tuple[str, ...] = ()
    split: str = ""


def data_sources(config: Section) -> Iterator[tuple[str, Section]]:
    """Key and section of every source of rows."""
    data, alignment, advantage = (
        config["data"],
        config["alignment"]["data"],
        config["advantage"]["grpo"]["data"],
    )
    for number, source in enumerate(data["train"]["sources"]):
        yield f"data.train.sources.{number}", source
    for task, section in data["evaluation"].items():
        yield f"data.evaluation.{task}.source", section["source"]
    for part in ("sft", "train", "validation"):
        yield f"alignment.data.{part}", alignment[part]
    for part in ("train", "validation"):
        yield f"advantage.grpo.data.{part}", advantage[part]
    for key, base in _bases(config):
        if "examples" in base:
            yield f"{key}.examples", base["examples"]


def _bases(config: Section) -> Iterator[tuple[str, Section]]:
    yield "base", config["base"]
    yield "alignment.base", config["alignment"]["base"]
    yield "advantage.grpo.base", config["advantage"]["grpo"]["base"]


def policies(config: Section) -> Iterator[tuple[str, str, str]]:
    """Key, folder or hub id, and revision of every policy that was made elsewhere."""
    for key, base in _bases(config):
        if base["kind"] == "pretrained":
            yield f"{key}.path", base["path"], base["revision"]
    for number, policy in enumerate(config["precision"]["external_policies"]):
        yield f"precision.external_policies.{number}.path", policy["path"], policy["revision"]
    repair = config["repair"]
    if repair["solver"] == "engine":
        yield "repair.model", repair["model"], repair["revision"]


def hub_needs(config: Section) -> list[HubNeed]:
    """All that a valid config reads of the hub, each once: data sets first."""
    needs = [
        HubNeed("dataset", source["repo"], source["revision"], tuple(source["subsets"]), source["split"])
        for _, source in data_sources(config)
        if source["kind"] == "hub"
    ]
    needs += [
        HubNeed("model", path, revision) for _, path, revision in policies(config) if not Path(path).is_dir()
    ]
    return list(dict.fromkeys(needs))
