"""Run by torchrun: several training jobs one after the other, in the same processes.

`python -m torch.distributed.run --standalone --nproc-per-node 2 tests/sharded_jobs.py FOLDER`; every folder
inside of FOLDER with a `job.json` is one, and `stop.json` in it names a step in which the last process alone
gets a SIGTERM. `optimizers.pt` in FOLDER is what `updated` gives.
"""

import signal
import sys
from pathlib import Path

import torch

from rlvr.config.build import build
from rlvr.files import read_json
from rlvr.optim import AdamW
from rlvr.processes import is_first_process, join_processes, process_count, process_rank
from rlvr.shards import whole
from rlvr.sigterm import Terminated
from rlvr.training import grpo
from rlvr.training.gradients import add_relative_noise, clip_gradients
from rlvr.training.metrics import second_moments_stuck
from rlvr.training.run import run_training
from rlvr.training.worker import SharedJob

CPU = torch.device("cpu")
# A weight with one row more than processes divide evenly, one with fewer rows than there are processes, and
# one of which all elements are tracked.
SHAPES = ((7, 30), (1, 40), (5,))
OPTIMIZERS = {
    "nearest": (torch.float32, torch.float32),
    "stochastic": (torch.bfloat16, torch.bfloat16),
    "kahan": (torch.bfloat16, torch.bfloat16),
}


def updated(write_back, divide):
    """Weights and state after some steps of an optimiser, with its measures; `divide` makes its tensors."""
    weights, state = OPTIMIZERS[write_back]
    generator = torch.Generator().manual_seed(0)

    def made():
        return [torch.randn(shape, generator=generator).to(weights) for shape in SHAPES]

    parameters = [torch.nn.Parameter(divide(weight)) for weight in made()]
    optimizer = AdamW(parameters, 0.1, state_dtype=state, write_back=write_back, seed=3, tracked=20)
    norms = []
    for step in range(3):
        for parameter, gradient in zip(parameters, made(), strict=True):
            parameter.grad = divide(gradient)
        add_relative_noise([parameter.grad for parameter in parameters], 0.1, seed=step)
        norms.append(clip_gradients(parameters, 2.0**60))
        optimizer.step()
    return {
        "weights": [whole(parameter.detach()) for parameter in parameters],
        "state": {
            index: {key: whole(value) if torch.is_tensor(value) else value for key, value in own.items()}
            for index, own in optimizer.state_dict()["state"].items()
        },
        "measures": [optimizer.lost_update(), second_moments_stuck(optimizer), *norms],
    }


def _divided(tensor):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    return distribute_tensor(tensor, init_device_mesh("cpu", (process_count(),)), [Shard(0)])


def _stop_in(step):
    """Send a SIGTERM to the last process in the middle of a step; the function that takes that back."""
    train_step = grpo.train_step

    def signalled(setting, number):
        if number + 1 == step and process_rank() == process_count() - 1:
            signal.raise_signal(signal.SIGTERM)
        return train_step(setting, number)

    grpo.train_step = signalled
    return lambda: setattr(grpo, "train_step", train_step)


def main(folder):
    """Run everything in the folder."""
    torch.set_num_threads(1)
    join_processes(CPU, 1.0)
    results = {write_back: updated(write_back, _divided) for write_back in OPTIMIZERS}
    if is_first_process():
        torch.save(results, folder / "optimizers.pt")
    for place in sorted(file.parent for file in folder.glob("*/job.json")):
        shared = build(SharedJob, read_json(place / "job.json"))
        stop = place / "stop.json"
        restore = _stop_in(read_json(stop)) if stop.exists() else lambda: None
        try:
            run_training(shared.job, shared.files, shared.verification_workers, shared.code)
        except Terminated:
            if not stop.exists():
                raise
        finally:
            restore()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
