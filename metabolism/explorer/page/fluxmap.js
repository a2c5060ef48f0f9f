// The flux map: geometry and scales come from Python, so that it is the drawing of the reports and the site.

const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function pointsOf(flat) {
  const out = [];
  for (let i = 0; i < flat.length; i += 2) out.push([flat[i], flat[i + 1]]);
  return out;
}

function pathText(points) {
  return `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;
}

function gap([a, b], [c, d]) {
  return Math.hypot(a - c, b - d);
}

/** The point of an arrow, and its line shortened so that a wide one does not blunt the point. */
function arrowOf(points, width) {
  const end = points.at(-1);
  const size = 6 + 1.1 * width;
  let back = points[0];
  for (let i = points.length - 2; i >= 0; i--)
    if (gap(points[i], end) >= size) {
      // courses hold only their corners: the point at the right distance lies on the way
      const near = points[i + 1];
      const share = Math.min(1, Math.max(0, (gap(points[i], end) - size) / Math.max(gap(points[i], near), 1e-9)));
      back = [points[i][0] + (near[0] - points[i][0]) * share, points[i][1] + (near[1] - points[i][1]) * share];
      break;
    }
  const length = gap(back, end) || 1;
  const [ux, uy] = [(end[0] - back[0]) / length, (end[1] - back[1]) / length];
  const [bx, by, half] = [end[0] - size * ux, end[1] - size * uy, 3 + 0.62 * width];
  const stop = [end[0] - 0.6 * size * ux, end[1] - 0.6 * size * uy];
  const line = points.filter((p) => gap(p, end) > size);
  return {
    line: [...(line.length ? line : [points[0]]), stop],
    tip: [end, [bx - half * uy, by + half * ux], [bx + half * uy, by - half * ux]].map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" "),
  };
}

/** Colour and words for a value beside its reference. */
export function changeOf(map, colours, value, base, largest) {
  const { steps, widths } = map;
  if (Math.abs(value) <= widths.nothing * largest) return { colour: "var(--faint)", words: "no flux" };
  if (base === undefined) return { colour: colours.grey, words: "" };
  const last = steps.at(-1);
  if (Math.abs(base) <= widths.nothing * largest) return { colour: last[1], words: "none in the reference" };
  const ratio = value / base;
  if (ratio < 0) return { colour: last[1], words: "opposite direction to the reference" };
  const colour = steps.find(([limit]) => limit === null || ratio <= limit)[1];
  const percent = 100 * (ratio - 1);
  return { colour, words: `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(0)} % against the reference` };
}

/** A level with the prefix that keeps it short. */
export function levelText(value, unit) {
  const digits = (v) => String(Number(v.toPrecision(3)));
  const small = { "µM": ["nM", "pM"], "µmol": ["nmol", "pmol"] }[unit];
  if (small && Math.abs(value) > 0 && Math.abs(value) < 0.1)
    return Math.abs(value) < 1e-3 ? `${digits(value * 1e6)} ${small[1]}` : `${digits(value * 1e3)} ${small[0]}`;
  return `${digits(value)} ${unit}`.trim();
}

/** Draw the map of one set of levels against another; `open(id)` is called for an arrow or a box. */
export function drawMap(contents, levels, reference, words, open) {
  const { map, colours, units } = contents;
  const [width, height] = map.size;
  const { widest, narrowest, decade, nothing } = map.widths;
  const scale = {};
  for (const network of Object.keys(map.networks)) scale[network] = 0;
  for (const route of map.routes)
    for (const source of [levels, reference]) scale[route.network] = Math.max(scale[route.network], Math.abs(source[route.id] ?? 0));
  const widthOf = (value, largest) =>
    Math.abs(value) <= nothing * largest ? narrowest : Math.max(narrowest, widest + decade * Math.log10(Math.abs(value) / largest));
  const title = `${words.title}. Arrow width: flux. Colour: change against ${words.against}.`;
  const svg = node("svg", { class: "fluxmap", viewBox: `0 0 ${width} ${height + 112}`, role: "img", "aria-label": title });
  for (const region of map.regions) {
    const [x, y, w, h] = region.box;
    svg.append(node("rect", { x, y, width: w, height: h, rx: 12, class: region.join ? "region join" : "region" }));
    const [tx, ty] = region.label_at ?? [x + 10, y + h - 8];
    svg.append(node("text", { x: tx, y: ty, class: "r" }, region.label));
  }
  for (const flat of map.influences) {
    const points = pointsOf(flat);
    const { tip } = arrowOf(points, 3);
    svg.append(node("path", { d: pathText(points), class: "i" }), node("polygon", { points: tip, class: "itip" }));
  }
  const changes = [];
  const part = (id, text) => {
    const group = node("g", { "data-part": id, class: "part" }, node("title", {}, text));
    group.addEventListener("click", () => open(id));
    return group;
  };
  for (const route of map.routes) {
    const value = levels[route.id];
    if (value === undefined) continue;
    const largest = scale[route.network];
    const { colour, words: change } = changeOf(map, colours, value, reference[route.id], largest);
    const group = part(route.id, `${route.id}: ${Number(value.toPrecision(3))} µmol/h${change ? `, ${change}` : ""}`);
    const thick = widthOf(value, largest);
    route.paths.forEach((flat, i) => {
      const points = pointsOf(flat);
      if (value < 0) points.reverse();
      const thin = i === 0 ? thick : Math.max(narrowest, 0.6 * thick);
      const { line, tip } = arrowOf(points, thin);
      const attributes = { d: pathText(line), fill: "none", stroke: colour, "stroke-width": thin.toFixed(1) };
      if (Math.abs(value) <= nothing * largest) attributes["stroke-dasharray"] = "2 4";
      group.append(node("path", { ...attributes, stroke: "transparent", "stroke-width": 14 }), node("path", attributes), node("polygon", { points: tip, fill: colour }));
    });
    if (route.label && route.at) group.append(node("text", { x: route.at[0], y: route.at[1], class: "e" }, route.label));
    svg.append(group);
    const base = reference[route.id];
    if (base && Math.abs(value) > nothing * largest) changes.push({ id: route.id, value, base, ratio: value / base });
  }
  for (const place of map.nodes) {
    const [x, y] = place.at;
    const [w, h] = place.half;
    const value = levels[place.id];
    const text = value === undefined ? "" : levelText(value, units[place.id] ?? "");
    let edge = "var(--edge)";
    let change = "";
    if (value !== undefined && reference[place.id] !== undefined) {
      const found = changeOf(map, colours, value, reference[place.id], Math.max(Math.abs(value), Math.abs(reference[place.id]), 1e-30));
      if (found.words !== "no flux") ({ colour: edge, words: change } = found);
    }
    const marked = edge !== "var(--edge)" && edge !== colours.grey;
    const shape = { x: x - w, y: y - h, width: 2 * w, height: 2 * h, rx: place.status ? 6 : h, class: "box", stroke: edge, "stroke-width": marked ? 3 : 1.4 };
    if (place.status) shape["stroke-dasharray"] = "5 3";
    const group = part(place.id, `${place.id}: ${text}${change ? `, ${change}` : ""}`);
    group.append(node("rect", shape), node("text", { x, y: text ? y - 1 : y + 5, class: place.key ? "n k" : "n" }, place.label));
    if (text) group.append(node("text", { x, y: y + 13, class: "v" }, text));
    svg.append(group);
  }
  const y = height + 16;
  const short = (v) => String(Number(v.toPrecision(2)));
  const largest = Object.entries(map.networks).map(([key, name]) => `${name} ${short(scale[key])}`).join("; ");
  svg.append(node("text", { x: 20, y, class: "r" }, "Arrow width: flux, each network on its own logarithmic scale; widest arrow [µmol/h]:"));
  svg.append(node("text", { x: 20, y: y + 20, class: "r" }, largest));
  [1, 0.1, 0.01, 0.001].forEach((share, i) => {
    const x = 20 + 150 * i;
    svg.append(node("path", { d: `M${x} ${y + 42}H${x + 40}`, stroke: colours.grey, "stroke-width": widthOf(share, 1).toFixed(1) }));
    svg.append(node("text", { x: x + 48, y: y + 47, class: "r" }, share === 1 ? "widest" : `1/${Math.round(1 / share)} of it`));
  });
  svg.append(node("path", { d: `M620 ${y + 42}H660`, class: "i" }), node("text", { x: 668, y: y + 47, class: "r" }, "influence, no flux"));
  svg.append(node("text", { x: 20, y: y + 76, class: "r" }, `Colour, against ${words.against}:`));
  map.steps.forEach(([, colour, text], i) => {
    const x = 470 + 205 * i;
    svg.append(node("rect", { x, y: y + 64, width: 26, height: 14, fill: colour }), node("text", { x: x + 34, y: y + 76, class: "r" }, text));
  });
  changes.sort((a, b) => Math.abs(Math.log(Math.abs(b.ratio))) - Math.abs(Math.log(Math.abs(a.ratio))));
  return { svg, changes };
}
