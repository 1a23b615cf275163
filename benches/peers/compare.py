#!/usr/bin/env python3
"""Measures flatnet and every other way to do its job, side by side: same data, same initial weights, same batches.

    python3 benches/peers/compare.py --quick        one short round, at most 3 minutes: flatnet and the peers that are installed; prints only
    python3 benches/peers/compare.py                full run of what is installed: RESULTS.md, RESULTS.csv and the table in README.md
                                                    are written again
    python3 benches/peers/compare.py --install      the same, after installing what is missing
    python3 benches/peers/compare.py --with-burn    the same with burn, which is left out otherwise: it takes an hour to build
    python3 benches/peers/compare.py --only NAME    peers whose name contains NAME, and flatnet; prints only

--install makes a virtual environment for each Python peer from requirements/*.txt (5 GB in all, 4 of them PyTorch's on Linux) and
builds the Rust peers (candle in minutes, burn in an hour on two cores) and the C++ peer, all below benches/peers/build. Nothing is
installed without it. A peer that cannot be had is a row that says why. Then all run in turn, A B C A B C; a row far behind flatnet runs
once. Run it on a machine that does nothing else: a peer's threads wait for each other in loops. Needs Python 3.11 with its headers and
cargo; g++ for the C++ peer and for PyTorch's compiler. Only pip and cargo use the network.
"""

import argparse
import csv
import dataclasses
import datetime
import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
import typing
from pathlib import Path

HERE = Path(__file__).resolve().parent
CRATE = HERE.parents[1]
BUILD = HERE / "build"
RESULTS = HERE / "RESULTS.md"
FIGURES = HERE / "RESULTS.csv"
# What torch.compile keeps: emptied before the first round, so that this round compiles.
INDUCTOR = BUILD / "inductor"
FLATNET = "flatnet"
MARKERS = ("<!-- comparison: begin -->", "<!-- comparison: end -->")


@dataclasses.dataclass(frozen=True)
class Case:
    """One training that programs are compared in."""

    network: str
    layers: str
    optimizer: str = "sgd"
    batch_size: int = 32
    epochs: int = 3
    train_samples: int = 30_000

    @property
    def name(self):
        return f"{self.network}, {'SGD' if self.optimizer == 'sgd' else 'Adam'}, batch {self.batch_size}"

    @property
    def short(self):
        """What Adam's losses are judged by. It divides by the root of what it learnt of a gradient's size, so that a rounding of a small
        gradient moves a weight as far as a large one does: after three epochs programs that do the same differ in the second or third
        digit, after this in the seventh. None where the whole run will do."""
        return dataclasses.replace(self, epochs=2, train_samples=9_600) if self.optimizer == "adam" else None

    @property
    def is_deep(self):
        return not self.layers.endswith("relu")

    @property
    def lr(self):
        return {"sgd": 0.01, "adam": 0.001}[self.optimizer]

    def flags(self):
        start = ("exact", "kaiming-uniform") if self.is_deep else ("straight-through", "unit-norm")
        words = ["--layers", self.layers, "--relu-grad", start[0], "--init", start[1], "--optimizer", self.optimizer]
        return [*words, "--lr", self.lr, "--batch-size", self.batch_size, "--train-samples", self.train_samples]

    def told(self):
        start = "exact ReLU, PyTorch's kind of start" if self.is_deep else "straight-through ReLU, unit-norm start"
        more = ", betas 0.9 and 0.999, eps 1e-8; losses judged after 2 epochs of 9,600 images" if self.optimizer == "adam" else ""
        return f"{start}, lr {self.lr}{more}"


ONE_LAYER = Case("784-10-relu", "linear:10,relu", epochs=4)
HIDDEN = Case("784-128-relu-10", "linear:128,relu,linear:10")
# After a third epoch roundings reach the fourth digit: a ReLU is open in one program and shut in another.
TWO_HIDDEN = Case("784-512-256-10", "linear:512,relu,linear:256,relu,linear:10", epochs=2)
ADAM = Case("784-128-relu-10", "linear:128,relu,linear:10", optimizer="adam")
# The batch size that scikit-learn takes if not told otherwise.
ADAM_200 = Case("784-128-relu-10", "linear:128,relu,linear:10", optimizer="adam", batch_size=200)
SGD_CASES = (ONE_LAYER, HIDDEN, TWO_HIDDEN)
DEEP_CASES = (HIDDEN, TWO_HIDDEN, ADAM)
CASES = (*SGD_CASES, ADAM, ADAM_200)
QUICK_EPOCHS = 2
# Losses of the final parameters may differ from flatnet's by this share: four digits.
LOSS_TOLERANCE = 1e-4
# A row that takes this many times flatnet's time runs in one round: no noise brings it near.
FAR = 4
RUN_SECONDS = 300

# Whether what is missing may be downloaded and built.
INSTALL = False


def folder_name(*words):
    """PyTorch's compiler hands its folder to g++ without quotes."""
    return re.sub(r"\W+", "-", "-".join(map(str, words)))


def say(text):
    print(text, file=sys.stderr, flush=True)


class Unavailable(Exception):
    """Why a peer cannot be had here, in one line."""


def execute(command, seconds, what, **more):
    """Standard output of a command; a failure is Unavailable with the line that names an error, or with its last."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds, **more)
    except FileNotFoundError:
        raise Unavailable(f"{what}: {command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{what}: not done after {seconds} s") from None
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        told = next((line for line in lines if re.match(r"error|[\w.]+(Error|Exception): ", line)), lines[-1])
        raise Unavailable(f"{what}: {told.strip()[:160]}")
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
    """`make` gives the command's first words; `variants` are rows, with the cases each has; those in `alone` run with one thread."""

    def __init__(self, name, make, variants, alone=()):
        self.name, self.make, self.variants, self.alone = name, make, variants, alone
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
    Peer("C++ on OpenBLAS", lambda: [build_openblas(wheel=True)], dict.fromkeys(LAYOUTS, (ONE_LAYER, HIDDEN)) | dict.fromkeys(LAYOUTS[1::2], SGD_CASES)),
    Peer("C++ on the system's OpenBLAS", lambda: [build_openblas(wheel=False)], dict.fromkeys(LAYOUTS[:2], (ONE_LAYER, HIDDEN))),
    Peer("JAX", python("jax", "jax_scan.py"), {"scan": CASES}),
    Peer("NumPy", python("numpy", "numpy_inplace.py"), {"in-place": SGD_CASES}),
    Peer("NumPy, the reference's formulas", python("numpy", "numpy_reference.py"), {"formulas": [ONE_LAYER]}, alone=["formulas"]),
    Peer(
        "PyTorch",
        python("torch", "pytorch.py"),
        {
            "slices": CASES,
            "by-hand": SGD_CASES,
            "foreach": [ADAM],
            "compile": DEEP_CASES,
            "compile-reduce-overhead": [HIDDEN],
            "own-start": [ONE_LAYER],
            "dataloader": [HIDDEN],
        },
        # Their steps are those of `slices`.
        alone=["own-start", "dataloader"],
    ),
    Peer("candle", lambda: [cargo_build(HERE / "candle", BUILD / "target")], {"autograd": (*SGD_CASES, ADAM)}),
    Peer(
        "scikit-learn",
        python("scikit-learn", "sklearn_mlp.py"),
        {"MLPClassifier": (HIDDEN, TWO_HIDDEN, ADAM, ADAM_200)},
        alone=["MLPClassifier"],
    ),
]
BURN = Peer("burn", lambda: [cargo_build(HERE / "burn", BUILD / "target")], dict.fromkeys(["flex", "ndarray"], (*SGD_CASES, ADAM)))


# ---------------------------------------------------------------------------------------------------------------- what is run


class Bench:
    def __init__(self, flatnet, quick):
        self.flatnet, self.quick = flatnet, quick
        self.cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.data = BUILD / "mnist"
        self.data.mkdir(parents=True, exist_ok=True)
        for packed in (CRATE / "data" / "mnist").glob("*.gz"):
            # In pieces: on Linux the peak memory of a child counts from that of the process that starts it.
            with gzip.open(packed) as source, open(self.data / packed.stem, "wb") as unpacked:
                shutil.copyfileobj(source, unpacked)
        for case in (case for whole in CASES for case in (whole, whole.short) if case):
            execute([flatnet, *self.training(case), "--epochs", 0, "--out", self.start(case), "--overwrite"], 60, "flatnet")

    def training(self, case):
        return ["train", *case.flags(), "--data", self.data, "--json", "--quiet", "--no-report"]

    def start(self, case):
        return BUILD / "start" / folder_name(case.name, case.train_samples)

    def epochs(self, case):
        return QUICK_EPOCHS if self.quick else case.epochs

    def run(self, way, case, is_first):
        """`way` takes this bench and a case. The first result of a row says, too, what its losses are judged by."""
        result = way(self, case)
        if is_first:
            result["judged"] = way(self, case.short) if case.short else result
            result["judged"] = {name: result["judged"][name] for name in ("train_loss", "val_loss")}
        return result

    def run_flatnet(self, case, kernel, threads):
        out = BUILD / "flatnet-run"
        words = [*self.training(case), "--epochs", self.epochs(case), "--kernel", kernel, "--threads", threads]
        started = time.perf_counter()
        # The peak of this child alone: that of all children so far would be another's.
        summary, peak = with_peak_memory([self.flatnet, *words, "--out", out, "--overwrite"])
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

    def run_peer(self, peer, case, variant, threads):
        words = ["--run", self.start(case), "--data", self.data, "--epochs", self.epochs(case), "--threads", threads, "--variant", variant]
        # What is compiled for one row must not be found by another.
        kept = INDUCTOR / folder_name(case.name, variant, threads)
        variables = os.environ | {"RAYON_NUM_THREADS": str(threads), "TORCHINDUCTOR_CACHE_DIR": str(kept)}
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


class Row(typing.NamedTuple):
    case: str
    program: str
    variant: str
    threads: int

    @property
    def is_flatnet(self):
        return self.program == FLATNET


def rows_of(peers, cases, cores, quick):
    """Every row with its case, and how it is run or why not. flatnet's come first. A quick run takes a peer's first variant of a case."""
    thread_counts = [1] if cores == 1 else [1, cores]
    for case in cases:
        for threads in thread_counts:
            for kernel in ("auto", "gemm"):
                way = lambda bench, case, kernel=kernel, threads=threads: bench.run_flatnet(case, kernel, threads)  # noqa: E731
                yield Row(case.name, FLATNET, f"--kernel {kernel}", threads), (case, way)
        for peer in peers:
            variants = [variant for variant, its_cases in peer.variants.items() if case in its_cases]
            for variant in variants[:1] if quick else variants:
                for threads in [1] if variant in peer.alone else thread_counts:
                    way = lambda bench, case, p=peer, v=variant, t=threads: bench.run_peer(p, case, v, t)  # noqa: E731
                    yield Row(case.name, peer.name, variant, threads), (case, way if peer.command else peer.problem)


# --------------------------------------------------------------------------------------------------------------- what is told


def machine():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return cpu


class Measured:
    """All results by row, and why a row has none."""

    def __init__(self, rows):
        self.rows, self.results, self.problems = rows, {}, {}

    def of_case(self, name):
        """flatnet's come first."""
        return [row for row in self.rows if row.case == name and row in self.results]

    def times(self, row):
        return sorted(result["us_per_batch"] for result in self.results[row])

    def median(self, row):
        return statistics.median(self.times(row))

    def times_flatnet(self, row):
        """Against flatnet's fastest row at the same number of threads, if there is one."""
        flatnet = [other for other in self.of_case(row.case) if other.is_flatnet and other.threads == row.threads]
        return self.median(row) / min(map(self.median, flatnet)) if flatnet else None

    def is_far(self, row):
        ratio = None if row.is_flatnet or row not in self.results else self.times_flatnet(row)
        return ratio is not None and ratio > FAR

    def seconds(self, row):
        """Of the first round, in which nothing that a program keeps from run to run is there yet."""
        return self.results[row][0]["seconds"]

    def mark(self, row):
        """Losses are judged by the parameters that a peer ended with, and against flatnet's."""
        if row.variant == "own-start":
            return "own start"
        own, reference = (self.results[other][0]["judged"] for other in (row, self.of_case(row.case)[0]))
        off = [name for name in own if not abs(own[name] - reference[name]) <= LOSS_TOLERANCE * reference[name]]
        return "differs" if off else ""


def table(measured, case):
    """One case as Markdown, fastest first; programs that could not be had come last."""
    head = "| program | threads | us per batch | least to most | times flatnet | loss: training / validation | accuracy, %: training / validation | seconds in all | peak MiB |"
    lines, unavailable = [head, "|---|---:|---:|---:|---:|---|---|---:|---:|"], {}
    for row in sorted(measured.of_case(case.name), key=measured.median):
        last, times, ratio = measured.results[row][-1], measured.times(row), measured.times_flatnet(row)
        mark = {"": "", "own start": " own start", "differs": " **differs**"}[measured.mark(row)]
        cells = [
            f"{bold(row.program)}: {row.variant}",
            row.threads,
            f"{measured.median(row):.1f}",
            f"{times[0]:.1f} to {times[-1]:.1f}",
            "" if ratio is None else f"{ratio:.2f}",
            f"{last['train_loss']:.4f} / {last['val_loss']:.4f}{mark}",
            f"{100 * last['train_accuracy']:.2f} / {100 * last['val_accuracy']:.2f}",
            f"{measured.seconds(row):.1f}",
            "" if last["peak_memory_mib"] is None else f"{last['peak_memory_mib']:.0f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for row in measured.rows:
        if row.case == case.name and row not in measured.results:
            variants, threads = unavailable.setdefault((row.program, measured.problems.get(row, "not asked for")), ({}, {}))
            variants[row.variant] = threads[str(row.threads)] = None
    for (program, problem), (variants, threads) in unavailable.items():
        lines.append(f"| {bold(program)}: {'; '.join(variants)} | {', '.join(threads)} | not run: {problem} | | | | | | |")
    return "\n".join(lines)


def bold(program):
    return f"**{program}**" if program == FLATNET else program


def summary(measured):
    """All cases in one short table: each program at its best number of threads (and layout, where there are several)."""
    best, problems = {}, {}
    for row in measured.rows:
        name = row.program if row.program.startswith("C++") else f"{bold(row.program)}: {row.variant}"
        fastest = best.setdefault(name, {})
        if row in measured.results:
            fastest[row.case] = min(fastest.get(row.case, (float("inf"), 0)), (measured.median(row), row.threads))
        elif row in measured.problems:
            problems.setdefault(name, measured.problems[row])
    cases = [case for case in CASES if measured.of_case(case.name)]
    flatnet = {
        case.name: min((best[name][case.name][0] for name in best if FLATNET in name and case.name in best[name]), default=float("nan")) for case in cases
    }
    lines = [
        f"| us per training batch (threads); times flatnet | {' | '.join(case.name for case in cases)} |",
        "|---" + "|---:" * len(cases) + "|",
    ]
    for name, fastest in sorted(best.items(), key=lambda item: [item[1].get(case.name, (float("inf"),))[0] for case in cases]):
        cells = [f"{fastest[c.name][0]:.1f} ({fastest[c.name][1]}); {fastest[c.name][0] / flatnet[c.name]:.1f}" if c.name in fastest else "" for c in cases]
        missing = f" (not run: {problems[name]})" if name in problems else ""
        lines.append(f"| {name}{missing} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_figures(path, measured, cases):
    """One line of CSV for every row. Losses and accuracies are of the final parameters; judged are what `remark` goes by, Adam's after fewer
    steps. Where a row was not run, `remark` says why."""
    columns = ["network", "optimizer", "batch_size", "program", "variant", "threads", "rounds", "us_per_batch_median", "us_per_batch_least"]
    columns += ["us_per_batch_most", "times_flatnet", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "judged_train_loss"]
    columns += ["judged_val_loss", "seconds_in_all", "peak_mib", "version", "remark"]
    with open(path, "w", newline="") as file:
        lines = csv.DictWriter(file, columns, lineterminator="\n")
        lines.writeheader()
        for case in cases:
            for row in (row for row in measured.rows if row.case == case.name):
                line = {"network": case.network, "optimizer": case.optimizer, "batch_size": case.batch_size}
                line |= {"program": row.program, "variant": row.variant, "threads": row.threads}
                if row in measured.results:
                    last, times, ratio = measured.results[row][-1], measured.times(row), measured.times_flatnet(row)
                    line |= {name: f"{last[name]:.6f}" for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy")}
                    line |= {f"judged_{name}": f"{loss:.6f}" for name, loss in measured.results[row][0]["judged"].items()}
                    line |= {"us_per_batch_median": f"{measured.median(row):.2f}", "us_per_batch_least": f"{times[0]:.2f}"}
                    line |= {"us_per_batch_most": f"{times[-1]:.2f}", "times_flatnet": "" if ratio is None else f"{ratio:.3f}"}
                    line |= {"rounds": len(times), "seconds_in_all": f"{measured.seconds(row):.2f}", "version": last["version"]}
                    line |= {"peak_mib": "" if last["peak_memory_mib"] is None else f"{last['peak_memory_mib']:.1f}", "remark": measured.mark(row)}
                else:
                    line |= {"rounds": 0, "remark": f"not run: {measured.problems.get(row, 'not asked for')}"}
                lines.writerow(line)


def versions(measured):
    found = {}
    for row in measured.rows:
        for result in measured.results.get(row, []):
            found.setdefault(row.program, set()).add(result["version"])
    tools = [("rustc", ["rustc", "--version"]), ("g++", ["g++", "--version"]), ("Python", [sys.executable, "--version"])]
    for name, command in tools:
        try:
            found[name] = {execute(command, 20, name).splitlines()[0]}
        except Unavailable:
            pass
    return "; ".join(f"{name}: {' / '.join(sorted(names))}" for name, names in found.items())


def report(bench, measured, cases, rounds):
    now = datetime.datetime.now(datetime.timezone.utc)
    command = " ".join(["python3 benches/peers/compare.py", *sys.argv[1:]])
    text = f"""{machine()}, {bench.cores} cores, {platform.system()} {platform.machine()}; {now:%Y-%m-%d}; `{command}`, {rounds} round{'' if rounds == 1 else 's'}, all in turn.

Microseconds per training batch (forward, loss, backward, update): the median over the epochs of a run but the first, then the median over
rounds, and the least and most of them; what takes {FAR} times flatnet's time in one round is left out of the others. "Times flatnet" compares with flatnet's fastest row at the same number of threads. Losses and
accuracies are those of the final parameters on the run's own 30,000 training and 5,000 validation images; a loss that differs from flatnet's in
four digits is marked. (Adam's are judged after fewer steps, in which roundings do not grow to
four digits; scikit-learn adds Adam's eps elsewhere.) "Seconds in all" is a whole run of the first round, from its start to the last step: with what PyTorch and JAX
compile, and with flatnet's validation after every epoch. `RESULTS.csv` has the same figures, one row to a line.
"""
    for case in cases:
        text += f"\n**{case.name}** ({case.told()}, {bench.epochs(case)} epochs)\n\n{table(measured, case)}\n"
    return text + f"\nVersions: {versions(measured)}.\n"


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
    parser.add_argument("--case", metavar="NAME", help="cases whose name contains NAME, such as 784-128 or Adam; nothing is written")
    parser.add_argument("--with-burn", action="store_true", help="burn, too: it takes an hour to build on two cores")
    parser.add_argument("--keep", action="store_true", help="add to the rounds that the last run with --keep left in build/rounds.jsonl")
    parser.add_argument("--install", action="store_true", help="install and build the peers that are missing: 5 GB")
    arguments = parser.parse_args()
    global INSTALL
    INSTALL = arguments.install
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    peers = [*PEERS, BURN] if arguments.with_burn else PEERS
    names = ", ".join(peer.name for peer in peers)
    peers = [peer for peer in peers if not arguments.only or arguments.only.lower() in peer.name.lower()]
    cases = [case for case in CASES if not arguments.case or arguments.case.lower() in case.name.lower()]
    for wrong, message in (
        (rounds < 1, "--rounds: expected at least 1"),
        (not peers, f"--only: expected a part of one of: {names}"),
        (not cases, f"--case: expected a part of one of: {'; '.join(case.name for case in CASES)}"),
    ):
        if wrong:
            parser.error(message)

    BUILD.mkdir(exist_ok=True)
    shutil.rmtree(INDUCTOR, ignore_errors=True)
    try:
        flatnet = cargo_build(CRATE)
        for peer in peers:
            peer.prepare()
        bench = Bench(flatnet, arguments.quick)
    except Unavailable as reason:
        sys.exit(f"compare: {reason}")

    # Rounds of another build or of other settings are no rounds of this one.
    with open(flatnet, "rb") as program:
        identity = f"{hashlib.file_digest(program, 'sha256').hexdigest()} {[bench.epochs(case) for case in CASES]} {machine()}"
    kept = BUILD / "rounds.jsonl"
    ways = dict(rows_of(peers, cases, bench.cores, arguments.quick))
    measured = Measured(list(ways))
    if arguments.keep and kept.is_file():
        for line in map(json.loads, kept.read_text().splitlines()):
            if line["identity"] == identity and Row(*line["row"]) in ways:
                measured.results.setdefault(Row(*line["row"]), []).append(line["result"])
    for number in range(1, rounds + 1):
        for index, (row, (case, way)) in enumerate(ways.items(), start=1):
            if isinstance(way, str):
                measured.problems[row] = way
            if row in measured.problems or measured.is_far(row):
                continue
            say(f"round {number}/{rounds}, {index}/{len(ways)}: {row.case}: {row.program}: {row.variant}, {row.threads} threads")
            try:
                result = bench.run(way, case, is_first=row not in measured.results)
            except Unavailable as reason:
                say(f"  {reason}")
                measured.problems[row] = str(reason)
                continue
            measured.results.setdefault(row, []).append(result)
            if arguments.keep:
                with kept.open("a") as file:
                    file.write(json.dumps({"identity": identity, "row": row, "result": result}) + "\n")
    done = max((len(results) for results in measured.results.values()), default=0)
    text = report(bench, measured, cases, done)
    print(text)
    if not arguments.quick and not arguments.only and not arguments.case:
        RESULTS.write_text(f"# flatnet and its peers\n\nWritten by `compare.py`; its first lines say what it does and needs.\n\n{text}")
        write_figures(FIGURES, measured, cases)
        between_markers(CRATE / "README.md", f"{machine()}, {bench.cores} cores:\n\n{summary(measured)}")
        say(f"written: {RESULTS.relative_to(CRATE)}, {FIGURES.relative_to(CRATE)}, README.md")


if __name__ == "__main__":
    main()
