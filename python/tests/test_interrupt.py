"""Ctrl-C, the interpreter's lock, and memory."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from flatnet import MLPClassifier, _native


def rows(samples=20_000, features=200):
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, features)).astype(np.float32), rng.integers(10, size=samples)


# Within an epoch, and within a batch of all rows: either takes many seconds.
@pytest.mark.parametrize("samples, batch_size, after, most", [(60_000, "auto", 0.7, 3), (200_000, 200_000, 1, 2)])
def test_ctrl_c_ends_training(samples, batch_size, after, most):
    X, y = rows(samples)
    model = MLPClassifier(hidden_layer_sizes=(1000, 1000), batch_size=batch_size, max_iter=1000, random_state=0)
    timer = threading.Timer(after, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    # As scikit-learn's: what was learned so far is kept.
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert time.monotonic() - started < most
    assert model.n_iter_ == 0 and model.loss_curve_ == []
    assert model.predict(X[:5]).shape == (5,)


class Late(Exception):
    """What a handler raises, in place of KeyboardInterrupt, which a fit takes for its end."""


def raised_in(work, after):
    """Seconds from a signal, which comes `after` so many, to the end of `work`."""
    sent = []

    def handler(number, frame):
        raise Late

    def send():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        timer = threading.Timer(after, send)
        timer.start()
        with pytest.raises(Late):
            work()
        return time.monotonic() - sent[0]
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_signals_are_heard_while_rows_are_predicted():
    X, y = rows(400_000, 100)
    model = MLPClassifier((200, 200), max_iter=1, n_jobs=2, random_state=0).fit(X[:2000], y[:2000])
    started = time.monotonic()
    model.predict(X[:40_000])
    long = 10 * (time.monotonic() - started)
    assert raised_in(lambda: [model.predict(X) for _ in range(20)], 0.2) < 0.5, f"all rows take {long:.1f} s"


def test_signals_are_heard_while_held_out_rows_are_scored():
    X, y = rows(400_000, 100)
    settings = {"early_stopping": True, "validation_fraction": 0.99, "max_iter": 200, "n_iter_no_change": np.inf}
    model = MLPClassifier((200, 200), random_state=0, **settings)
    # After the split; nearly all of the time goes into scores.
    assert raised_in(lambda: model.fit(X, y), 1.5) < 0.5


def test_signals_are_heard_while_numbers_are_read():
    # 1.6 GB if it were a matrix of its own; all rows are the same memory, which is in no cache for long.
    X = np.random.default_rng(0).random((200_000, 500), dtype=np.float32) * (np.arange(500) % 3 == 0).astype(np.float32)
    y = np.arange(len(X)) % 3
    native = lambda: _native.Network("linear:2", ([np.zeros((500, 2), np.float32)], [np.zeros(2, np.float32)])).predict(X)
    assert raised_in(lambda: [native() for _ in range(200)], 0.3) < 0.3
    assert raised_in(lambda: [MLPClassifier((8,), max_iter=1).fit(X, y) for _ in range(20)], 0.3) < 1


def test_what_another_handler_raises_is_raised():
    def handler(number, frame):
        raise TimeoutError("enough")

    X, y = rows()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="enough"):
            MLPClassifier(hidden_layer_sizes=(1000,), max_iter=30, tol=0, n_iter_no_change=np.inf).fit(X, y)
        # Thirty epochs take longer; without anybody who asks, the handler would run after them.
        assert time.monotonic() - started < 2
    finally:
        signal.signal(signal.SIGALRM, before)


def test_other_threads_run_while_a_network_trains():
    X, y = rows()
    counted, trained = [], threading.Event()

    def count():
        while not trained.is_set():
            counted.append(time.monotonic())
            time.sleep(0.002)

    thread = threading.Thread(target=count)
    thread.start()
    started = time.monotonic()
    with pytest.warns(UserWarning):
        MLPClassifier(max_iter=10, random_state=0).fit(X, y)
    ended = time.monotonic()
    trained.set()
    thread.join()
    during = [at for at in counted if started < at < ended]
    # With the lock held, there would be one of them an epoch at most.
    assert len(during) > 0.1 * (ended - started) / 0.002


def test_two_networks_train_side_by_side():
    X, y = rows(2000)
    found = [None, None]

    def fit(at):
        found[at] = MLPClassifier(max_iter=5, random_state=0).fit(X, y)

    threads = [threading.Thread(target=fit, args=(at,)) for at in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert np.array_equal(found[0].coefs_[0], found[1].coefs_[0])


MEMORY = """
import resource, sys, warnings
import numpy as np, scipy.sparse as sp
from flatnet import MLPClassifier
warnings.simplefilter("ignore")
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
X = {data}
y = np.arange(X.shape[0]) % 3
MLPClassifier((8,), max_iter=1).fit(X[:300], y[:300]).predict(X[:300])
before = peak()
model = MLPClassifier((8,), max_iter=1).fit(X, y)
model.predict(X)
print(peak() - before)
"""


@pytest.mark.parametrize(
    "data",
    [
        # 160 MB.
        "np.random.default_rng(0).random((200_000, 200), dtype=np.float32)",
        # 4 GB if it were dense.
        "sp.csr_matrix((np.ones(1_000_000, np.float32), np.arange(1_000_000) * 7919 % 20_000,"
        " np.arange(50_001) * 20), shape=(50_000, 20_000))",
    ],
)
def test_data_are_neither_copied_nor_made_dense(data):
    run = subprocess.run([sys.executable, "-c", MEMORY.format(data=data)], capture_output=True, text=True)
    assert run.stdout, run.stderr
    assert float(run.stdout) < 80, f"{run.stdout} MB more"
