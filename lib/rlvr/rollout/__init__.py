"""Sampling responses from a policy."""

from rlvr.rollout.engine import GenerationRequest, Rollout, RolloutEngine, SamplingParams
from rlvr.rollout.opening import open_engine

__all__ = ["GenerationRequest", "Rollout", "RolloutEngine", "SamplingParams", "open_engine"]
