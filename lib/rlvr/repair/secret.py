"""The grader's secret, from which the hidden inputs of a submission are drawn.

The hidden inputs must be the same each time that a submission is graded, and unknown to it. So they come from
a seed HMAC-SHA256(secret, dropout.py), and the secret has to outlive the process and lie where no submission
reads: in the environment variable RLVR_GRADER_SECRET, or else in a file of this installation that is made at
first use, 32 random bytes readable by its owner alone. The jailed worker gets neither: its environment is
empty, and the sandbox's stronger layers hide the owner's files. No result holds a number that depends on the
secret, so two installations write the same results.
"""

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from rlvr.errors import UserError

VARIABLE = "RLVR_GRADER_SECRET"


def secret_file() -> Path:
    """Where this installation keeps its secret: `rlvr/grader_secret` in the user's state folder (XDG)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "rlvr" / "grader_secret"


def grader_secret() -> bytes:
    """The secret; made and kept if there is none yet. UserError where it can be neither read nor kept."""
    given = os.environ.get(VARIABLE)
    if given:
        return given.encode()
    path = secret_file()
    try:
        if not path.exists():
            _create(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UserError(f"{path}: others can read the grader's secret; chmod 600 it, or remove it")
        found = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: the grader's secret cannot be kept there ({error.strerror}); set the environment "
            f"variable {VARIABLE} to a secret text"
        ) from error
    if len(found) < 16:
        raise UserError(f"{path}: the grader's secret is damaged; remove the file, and a new one is made")
    return found


def _create(path: Path) -> None:
    """Write a new secret whole or not at all; whichever process links first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink()


def hidden_seed(secret: bytes, submission: bytes) -> int:
    """The seed of a submission's hidden inputs, in [0, 2²⁵⁶)."""
    return int.from_bytes(hmac.digest(secret, submission, hashlib.sha256))
