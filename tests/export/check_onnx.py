#!/usr/bin/env python3
"""Has ONNX's own checker and onnxruntime read what `flatnet export --to onnx` writes, for every activation, and compares the
probabilities of all 10,000 test images with those of a float64 forward pass.

    python3 -m venv venv && venv/bin/pip install -r tests/export/requirements.txt
    venv/bin/python -B tests/export/check_onnx.py [FLATNET...]

FLATNET is the program, by default `cargo run --release --locked --`.
"""

import sys

import common
import numpy as np
import onnx
import onnxruntime


def check(flatnet, layers, model, folder):
    path = folder / "model.onnx"
    flatnet("export", "--model", model, "--to", "onnx", "--out", path)
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    assert graph.opset_import[0].version >= 17, graph.opset_import
    assert common.metadata(model)["layers"] in graph.doc_string and "0 to 255" in graph.doc_string, graph.doc_string
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (x,) = session.get_inputs()
    assert (x.name, x.shape, x.type) == ("x", ["batch", 784], "tensor(float)"), (x.name, x.shape, x.type)
    pixels = common.test_images().astype(np.float32)
    logits, probabilities = session.run(["logits", "probabilities"], {"x": pixels})
    yield "probabilities of onnxruntime", probabilities
    yield "softmax of its logits", common.softmax(logits.astype(np.float64))


if __name__ == "__main__":
    program = sys.argv[1:] or ["cargo", "run", "--release", "--locked", "--"]
    sys.exit(common.check_all(program, check) or 0)
