"""Beside scikit-learn's MLPClassifier and MLPRegressor, PyTorch and skorch: seconds, accuracy and memory of equal settings.

Every fit is a process of its own, one library after the other and over again, so that what else the machine does meets
all of them alike. Adam, batches of 200, one hidden layer of 100, float32; no stopping. Seconds are those of ``fit``: on the
clock, and of the processor in user mode. Memory is what the largest moment of the process has more than before ``fit``,
when the data are there.

    python compare.py                    # all tables, as Markdown
    python compare.py --only grid        # one of them: fits, busy, grid
    python compare.py --torch-python /usr/bin/python3    # a Python that has PyTorch, and maybe skorch
"""

import argparse
import ctypes
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

# Name: epochs.
SETS = {"digits": 30, "table": 3, "mnist": 3, "text": 3, "values": 3}
ABOUT = {
    "digits": "digits, 1,347 x 64",
    "table": "table, 100,000 x 54",
    "mnist": "MNIST, 60,000 x 784",
    "text": "text, 11,000 x 20,000, sparse",
    "values": "values, 100,000 x 54",
}
LIBRARIES = ["flatnet", "scikit-learn", "PyTorch", "skorch"]


def make(name):
    """``X, y, X_test, y_test`` of a set."""
    rng = np.random.default_rng(0)
    if name == "digits":
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        X, y = load_digits(return_X_y=True)
        X, X_test, y, y_test = train_test_split((X / 16).astype(np.float32), y, random_state=0)
        return X, y, X_test, y_test
    if name == "mnist":
        import flatnet

        (X, y), (X_test, y_test) = flatnet.load_mnist()
        return X, y, X_test, y_test
    if name == "text":
        return text(rng)
    # Like the forest cover types: ten dense columns and 44 of which few are 1; seven classes that a small network made.
    rows = 110_000
    X = np.hstack([rng.normal(size=(rows, 10)), rng.random((rows, 44)) < 0.05]).astype(np.float32)
    hidden = np.tanh(X @ rng.normal(size=(54, 20)).astype(np.float32) / 2)
    outputs = hidden @ rng.normal(size=(20, 7)) + rng.normal(0, 0.3, (rows, 7))
    y = outputs.argmax(axis=1) if name == "table" else outputs[:, 0].astype(np.float32)
    return X[:100_000], y[:100_000], X[100_000:], y[100_000:]


def text(rng):
    """Like the twenty newsgroups: a hundred words of each text, frequent ones mostly, some of its group."""
    import scipy.sparse as sp

    rows, words, groups, length = 12_000, 20_000, 20, 100
    y = rng.integers(groups, size=rows)
    common = (words * rng.random((rows, length)) ** 4).astype(np.int64)
    own = 2000 + y[:, None] * 200 + rng.integers(200, size=(rows, length))
    columns = np.where(rng.random((rows, length)) < 0.06, own, common)
    X = sp.csr_matrix((np.ones(columns.size, np.float32), (np.repeat(np.arange(rows), length), columns.ravel())), (rows, words))
    X.sum_duplicates()
    X.data = np.log1p(X.data)
    return X[:11_000], y[:11_000], X[11_000:], y[11_000:]


def save(folder, name):
    """Write a set where every process finds it."""
    import scipy.sparse as sp

    X, y, X_test, y_test = make(name)
    if sp.issparse(X):
        sp.save_npz(f"{folder}/{name}-X.npz", X)
        sp.save_npz(f"{folder}/{name}-X_test.npz", X_test)
    else:
        np.save(f"{folder}/{name}-X.npy", X)
        np.save(f"{folder}/{name}-X_test.npy", X_test)
    np.save(f"{folder}/{name}-y.npy", y)
    np.save(f"{folder}/{name}-y_test.npy", y_test)


def read(folder, name, part):
    if name == "text" and part.startswith("X"):
        import scipy.sparse as sp

        return sp.load_npz(f"{folder}/{name}-{part}.npz")
    return np.load(f"{folder}/{name}-{part}.npy")


def estimator(library, name, epochs, seed, threads):
    settings = {"hidden_layer_sizes": (100,), "batch_size": 200, "max_iter": epochs, "random_state": seed}
    # Nothing ends a fit before its last epoch.
    settings |= {"tol": 0.0, "n_iter_no_change": np.inf}
    if library == "flatnet":
        import flatnet as module

        settings["n_jobs"] = threads
    else:
        import sklearn.neural_network as module
    return (module.MLPRegressor if name == "values" else module.MLPClassifier)(**settings)


class Torch:
    """The same in PyTorch: tensors in memory, cut by index, its fused Adam where it has one."""

    def __init__(self, values, epochs, seed, threads):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.torch, self.values, self.epochs = torch, values, epochs

    def tensor(self, array):
        # By way of bytes: a PyTorch may be older than the NumPy here.
        kind = self.torch.float32 if array.dtype == np.float32 else self.torch.int64
        return self.torch.frombuffer(np.ascontiguousarray(array), dtype=kind).reshape(array.shape)

    def fit(self, X, y):
        torch = self.torch
        X, y = self.tensor(X), self.tensor(y)
        outputs = 1 if self.values else int(y.max()) + 1
        layers = [torch.nn.Linear(X.shape[1], 100), torch.nn.ReLU(), torch.nn.Linear(100, outputs)]
        self.net = torch.nn.Sequential(*layers)
        loss = torch.nn.MSELoss() if self.values else torch.nn.CrossEntropyLoss()
        adam = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(X)).split(200):
                adam.zero_grad()
                found = self.net(X[rows])
                loss(found.flatten() if self.values else found, y[rows]).backward()
                adam.step()
        return self

    def score(self, X, y):
        with self.torch.no_grad():
            found, y = self.net(self.tensor(X)), self.tensor(y)
        if self.values:
            return float(1 - ((found.flatten() - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())
        return float((found.argmax(1) == y).float().mean())


class Skorch(Torch):
    """The same by way of skorch's estimators, which cut and shuffle by PyTorch's DataLoader."""

    def fit(self, X, y):
        import skorch

        torch = self.torch
        outputs = 1 if self.values else int(y.max()) + 1
        net = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 100), torch.nn.ReLU(), torch.nn.Linear(100, outputs))
        kind = skorch.NeuralNetRegressor if self.values else skorch.NeuralNetClassifier
        loss = torch.nn.MSELoss if self.values else torch.nn.CrossEntropyLoss
        settings = {"optimizer": torch.optim.Adam, "lr": 1e-3, "max_epochs": self.epochs, "batch_size": 200}
        self.estimator = kind(
            net, criterion=loss, iterator_train__shuffle=True, train_split=None, verbose=0, **settings
        )
        self.estimator.fit(X, y[:, None] if self.values else y.astype(np.int64))
        return self

    def score(self, X, y):
        return self.estimator.score(X, y)


def peak():
    """The most memory this process has had, in MB. Of itself: what its parent had is not counted."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def now():
    """The memory it has, in MB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def work(folder, library, name, epochs, seed, threads):
    """One fit; prints what it took."""
    warnings.simplefilter("ignore")
    X, y = read(folder, name, "X"), read(folder, name, "y")
    if library in ("PyTorch", "skorch"):
        kind = Torch if library == "PyTorch" else Skorch
        kind(name == "values", 1, seed, threads).fit(X[:400], y[:400])
        model = kind(name == "values", epochs, seed, threads)
    else:
        # What a first fit loads is not the fit's.
        model = estimator(library, name, 1, seed, threads).fit(X[:400], y[:400])
        model = estimator(library, name, epochs, seed, threads)
    # What that fit has freed goes back to the system, where glibc would keep it: else the next one seems to take less.
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    before, started, user = now(), time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    model.fit(X, y)
    seconds = time.perf_counter() - started
    user = resource.getrusage(resource.RUSAGE_SELF).ru_utime - user
    memory = peak() - before
    score = model.score(read(folder, name, "X_test"), read(folder, name, "y_test"))
    print(json.dumps({"seconds": seconds, "user": user, "memory": memory, "score": float(score)}))


def run(folder, python, *arguments, threads=1):
    """``work`` in a process of its own."""
    command = [python, os.path.abspath(__file__), "--work", folder, *map(str, arguments), str(threads)]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def shown(values, form="{:.2f}"):
    """The mean, and the least and the largest."""
    return f"{form.format(statistics.mean(values))} ({form.format(min(values))} to {form.format(max(values))})"


def has(python, module):
    """Whether a Python has a module."""
    return bool(python) and subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def fits(folder, seeds, torch):
    """Seconds, scores and memory of every set, one thread."""
    others = [name for name, module in (("PyTorch", "torch"), ("skorch", "skorch")) if has(torch, module)]
    print("| data, epochs | | seconds of `fit` | user seconds | times flatnet | accuracy or R2 ± spread | MB more |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name, epochs in SETS.items():
        libraries = LIBRARIES[:2] + (others if name != "text" else [])
        found = {library: [] for library in libraries}
        for seed in range(seeds):
            for library in libraries:
                python = torch if library in others else sys.executable
                found[library].append(run(folder, python, library, name, epochs, seed))
        base = statistics.median(fit["seconds"] for fit in found["flatnet"])
        for library, of in found.items():
            seconds, user, score, memory = ([fit[key] for fit in of] for key in ("seconds", "user", "score", "memory"))
            times = statistics.median(seconds) / base
            print(
                f"| {ABOUT[name]}, {epochs} | {library} | {shown(seconds)} | {statistics.mean(user):.2f} | {times:.1f} |"
                f" {100 * statistics.mean(score):.2f} ± {100 * statistics.stdev(score):.2f} | {max(memory):.0f} |",
                flush=True,
            )


def busy(folder, repeats):
    """MNIST on two threads, alone and with a process on the first core that never rests."""
    print("| MNIST, 3 epochs, two threads | alone, seconds | beside a busy process | times |")
    print("|---|---:|---:|---:|")
    found = {library: ([], []) for library in LIBRARIES[:2]}
    for seed in range(repeats):
        for is_busy in (False, True):
            spin = "import os\nos.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\nwhile True: pass"
            neighbour = subprocess.Popen([sys.executable, "-c", spin]) if is_busy else None
            try:
                for library, seconds in found.items():
                    seconds[is_busy].append(run(folder, sys.executable, library, "mnist", 3, seed, threads=2)["seconds"])
            finally:
                if neighbour:
                    neighbour.kill()
                    neighbour.wait()
    for library, (alone, beside) in found.items():
        times = statistics.median(beside) / statistics.median(alone)
        print(f"| {library} | {shown(alone)} | {shown(beside)} | {times:.1f} |", flush=True)


GRID = """
import json, sys, time, warnings
import numpy as np
warnings.simplefilter("ignore")
import os
os.environ["PYTHONWARNINGS"] = "ignore"
from sklearn.model_selection import GridSearchCV
sys.path.insert(0, sys.argv[1])
from compare import estimator, read
X, y = read(sys.argv[2], "digits", "X"), read(sys.argv[2], "digits", "y")
grid = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 1e-2]}
search = GridSearchCV(estimator(sys.argv[3], "digits", 50, 0, 1), grid, cv=5, n_jobs=2, refit=False)
seconds = []
for _ in range(2):
    started = time.perf_counter()
    search.fit(X, y)
    seconds.append(time.perf_counter() - started)
print(json.dumps({"seconds": seconds, "score": search.cv_results_["mean_test_score"].max()}))
"""


def grid(folder, repeats):
    """40 fits by GridSearchCV on two processes, which the first search starts; they load scikit-learn for most of its time."""
    print("| digits, 40 fits of 50 epochs, `GridSearchCV(n_jobs=2)` | seconds | once more | best accuracy |")
    print("|---|---:|---:|---:|")
    found = {library: [] for library in LIBRARIES[:2]}
    for _ in range(repeats):
        for library, of in found.items():
            command = [sys.executable, "-c", GRID, os.path.dirname(os.path.abspath(__file__)), folder, library]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            of.append(json.loads(done.stdout.splitlines()[-1]))
    for library, of in found.items():
        first, again = (shown([f["seconds"][at] for f in of]) for at in range(2))
        print(f"| {library} | {first} | {again} | {100 * of[0]['score']:.2f} % |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["fits", "busy", "grid"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--torch-python", metavar="PATH", help="a Python that has PyTorch")
    parser.add_argument("--work", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        folder, library, name, *numbers = options.work
        return work(folder, library, name, *map(int, numbers))
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            save(folder, name)
        if options.only in (None, "fits"):
            fits(folder, options.seeds, options.torch_python)
        if options.only in (None, "busy"):
            print()
            busy(folder, 3)
        if options.only in (None, "grid"):
            print()
            grid(folder, 5)


if __name__ == "__main__":
    main()
