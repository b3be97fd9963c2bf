"""Faults of files: no room, no right to write, damage, and times that are far off."""

import os
import random
import resource
import shutil
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from fault_bed import BadEnd, Bed, Run, TooLate, Trial, draw_moment, in_words, outputs
from fault_kinds import struck
from fault_mounts import mounted, read_only

from rlvr.config.data import TrainDataConfig
from rlvr.config.sources import JsonlSource
from rlvr.data.prepare import prepare_training_data
from rlvr.errors import UserError
from rlvr.files import sha256_file, write_jsonl
from rlvr.training.claims import Owner, make_claim

DISK, BALLAST = "16m", "ballast"
# Less than a checkpoint of the tiny policy has.
LITTLE = 100_000
TEN_YEARS = 10 * 365 * 24 * 3600.0
END = "clear error, then same hashes"


def fill_disk(bed: Bed, chance: random.Random) -> Trial:
    order, moment, left = bed.new_order(), draw_moment(chance), chance.randrange(LITTLE)
    out = outputs(order)
    older = out.rename(out.with_name("older"))
    out.mkdir()
    with mounted(out, "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs"):
        shutil.copytree(older, out, dirs_exist_ok=True)
        run = struck(bed, order, moment, lambda run: _fill(out, left))
        said = run.demand("No space left on device")
        (out / BALLAST).unlink()
        bed.rerun(order)
    return Trial(f"{moment}, {left} bytes left", END, said)


def _fill(disk: Path, left: int) -> None:
    """Fill the disk but for some bytes."""
    with (disk / BALLAST).open("wb") as file:
        while True:
            free = os.statvfs(disk)
            with suppress(OSError):  # the job has written meanwhile
                os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_bsize - left))
                return


def limit_file_size(bed: Bed, chance: random.Random) -> Trial:
    moment, size = draw_moment(chance), chance.randrange(1000, LITTLE)
    run = struck(bed, bed.new_order(), moment, lambda run: _limit(run, size))
    said = run.demand("File too large")
    bed.rerun(run.order)
    return Trial(f"{moment}, {size} bytes allowed", END, said)


def _limit(run: Run, size: int) -> None:
    """From now on no file of the job gets longer; TooLate if it has ended."""
    try:
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (size, size))
    except ProcessLookupError:
        raise TooLate from None


def turn_read_only(bed: Bed, chance: random.Random) -> Trial:
    order, moment = bed.new_order(), draw_moment(chance)
    with ExitStack() as stack:
        run = struck(bed, order, moment, lambda run: stack.enter_context(read_only(outputs(order))))
    said = run.demand("Error: .*Read-only file system")
    bed.rerun(order)
    return Trial(str(moment), END, said)


def damage_checkpoint(bed: Bed, chance: random.Random) -> Trial:
    moment = draw_moment(chance, first_step=2)
    run = struck(bed, bed.new_order(), moment, lambda run: run.process.kill())
    found = sorted(Path(run.order.files.checkpoints).glob("step*"))
    if not found:  # it had removed them, as the last thing that it does
        raise TooLate
    *_, previous, newest = found
    file = newest / chance.choice(("state.pt", "facts.json"))
    how = _damage(file, chance)
    rerun = bed.rerun(run.order)
    rerun.demand(f"resuming from .*{previous.name}")
    said = rerun.demand(f"{newest.name} (is damaged|is unreadable|belongs to another)")
    return Trial(f"{moment}, {file.name} {how}", "same hashes", said)


def _damage(file: Path, chance: random.Random) -> str:
    """Cut a file, or turn one bit of it; how, in words."""
    content = bytearray(file.read_bytes())
    place, bit = chance.randrange(len(content)), chance.randrange(8)
    if chance.random() < 0.5:
        file.write_bytes(content[:place])
        return f"cut to {place} of {len(content)} bytes"
    content[place] ^= 1 << bit
    file.write_bytes(content)
    return f"with bit {bit} of byte {place} turned"


def cut_input(bed: Bed, chance: random.Random) -> Trial:
    order = bed.new_order(own_base=True)
    file = Path(chance.choice((order.files.problems, f"{order.files.base}/model.safetensors")))
    whole = file.read_bytes()
    place = _place_to_cut(whole, chance)
    file.write_bytes(whole[:place])
    run = bed.start(order)
    if run.end() != 1:
        raise BadEnd(f"{file.name} was cut to {place} bytes; {in_words(run.end())}:\n{run.log()}")
    bed.demand_untouched(order)
    said = run.demand(f"error: .*{file.name}")
    file.write_bytes(whole)
    bed.rerun(order)
    return Trial(f"{file.name} cut to {place} of {len(whole)} bytes", END, said)


def _place_to_cut(content: bytes, chance: random.Random) -> int:
    """Any but the end of a line: what is left there of a file of lines is a whole file of fewer lines."""
    while content[(place := chance.randrange(1, len(content))) - 1 : place] == b"\n":
        pass
    return place


def cut_source(bed: Bed, chance: random.Random) -> Trial:
    """The data file of a person, from which problems are prepared."""
    folder = bed.new_folder()
    name = chance.choice(("rows.jsonl", "rows.jsonl.gz"))
    file, out = folder / name, (folder / "train.jsonl", folder / "manifest.json")
    write_jsonl(file, ({"id": str(n), "question": f"{n} + 1?", "answer": str(n + 1)} for n in range(100)))
    config = TrainDataConfig("sums", "plain", "exact", (JsonlSource(kind="jsonl", path=name),))

    def prepared() -> list[str]:
        prepare_training_data(config, folder, [], *out)
        return [sha256_file(path) for path in out]

    wanted, whole = prepared(), file.read_bytes()
    place = _place_to_cut(whole, chance)
    file.write_bytes(whole[:place])
    try:
        prepared()
    except UserError as error:
        said = f"error: {error}"
    else:
        raise BadEnd(f"{name} was cut to {place} bytes, and used")
    if name not in said or [sha256_file(path) for path in out] != wanted:
        raise BadEnd(f"what was prepared before is another now, or no file is named: {said}")
    file.write_bytes(whole)
    if prepared() != wanted:
        raise BadEnd("the whole file gives other problems than before")
    return Trial(f"{name} cut to {place} of {len(whole)} bytes", END, said)


def shift_times(bed: Bed, chance: random.Random) -> Trial:
    order, moment = bed.new_order(), draw_moment(chance)
    seconds = chance.uniform(-TEN_YEARS, TEN_YEARS)
    run = bed.start(order)
    bed.wait_for(run, moment)
    for path in outputs(order).rglob("*"):
        with suppress(FileNotFoundError):  # the job removes some meanwhile
            os.utime(path, (time.time() + seconds,) * 2)
    bed.demand_success(run)
    return Trial(f"{moment}, {seconds / 86400:+.0f} days", "same hashes", "(no file's time counts)")


def claim_of_another_time(bed: Bed, chance: random.Random) -> Trial:
    """A job died on another machine; the clock of the file system has jumped since."""
    order, seconds = bed.new_order(), chance.uniform(-TEN_YEARS, TEN_YEARS)
    dead = Owner("elsewhere", "another machine", 1, "", "then", "token")
    os.utime(make_claim(Path(order.files.checkpoints), 1, dead).path, (time.time() + seconds,) * 2)
    run = bed.start(order)
    bed.demand_success(run)
    said = run.demand("taking over .* from process 1 on elsewhere, which has ended")
    return Trial(f"a claim of {seconds / 86400:+.0f} days", "same hashes", said)
