#!/usr/bin/env python3
"""Has TensorBoard read the event files of a short run, and compares what it finds with the run's CSV files.

    python3 -m venv venv && venv/bin/pip install -r tests/tensorboard/requirements.txt
    venv/bin/python tests/tensorboard/read_back.py [FLATNET...]

FLATNET is the program, by default `cargo run --release --locked --`.
"""

import csv
import pathlib
import struct
import subprocess
import sys
import tempfile

# What TensorBoard's own server reads event files with.
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext

EPOCHS, TRAIN_SAMPLES, VAL_SAMPLES, BATCH_SIZE = 3, 640, 250, 32


def main():
    program = sys.argv[1:] or ["cargo", "run", "--release", "--locked", "--"]
    settings = {
        "epochs": EPOCHS,
        "train-samples": TRAIN_SAMPLES,
        "val-samples": VAL_SAMPLES,
        "batch-size": BATCH_SIZE,
    }
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        where = ["--out", folder / "run", "--tensorboard", folder / "logs/short"]
        subprocess.run([*program, "train", *flags, *where, "--quiet", "--json"], check=True, stdout=subprocess.DEVNULL)
        compared, faults = compare(scalars(folder / "logs"), folder / "run")
    batches = -(-TRAIN_SAMPLES // BATCH_SIZE) + -(-VAL_SAMPLES // BATCH_SIZE)
    # Both phases' losses and accuracies by epoch and by batch, and five figures that were watched.
    expected = EPOCHS * (2 * (2 + batches) + 5)
    if compared != expected:
        faults.append(f"{compared} points were compared, expected {expected}")
    print(f"{compared} points of {EPOCHS} epochs compared")
    return "\n".join(faults)


def scalars(logs):
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logs))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(logs))
    return provider.read_scalars(RequestContext(), experiment_id="", plugin_name="scalars", downsample=1_000_000)


def compare(found, run):
    """The number of points that should be there, and a line for each series that differs."""

    def rows(name):
        with open(run / name) as file:
            return list(csv.DictReader(file))

    compared, faults = 0, []
    phases = {"short/train": "train", "short/validation": "val"}
    if set(found) != set(phases):
        faults.append(f"runs {sorted(found)}, expected {sorted(phases)}")
    for name, phase in phases.items():
        epochs = [(int(row["epoch"]), row[f"{phase}_loss"], row[f"{phase}_accuracy"]) for row in rows("epochs.csv")]
        numbered = enumerate(rows("batches.csv"), 1)
        batches = [(number, row["loss"], row["accuracy"]) for number, row in numbered if row["phase"] == phase]
        expected = {
            f"{group}/{figure}": [(point[0], single(point[column])) for point in points]
            for group, points in (("epoch", epochs), ("batch", batches))
            for column, figure in ((1, "loss"), (2, "accuracy"))
        }
        # What was watched stands in the columns after those of every run, and is of the training.
        for figure in list(rows("epochs.csv")[0])[7:] if phase == "train" else []:
            expected[f"watch/{figure}"] = [(int(row["epoch"]), single(row[figure])) for row in rows("epochs.csv")]
        tags = found.get(name, {})
        if set(tags) != set(expected):
            faults.append(f"{name}: tags {sorted(tags)}, expected {sorted(expected)}")
        for tag, wanted in expected.items():
            compared += len(wanted)
            read = [(point.step, point.value) for point in tags.get(tag, [])]
            if read != wanted:
                faults.append(f"{name}: {tag}: {len(read)} points, first {read[:2]}; expected {len(wanted)}, {wanted[:2]}")
    return compared, faults


def single(text):
    """The number as event files hold it, an f32."""
    return struct.unpack("<f", struct.pack("<f", float(text)))[0]


if __name__ == "__main__":
    sys.exit(main() or 0)
