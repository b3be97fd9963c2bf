"""Fill the hub cache (HF_HOME) with what a config names, on a machine with internet."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, TypedDict

from rlvr.config.places import HubNeed
from rlvr.data.hub_card import CARD
from rlvr.data.hub_rows import files_of
from rlvr.errors import UserError
from rlvr.files import write_json
from rlvr.hub import MODEL_FILES, HubRepository, cached_snapshot
from rlvr.models.weight_files import missing_weight_files

logger = logging.getLogger(__name__)


class Fetched(TypedDict):
    """What the record says of a repository."""

    kind: str
    repo: str
    revision: str
    files: int
    bytes: int


def fetch(needs: Sequence[HubNeed], record_path: str | Path, screen: TextIO) -> None:
    """Download what is not in the cache yet, say on `screen` what is there now, and write a record of it.

    Of a data set only the files of the named subsets and splits are fetched, of a model weights, configs and
    tokenizer. Without network, or for a repository that the hub does not give, UserError.
    """
    from huggingface_hub import constants

    record = [_fetch_one(need) for need in needs]
    for entry in record:
        screen.write(
            f"{entry['kind']} {entry['repo']}@{entry['revision']}: {entry['files']} files, "
            f"{entry['bytes'] / 1e6:,.1f} MB\n"
        )
    total = sum(entry["bytes"] for entry in record)
    screen.write(
        f"{len(record)} repositories, {total / 1e9:,.2f} GB, are in {constants.HF_HUB_CACHE}\n"
        if record
        else "the config names nothing on the hub\n"
    )
    screen.flush()
    write_json(record_path, record)


def _fetch_one(need: HubNeed) -> Fetched:
    repository = HubRepository(need.kind, need.repo, need.revision)
    wanted = list(MODEL_FILES)
    if need.kind == "dataset":
        _download(repository, [CARD])
        wanted = [
            name for subset in need.subsets or ("",) for name in files_of(repository, subset, need.split)
        ]
    folder = _download(repository, wanted)
    if need.kind == "model":
        _require_weights(repository, folder)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {
        "kind": need.kind,
        "repo": need.repo,
        "revision": need.revision,
        "files": len(sizes),
        "bytes": sum(sizes),
    }


def _require_weights(repository: HubRepository, folder: Path) -> None:
    """UserError for a model that is in the cache without all of its weights: offline nothing else is said."""
    if missing := missing_weight_files(folder):
        raise UserError(
            f"model {repository}: the cache lacks {', '.join(missing)}, which could not be fetched: no "
            "network, HF_HUB_OFFLINE is set, or the repository has no weights as safetensors"
        )


def _download(repository: HubRepository, files: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        XetDownloadError,
    )

    logger.info("%s %s: %s", repository.kind, repository, ", ".join(files))
    try:
        snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=repository.revision,
            allow_patterns=list(files),
        )
    except GatedRepoError as error:
        raise UserError(
            f"{repository.kind} {repository} is open to registered users only: accept its terms at "
            f"{repository.address}, then hf auth login\n({error})"
        ) from error
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"{repository.kind} {repository} could not be fetched: no network, or the hub does not answer. "
            f"Run this on a machine that reaches {repository.address}\n({error})"
        ) from error
    except (HTTPError, XetDownloadError, HFValidationError, OSError) as error:
        raise UserError(
            f"{repository.kind} {repository} could not be fetched; try again, or see whether "
            f"{repository.address} is there and has this commit\n({error})"
        ) from error
    return cached_snapshot(repository, files)
