// The flux map: geometry and scales come from Python, so that it is the drawing of the reports and the site.

const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Write what differs. */
function write(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) if (element.getAttribute(key) !== value) element.setAttribute(key, value);
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
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

/** The map, drawn once; `show` then writes only what differs, since it holds a thousand parts. */
export class FluxMap {
  /** `open(id)` is called for an arrow or a box. */
  constructor(contents, open) {
    this.contents = contents;
    const { map, colours } = contents;
    const [width, height] = map.size;
    this.svg = node("svg", { class: "fluxmap", viewBox: `0 0 ${width} ${height + 112}`, role: "img" });
    const put = (name, attributes, ...children) => {
      const element = node(name, attributes, ...children);
      this.svg.append(element);
      return element;
    };
    for (const region of map.regions) {
      const [x, y, w, h] = region.box;
      put("rect", { x, y, width: w, height: h, rx: 12, class: region.join ? "region join" : "region" });
      const [tx, ty] = region.label_at ?? [x + 10, y + h - 8];
      put("text", { x: tx, y: ty, class: "r" }, region.label);
    }
    for (const flat of map.influences) {
      const points = pointsOf(flat);
      put("path", { d: pathText(points), class: "i" });
      put("polygon", { points: arrowOf(points, 3).tip, class: "itip" });
    }
    const part = (id, ...children) => {
      const group = put("g", { "data-part": id, class: "part" }, ...children);
      group.addEventListener("click", () => open(id));
    };
    this.routes = map.routes.map((route) => {
      const courses = route.paths.map((flat) => ({ points: pointsOf(flat), hit: node("path", { fill: "none", stroke: "transparent", "stroke-width": 14 }), line: node("path", { fill: "none" }), tip: node("polygon", {}) }));
      const title = node("title", {});
      part(route.id, title, ...courses.flatMap(({ hit, line, tip }) => [hit, line, tip]));
      return { route, courses, title };
    });
    // names above every arrow, so that none runs through them
    for (const { id, label, at } of map.routes) {
      if (!label || !at) continue;
      put("text", { x: at[0], y: at[1], class: "e" }, label).addEventListener("click", () => open(id));
    }
    this.boxes = map.nodes.map((place) => {
      const [x, y] = place.at;
      const [w, h] = place.half;
      const box = node("rect", { x: x - w, y: y - h, width: 2 * w, height: 2 * h, rx: place.status ? 6 : h, class: "box", ...(place.status ? { "stroke-dasharray": "5 3" } : {}) });
      const [title, name, value] = [node("title", {}), node("text", { x, class: place.key ? "n k" : "n" }, place.label), node("text", { x, y: y + 13, class: "v" })];
      part(place.id, title, box, name, value);
      return { place, box, title, name, value };
    });
    const y = height + 16;
    put("text", { x: 20, y, class: "r" }, "Arrow width: flux, each network on its own logarithmic scale; widest arrow [µmol/h]:");
    this.scaleText = put("text", { x: 20, y: y + 20, class: "r" });
    [1, 0.1, 0.01, 0.001].forEach((share, i) => {
      const x = 20 + 150 * i;
      put("path", { d: `M${x} ${y + 42}H${x + 40}`, stroke: colours.grey, "stroke-width": this._width(share, 1).toFixed(1) });
      put("text", { x: x + 48, y: y + 47, class: "r" }, share === 1 ? "widest" : `1/${Math.round(1 / share)} of it`);
    });
    put("path", { d: `M620 ${y + 42}H660`, class: "i" });
    put("text", { x: 668, y: y + 47, class: "r" }, "influence, no flux");
    this.againstText = put("text", { x: 20, y: y + 76, class: "r" });
    map.steps.forEach(([, colour, text], i) => {
      const x = 470 + 205 * i;
      put("rect", { x, y: y + 64, width: 26, height: 14, fill: colour });
      put("text", { x: x + 34, y: y + 76, class: "r" }, text);
    });
  }

  _width(value, largest) {
    const { widest, narrowest, decade, nothing } = this.contents.map.widths;
    return Math.abs(value) <= nothing * largest ? narrowest : Math.max(narrowest, widest + decade * Math.log10(Math.abs(value) / largest));
  }

  /** Show levels and fluxes against a reference; returns the fluxes in the order of their change. */
  show(levels, reference, words) {
    const { map, colours, units } = this.contents;
    const { narrowest, nothing } = map.widths;
    const scale = {};
    for (const network of Object.keys(map.networks)) scale[network] = 0;
    for (const route of map.routes)
      for (const source of [levels, reference]) scale[route.network] = Math.max(scale[route.network], Math.abs(source[route.id] ?? 0));
    write(this.svg, { "aria-label": `${words.title}. Arrow width: flux. Colour: change against ${words.against}.` });
    const changes = [];
    for (const { route, courses, title } of this.routes) {
      const value = levels[route.id] ?? 0;
      const largest = scale[route.network];
      const none = Math.abs(value) <= nothing * largest;
      const { colour, words: change } = changeOf(map, colours, value, reference[route.id], largest);
      say(title, `${route.id}: ${Number(value.toPrecision(3))} µmol/h${change ? `, ${change}` : ""}`);
      const thick = this._width(value, largest);
      courses.forEach((course, i) => {
        const thin = i === 0 ? thick : Math.max(narrowest, 0.6 * thick);
        const shape = `${value < 0} ${thin.toFixed(1)}`;
        if (course.shape !== shape) {
          course.shape = shape;
          const { line, tip } = arrowOf(value < 0 ? course.points.toReversed() : course.points, Number(thin.toFixed(1)));
          write(course.hit, { d: pathText(line) });
          write(course.line, { d: pathText(line), "stroke-width": thin.toFixed(1) });
          write(course.tip, { points: tip });
        }
        write(course.line, { stroke: colour, "stroke-dasharray": none ? "2 4" : "none" });
        write(course.tip, { fill: colour });
      });
      const base = reference[route.id];
      if (base && !none) changes.push({ id: route.id, value, base, ratio: value / base });
    }
    for (const { place, box, title, name, value: said } of this.boxes) {
      const [value, base] = [levels[place.id], reference[place.id]];
      const text = value === undefined ? "" : levelText(value, units[place.id] ?? "");
      const found = value === undefined || base === undefined ? { words: "no flux" } : changeOf(map, colours, value, base, Math.max(Math.abs(value), Math.abs(base), 1e-30));
      const { colour: edge, words: change } = found.words === "no flux" ? { colour: "var(--edge)", words: "" } : found;
      const marked = edge !== "var(--edge)" && edge !== colours.grey;
      write(box, { stroke: edge, "stroke-width": marked ? "3" : "1.4" });
      write(name, { y: String(place.at[1] + (text ? -1 : 5)) });
      say(said, text);
      say(title, `${place.id}: ${text}${change ? `, ${change}` : ""}`);
    }
    const short = (v) => String(Number(v.toPrecision(2)));
    say(this.scaleText, Object.entries(map.networks).map(([key, name]) => `${name} ${short(scale[key])}`).join("; "));
    say(this.againstText, `Colour, against ${words.against}:`);
    return changes.sort((a, b) => Math.abs(Math.log(Math.abs(b.ratio))) - Math.abs(Math.log(Math.abs(a.ratio))));
  }
}
