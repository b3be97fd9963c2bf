"""Policies from and to folders in Hugging Face format."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from rlvr.errors import UserError
from rlvr.files import read_json, write_json
from rlvr.hub import HUB_ID, MODEL_FILES, HubRepository, cached_snapshot
from rlvr.models.decoder import Decoder
from rlvr.models.decoder_config import DecoderConfig
from rlvr.models.policy_model import PolicyModel
from rlvr.models.sharding import shard
from rlvr.models.tokenizers import SmallTokenizer, TextTokenizer
from rlvr.models.transformers_model import load_transformers_model
from rlvr.models.weight_files import CONFIG_FILE, SINGLE_FILE
from rlvr.models.weights import copy_weights, read_weights, write_weights

logger = logging.getLogger(__name__)

GENERATION_CONFIG_FILE = "generation_config.json"


def policy_folder(path: str | Path, revision: str = "") -> Path:
    """The local folder of a policy: `path` itself, or the hub id `path` at commit `revision` in the cache.

    The network is never asked. No folder and no hub id that is pinned and fetched: UserError.
    """
    if Path(path).is_dir():
        return Path(path)
    if not HUB_ID.fullmatch(str(path)):
        raise UserError(f"{path}: no such folder, and no hub id (owner/name)")
    return cached_snapshot(HubRepository("model", str(path), revision), MODEL_FILES)


def read_config(folder: str | Path) -> dict[str, Any]:
    """The raw config.json of a policy folder."""
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{folder}: no {CONFIG_FILE}, so this is no policy in Hugging Face format")
    try:
        return read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: is not valid JSON ({error})") from error


def load_policy(
    path: str | Path,
    master: torch.dtype,
    compute: torch.dtype,
    logits_fp32: bool = True,
    device: str | torch.device = "cpu",
    divided: bool = False,
) -> PolicyModel:
    """A causal language model whose call returns an object with `.logits` (B, S, vocabulary).

    Its method `label_scores` gives log-probabilities without all logits (`Decoder.label_scores`).
    Qwen2- and Llama-family models become a `Decoder`. Any other architecture goes through transformers:
    weights in `master`, and torch's autocast to `compute` where the two differ; its casts are then torch's.
    `logits_fp32` says for both whether the logits come in fp32 or in the dtype of the last product.
    `divided`: among all processes that share the job (a collective). Each reads its part of a `Decoder`'s
    weights only; a model of transformers must fit on each one's device before it is divided.
    The model's `end_ids` are the ids that end a response by its own files; engines add the tokenizer's EOS.
    """
    folder = policy_folder(path)
    config = DecoderConfig.from_hf(read_config(folder))
    if config is None:
        logger.info("%s: not of the Qwen2 or Llama family, computed by transformers", folder)
        model = load_transformers_model(folder, master, compute, logits_fp32, torch.device(device))
        if divided:
            shard(model, torch.device(device))
    else:
        with torch.device("meta" if divided else "cpu"):
            model = Decoder(config, master, compute, logits_fp32)
        if divided:
            shard(model, torch.device(device))
            model.to_empty(device=device)
        ignored = frozenset({"lm_head.weight"}) if config.tied_embeddings else frozenset()
        copy_weights(read_weights(folder), dict(model.named_parameters()), ignored)
        model = model.to(device)
    model.end_ids = _end_ids(folder)
    return model


def _end_ids(folder: Path) -> frozenset[int]:
    """Every `eos_token_id` of the folder's configs: chat models end a turn with more than the tokenizer's."""
    ids: set[int] = set()
    for name in (CONFIG_FILE, GENERATION_CONFIG_FILE):
        found = read_json(folder / name).get("eos_token_id") if (folder / name).is_file() else None
        if found is not None:
            ids.update(found if isinstance(found, list) else [found])
    return frozenset(ids)


def load_tokenizer(path: str | Path) -> TextTokenizer:
    """The tokenizer of a policy, with a pad token: EOS where it has none of its own.

    A pad token beyond the model's vocabulary counts as none: transformers adds one to Qwen2 tokenizers that
    lack it, and the model has no row for it. UserError without an EOS that the model knows, and
    without tokens for text: transformers makes an empty tokenizer where the folder has no files of one.
    """
    folder = policy_folder(path)
    small = SmallTokenizer.read(folder)
    if small is not None:
        return small
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise UserError(f"{folder}: no tokenizer with tokens for text; add its files (tokenizer.json)")
    config = read_config(folder)
    if "vocab_size" not in config:
        kind = config.get("model_type", "none")
        raise UserError(
            f"{folder}/{CONFIG_FILE}: has no vocab_size (model_type {kind}); allowed are causal language "
            "models of text alone"
        )
    vocabulary = config["vocab_size"]
    if tokenizer.eos_token_id is None or tokenizer.eos_token_id >= vocabulary:
        raise UserError(
            f"{folder}: the tokenizer has no end-of-sequence token among the model's {vocabulary} tokens, so "
            "responses could never end; set eos_token in its tokenizer_config.json"
        )
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= vocabulary:
        tokenizer.pad_token = tokenizer.eos_token
    return cast(TextTokenizer, tokenizer)  # both ids are there, as said above


def save_policy(
    model: nn.Module, tokenizer: TextTokenizer, path: str | Path, source_config: Mapping[str, Any]
) -> None:
    """Write a policy into the existing folder `path`, weights in the dtype that they have.

    `source_config`: the config.json that the model came from (`read_config`) or `DecoderConfig.to_hf`.
    generation_config.json names all ids that end a response, so that the policy ends alike when loaded again.
    """
    folder = Path(path)
    eos = source_config.get("eos_token_id")
    eos = tokenizer.eos_token_id if eos is None else eos
    ends = sorted(getattr(model, "end_ids", frozenset()) | {tokenizer.eos_token_id})
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    config = {key: value for key, value in source_config.items() if key != "torch_dtype"}
    write_json(folder / CONFIG_FILE, config | {"dtype": dtype, "eos_token_id": eos})
    generation = {
        "eos_token_id": ends if len(ends) > 1 else ends[0],
        "pad_token_id": tokenizer.pad_token_id,
    }
    write_json(folder / GENERATION_CONFIG_FILE, generation)
    tokenizer.save_pretrained(str(folder))
    write_weights(model.named_parameters(), folder)
    shutil.copymode(folder / CONFIG_FILE, folder / SINGLE_FILE)  # safetensors makes files for the owner alone
