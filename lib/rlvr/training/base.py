"""The base policy that every run starts from: trained from scratch, or links to a pretrained one."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from rlvr.arithmetic import configure_arithmetic
from rlvr.config.policy import (
    BasePolicyConfig,
    JsonlExamples,
    PretrainedPolicyConfig,
    SftConfig,
    TinyPolicyConfig,
)
from rlvr.devices import describe_device, resolve_device
from rlvr.files import atomic_path, write_csv
from rlvr.models.decoder import Decoder
from rlvr.models.loading import load_tokenizer, policy_folder, read_config, save_policy
from rlvr.models.tiny import decoder_config, initialise
from rlvr.models.tokenizers import small_tokenizer
from rlvr.models.weights import weight_hash
from rlvr.optim import AdamW
from rlvr.precision import torch_dtype
from rlvr.provenance import hash_inputs, resume_identity
from rlvr.sources import code_digest
from rlvr.training.checkpoint import load_checkpoint, save_checkpoint
from rlvr.training.completion import is_orphan, release_checkpoints
from rlvr.training.examples import open_examples
from rlvr.training.owner import only_process
from rlvr.training.sft import METRIC_COLUMNS, Sft

logger = logging.getLogger(__name__)


def prepare_base_policy(
    config: BasePolicyConfig,
    data_root: str | Path,
    device: str,
    policy_path: str | Path,
    metrics_path: str | Path,
    checkpoints_path: str | Path,
    evaluation_paths: Sequence[str | Path] = (),
    code: str | None = None,
) -> None:
    """Write the folder `policy_path` in Hugging Face format, and the metrics of its training.

    `tiny`: trained by SFT in fp32, rounded to `saved_dtype`; the same config gives the same weights on the
    same machine. An interrupted training resumes exactly from `checkpoints_path`, which is empty at the end.
    Examples of a file leave out the questions of the problem files `evaluation_paths`.
    `code`: digest of the code that is run, for resume; computed here (1 s) if not known.
    `pretrained`: a folder of links, and metrics without rows.
    """
    if isinstance(config, PretrainedPolicyConfig):
        _link_pretrained(config, Path(policy_path))
        write_csv(metrics_path, METRIC_COLUMNS, [])
        return
    configure_arithmetic(config.compute_threads, deterministic=True, seed=config.seed)
    with only_process(checkpoints_path):
        code = code or code_digest(__file__)
        training = _train_tiny(
            config, data_root, resolve_device(device), checkpoints_path, evaluation_paths, code
        )
        _save_tiny(config, training, Path(policy_path))
        write_csv(metrics_path, METRIC_COLUMNS, training.state.metrics)
        release_checkpoints(checkpoints_path)


def _optimizer(model: nn.Module, config: SftConfig) -> AdamW:
    # Not torch's own, which imports torch's compiler.
    return AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
    )


def _train_tiny(
    config: TinyPolicyConfig,
    data_root: str | Path,
    device: torch.device,
    checkpoints_path: str | Path,
    evaluation_paths: Sequence[str | Path],
    code: str,
) -> Sft:
    tokenizer = small_tokenizer(config.tokenizer)
    shape = decoder_config(config.architecture, len(tokenizer))
    model = Decoder(shape, master=torch.float32, compute=torch.float32)
    initialise(model, config.architecture.init_std, config.seed)
    examples = open_examples(
        config.examples,
        tokenizer,
        data_root,
        config.seed,
        config.architecture.max_positions,
        evaluation_paths,
    )
    model = model.to(device)
    training = Sft(model, config.sft, _optimizer(model, config.sft), examples, tokenizer.pad_token_id)
    files: list[str | Path] = []
    if isinstance(config.examples, JsonlExamples):
        files = [Path(data_root) / config.examples.path, *evaluation_paths]
    inputs = hash_inputs({str(number): file for number, file in enumerate(files)})
    identity = resume_identity(config, inputs, code, describe_device(device))
    found = load_checkpoint(checkpoints_path, identity)
    if found is not None:
        training.restore(found[1])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    logger.info("training a policy of %d parameters for %d steps", parameters, config.sft.steps)
    training.run(lambda step, snapshot: save_checkpoint(checkpoints_path, step, snapshot, identity))
    if is_orphan():
        save_checkpoint(checkpoints_path, training.state.step, training.snapshot(), identity)
    return training


def _save_tiny(config: TinyPolicyConfig, training: Sft, policy_path: Path) -> None:
    model = training.model.to(torch_dtype(config.saved_dtype))
    assert isinstance(model, Decoder)  # see `_train_tiny`
    logger.info(
        "base policy in %s, weight hash %s", config.saved_dtype, weight_hash(model.named_parameters())
    )
    with atomic_path(policy_path) as temporary:
        temporary.mkdir()
        save_policy(model, small_tokenizer(config.tokenizer), temporary, model.config.to_hf())


def _link_pretrained(config: PretrainedPolicyConfig, policy_path: Path) -> None:
    """A folder of links to the policy's files, checked as far as can be without reading the weights."""
    folder = policy_folder(config.path, config.revision).resolve()
    read_config(folder)
    load_tokenizer(folder)
    with atomic_path(policy_path) as temporary:
        temporary.mkdir()
        for file in sorted(folder.iterdir()):
            if file.is_file():
                (temporary / file.name).symlink_to(file.resolve())
    logger.info("policy links to %s", folder)
