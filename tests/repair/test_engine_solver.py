"""The engine solver with a real policy, random as it is: it opens, takes its turn and is graded."""

from dataclasses import replace

import pytest
from small_calibration import MUTATIONS
from small_models import reference_model

from rlvr.errors import UserError
from rlvr.models.tokenizers import byte_tokenizer
from rlvr.repair.calibration import run_calibration
from rlvr.repair.calibration_files import CalibrationFiles
from rlvr.repair.protocol import first_message


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    room = len(first_message(1).encode()) + 200
    reference_model("qwen2", max_position_embeddings=room).save_pretrained(folder)
    byte_tokenizer().save_pretrained(str(folder))
    return folder


def test_a_local_policy_attempts_the_task(policy, tmp_path):
    files = CalibrationFiles.in_folder(tmp_path, tmp_path / "checkpoints")
    config = replace(MUTATIONS, solver="engine", model=str(policy), runs=2, turns=1, max_tokens=8)
    done = run_calibration(config, files, device="cpu")
    assert done.rate.passed == 0 and done.failures == {"untouched": 2}
    replies = [attempt.turns[0].reply for attempt in done.attempts]
    assert all(replies) and replies[0] != replies[1]


def test_a_policy_whose_context_is_too_short_is_refused(policy, tmp_path):
    files = CalibrationFiles.in_folder(tmp_path, tmp_path / "checkpoints")
    config = replace(MUTATIONS, solver="engine", model=str(policy), runs=1, turns=1, max_tokens=5000)
    with pytest.raises(UserError, match="5000"):
        run_calibration(config, files, device="cpu")
