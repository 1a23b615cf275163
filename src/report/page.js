// Tells the values under the pointer, under a finger, or where the arrow keys lead. Works from the data beside each
// graph; every text is set as text, never as markup.
"use strict";
for (const figure of document.querySelectorAll("figure.curve")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg");
  const [left, right, top, bottom] = data.plot;
  const lines = data.lines.filter((line) => line.points.length > 0);
  if (lines.length === 0) continue;

  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.style.display = "none";
    svg.append(element);
    return element;
  };
  const cross = make("path", { class: "cross" });
  const dots = lines.map((line) => make("circle", { class: `dot c${line.colour}`, r: 4.5 }));
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  figure.append(tip);

  const number = (value) => value.toLocaleString("en-US");
  const figures = (value) => (data.percent ? `${value.toFixed(2)} %` : value.toPrecision(4));
  const xPixel = (x) => left + ((x - data.x[0]) / (data.x[1] - data.x[0])) * (right - left);
  const yPixel = (y) => {
    const [low, high] = data.y;
    const value = Math.min(high, Math.max(low, y));
    const share = data.log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return bottom - share * (bottom - top);
  };
  const middle = (point) => (point[0] + point[1]) / 2;
  // The point of a line nearest to a position: its middles rise.
  const nearest = (points, x) => {
    let [low, high] = [0, points.length - 1];
    while (low < high) {
      const half = (low + high) >> 1;
      if (middle(points[half]) < x) low = half + 1;
      else high = half;
    }
    return low > 0 && x - middle(points[low - 1]) < middle(points[low]) - x ? low - 1 : low;
  };
  const where = (from, to) => {
    if (!data.by_batch) return from === to ? `epoch ${number(from)}` : `epochs ${number(from)} to ${number(to)}`;
    const steps = from === to ? `batch ${number(from)}` : `batches ${number(from)} to ${number(to)}`;
    if (data.per_epoch === 0) return steps;
    const [first, last] = [Math.ceil(from / data.per_epoch), Math.ceil(to / data.per_epoch)];
    return `${steps}, ${first === last ? `epoch ${number(first)}` : `epochs ${number(first)} to ${number(last)}`}`;
  };

  // A value holds until the other phase has run, an epoch's until the next.
  const lasting = data.by_batch ? data.per_epoch || 0.02 * (data.x[1] - data.x[0]) : 0.5;
  let at = null;
  const show = (x) => {
    at = Math.min(data.x[1], Math.max(data.x[0], x));
    const points = lines.map((line) => line.points[nearest(line.points, at)]);
    const closest = points.reduce((a, b) => (Math.abs(middle(b) - at) < Math.abs(middle(a) - at) ? b : a));
    // Before its first value a line has none, and long after its last one it has none any more.
    const here = middle(closest);
    const there = points.map((point, index) => {
      const [first, last] = [lines[index].points[0], lines[index].points.at(-1)];
      return point === closest || (first[0] <= Math.max(here, closest[1]) && here <= last[1] + lasting);
    });
    const told = points.flatMap(([from, to, mean, least, largest], index) => {
      const range = least < largest ? `, here ${figures(least)} to ${figures(largest)}` : "";
      return there[index] ? [`${lines[index].name} ${figures(mean)}${range}`] : [];
    });
    tip.textContent = [where(closest[0], closest[1]), ...told].join("\n");
    const px = xPixel(middle(closest));
    cross.setAttribute("d", `M${px} ${top}V${bottom}`);
    cross.style.display = "";
    points.forEach((point, index) => {
      dots[index].setAttribute("cx", xPixel(middle(point)));
      dots[index].setAttribute("cy", yPixel(point[2]));
      dots[index].style.display = there[index] ? "" : "none";
    });
    tip.hidden = false;
    // Beside the line, on the side that has more room.
    const scale = svg.clientWidth / svg.viewBox.baseVal.width;
    const line = svg.offsetLeft || figure.clientWidth - svg.clientWidth >> 1;
    const place = line + px * scale;
    const beside = px > (left + right) / 2 ? place - tip.offsetWidth - 12 : place + 12;
    tip.style.left = `${Math.max(2, Math.min(figure.clientWidth - tip.offsetWidth - 2, beside))}px`;
    tip.style.top = `${(top + 22) * scale}px`;
  };
  const hide = () => {
    at = null;
    tip.hidden = true;
    for (const element of [cross, ...dots]) element.style.display = "none";
  };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    show(data.x[0] + ((x - left) / (right - left)) * (data.x[1] - data.x[0]));
  };

  svg.setAttribute("tabindex", "0");
  svg.addEventListener("pointerdown", follow);
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (step === undefined) return;
    event.preventDefault();
    const points = lines[0].points;
    const next = at === null ? points.length - 1 : nearest(points, at) + step;
    show(middle(points[Math.min(points.length - 1, Math.max(0, next))]));
  });
}
