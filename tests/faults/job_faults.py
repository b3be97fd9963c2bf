"""All faults that strike one job."""

import file_faults
import memory_faults
import number_faults
import process_faults
from fault_kinds import Fault

JOB_FAULTS = (
    Fault(
        "`kill -9` of the job", "the same command goes on from the newest checkpoint", process_faults.kill_job
    ),
    Fault(
        "SIGTERM to the job",
        "it ends after its step with a checkpoint, or at once while it loads or writes results: status 143",
        process_faults.terminate_job,
    ),
    Fault("`kill -9` of a pool worker", "another worker does its task", process_faults.kill_worker),
    Fault("a verifier worker crashes (SIGSEGV)", "another worker does its task", process_faults.crash_worker),
    Fault(
        "two jobs on one folder",
        "the second stops with an error that names the first, or waits: `checkpoint_lock` decides",
        process_faults.start_second_job,
    ),
    Fault(
        "a step takes more memory than there is",
        "the job fails, or the kernel kills it; the same command goes on",
        memory_faults.end_memory,
    ),
    Fault(
        "out of GPU memory (the error is made up)",
        "the error names the keys that make a step smaller, and the same command goes on",
        memory_faults.end_gpu_memory,
    ),
    Fault(
        "the disk is full",
        "the job fails; with room again the same command goes on",
        file_faults.fill_disk,
        needs_mounts=True,
    ),
    Fault(
        "a limit on the size of files",
        "the job fails; without the limit the same command goes on",
        file_faults.limit_file_size,
    ),
    Fault(
        "results turn read-only",
        "the job fails; when they are writable the same command goes on",
        file_faults.turn_read_only,
        needs_mounts=True,
    ),
    Fault(
        "a checkpoint is cut, or a bit of it turned",
        "the log says so, and the one before is used",
        file_faults.damage_checkpoint,
    ),
    Fault(
        "a prepared input is cut",
        "an error names file and line before anything is written",
        file_faults.cut_input,
    ),
    Fault(
        "a data file is cut",
        "an error names the file before anything is written",
        file_faults.cut_source,
    ),
    Fault("the clock jumps by up to ten years", "nothing", file_faults.shift_times),
    Fault(
        "the clock jumps after a job has died elsewhere",
        "its folder is taken over when it was silent for long enough",
        file_faults.claim_of_another_time,
    ),
    Fault(
        "a loss or gradient is not finite",
        "the run stops; the checkpoint of the step before stays",
        number_faults.break_numbers,
    ),
    Fault(
        "the same with a loss scale (fp16)",
        "the update is skipped, counted in `metrics.csv` and noted in the report",
        number_faults.skip_update,
    ),
    Fault(
        "results are read while they are written",
        "a reader finds the older file or the new one",
        process_faults.read_in_write,
    ),
)
