"""The examples run, and say what they say they do."""

import runpy
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_finds_what_one_process_finds():
    there, here = runpy.run_path(str(EXAMPLES / "dask_grid.py"))["main"]()
    assert len(there.cv_results_["params"]) == 8 and there.best_score_ > 0.85
    assert there.best_params_ == here.best_params_
    assert np.array_equal(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])
    assert np.array_equal(there.best_estimator_.coefs_[0], here.best_estimator_.coefs_[0])


def test_the_tutorial_runs(tmp_path):
    notebook = nbformat.read(EXAMPLES / "tutorial.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    told = notebook.cells[3].outputs
    text = "".join(output.get("text", "") for output in told)
    # A line for every epoch, as it trains.
    assert text.count("Iteration") == 5 and "accuracy 0.9" in text
