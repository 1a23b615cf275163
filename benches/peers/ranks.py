#!/usr/bin/env python3
"""Training over MPI ranks of one machine, and PyTorch's DistributedDataParallel over gloo beside it.

    cargo build --release --features mpi
    python3 -B benches/peers/ranks.py --program target/release/flatnet [--rounds 5] [--torch python3]

784-512-256-10 by samples at batch 2,048 on 1 and 2 ranks of 1 thread, by the fixed order and by MPI's own sum; 784-128-10 by
features at batch 32. Commands take turns; printed are microseconds a step: the median over rounds, least and most, of each
round's fastest epoch after the first. With --tcp messages go through the loopback's TCP in place of shared memory.
"""

import argparse
import csv
import pathlib
import statistics
import subprocess
import sys
import tempfile

WIDE = ["--layers", "linear:512,relu,linear:256,relu,linear:10", "--batch-size", "2048", "--parallel", "samples"]
HIDDEN = ["--layers", "linear:128,relu,linear:10", "--batch-size", "32"]
# OpenMPI has the kernel copy long messages from one process to the other (CMA). In a virtual machine that can take longer than
# two copies by way of shared memory.
TWO_COPIES = ["--mca", "btl_vader_single_copy_mechanism", "none"]
# name, ranks, samples, batch size, flags, the launcher's flags
CASES = [
    ("wide, 1 rank", 1, 40_960, 2048, WIDE, []),
    ("wide, 2 ranks", 2, 40_960, 2048, WIDE, []),
    ("wide, 2 ranks, --reduce fast", 2, 40_960, 2048, WIDE + ["--reduce", "fast"], []),
    ("wide, 2 ranks, two copies", 2, 40_960, 2048, WIDE, TWO_COPIES),
    ("wide, 2 ranks, two copies, --reduce fast", 2, 40_960, 2048, WIDE + ["--reduce", "fast"], TWO_COPIES),
    ("hidden, 1 rank", 1, 32_000, 32, HIDDEN, []),
    ("hidden, 2 ranks", 2, 32_000, 32, HIDDEN, []),
]

DDP = """
import os, sys, time, torch, torch.distributed as dist
from torch import nn
rank, world = int(sys.argv[1]), int(sys.argv[2])
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=sys.argv[3])
torch.set_num_threads(1)
dist.init_process_group("gloo", rank=rank, world_size=world)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
model = nn.parallel.DistributedDataParallel(model)
optimizer, loss = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()
rows = 2048 // world
x, y = torch.rand(20 * rows, 784), torch.randint(0, 10, (20 * rows,))
fastest = 1e9
for epoch in range(4):
    dist.barrier()
    begun = time.perf_counter()
    for batch in range(20):
        part = slice(batch * rows, (batch + 1) * rows)
        optimizer.zero_grad(set_to_none=True)
        loss(model(x[part]), y[part]).backward()
        optimizer.step()
    if epoch:
        fastest = min(fastest, (time.perf_counter() - begun) / 20)
if rank == 0:
    print(1e6 * fastest)
"""


def flatnet(arguments, ranks, samples, batch_size, flags, of_launcher):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), *of_launcher]
        command += ["--mca", "pml", "ob1", "--mca", "btl", "tcp,self"] if arguments.tcp else []
        command += [arguments.program, "train", "--train-samples", str(samples), "--val-samples", "500", "--epochs", "4"]
        command += ["--threads", "1", "--quiet", "--no-report", "--out", str(run), *flags]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        epochs = list(csv.DictReader((run / "epochs.csv").open()))
    return min(float(epoch["train_seconds"]) for epoch in epochs[1:]) * 1e6 / (samples // batch_size)


def ddp(python, ranks, port):
    command = [python, "-c", DDP]
    processes = [
        subprocess.Popen([*command, str(rank), str(ranks), str(port)], stdout=subprocess.PIPE, text=True)
        for rank in range(ranks)
    ]
    told = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("PyTorch's ranks failed")
    return float(told[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", help="a Python that has PyTorch")
    parser.add_argument("--tcp", action="store_true")
    arguments = parser.parse_args()
    found = {}
    for number in range(arguments.rounds):
        for name, *case in CASES:
            found.setdefault(name, []).append(flatnet(arguments, *case))
        if arguments.torch:
            for ranks in (1, 2):
                took = ddp(arguments.torch, ranks, 29_500 + 2 * number + ranks)
                found.setdefault(f"PyTorch DDP on gloo, wide, {ranks} rank{'s' * (ranks > 1)}", []).append(took)
    for name, times in found.items():
        print(f"{name:42} {statistics.median(times):9.1f} us  ({min(times):.1f} to {max(times):.1f})")


if __name__ == "__main__":
    main()
