"""Repositories of the Hugging Face hub at a pinned commit, read from the cache and never from the network.

`rlvr.fetch` fills the cache (HF_HOME), on a machine with internet.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlvr.errors import UserError

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")
# What a policy in Hugging Face format consists of: weights, configs, tokenizer. Other formats of the same
# weights, which many repositories hold too, are left where they are.
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True)
class HubRepository:
    """A model or data set of the hub at one commit; another revision, such as a branch, is a UserError."""

    kind: Literal["model", "dataset"]
    name: str
    revision: str

    def __post_init__(self) -> None:
        if not COMMIT.fullmatch(self.revision):
            raise UserError(
                f"{self.kind} {self.name}: the revision is {self.revision or 'missing'}; pin its revision, a "
                "commit of 40 hexadecimal digits, so that every run reads the same files; the newest one is "
                f"printed by: git ls-remote {self.address} HEAD"
            )

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"

    @property
    def address(self) -> str:
        """Where the hub shows it, which is also its git repository."""
        return f"https://huggingface.co/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"


def cached_snapshot(repository: HubRepository, files: Sequence[str]) -> Path:
    """The folder of a repository's files in the cache.

    `files`: names or patterns; one that the repository has but the cache lacks, or has only a part of, is a
    UserError that names the command to fetch it, and so is a repository that is not there at all.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=list(files),
            local_files_only=True,
        )
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise missing_from_cache(repository, str(error)) from error
    _require_whole(repository, Path(folder), files)
    return Path(folder)


def missing_from_cache(repository: HubRepository, reason: str) -> UserError:
    """The error of a job whose files have not been fetched."""
    from huggingface_hub import constants

    kind = "" if repository.kind == "model" else " --repo-type dataset"
    return UserError(
        f"{repository.kind} {repository} is not, or not wholly, in the hub cache {constants.HF_HUB_CACHE}; "
        "jobs do not use the network. On a machine with internet: make fetch CONFIG=<the config file>, or "
        "snakemake fetch --cores 1 --configfile <the config file>, or "
        f"hf download {repository.name} --revision {repository.revision}{kind}. Then copy its HF_HOME here, "
        f"or set HF_HOME to where it lies\n({reason})"
    )


def cached_files(repository: HubRepository) -> list[str]:
    """Names of all files that a repository has at its commit, whether or not they have been fetched.

    They come from the listing that a download leaves in the cache. A cache without it (of an older hub
    client, or made by hand) is a UserError: what it lacks of a split could not be known.
    """
    sizes = _listed_sizes(repository)
    if sizes is None:
        folder = cached_snapshot(repository, [])
        listing = folder.parents[1] / "trees" / f"{repository.revision}.json"
        raise missing_from_cache(
            repository, f"there is no {listing}, which lists all files; every fetch writes it"
        )
    return sorted(sizes)


def _listed_sizes(repository: HubRepository) -> dict[str, int] | None:
    """Bytes of each file of a repository, by name; None for a cache without the listing."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        tree = get_cached_repo_tree(repository.name, repo_type=repository.kind, revision=repository.revision)
    except CachedRepoTreeNotFoundError:
        return None
    return {file.path: file.size for file in tree}


def _require_whole(repository: HubRepository, folder: Path, files: Sequence[str]) -> None:
    """UserError for files that have other sizes than on the hub, as those of a copy that was broken off."""
    from huggingface_hub.utils import filter_repo_objects

    sizes = _listed_sizes(repository) or {}
    for name in filter_repo_objects(sizes, allow_patterns=list(files)):
        found = (folder / name).stat().st_size
        if found != sizes[name]:
            blob = (folder / name).resolve()
            raise missing_from_cache(
                repository,
                f"{name} has {found} bytes instead of {sizes[name]}: delete {blob}, and it is fetched again",
            )
