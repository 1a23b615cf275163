#!/usr/bin/env python3
"""Has ONNX's own checker and onnxruntime read what `flatnet export --to onnx` writes, for every activation, and compares the
probabilities of all 10,000 test images with flatnet's own.

    python3 -m venv venv && venv/bin/pip install -r tests/export/requirements.txt
    venv/bin/python -B tests/export/check_onnx.py [FLATNET...]

FLATNET is the program, by default `cargo run --release --locked --`.
"""

import sys

import common
import numpy as np
import onnx
import onnxruntime

# Of probabilities in float32, which both round in another order.
BOUND = 1e-6


def check(flatnet, layers, scale, model, folder):
    path = folder / "model.onnx"
    flatnet("export", "--model", model, "--to", "onnx", "--out", path)
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    assert graph.opset_import[0].version >= 17 and layers in graph.doc_string and "0 to 255" in graph.doc_string
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (x,) = session.get_inputs()
    assert (x.name, x.shape, x.type) == ("x", ["batch", 784], "tensor(float)"), (x.name, x.shape, x.type)
    pixels = common.test_images().astype(np.float32)
    logits, probabilities = session.run(["logits", "probabilities"], {"x": pixels})
    own = flatnet.probabilities(model, folder)
    yield "probabilities of onnxruntime", common.far(probabilities, own)
    yield "softmax of its logits", common.far(common.softmax(logits.astype(np.float64)), own)


if __name__ == "__main__":
    program = sys.argv[1:] or ["cargo", "run", "--release", "--locked", "--"]
    sys.exit(common.check_all(program, BOUND, check) or 0)
