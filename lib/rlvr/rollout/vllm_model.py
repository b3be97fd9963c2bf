"""What is done to the model inside of vLLM: its worker processes import these functions by name."""

from torch import nn


def weight_dtypes(model: nn.Module) -> list[tuple[str, str]]:
    """Name and dtype of each of vLLM's parameters, which are fused, and on a CPU packed away."""
    return [(name, str(weight.dtype).removeprefix("torch.")) for name, weight in model.named_parameters()]


def repack_tied_head(model: nn.Module) -> None:
    """On a CPU, pack the head of a model with tied embeddings anew.

    vLLM 0.32 computes with a packed copy of the head, and a reload packs only layers that own their weights.
    """
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    dispatch_cpu_unquantized_gemm(model.lm_head, remove_weight=False)
