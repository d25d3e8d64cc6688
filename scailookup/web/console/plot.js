/** Small plots of the last quarter of an hour, drawn as SVG. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 48;

function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function frame(title, kind) {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: `plot ${kind}`, role: "img", "aria-label": title, preserveAspectRatio: "none" });
  svg.append(shape("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, class: "axis" }));
  return svg;
}

/** Calls as bars, the failed ones at their feet. */
export function bars(calls, failed) {
  const total = sum(calls);
  const svg = frame(`${total} calls, ${sum(failed)} of them failed, in the last 15 minutes`, "bars");
  const most = Math.max(1, ...calls);
  const width = WIDTH / calls.length;
  calls.forEach((count, at) => {
    const all = (count / most) * (HEIGHT - 4);
    const bad = (failed[at] / most) * (HEIGHT - 4);
    const place = { x: (at * width + 0.4).toFixed(2), width: (width - 0.8).toFixed(2) };
    if (count > failed[at]) svg.append(shape("rect", { ...place, y: HEIGHT - 1 - all, height: all - bad, class: "good" }));
    if (bad) svg.append(shape("rect", { ...place, y: HEIGHT - 1 - bad, height: bad, class: "bad" }));
  });
  return svg;
}

/** Mean and slowest of each step, as points joined where steps follow one another. */
export function lines(mean, slowest) {
  const known = slowest.filter((value) => value !== null);
  const most = Math.max(1, ...known);
  const svg = frame(known.length ? `Slowest call ${Math.round(most)} ms in the last 15 minutes` : "No calls in the last 15 minutes", "lines");
  for (const [values, kind] of [[slowest, "slowest"], [mean, "mean"]]) {
    svg.append(shape("path", { d: pathOf(values, most), class: kind, "vector-effect": "non-scaling-stroke" }));
  }
  return svg;
}

function pathOf(values, most) {
  const width = WIDTH / values.length;
  let pen = "M";
  let path = "";
  values.forEach((value, at) => {
    if (value === null) {
      pen = "M";
      return;
    }
    const y = (HEIGHT - 2 - (value / most) * (HEIGHT - 6)).toFixed(1);
    const x = at * width;
    path += `${pen}${x.toFixed(1)} ${y}L${(x + width).toFixed(1)} ${y}`; // a step, so that one alone is seen too
    pen = "L";
  });
  return path;
}

export const sum = (values) => values.reduce((before, value) => before + value, 0);
