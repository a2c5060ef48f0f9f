// Charts (Observable Plot), and what a reader takes away: figure with whole caption, table with scenario and date.

/* global Plot, d3 */

const LIGHT = { "--with": "#0072B2", "--without": "#767676", "--pinned": "#D55E00", "--point": "#222222", "--ink": "#1c2733", "--faint": "#c9c9c9", "--edge": "#8a8f96", "--paper": "#ffffff", "--region": "#f5f7f9", "--soft": "#5b6673" };

const FORMATS = new Map();

/** A number for a reader: three significant digits, a true minus. */
export function nice(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const rounded = Number(value.toPrecision(digits));
  const size = Math.abs(rounded);
  if (size >= 1e5 || (size !== 0 && size < 1e-4)) return rounded.toExponential(digits - 1).replace("-", "−");
  // a formatter costs more to make than a chart to draw
  const grouped = size >= 10000;
  const key = `${digits} ${grouped}`;
  if (!FORMATS.has(key)) FORMATS.set(key, new Intl.NumberFormat("en-GB", { maximumSignificantDigits: digits, useGrouping: grouped }));
  return FORMATS.get(key).format(rounded).replace("-", "−");
}

export function signed(value, digits = 3) {
  return (value > 0 ? "+" : "") + nice(value, digits);
}

export function fixed(value, places = 1) {
  return value.toFixed(places).replace("-", "−");
}

/** Unit of time that suits a run: [divisor of hours, name]. */
export function timeUnit(weeks) {
  return weeks <= 2 ? [24, "days"] : [168, "weeks"];
}

/** A chart is one picture with one name: the library names its groups, which a reader of the screen cannot use. */
function named(options) {
  const svg = Plot.plot(options);
  svg.setAttribute("role", "img");
  for (const group of svg.querySelectorAll("g[aria-label]")) {
    group.dataset.mark = group.getAttribute("aria-label");
    group.removeAttribute("aria-label");
  }
  return svg;
}

/** One curve: with and without methylcobalamin, the band, a pinned scenario, published points. */
export function drawCurve(curve, view, { pinned, points, width, height = 230, tips = true }) {
  const [per, unit] = timeUnit(view.choices.weeks);
  const data = view.curves[curve.id];
  const floor = curve.log ? Math.max(1e-6, Math.min(...data.without, ...data.with.filter((v) => v > 0)) / 3) : -Infinity;
  const rows = view.times.map((hour, i) => ({
    x: hour / per,
    with: Math.max(data.with[i], floor),
    without: Math.max(data.without[i], floor),
    low: data.low && Math.max(data.low[i], floor),
    high: data.high && Math.max(data.high[i], floor),
  }));
  const other = pinned ? pinned.times.map((hour, i) => ({ x: hour / per, y: Math.max(pinned.curves[curve.id].with[i], floor) })).filter((r) => r.x <= rows.at(-1).x) : [];
  const dots = points.map((p) => ({ ...p, x: p.hour / per }));
  const marks = [];
  if (!curve.log) {
    // a change of a thousandth must not fill the figure: the axis spans at least a tenth of the level
    const shown = [data.with, data.without, data.low ?? [], data.high ?? [], other.map((r) => r.y), dots.flatMap((d) => [d.value, d.low ?? d.value, d.high ?? d.value])];
    const [low, high] = d3.extent(shown.flatMap((values) => d3.extent(values)).filter(Number.isFinite));
    const lacking = Math.max(0, 0.1 * Math.max(Math.abs(low), Math.abs(high)) - (high - low)) / 2;
    marks.push(Plot.ruleY([low - lacking, high + lacking], { stroke: "none" }));
  }
  if (data.low) marks.push(Plot.areaY(rows, { x: "x", y1: "low", y2: "high", fill: "var(--with)", fillOpacity: 0.18 }));
  marks.push(Plot.lineY(rows, { x: "x", y: "without", stroke: "var(--without)", strokeWidth: 1.8, strokeDasharray: "5 4" }));
  if (other.length) marks.push(Plot.lineY(other, { x: "x", y: "y", stroke: "var(--pinned)", strokeWidth: 1.8, strokeDasharray: "2 3" }));
  marks.push(Plot.lineY(rows, { x: "x", y: "with", stroke: "var(--with)", strokeWidth: 2.2 }));
  if (dots.length) {
    const bars = dots.filter((d) => d.low !== null);
    marks.push(Plot.ruleX(bars, { x: "x", y1: "low", y2: "high", stroke: "var(--point)", strokeWidth: 1.6 }));
    marks.push(Plot.dot(dots, { x: "x", y: "value", symbol: (d) => (d.arm === "with" ? "diamond" : "circle"), r: 5, fill: "var(--paper)", stroke: "var(--point)", strokeWidth: 1.8 }));
  }
  if (tips) {
    const pick = d3.bisector((d) => d.x).center;
    marks.push(Plot.ruleX(rows, Plot.pointerX({ x: "x", py: "with", stroke: "var(--soft)", strokeOpacity: 0.5 })));
    marks.push(
      Plot.tip(
        rows,
        Plot.pointerX({
          x: "x",
          y: "with",
          fill: "var(--paper)",
          stroke: "var(--edge)",
          // written only for the point that is shown
          title: (d) => ({
            toString: () => [
              `${unit === "weeks" ? "week" : "day"} ${nice(d.x)}`,
              `with: ${nice(d.with)} ${curve.unit}`,
              ...(d.low ? [`  band ${nice(d.low)} to ${nice(d.high)}`] : []),
              `without: ${nice(d.without)}`,
              ...(other.length ? [`pinned: ${nice(other[pick(other, d.x)].y)}`] : []),
            ].join("\n"),
          }),
        }),
      ),
    );
  }
  return named({
    width,
    height,
    marginLeft: 52,
    marginTop: 14,
    marginRight: 14,
    marginBottom: 36,
    style: { background: "transparent", color: "var(--ink)", fontSize: "12px", overflow: "visible" },
    ariaLabel: `${curve.name} [${curve.unit}] over ${unit}`,
    x: { label: `${unit} since the first dose`, labelAnchor: "right", labelArrow: false, nice: false },
    y: { label: null, type: curve.log ? "log" : "linear", grid: true, nice: true, ticks: 5, tickFormat: curve.log ? (v) => (Math.abs(Math.log10(v) % 1) < 1e-9 ? nice(v) : "") : undefined },
    marks,
  });
}

/** Distribution of a trial's result: repetitions under the scenario and under no effect, the observed one marked. */
export function drawDistribution(study, observed, { width, height = 300 }) {
  const log = study.ratio;
  const name = log ? "hazard ratio at the end" : "difference at the last visit [points]";
  const rows = study.rows.flatMap((r) => [{ kind: "with", value: r.value }, { kind: "none", value: r.none }]);
  const marks = [];
  for (const [kind, colour, opacity] of [["none", "var(--without)", 0.45], ["with", "var(--with)", 0.5]])
    marks.push(Plot.rectY(rows.filter((r) => r.kind === kind), Plot.binX({ y: "count" }, { x: "value", thresholds: 30, fill: colour, fillOpacity: opacity, inset: 0.3 })));
  marks.push(Plot.ruleY([0], { stroke: "var(--edge)" }), Plot.ruleX([log ? 1 : 0], { stroke: "var(--soft)", strokeDasharray: "3 3" }));
  if (observed) {
    marks.push(Plot.ruleX([observed.mean], { stroke: "var(--pinned)", strokeWidth: 2.5 }));
    marks.push(Plot.text([observed.mean], { x: (d) => d, frameAnchor: "top", text: () => `observed ${fixed(observed.mean, 2)}`, textAnchor: "start", dx: 6, dy: 2, fill: "var(--pinned)", fontWeight: 700 }));
  }
  return named({
    width,
    height,
    marginLeft: 46,
    marginBottom: 40,
    style: { background: "transparent", color: "var(--ink)", fontSize: "12px" },
    ariaLabel: `Distribution of the ${name} over repetitions of the trial`,
    x: { label: name, labelAnchor: "right", labelArrow: false, type: log ? "log" : "linear" },
    y: { label: "trials", grid: true, labelArrow: false },
    marks,
  });
}

/** Mean change of each arm at the visits, with the middle 95 % of repetitions and the published means. */
export function drawArms(study, published, { width, height = 300 }) {
  const { design } = study.request;
  const colours = design.arms.map((_, a) => (a === design.control ? "var(--without)" : a === design.arms.length - 1 ? "var(--with)" : "var(--pinned)"));
  const rows = study.arms.flatMap((arm, a) => [{ arm: a, week: 0, mean: 0, low: 0, high: 0 }, ...arm.visits.map((v) => ({ arm: a, ...v }))]);
  const marks = study.arms.flatMap((_, a) => {
    const own = rows.filter((r) => r.arm === a);
    return [
      Plot.areaY(own, { x: "week", y1: "low", y2: "high", fill: colours[a], fillOpacity: 0.14 }),
      Plot.lineY(own, { x: "week", y: "mean", stroke: colours[a], strokeWidth: 2.2, strokeDasharray: a === design.control ? "5 4" : undefined }),
    ];
  });
  marks.push(Plot.ruleX(published, { x: "x", y1: "low", y2: "high", stroke: "var(--point)", strokeWidth: 1.6 }));
  marks.push(Plot.dot(published, { x: "x", y: "mean", symbol: (d) => (d.active ? "diamond" : "circle"), r: 5, fill: "var(--paper)", stroke: "var(--point)", strokeWidth: 1.8 }));
  const last = design.visits.at(-1);
  return named({
    width,
    height,
    marginLeft: 46,
    marginBottom: 40,
    style: { background: "transparent", color: "var(--ink)", fontSize: "12px" },
    ariaLabel: "Mean change of ALSFRS-R in each arm",
    x: { label: "weeks since randomisation", labelAnchor: "right", labelArrow: false, domain: [0, last * 1.02] },
    y: { label: "change of ALSFRS-R [points]", grid: true, labelArrow: false },
    marks,
  });
}

export function armName(name) {
  return name.replace("methylcobalamin_", "methylcobalamin ").replace(/(\d)mg/, "$1 mg");
}

// figures and tables to keep --------------------------------------------------------------------------------------

function wrapText(text, length) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    if ((lines.at(-1) + " " + word).length > length) lines.push(word);
    else lines[lines.length - 1] = `${lines.at(-1)} ${word}`.trim();
  }
  return lines;
}

/** A figure on its own: white paper, light colours, title above and the whole caption below. */
export function figureText(svg, title, caption) {
  const box = svg.viewBox?.baseVal?.width ? [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height] : [Number(svg.getAttribute("width")), Number(svg.getAttribute("height"))];
  const width = Math.max(760, box[0] + 40);
  const lines = wrapText(caption, Math.floor((width - 40) / 6.4));
  const height = box[1] + 56 + 17 * lines.length + 16;
  const inner = svg.cloneNode(true);
  inner.setAttribute("x", 20);
  inner.setAttribute("y", 44);
  inner.setAttribute("width", box[0]);
  inner.setAttribute("height", box[1]);
  const escape = (t) => t.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  const font = "font-family=\"'DejaVu Sans',system-ui,sans-serif\"";
  const style = document.getElementById("map-style").textContent;
  const text =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><style>${style}</style>` +
    `<rect width="100%" height="100%" fill="#fff"/><text x="20" y="28" font-size="17" font-weight="700" fill="#1c2733" ${font}>${escape(title)}</text>` +
    new XMLSerializer().serializeToString(inner) +
    lines.map((line, i) => `<text x="20" y="${box[1] + 66 + 17 * i}" font-size="12" fill="#444" ${font}>${escape(line)}</text>`).join("") +
    "</svg>";
  return { text: text.replace(/var\((--[a-z]+)\)/g, (_, name) => LIGHT[name] ?? "#222").replaceAll("currentColor", "#1c2733"), width, height };
}

export function saveFile(name, type, parts) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export function saveFigure(kind, name, svg, title, caption) {
  const { text, width, height } = figureText(svg, title, caption);
  if (kind === "svg") return Promise.resolve(saveFile(`${name}.svg`, "image/svg+xml", [text]));
  return new Promise((done, fail) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      canvas.width = width * 2;
      canvas.height = height * 2;
      const paper = canvas.getContext("2d");
      paper.scale(2, 2);
      paper.drawImage(image, 0, 0, width, height);
      canvas.toBlob((blob) => done(saveFile(`${name}.png`, "image/png", [blob])), "image/png");
    };
    image.onerror = () => fail(new Error("the figure could not be painted"));
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  });
}

/** A table as CSV with a head that says what it is. */
export function csvText(head, columns, rows) {
  const cell = (v) => (typeof v === "string" && /[",\n]/.test(v) ? `"${v.replaceAll('"', '""')}"` : String(v ?? ""));
  return [...head.map((line) => `# ${line}`), columns.map(cell).join(","), ...rows.map((r) => r.map(cell).join(","))].join("\n") + "\n";
}
