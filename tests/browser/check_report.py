#!/usr/bin/env python3
"""Opens the pages and graphs of runs in a headless Chromium: no fault, no request, six graphs (two where values are
predicted) that show the run's own figures, values under the pointer and the finger, light and dark, nothing cut off on a
phone, and no text over another in what is drawn of values.

    python3 tests/browser/check_report.py [--comparison PAGE] RUN...

A RUN is a folder with a run's files and its report. Prints what was looked at; exits with 1 at the first fault found, with
2 where there is no Chromium."""

import argparse
import csv
import json
import math
import pathlib
import sys

from chromium import Chromium, find

METRICS = {"loss": (3, lambda x: x), "accuracy": (4, lambda x: 100 * x), "error": (4, lambda x: 100 - 100 * x)}


def metrics_of(*runs):
    """What the graphs of these runs show: where values are predicted, there is no accuracy."""
    tasks = [json.loads((run / "summary.json").read_text())["recipe"].get("task") for run in runs]
    return {name: metric for name, metric in METRICS.items() if name == "loss" or set(tasks) != {"regress"}}


def require(what, holds):
    if not holds:
        raise AssertionError(what)


def equal(what, found, expected):
    require(f"{what}: {found!r}, expected {expected!r}", found == expected)


def near(what, found, expected, tolerance):
    require(f"{what}: {found}, expected {expected} within {tolerance}", abs(found - expected) <= tolerance)


def rows(path, phase=None):
    with open(path, newline="") as file:
        return [row for row in list(csv.reader(file))[1:] if phase in (None, row[0])]


def require_clean(browser, what):
    equal(f"{what}: faults", browser.faults, [])
    equal(f"{what}: requests", browser.requests, [])


# Within each drawing of values: texts that lie on one another, or leave it.
OVERLAPS = """[...document.querySelectorAll("figure.plot svg")].flatMap((svg) => {
    const whole = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    return texts.flatMap(([name, box], index) => {
        if (box.left < whole.left - 0.5 || box.right > whole.right + 0.5) return [[name, "cut off"]];
        // Boxes are as high as the tallest letter, which few texts have.
        const over = texts.slice(index + 1).filter(([, other]) => box.left < other.right - 1 && other.left < box.right - 1
            && box.top < other.bottom - 3 && other.top < box.bottom - 3);
        return over.map(([other]) => [name, other]);
    });
})"""


def check_layout(browser, page, graphs):
    """Every part is there in light and dark, and nothing is wider than the screen."""
    grounds = set()
    for dark in (False, True):
        for width in (1400, 1280, 768, 400, 360):
            what = f"{page}, {width} pixels wide, {'dark' if dark else 'light'}"
            browser.open(page, width=width, dark=dark, touch=width < 700)
            require_clean(browser, what)
            require(f"{what}: a title", browser.evaluate("document.title.length") > 0)
            require(f"{what}: wider than the screen", browser.evaluate("document.documentElement.scrollWidth") <= width)
            grounds.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
            empty = browser.evaluate("""[...document.querySelectorAll("svg")].filter((svg) => {
                const box = svg.getBoundingClientRect();
                return box.width < 8 || box.height < 8;
            }).length""")
            equal(f"{what}: pictures without a size", empty, 0)
            small = browser.evaluate("""Math.min(...[...document.querySelectorAll("figure.curve text")].map((text) => {
                const svg = text.ownerSVGElement;
                return parseFloat(getComputedStyle(text).fontSize) * svg.clientWidth / svg.viewBox.baseVal.width;
            }))""")
            require(f"{what}: text of {small} pixels in a graph", small >= 9)
            equal(f"{what}: texts over one another or cut off", browser.evaluate(OVERLAPS), [])
    equal(f"{page}: grounds in light and dark", len(grounds), 2)
    equal(f"{page}: text became script", browser.evaluate("typeof hacked"), "undefined")
    equal(f"{page}: graphs", browser.evaluate("document.querySelectorAll('figure.curve').length"), graphs)


def check_comparison(browser, page, runs):
    """Every figure of every run is on the screen, however narrow it is, and runs that measured the same both show."""
    for width in (1400, 400):
        browser.open(page, width=width)
        cut = browser.evaluate("""[...document.querySelectorAll(".runs td, .runs tbody th")].filter((cell) => {
            const box = cell.getBoundingClientRect(), panel = cell.closest(".panel").getBoundingClientRect();
            return box.width < 1 || box.left < panel.left || box.right > panel.right + 0.5;
        }).map((cell) => cell.dataset.name ?? cell.textContent)""")
        equal(f"{page}, {width} pixels wide: figures cut off", cut, [])
        rows = browser.evaluate("document.querySelectorAll('.runs tbody tr').length")
        equal(f"{page}, {width} pixels wide: runs", rows, runs)
    curves = browser.evaluate("""[...document.querySelectorAll("#loss-by-epoch .line:not(.twin)")].map(
        (line) => line.getAttribute("d"))""")
    equal(f"{page}: lines that lie on others in full", len(curves), len(set(curves)))


def check_told(browser, page):
    """What is wrong has another colour than what is not."""
    for dark in (False, True):
        browser.open(page, dark=dark)
        told = browser.evaluate("""[...document.querySelectorAll(".told")].map((part) =>
            [/Warning|no better since/.test(part.textContent), getComputedStyle(part).borderLeftColor])""")
        wrong = browser.evaluate("""(() => {
            const part = document.querySelector(".told").cloneNode();
            part.className = "panel told warned";
            document.body.append(part);
            return getComputedStyle(part).borderLeftColor;
        })()""")
        require(f"{page}: something is told", len(told) > 0)
        for is_wrong, colour in told:
            equal(f"{page}: {colour} is the colour of a warning", colour == wrong, is_wrong)


def check_start(browser, page):
    """At the first training batch no validation has run: the tooltip has no value of it."""
    browser.open(page)
    figure = "document.querySelector('#loss-by-batch')"
    x, y, width, height = box_of(browser, figure)
    left = browser.evaluate(f"JSON.parse({figure}.querySelector('script').textContent).plot[0]")
    scale = browser.evaluate(f"{figure}.querySelector('svg').clientWidth / {figure}.querySelector('svg').viewBox.baseVal.width")
    browser.point_at(x + left * scale, y + height / 2)
    told = browser.evaluate(f"{figure}.querySelector('.tip').textContent")
    require(f"{page}: at the first batch: {told!r}", "training" in told and "validation" not in told)


def check_points(browser, page, run):
    """The lines have the values of the CSV files: as data, as drawn, and under the pointer."""
    browser.open(page)
    epochs = rows(run / "epochs.csv")
    for metric, (batch_column, value) in metrics_of(run).items():
        for step in ("epoch", "batch"):
            what = f"{page}: {metric} by {step}"
            figure = f"document.querySelector('#{metric}-by-{step}')"
            data = browser.evaluate(f"JSON.parse({figure}.querySelector('script').textContent)")
            equal(f"{what}: lines", [line["name"] for line in data["lines"]], ["training", "validation"])
            for index, phase in enumerate(("train", "val")):
                if step == "epoch":
                    column = {"loss": (1, 3)}.get(metric, (2, 4))[index]
                    values = [value(float(row[column])) for row in epochs]
                else:
                    values = [value(float(row[batch_column])) for row in rows(run / "batches.csv", phase)]
                line = data["lines"][index]
                equal(f"{what}: {phase} values", line["values"], len(values))
                for name, found, expected in (
                    ("least", min(point[3] for point in line["points"]), min(values)),
                    ("largest", max(point[4] for point in line["points"]), max(values)),
                ):
                    near(f"{what}: {phase} {name}", found, expected, 1e-4 * abs(expected) + 1e-6)
                # What is drawn reaches from the least to the largest value, a pixel's line width aside.
                drawn = browser.evaluate(f"""(() => {{
                    const path = {figure}.querySelectorAll("{'.raw' if step == 'batch' else '.line[d*=L], .line[d*=V]'}")[{index}];
                    const box = path.getBBox();
                    return [box.y, box.y + box.height, path.getTotalLength()];
                }})()""")
                for found, expected in zip(drawn, (max(values), min(values))):
                    near(f"{what}: {phase} drawn", found, y_pixel(data, expected), 0.5)
                require(f"{what}: {phase} drawn as a line", drawn[2] > 100)
            check_pointer(browser, what, figure, metric, step, epochs, value)


def y_pixel(data, value):
    low, high = data["y"]
    value = min(high, max(low, value))
    share = math.log(value / low) / math.log(high / low) if data["log"] else (value - low) / (high - low)
    _, _, top, bottom = data["plot"]
    return bottom - share * (bottom - top)


def box_of(browser, figure):
    browser.evaluate(f"{figure}.scrollIntoView({{ block: 'center' }})")
    return browser.evaluate(f"""(() => {{
        const box = {figure}.querySelector("svg").getBoundingClientRect();
        return [box.x, box.y, box.width, box.height];
    }})()""")


def check_pointer(browser, what, figure, metric, step, epochs, value):
    """At the right edge the tooltip tells the last values; it goes with the pointer."""
    x, y, width, height = box_of(browser, figure)
    told = f"{figure}.querySelector('.tip').textContent"
    browser.point_at(x + width - 2, y + height / 2)
    lines = browser.evaluate(told).split("\n")
    equal(f"{what}: lines of the tooltip", len(lines), 3)
    if step == "epoch":
        train, val = {"loss": (1, 3)}.get(metric, (2, 4))
        equal(f"{what}: where", lines[0], f"epoch {len(epochs)}")
        for line, name, column in ((lines[1], "training", train), (lines[2], "validation", val)):
            last = value(float(epochs[-1][column]))
            require(f"{what}: {line}", line.startswith(f"{name} "))
            near(f"{what}: {line}", float(line.split()[1]), last, 6e-3 if metric != "loss" else 1e-3 * last)
    else:
        require(f"{what}: {lines[0]}", lines[0].startswith("batch") and f"epoch {len(epochs)}" in lines[0])
    browser.point_at(x + width / 2, max(0, y - 30))
    require(f"{what}: the tooltip stays", browser.evaluate(f"{figure}.querySelector('.tip').hidden"))
    browser.evaluate(f"{figure}.querySelector('svg').focus()")
    browser.press("ArrowRight")
    by_key = browser.evaluate(told)
    # By batch the keys go along the training line, which ends before the last validation begins.
    same = slice(1, 2) if step == "batch" else slice(None)
    equal(f"{what}: the keys tell the same", by_key.split("\n")[same], lines[same])
    browser.press("ArrowLeft")
    require(f"{what}: the keys lead on", browser.evaluate(told) != by_key)
    browser.press("Escape")


def check_touch(browser, page):
    browser.open(page, width=360, height=740, touch=True)
    figure = "document.querySelector('#loss-by-batch')"
    x, y, width, height = box_of(browser, figure)
    browser.touch(x + width / 2, y + height / 2)
    tip = browser.evaluate(f"""(() => {{
        const tip = {figure}.querySelector(".tip"), box = tip.getBoundingClientRect();
        return [tip.hidden, tip.textContent.includes("validation"), box.left, box.right];
    }})()""")
    equal(f"{page}: the tooltip under a finger", tip[:2], [False, True])
    require(f"{page}: the tooltip is cut off: {tip[2:]}", tip[2] >= 0 and tip[3] <= 360)


def check_values(browser, page, run):
    """Where values are predicted, each validation row is a dot, up to 2,000 of them, and counted in the histogram."""
    summary = json.loads((run / "summary.json").read_text())
    if summary["recipe"].get("task") != "regress":
        return
    browser.open(page)
    dots = browser.evaluate("""[...document.querySelectorAll("figure.plot .dots")].map(
        (dots) => dots.getAttribute("d").split("h0").length - 1)""")
    require(f"{page}: drawings of dots", len(dots) >= 2)
    equal(f"{page}: dots", set(dots), {min(2000, summary["data"]["val_samples"])})
    sizes = browser.evaluate("""[...document.querySelectorAll("figure.plot .dots, figure.plot .bars")].map((path) => {
        const box = path.getBBox();
        return [box.width, box.height];
    })""")
    require(f"{page}: drawings that fill their axes: {sizes}", all(width > 100 and height > 50 for width, height in sizes))


def svg_files(run):
    return [f"{metric}-by-{step}.svg" for metric in metrics_of(run) for step in ("epoch", "batch")] + ["weights.svg"]


def check_files(browser, run):
    for name in svg_files(run):
        path = run / "graphs" / name
        grounds = set()
        for dark in (False, True):
            browser.open(path, dark=dark)
            require_clean(browser, path)
            equal(f"{path}: root", browser.evaluate("document.documentElement.localName"), "svg")
            grounds.add(browser.evaluate("getComputedStyle(document.querySelector('.ground')).fill"))
        equal(f"{path}: grounds in light and dark", len(grounds), 2)
        require(f"{path}: paths", browser.evaluate("document.querySelectorAll('path').length") > 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparison", type=pathlib.Path, help="a page in which several runs are compared")
    parser.add_argument("run", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    path = find()
    if path is None:
        print("no Chromium is on the path", file=sys.stderr)
        return 2
    with Chromium(path) as browser:
        try:
            for run in arguments.run:
                page = run / "report.html"
                graphs = 2 * len(metrics_of(run))
                check_layout(browser, page, graphs)
                check_values(browser, page, run)
                check_points(browser, page, run)
                check_touch(browser, page)
                check_start(browser, page)
                check_told(browser, page)
                require_clean(browser, page)
                check_files(browser, run)
                files = len(svg_files(run))
                print(f"{page}: {graphs} graphs, tooltips, light and dark, 360 to 1400 pixels; {files} files alone")
            if arguments.comparison:
                check_layout(browser, arguments.comparison, 2 * len(metrics_of(*arguments.run)))
                check_comparison(browser, arguments.comparison, len(arguments.run))
                print(f"{arguments.comparison}: {len(arguments.run)} runs, light and dark, 360 to 1400 pixels")
        except AssertionError as fault:
            print(f"check_report: {fault}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
