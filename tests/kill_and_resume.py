#!/usr/bin/env python3
"""Kills runs of flatnet at random moments, lets them go on, and compares them with one that never ended.

usage: kill_and_resume.py PROGRAM [--kills N] [--writing N] [--interrupts N] [--seed N]

Weights, best weights, figures of epochs (without seconds) and of batches must be the same. Standard library alone.
"""
import argparse
import csv
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data" / "mnist"
RECIPE = [
    "train", "--data", str(DATA), "--train-samples", "3000", "--val-samples", "500", "--epochs", "40",
    "--layers", "linear:24,relu,dropout:0.2,linear:10", "--optimizer", "adamw", "--lr", "0.002",
    "--lr-schedule", "cosine", "--shuffle", "epoch", "--quiet", "--no-report", "--checkpoint-every", "1",
]


def figures(run):
    """All that must be the same, clocks left out."""
    summary = json.loads((run / "summary.json").read_text())
    rows = list(csv.DictReader((run / "epochs.csv").open()))
    epochs = [{name: row[name] for name in row if not name.endswith("_seconds")} for row in rows]
    best = (run / "best.safetensors").read_bytes()
    header = int.from_bytes(best[:8], "little")
    return {
        "weights_sha256": summary["weights_sha256"],
        "best": hashlib.sha256(best[8 + header:]).hexdigest(),
        "best_model": summary["best_model"],
        "epochs": epochs,
        "batches": hashlib.sha256((run / "batches.csv").read_bytes()).hexdigest(),
        "stopped": (summary["stopped"], summary["interrupted"]),
    }


def start(program, words, cwd):
    return subprocess.Popen([program, *words], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_partial(process, checkpoints, after, deadline):
    """Until a checkpoint is being written, at least `after` seconds from now."""
    begun = time.monotonic()
    while process.poll() is None and time.monotonic() - begun < deadline:
        if time.monotonic() - begun >= after and any(checkpoints.glob(".*.partial")):
            return True
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--writing", type=int, default=10)
    parser.add_argument("--interrupts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    program, chance = str(Path(arguments.program).resolve()), random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="flatnet-kills-"))
    begun = time.monotonic()
    subprocess.run([program, *RECIPE, "--out", "whole"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begun
    expected = figures(folder / "whole")
    print(f"a run takes {seconds:.2f} s and has {len(expected['epochs'])} epochs", flush=True)

    left = {"at random": arguments.kills, "while writing": arguments.writing, "by SIGINT": arguments.interrupts}
    done = {kind: 0 for kind in left}
    without, resumed, compared, failures = 0, 0, 0, []
    number = 0
    while any(left.values()):
        number += 1
        run = folder / f"run{number}"
        checkpoints = run / "checkpoints"
        words = [*RECIPE, "--threads", str(chance.choice([1, 2])), "--out", run.name]
        for _ in range(chance.choice([1, 1, 2, 3])):
            kinds = [kind for kind in left if left[kind]]
            if not kinds:
                break
            kind = chance.choice(kinds)
            process = start(program, words, folder)
            moment = chance.uniform(0, 0.9 * seconds)
            if kind == "while writing":
                hit = wait_for_partial(process, checkpoints, moment, 10 * seconds)
            else:
                time.sleep(moment)
                hit = process.poll() is None
            process.send_signal(signal.SIGINT if kind == "by SIGINT" else signal.SIGKILL)
            _, told = process.communicate()
            if not hit or process.returncode == 0:
                break
            if kind == "by SIGINT" and process.returncode == 130:
                if not json.loads((run / "summary.json").read_text())["interrupted"]:
                    failures.append(f"{run.name}: interrupted, but its summary does not say so")
            elif kind == "by SIGINT" and process.returncode != -signal.SIGINT:
                failures.append(f"{run.name}: exit code {process.returncode} after SIGINT: {told}")
            if not any(checkpoints.glob("epoch-*.safetensors")):
                without += 1
                break
            left[kind] -= 1
            done[kind] += 1
            words = ["train", "--resume", run.name, "--quiet", "--no-report", "--threads", str(chance.choice([1, 2]))]
            resumed += 1
        if words[1] != "--resume":
            # Nothing had been kept, or it had ended: begun anew.
            shutil.rmtree(run, ignore_errors=True)
            continue
        process = start(program, words, folder)
        _, told = process.communicate()
        if process.returncode != 0:
            failures.append(f"{run.name}: exit code {process.returncode}: {told}")
            continue
        found = figures(run)
        compared += 1
        for what, value in expected.items():
            if found[what] != value:
                failures.append(f"{run.name}: other {what}")
        left_over = [path.name for path in run.rglob(".*")]
        if left_over:
            failures.append(f"{run.name}: {left_over} are left")
        shutil.rmtree(run)
    ended = ", ".join(f"{count} {kind}" for kind, count in done.items())
    print(f"ended {ended}; {without} more before the first checkpoint; {resumed} times gone on, {compared} runs compared")
    for failure in failures:
        print(f"WRONG: {failure}")
    shutil.rmtree(folder)
    return 1 if failures or compared == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
