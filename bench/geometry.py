"""CPU seconds (of one thread) and memory of the update diagnostics.

    OMP_NUM_THREADS=1 python bench/geometry.py       # some minutes; 400 MB of disk in the temporary folder

Memory is the growth of the resident set, mapped pages of the weight files included, in a process of its own
for each case. Weights are random; neither time nor memory depends on them.
"""

import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from rlvr.config.build import build
from rlvr.config.policy import ArchitectureConfig
from rlvr.diagnostics.compare import OverlapSettings, RunFolder, compare_updates
from rlvr.diagnostics.geometry import Checkpoint, GeometrySettings, measure_geometry
from rlvr.diagnostics.spectral import spectrum
from rlvr.models.decoder import Decoder
from rlvr.models.loading import save_policy
from rlvr.models.tiny import decoder_config, initialise
from rlvr.models.tokenizers import character_tokenizer

CONFIG = Path(__file__).parents[1] / "config.yaml"
SETTINGS = GeometrySettings(eta=1e-3, learning_rate=1e-6, storage_dtype="float32", null_draws=1)


def save_shards(folder, layers, rows, columns, seed):
    """One shard a layer, each with one matrix."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    change = torch.Generator().manual_seed(seed)
    files = {}
    for layer in range(layers):
        name, file = f"model.layers.{layer}.mlp.up_proj.weight", f"model-{layer}.safetensors"
        weight = torch.randn(rows, columns, generator=generator) * 0.02
        weight += torch.randn(rows, columns, generator=change) * 1e-5 * (seed > 0)
        save_file({name: weight}, folder / file)
        files[name] = file
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def resident_mib(line):
    status = Path("/proc/self/status").read_text()
    return int(next(own for own in status.splitlines() if own.startswith(line)).split()[1]) / 1024


def measure_in_process(folder, task, results):
    torch.set_num_threads(1)
    spectrum(torch.randn(64, 64), 8)  # libraries loaded
    before, start = resident_mib("VmRSS"), time.process_time()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    if task == "geometry":
        checkpoints = [Checkpoint("fp32", seed, 1, 1, str(folder / f"run{seed}")) for seed in (1, 2)]
        measure_geometry(folder / "base", checkpoints, SETTINGS)
    else:
        runs = [RunFolder("fp32", seed, 1, str(folder / f"run{seed}")) for seed in (1, 2)]
        compare_updates(folder / "base", runs, OverlapSettings(1e-3))
    results.put((time.process_time() - start, resident_mib("VmHWM") - before))


def bench_memory(root):
    print("a base and two runs, float32, one matrix a layer                    model  matrix    CPU   memory")
    context = multiprocessing.get_context("spawn")
    for layers, rows, columns in ((2, 4096, 512), (8, 4096, 512), (2, 16384, 512), (2, 65536, 512)):
        folder = root / f"{layers}x{rows}"
        for seed, name in enumerate(("base", "run1", "run2")):
            save_shards(folder / name, layers, rows, columns, seed)
        for task in ("geometry", "overlap"):
            results = context.Queue()
            process = context.Process(target=measure_in_process, args=(folder, task, results))
            process.start()
            seconds, grown = results.get()
            process.join()
            matrix = rows * columns * 4 / 2**20
            name = f"  {task}, {layers} layers of {rows} × {columns}"
            print(
                f"{name:64s} {layers * matrix:5.0f} MiB {matrix:3.0f} MiB {seconds:5.1f} s {grown:5.0f} MiB",
                flush=True,
            )


def save_tiny(folder, architecture, step):
    tokenizer = character_tokenizer()
    model = Decoder(decoder_config(architecture, len(tokenizer)), torch.float32, torch.float32)
    initialise(model, architecture.init_std, seed=0)
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=1e-3 * (step > 0))
    folder.mkdir(parents=True)
    save_policy(model, tokenizer, folder, model.config.to_hf())


def bench_default_study(root):
    architecture = build(ArchitectureConfig, yaml.safe_load(CONFIG.read_text())["base"]["architecture"])
    save_tiny(root / "base", architecture, 0)
    for number in range(1, 26):
        save_tiny(root / f"run{number}", architecture, number)
    settings = GeometrySettings(eta=1e-3, learning_rate=1e-4, storage_dtype="float32")
    checkpoints = [Checkpoint("fp32", number, 1, 1, str(root / f"run{number}")) for number in range(1, 21)]
    start = time.process_time()
    rows = measure_geometry(root / "base", checkpoints, settings)
    seconds = time.process_time() - start
    print(
        f"default policy, one mode, 5 runs × 4 checkpoints, 4 null draws: {seconds:.1f} s, {len(rows)} rows"
    )
    runs = [RunFolder("fp32", number, 1, str(root / f"run{number}")) for number in range(1, 26)]
    start = time.process_time()
    compare_updates(root / "base", runs, OverlapSettings(1e-3))
    print(f"default policy, overlap of 25 runs: {time.process_time() - start:.1f} s", flush=True)


def bench_spectrum():
    print("exact spectrum of one matrix, float64           Gram + eigh      svd")
    for rows, columns in ((1536, 1536), (8960, 1536), (3584, 3584)):
        weight = torch.randn(rows, columns) * 0.02
        start = time.process_time()
        spectrum(weight, 8)
        gram = time.process_time() - start
        start = time.process_time()
        torch.linalg.svd(weight.double(), full_matrices=False)
        print(f"  {rows} × {columns:<36d} {gram:8.1f} s {time.process_time() - start:8.1f} s", flush=True)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bench_default_study(Path(folder) / "tiny")
        bench_memory(Path(folder))
    bench_spectrum()


if __name__ == "__main__":
    main()
