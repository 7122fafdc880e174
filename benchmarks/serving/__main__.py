"""Compare the HTTP server with its peers: `make bench-serving`.

Usage: python -m benchmarks.serving [quick]

Each round visits every server in a rotated order, starts it, measures it under every load, and
stops it. Nothing else runs meanwhile: what our server kept is stored after the round, and must then
agree with what it answered. `quick` measures fewer servers and loads, for less time.
"""

import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks.serving.closed_loop import require_wrk
from benchmarks.serving.contestants import OURS, QUICK, Contestant, contestants
from benchmarks.serving.environments import FOLDER, ensure_environment
from benchmarks.serving.inputs import Inputs
from benchmarks.serving.ledger import drain
from benchmarks.serving.measuring import CAPACITY, Kept, Loads, take_turn
from benchmarks.serving.report import report
from benchmarks.serving.results import Described, Ledger, Machine, Run, Turn
from benchmarks.serving.summary import Summary
from mlstack.errors import listing
from mlstack.files import write_atomically
from mlstack.settings import ROOT

_FULL = Loads((1, 8, CAPACITY, 64), seconds=5, batch_seconds=2, beside=True)
_QUICK = Loads((1, CAPACITY), seconds=1, batch_seconds=1, beside=False)
_FULL_ROUNDS, _QUICK_ROUNDS = 3, 2


def main() -> None:
    """Run, write the result, print the report; fail if a promise or a target is missed."""
    quick = sys.argv[1:] == ["quick"]
    if sys.argv[1:] and not quick:
        sys.exit("usage: python -m benchmarks.serving [quick]")
    require_wrk()
    FOLDER.mkdir(exist_ok=True)
    # Not in a folder that may be in memory: what is kept has to reach a disk.
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="run-") as name:
        run = _run(Path(name), quick=quick)
    path = FOLDER / f"{'quick' if quick else 'full'}.json"
    write_atomically(path, run.model_dump_json(indent=1).encode())
    print(f"\n{report(run)}\nThe figures are in {path.relative_to(ROOT)}; to put them into the")
    print(f"documentation: python -m benchmarks.serving.report {path.relative_to(ROOT)}")
    if missed := Summary(run).missed:
        sys.exit(f"missed: {listing(missed)}")


def _run(folder: Path, *, quick: bool) -> Run:
    began, load_before = datetime.now(UTC), os.getloadavg()[0]
    loads, rounds = (_QUICK, _QUICK_ROUNDS) if quick else (_FULL, _FULL_ROUNDS)
    inputs = Inputs(folder / "inputs")
    described: list[Described] = []
    runnable: list[Contestant] = []
    for each in contestants(inputs):
        if quick and each.name not in QUICK:
            continue
        reason = _install(each)
        described.append(each.describe(reason))
        if reason is None:
            each.prepare(inputs)
            runnable.append(each)
    turns: list[Turn] = []
    ledgers: list[Ledger] = []
    for number in range(rounds):
        state, kept = folder / f"state-{number}", Kept()
        inputs.deploy(state / OURS)
        for each in runnable[number % len(runnable) :] + runnable[: number % len(runnable)]:
            print(f"round {number + 1} of {rounds}: {each.title}", flush=True)
            its_own = kept if each.name == OURS else Kept()
            turn = take_turn(
                each, inputs, state / each.name, loads=loads, number=number, kept=its_own
            )
            if turn.failed:
                print(f"  {turn.failed}", flush=True)
            turns.append(turn)
        print(f"round {number + 1} of {rounds}: storing {kept.answered:,} predictions", flush=True)
        mongo = folder / f"mongo-{number}"
        ledgers.append(drain(state / OURS, mongo, number, kept.answered, kept.cut_off))
    return Run(
        began=began,
        quick=quick,
        rounds=rounds,
        load_seconds=loads.seconds,
        machine=_machine(load_before),
        contestants=described,
        turns=turns,
        ledgers=ledgers,
    )


def _install(contestant: Contestant) -> str | None:
    """Install a server's packages; return the reason if that fails."""
    if contestant.lock is None:
        return None
    print(f"packages of {contestant.title}", flush=True)
    return ensure_environment(contestant.lock)


def _machine(load_before: float) -> Machine:
    return Machine(
        processor=_processor(),
        cores=psutil.cpu_count() or 1,
        memory_gib=psutil.virtual_memory().total / 2**30,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_before=load_before,
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
