#!/usr/bin/env python3
"""What compare.py says of figures, without running a program: python3 benches/peers/test_compare.py"""

import csv
import math
import sys
import tempfile
import unittest
from pathlib import Path

import compare

CASE = compare.HIDDEN


def measured(us_per_batch=100.0, loss=0.5, variant="v", threads=1, problem=None):
    """flatnet at 100 us and a loss of 0.5, and one row beside it: (all, that row)."""
    rows = [compare.Row(CASE.name, compare.FLATNET, "--kernel auto", 1), compare.Row(CASE.name, "peer", variant, threads)]

    def result(us, loss):
        accuracy = {"train_accuracy": 0.9, "val_accuracy": 0.8, "seconds": 1.0, "peak_memory_mib": None, "version": "1"}
        losses = {"train_loss": 0.5, "val_loss": loss}
        return {"us_per_batch": us, "judged": losses, **losses, **accuracy}

    all_rows = compare.Measured(rows)
    all_rows.results[rows[0]] = [result(100.0, 0.5)]
    if problem:
        all_rows.problems[rows[1]] = problem
    else:
        all_rows.results[rows[1]] = [result(us_per_batch, loss)]
    return all_rows, rows[1]


class Judging(unittest.TestCase):
    def test_losses_differ_in_the_fourth_digit_or_not_at_all(self):
        for loss, mark in [(0.5, ""), (0.500049, ""), (0.499951, ""), (0.500051, "differs"), (0.499949, "differs"), (0.0, "differs")]:
            figures, row = measured(loss=loss)
            self.assertEqual(figures.mark(row), mark, loss)

    def test_what_is_no_number_differs(self):
        for loss in (math.nan, math.inf):
            figures, row = measured(loss=loss)
            self.assertEqual(figures.mark(row), "differs")

    def test_another_start_is_not_compared(self):
        figures, row = measured(loss=0.7, variant="own-start")
        self.assertEqual(figures.mark(row), "own start")

    def test_only_what_is_far_from_flatnet_runs_once(self):
        for us, threads, far in [(100.0 * compare.FAR, 1, False), (100.0 * compare.FAR + 1, 1, True), (1e6, 2, False)]:
            figures, row = measured(us_per_batch=us, threads=threads)
            self.assertEqual(figures.is_far(row), far, (us, threads))
            self.assertFalse(figures.is_far(figures.rows[0]))


class Running(unittest.TestCase):
    def test_a_folder_has_no_character_that_a_compiler_would_split_at(self):
        for case in compare.CASES:
            self.assertRegex(compare.folder_name(case.name, "compile", 2), r"^[\w-]+$")

    def test_a_failure_is_told_by_the_line_that_names_the_error(self):
        for text, told in [("x\nValueError: wrong shape\nset this\n", "ValueError: wrong shape"), ("x\nerror: no field\ny", "error: no field"), ("x\ny", "y")]:
            with self.assertRaises(compare.Unavailable) as raised:
                compare.execute([sys.executable, "-c", f"import sys; sys.exit({text!r})"], 60, "run")
            self.assertEqual(str(raised.exception), f"run: {told}")


class Telling(unittest.TestCase):
    def figures(self, all_rows):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figures.csv"
            compare.write_figures(path, all_rows, [CASE])
            with open(path, newline="") as file:
                return list(csv.DictReader(file))

    def test_each_row_is_one_line_with_its_figures(self):
        flatnet, peer = self.figures(measured(us_per_batch=250.0, loss=0.6)[0])
        self.assertEqual((flatnet["program"], flatnet["times_flatnet"], flatnet["remark"]), ("flatnet", "1.000", ""))
        self.assertEqual((peer["us_per_batch_median"], peer["times_flatnet"], peer["val_loss"]), ("250.00", "2.500", "0.600000"))
        self.assertEqual((peer["network"], peer["optimizer"], peer["batch_size"]), (CASE.network, "sgd", "32"))
        self.assertEqual(peer["remark"], "differs")

    def test_what_was_not_run_says_why(self):
        all_rows, _ = measured(problem="not built: --install does it")
        peer = self.figures(all_rows)[1]
        self.assertEqual((peer["rounds"], peer["us_per_batch_median"], peer["remark"]), ("0", "", "not run: not built: --install does it"))
        self.assertIn("| peer: v | 1 | not run: not built: --install does it |", compare.table(all_rows, CASE))
        self.assertIn("peer: v (not run: not built: --install does it)", compare.summary(all_rows))

    def test_the_fastest_comes_first(self):
        table = compare.table(measured(us_per_batch=50.0)[0], CASE)
        self.assertLess(table.index("| peer: v |"), table.index("**flatnet**"))
        self.assertIn("| 0.50 |", table)


if __name__ == "__main__":
    unittest.main()
