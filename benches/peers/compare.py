#!/usr/bin/env python3
"""Measures flatnet and every other way to do its job, side by side: same data, same initial weights, same batches.

    python3 benches/peers/compare.py --quick        one short round, at most 3 minutes: flatnet and the peers that are installed; prints only
    python3 benches/peers/compare.py --install      full run with everything: RESULTS.md and the table in README.md are written again
    python3 benches/peers/compare.py --only NAME    peers whose name contains NAME, and flatnet; prints only

--install makes a virtual environment for each Python peer from requirements/*.txt (5 GB in all, 4 of them PyTorch's on Linux) and
builds the Rust peers (burn takes an hour on two cores) and the C++ peer, all below benches/peers/build. Nothing is installed without
it. A peer that cannot be had is a row that says why. Then all run in turn, A B C A B C.
Run it on a machine that does nothing else. Needs Python 3.11 and cargo; g++ for the C++ peer. Only pip and cargo use the network.
"""

import argparse
import datetime
import gzip
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CRATE = HERE.parents[1]
BUILD = HERE / "build"
RESULTS = HERE / "RESULTS.md"
MARKERS = ("<!-- comparison: begin -->", "<!-- comparison: end -->")

NETS = {
    "784-10-relu": ["--layers", "linear:10,relu", "--relu-grad", "straight-through", "--init", "unit-norm"],
    "784-128-relu-10": ["--layers", "linear:128,relu,linear:10", "--relu-grad", "exact", "--init", "kaiming-uniform"],
}
FULL_EPOCHS = {"784-10-relu": 6, "784-128-relu-10": 4}
QUICK_EPOCHS = {"784-10-relu": 4, "784-128-relu-10": 2}
# Losses of the final parameters may differ from flatnet's by this share: four digits.
LOSS_TOLERANCE = 1e-4
RUN_SECONDS = 120


# Whether what is missing may be downloaded and built.
INSTALL = False


def say(text):
    print(text, file=sys.stderr, flush=True)


class Unavailable(Exception):
    """Why a peer cannot be had here, in one line."""


def execute(command, seconds, what, **more):
    """Standard output of a command; a failure is Unavailable with its last line."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds, **more)
    except FileNotFoundError:
        raise Unavailable(f"{what}: {command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{what}: not done after {seconds} s") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise Unavailable(f"{what}: {next((line for line in lines if line.startswith('error')), lines[-1]).strip()[:160]}")
    return done.stdout


# ------------------------------------------------------------------------------------------------------------- what is built


def environment(name):
    """Python of a virtual environment that holds what requirements/NAME.txt pins. Made once, and again when the file changes."""
    folder, pins = BUILD / "venv" / name, HERE / "requirements" / f"{name}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed.sha256"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        if not INSTALL:
            raise Unavailable("not installed: --install does it")
        say(f"installing {pins.relative_to(CRATE)} ...")
        shutil.rmtree(folder, ignore_errors=True)
        execute([sys.executable, "-m", "venv", folder], 300, "venv")
        execute([python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", pins], 3600, "pip")
        stamp.write_text(wanted)
    return python


def cargo_build(folder, target=None):
    """The program that `cargo build --release` makes in `folder`, with every instruction that this CPU has for the peers."""
    say(f"building {folder.relative_to(CRATE) if folder != CRATE else 'flatnet'} ...")
    command = ["cargo", "build", "--release", "--locked", "--bins", "--message-format", "json-render-diagnostics"]
    variables = dict(os.environ)
    if target and not INSTALL and not (target / "release").is_dir():
        raise Unavailable("not built: --install does it")
    if target:
        command += ["--target-dir", target]
        variables["RUSTFLAGS"] = "-C target-cpu=native"
    messages = map(json.loads, execute(command, 3600, "cargo", cwd=folder, env=variables).splitlines())
    return [message["executable"] for message in messages if message.get("executable")][-1]


def build_openblas(wheel):
    """The C++ peer, on the newest OpenBLAS from its wheel or on the one that the system has."""
    flags = ["-O3", "-march=native", "-ffast-math", "-std=c++17"]
    out = BUILD / ("openblas-wheel" if wheel else "openblas-system")
    if wheel:
        code = "import scipy_openblas32 as b; print(b.get_include_dir()); print(b.get_lib_dir()); print(b.get_library())"
        include, library, name = execute([environment("openblas"), "-c", code], 60, "scipy_openblas32").split("\n")[:3]
        flags += ["-DSCIPY_OPENBLAS", f"-I{include}"]
        link = [f"-L{library}", f"-Wl,-rpath,{library}", f"-l{name}"]
    else:
        link = ["-lopenblas"]
    execute(["g++", *flags, HERE / "openblas.cpp", "-o", out, *link], 300, "g++ (Debian: libopenblas-dev)")
    return out


class Peer:
    """`make` gives the command's first words; `variants` are rows; a peer without threads of its own runs with one alone."""

    def __init__(self, name, make, variants, nets=tuple(NETS), threaded=True):
        self.name, self.make, self.variants, self.nets, self.threaded = name, make, variants, nets, threaded
        self.command, self.problem = None, None

    def prepare(self):
        try:
            self.command = self.make()
        except Unavailable as reason:
            self.problem = str(reason)
            say(f"{self.name}: {reason}")


def python(name, script):
    return lambda: [environment(name), HERE / script]


LAYOUTS = ["[out, in], u8", "[in, out], u8", "[out, in], f32", "[in, out], f32"]
PEERS = [
    Peer("C++ on OpenBLAS", lambda: [build_openblas(wheel=True)], LAYOUTS),
    Peer("C++ on the system's OpenBLAS", lambda: [build_openblas(wheel=False)], LAYOUTS[:2]),
    Peer("JAX", python("jax", "jax_scan.py"), ["scan"]),
    Peer("NumPy", python("numpy", "numpy_inplace.py"), ["in-place"]),
    Peer("NumPy, the reference's formulas", python("numpy", "numpy_reference.py"), ["formulas"], nets=("784-10-relu",), threaded=False),
    Peer("PyTorch", python("torch", "pytorch.py"), ["by-hand", "slices", "own-start", "dataloader"]),
    Peer("candle", lambda: [cargo_build(HERE / "candle", BUILD / "target")], ["autograd"]),
    Peer("burn", lambda: [cargo_build(HERE / "burn", BUILD / "target")], ["flex", "ndarray"]),
    Peer("scikit-learn", python("scikit-learn", "sklearn_mlp.py"), ["MLPClassifier"], nets=("784-128-relu-10",), threaded=False),
]


# ---------------------------------------------------------------------------------------------------------------- what is run


class Bench:
    def __init__(self, flatnet, epochs):
        self.flatnet, self.epochs = flatnet, epochs
        self.cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.data = BUILD / "mnist"
        self.data.mkdir(parents=True, exist_ok=True)
        for packed in (CRATE / "data" / "mnist").glob("*.gz"):
            # In pieces: on Linux the peak memory of a child counts from that of the process that starts it.
            with gzip.open(packed) as source, open(self.data / packed.stem, "wb") as unpacked:
                shutil.copyfileobj(source, unpacked)
        for net, flags in NETS.items():
            execute([flatnet, "train", *flags, *self.settings(), "--epochs", 0, "--out", self.start(net), "--overwrite"], 60, "flatnet")

    def settings(self):
        return ["--data", self.data, "--lr", "0.01", "--json", "--quiet", "--no-report"]

    def start(self, net):
        return BUILD / "start" / net

    def run_flatnet(self, net, kernel, threads):
        out = BUILD / "flatnet-run"
        words = ["train", *NETS[net], *self.settings(), "--epochs", self.epochs[net], "--kernel", kernel, "--threads", threads]
        started = time.perf_counter()
        command = [self.flatnet, *words, "--out", out, "--overwrite"]
        # The peak of this child alone: that of all children so far would be another's.
        summary, peak = with_peak_memory(command)
        seconds = time.perf_counter() - started
        lines = (out / "epochs.csv").read_text().splitlines()
        column = lines[0].split(",").index("train_seconds")
        epoch_seconds = [float(line.split(",")[column]) for line in lines[1:]]
        batches = summary["train_batches"] / summary["epochs"]
        words = ["evaluate", "--model", out / "model.safetensors", "--data", self.data, "--split", "train", "--sample", "run", "--json"]
        on_train = json.loads(execute([self.flatnet, *words], 60, "flatnet"))
        final = summary["final"]
        return {
            "version": f"{summary['simd']}, {summary['kernel']} kernels",
            "us_per_batch": 1e6 * statistics.median(epoch_seconds[1:]) / batches,
            "seconds": seconds,
            "epoch_loss": final["train_loss"],
            "train_loss": on_train["loss"],
            "train_accuracy": on_train["accuracy"],
            "val_loss": final["val_loss"],
            "val_accuracy": final["val_accuracy"],
            "peak_memory_mib": peak,
        }

    def run_peer(self, peer, net, variant, threads):
        words = ["--run", self.start(net), "--data", self.data, "--epochs", self.epochs[net], "--threads", threads, "--variant", variant]
        variables = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        return json.loads(execute([*peer.command, *words], RUN_SECONDS, "run", env=variables))


def with_peak_memory(command):
    """(parsed standard output, peak memory in MiB) of a program that prints one JSON object."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Unavailable(f"flatnet: exit code {process.returncode}")
    return json.loads(output), usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def rows_of(peers, cores, quick):
    """Every row: (net, name, variant, threads, how it is run). flatnet's come first. A quick run takes a peer's first two variants."""
    thread_counts = [1] if cores == 1 else [1, cores]
    for net in NETS:
        for threads in thread_counts:
            for kernel in ("auto", "gemm"):
                run = lambda bench, net=net, kernel=kernel, threads=threads: bench.run_flatnet(net, kernel, threads)  # noqa: E731
                yield net, "**flatnet**", f"--kernel {kernel}", threads, run
        for peer in peers:
            if net in peer.nets:
                for variant in peer.variants[:2] if quick else peer.variants:
                    for threads in thread_counts if peer.threaded else [1]:
                        run = lambda bench, p=peer, n=net, v=variant, t=threads: bench.run_peer(p, n, v, t)  # noqa: E731
                        yield net, peer.name, variant, threads, run if peer.command else peer.problem


# --------------------------------------------------------------------------------------------------------------- what is told


def machine():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return cpu


def table(rows, measured, problems, net):
    """One network as Markdown, fastest first; rows that could not be had come last."""
    best = {}
    for key in rows:
        if key[0] == net and key[1] == "**flatnet**" and key in measured:
            median = statistics.median(result["us_per_batch"] for result in measured[key])
            best[key[3]] = min(best.get(key[3], median), median)
    reference = next((measured[key][0] for key in rows if key[0] == net and key in measured), None)
    lines, unavailable = [], []
    for key in rows:
        if key[0] != net:
            continue
        _, name, variant, threads = key
        head = f"| {name}: {variant} | {threads} |"
        if key not in measured:
            unavailable.append(f"{head} not run: {problems.get(key, 'not asked for')} | | | | | | |")
            continue
        results = measured[key]
        times = sorted(result["us_per_batch"] for result in results)
        median, last = statistics.median(times), results[-1]
        # Losses are judged by the parameters that a peer ended with.
        off = [n for n in ("train_loss", "val_loss") if not abs(last[n] - reference[n]) <= LOSS_TOLERANCE * reference[n]]
        mark = " own start" if variant == "own-start" else " **differs**" if off else ""
        ratio = f"{median / best[threads]:.2f}" if threads in best else ""
        figures = f"{last['train_loss']:.4f} / {last['val_loss']:.4f}{mark} | {100 * last['train_accuracy']:.2f} / {100 * last['val_accuracy']:.2f}"
        memory = "" if last["peak_memory_mib"] is None else f"{last['peak_memory_mib']:.0f}"
        cells = f" {median:.1f} | {times[0]:.1f} to {times[-1]:.1f} | {ratio} | {figures} | {statistics.median(r['seconds'] for r in results):.1f} | {memory} |"
        lines.append((median, head + cells))
    head = "| program | threads | us per batch | least to most | times flatnet | loss: training / validation | accuracy, %: training / validation | seconds in all | peak MiB |"
    return "\n".join([head, "|---|---:|---:|---:|---:|---|---|---:|---:|", *(line for _, line in sorted(lines)), *unavailable])


def summary(rows, measured, problems):
    """Both networks in one short table: each program at its best number of threads (and layout, where there are several)."""
    best = {}
    for net, name, variant, threads in rows:
        row = best.setdefault(name if name.startswith("C++") else f"{name}: {variant}", {})
        key = (net, name, variant, threads)
        if key in measured:
            median = statistics.median(result["us_per_batch"] for result in measured[key])
            row[net] = min(row.get(net, (median, threads)), (median, threads))
        elif key in problems:
            row.setdefault("problem", problems[key])
    flatnet = {net: min((row[net][0] for name, row in best.items() if "**flatnet**" in name and net in row), default=float("nan")) for net in NETS}
    lines = ["| us per training batch of 32 (threads) | 784-10-relu | times flatnet | 784-128-relu-10 | times flatnet |", "|---|---:|---:|---:|---:|"]
    first = next(iter(NETS))
    for name, row in sorted(best.items(), key=lambda item: item[1].get(first, (float("inf"),))[0]):
        cells = [f"{row[net][0]:.1f} ({row[net][1]}) | {row[net][0] / flatnet[net]:.1f}" if net in row else " | " for net in NETS]
        missing = f" (not run: {row['problem']})" if "problem" in row else ""
        lines.append(f"| {name}{missing} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def versions(rows, measured):
    found = {}
    for key in rows:
        for result in measured.get(key, []):
            found.setdefault(key[1].strip("*"), set()).add(result["version"])
    tools = [("rustc", ["rustc", "--version"]), ("g++", ["g++", "--version"]), ("Python", [sys.executable, "--version"])]
    for name, command in tools:
        try:
            found[name] = {execute(command, 20, name).splitlines()[0]}
        except Unavailable:
            pass
    return "; ".join(f"{name}: {' / '.join(sorted(names))}" for name, names in found.items())


def report(bench, rows, measured, problems, rounds):
    now = datetime.datetime.now(datetime.timezone.utc)
    command = " ".join(["python3 benches/peers/compare.py", *sys.argv[1:]])
    text = f"""{machine()}, {bench.cores} cores, {platform.system()} {platform.machine()}; {now:%Y-%m-%d}; `{command}`, {rounds} round{'' if rounds == 1 else 's'}, all in turn.

Microseconds per training batch of 32 (forward, loss, backward, SGD): the median over the epochs of a run but the first, then the median over
rounds, and the least and most of them. "Times flatnet" compares with flatnet's fastest row at the same number of threads. Losses and
accuracies are those of the final parameters on the run's own 30,000 training and 5,000 validation images; a loss that differs from flatnet's in
four digits is marked. "Seconds in all" is a whole run, from its start to the last step (flatnet's validates after every epoch, too).
"""
    for net in NETS:
        grad = "straight-through ReLU, unit-norm start" if net == "784-10-relu" else "exact ReLU, PyTorch's kind of start"
        text += f"\n**{net}** ({grad}, lr 0.01, {bench.epochs[net]} epochs)\n\n{table(rows, measured, problems, net)}\n"
    return text + f"\nVersions: {versions(rows, measured)}.\n"


def between_markers(path, text):
    whole = path.read_text()
    before, _, rest = whole.partition(MARKERS[0])
    _, marker, after = rest.partition(MARKERS[1])
    if not marker:
        sys.exit(f"{path.name}: the lines {MARKERS[0]} and {MARKERS[1]} are missing")
    path.write_text(f"{before}{MARKERS[0]}\n{text}{MARKERS[1]}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="\n".join(__doc__.splitlines()[2:]), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, metavar="N", help="default 3; with --quick 1")
    parser.add_argument("--quick", action="store_true", help="one round of fewer epochs and variants")
    parser.add_argument("--only", metavar="NAME", help="peers whose name contains NAME, and flatnet; nothing is written")
    parser.add_argument("--net", choices=NETS, help="measure this network alone; with --keep the table shows the other, too")
    parser.add_argument("--keep", action="store_true", help="add to the rounds that the last run with --keep left in build/rounds.jsonl")
    parser.add_argument("--install", action="store_true", help="install and build the peers that are missing: 5 GB")
    arguments = parser.parse_args()
    global INSTALL
    INSTALL = arguments.install
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    peers = [peer for peer in PEERS if not arguments.only or arguments.only.lower() in peer.name.lower()]
    if rounds < 1 or not peers:
        parser.error("--rounds: expected at least 1" if rounds < 1 else f"--only: expected a part of one of: {', '.join(p.name for p in PEERS)}")

    BUILD.mkdir(exist_ok=True)
    try:
        flatnet = cargo_build(CRATE)
        for peer in peers:
            peer.prepare()
        epochs = QUICK_EPOCHS if arguments.quick else FULL_EPOCHS
        bench = Bench(flatnet, epochs)
    except Unavailable as reason:
        sys.exit(f"compare: {reason}")

    # Rounds of another build or of other settings are no rounds of this one.
    with open(flatnet, "rb") as program:
        identity = f"{hashlib.file_digest(program, 'sha256').hexdigest()} {epochs} {machine()}"
    kept = BUILD / "rounds.jsonl"
    measured, problems, all_rows = {}, {}, list(rows_of(peers, bench.cores, arguments.quick))
    rows = [row[:4] for row in all_rows]
    if arguments.keep and kept.is_file():
        for line in map(json.loads, kept.read_text().splitlines()):
            if line["identity"] == identity and tuple(line["row"]) in rows:
                measured.setdefault(tuple(line["row"]), []).append(line["result"])
    for number in range(1, rounds + 1):
        for index, (*key, run) in enumerate(all_rows, start=1):
            key = tuple(key)
            if isinstance(run, str):
                problems[key] = run
                continue
            if key in problems or arguments.net not in (None, key[0]):
                continue
            say(f"round {number}/{rounds}, {index}/{len(all_rows)}: {key[0]}, {key[1].strip('*')}: {key[2]}, {key[3]} threads")
            try:
                result = run(bench)
            except Unavailable as reason:
                say(f"  {reason}")
                problems[key] = str(reason)
                continue
            measured.setdefault(key, []).append(result)
            if arguments.keep:
                with kept.open("a") as file:
                    file.write(json.dumps({"identity": identity, "row": key, "result": result}) + "\n")
    done = max((len(results) for results in measured.values()), default=0)
    text = report(bench, rows, measured, problems, done)
    print(text)
    if not arguments.quick and not arguments.only:
        RESULTS.write_text(f"# flatnet and its peers\n\nWritten by `compare.py`; its first lines say what it does and needs.\n\n{text}")
        between_markers(CRATE / "README.md", f"{machine()}, {bench.cores} cores:\n\n{summary(rows, measured, problems)}")
        say(f"written: {RESULTS.relative_to(CRATE)}, README.md")


if __name__ == "__main__":
    main()
