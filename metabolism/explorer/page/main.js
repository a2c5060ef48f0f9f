// The page: controls, the person's results, the trial, address and downloads. It computes nothing of the model itself.

import { readAddress, writeAddress } from "./address.js";
import { armName, csvText, drawArms, drawCurve, drawDistribution, fixed, nice, saveFigure, saveFile, signed, timeUnit } from "./charts.js";
import { FluxMap } from "./fluxmap.js";
import { supported } from "./kernel.js";
import { checkChoice, controlOf, defaultChoices, dosesOf, boluses, pointsFor, readNumber, settingsOf, suppliesOf, summaryOf } from "./scenario.js";
import { mean, quantile, shareInterval } from "./statistics.js";
import { mainContrast } from "./trial.js";

const $ = (id) => document.getElementById(id);

/** An element with attributes and children. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== ""));
  return element;
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** The page as one object, so that tests and the address can look at its state. */
const app = { contents: null, state: null, view: null, pinnedView: null, healthy: null, study: null, fields: {}, asked: 0, drawn: 0 };
globalThis.app = app;

async function begin() {
  if (!supported() || typeof DecompressionStream !== "function") {
    $("hero").replaceChildren(el("p", { class: "rests", id: "unsupported" }, $("unsupported-text").textContent));
    $("controls").hidden = true;
    return;
  }
  // the worker unpacks and compiles while this side reads the chart library and builds its controls
  personWorker();
  app.ready = new Promise((done) => addEventListener("DOMContentLoaded", done));
  app.contents = await unpackJson($("contents").textContent);
  const { contents } = app;
  app.state = { tab: "person", choices: defaultChoices(contents), pinned: null, trial: {} };
  buildControls();
  buildPresets();
  buildActions();
  buildTrial();
  buildAbout();
  for (const button of document.querySelectorAll("[role=tab]")) {
    button.addEventListener("click", () => change({ tab: button.dataset.tab }));
    button.addEventListener("keydown", (event) => {
      const all = [...document.querySelectorAll("[role=tab]")];
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (move) all[(all.indexOf(button) + move + all.length) % all.length].click();
    });
  }
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    ($("person").hidden ? $("trial-results") : $("results")).focus();
    $("hero").scrollIntoView();
  });
  $("part-close").addEventListener("click", () => $("part").close());
  addEventListener("hashchange", () => location.hash.slice(1) !== app.address && follow());
  addEventListener("resize", debounce(() => {
    app.width = app.heroWidth = null;
    if (app.view) drawPerson();
  }, 150));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.view && drawPerson());
  $("foot").textContent = `als-methionine ${contents.version}, built ${contents.built}, model ${contents.model.structure.slice(0, 12)}. Everything is computed on this device; the page asks nobody for anything.`;
  follow();
}

function debounce(work, wait) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
}

// the workers -----------------------------------------------------------------------------------------------------

/** A worker with its own kernel; a lost one is started again. */
function startWorker(listen) {
  const source = new Blob([$("engine").textContent, "\nserveRequests(self);"], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(source));
  worker.postMessage({ kind: "start", contents: $("contents").textContent, module: $("module").textContent });
  worker.onmessage = ({ data }) => listen(data);
  worker.onerror = (event) => {
    event.preventDefault();
    listen({ kind: "lost" });
  };
  return worker;
}

function personWorker() {
  app.worker ??= startWorker((data) => {
    if (data.kind === "view") receive(data.id, data.view);
    else if (data.kind === "healthy") {
      app.healthy = data.levels;
      if (app.view) drawFlux();
    } else if (data.kind === "problem") {
      refuse(data.text ?? app.contents.texts.no_engine);
    } else if (data.kind === "lost") {
      app.worker.terminate();
      app.worker = null;
      notice([app.contents.texts.no_engine]);
      ask();
    }
  });
  return app.worker;
}

/** Ask for the present scenario, and for the pinned one if it is not there. */
function ask() {
  app.asked += 1;
  app.askedAt = performance.now();
  clearTimeout(app.watch);
  // a worker that was lost without a word answers no more
  app.watch = setTimeout(() => {
    if (!app.worker || document.hidden) return;
    app.worker.terminate();
    app.worker = null;
    notice([app.contents.texts.no_engine]);
    ask();
  }, 60000);
  if (app.state.pinned && !app.pinnedView) personWorker().postMessage({ kind: "view", id: "pinned", choices: app.state.pinned });
  const send = () => personWorker().postMessage({ kind: "view", id: app.asked, choices: app.state.choices });
  // the newest view wins in the worker: let the pinned one through first
  if (app.state.pinned && !app.pinnedView) app.afterPin = send;
  else send();
  $("hero").classList.add("stale");
}

async function receive(id, view) {
  await app.ready;
  if (id === "pinned") {
    app.pinnedView = view;
    app.afterPin?.();
    app.afterPin = null;
    return;
  }
  if (id !== app.asked) return;
  clearTimeout(app.watch);
  app.view = view;
  app.good = { ...app.state.choices };
  notice(app.problems ?? []);
  drawPerson();
  const { dataset } = document.documentElement;
  dataset.shown = String(id);
  // what benchmarks read: the time until the picture has been painted
  requestAnimationFrame(() => setTimeout(() => {
    dataset.update = String(Math.round(performance.now() - app.askedAt));
    dataset.first ??= String(Math.round(performance.now()));
  }));
}

/** A combination without an answer: go back to the last good one and say so. */
function refuse(text) {
  clearTimeout(app.watch);
  $("hero").classList.remove("stale");
  notice([text]);
  if (app.good) {
    app.state.choices = { ...app.good };
    showChoices();
    writeBack(true);
  }
  document.documentElement.dataset.shown = String(app.asked);
}

function notice(lines) {
  $("notice").replaceChildren(...lines.map((line) => el("p", {}, line)));
}

// state and address -----------------------------------------------------------------------------------------------

/** Change the state by the reader's hand: a new entry in the history. */
function change(part, replace = false) {
  Object.assign(app.state, part);
  writeBack(replace);
  follow();
}

function writeBack(replace) {
  const text = writeAddress(app.contents, app.state);
  app.address = text;
  if (location.hash.replace(/^#/, "") === text) return;
  if (replace) location.replace(`#${text}`);
  else location.hash = text;
}

/** Show what the address says. */
function follow() {
  const text = location.hash.replace(/^#/, "");
  if (["results"].includes(text)) return;
  app.address = text;
  const given = readAddress(app.contents, text);
  const key = JSON.stringify([given.choices, given.pinned]);
  if (JSON.stringify(given.pinned) !== JSON.stringify(app.state.pinned)) app.pinnedView = null;
  Object.assign(app.state, { tab: given.tab, choices: given.choices, pinned: given.pinned });
  given.problems.push(...setTrial(given.trial));
  for (const tab of ["person", "trial", "about"]) {
    $(tab).hidden = tab !== app.state.tab;
    const button = $(`tab-${tab}`);
    button.setAttribute("aria-selected", String(tab === app.state.tab));
    button.tabIndex = tab === app.state.tab ? 0 : -1;
  }
  showChoices();
  app.problems = given.problems;
  notice(given.problems);
  // what was refused does not stand in the address any longer
  if (given.problems.length) writeBack(true);
  if (key !== app.key || !app.view) {
    app.key = key;
    ask();
  } else if (app.state.tab === "person") drawPerson();
}

// controls --------------------------------------------------------------------------------------------------------

function buildControls() {
  const groups = new Map();
  for (const control of app.contents.controls) {
    if (!groups.has(control.group)) groups.set(control.group, []);
    groups.get(control.group).push(fieldOf(control, (value, replace) => change({ choices: { ...app.state.choices, [control.id]: value } }, replace)));
  }
  const narrow = matchMedia("(max-width: 820px)").matches;
  $("controls").append(
    ...[...groups].map(([title, fields], i) => el("details", { open: !narrow || i === 0 }, el("summary", {}, title), el("div", { role: "group", "aria-label": title }, fields))),
  );
  $("controls").addEventListener("submit", (event) => event.preventDefault());
}

/** A labelled control with help; a refused value is said beside it and does not stay. */
function fieldOf(control, set) {
  const id = control.id;
  const wrong = el("p", { class: "wrong", id: `${id}-wrong`, role: "alert" });
  const help = control.help ? el("p", { class: "help", id: `${id}-help` }, control.help) : null;
  const described = `${help ? `${id}-help ` : ""}${id}-wrong`;
  if (control.kind === "choice") {
    const select = el("select", { id, "aria-describedby": described, onchange: () => set(select.value) }, control.options.map((o) => el("option", { value: o.id }, o.label)));
    app.fields[id] = { show: (value) => (select.value = value) };
    return el("div", { class: "field" }, el("label", { for: id }, control.label), select, help, wrong);
  }
  const range = el("input", { type: "range", id: `${id}-slide`, "aria-label": control.label, min: control.low, max: control.high, step: control.step });
  const number = el("input", { type: "number", id, inputmode: "decimal", min: control.low, max: control.high, step: "any", "aria-describedby": described });
  let shown = control.default;
  const take = (text, replace) => {
    const { value, problem } = checkChoice({ controls: [control] }, id, text);
    wrong.textContent = problem ? `${problem} ${nice(shown, 6)} is kept.` : "";
    number.setAttribute("aria-invalid", String(Boolean(problem)));
    if (problem) return false;
    if (value !== shown) {
      shown = value;
      range.value = value;
      set(value, replace);
    }
    return true;
  };
  range.addEventListener("input", () => {
    number.value = range.value;
    take(range.value, true);
  });
  number.addEventListener("input", () => {
    if (number.value !== "" && checkChoice({ controls: [control] }, id, number.value).value !== undefined) take(number.value, true);
  });
  number.addEventListener("change", () => {
    if (!take(number.validity.badInput ? "not a number" : number.value)) number.value = shown;
  });
  app.fields[id] = {
    show: (value) => {
      shown = value;
      if (document.activeElement !== number || Number(number.value) !== value) number.value = value;
      range.value = value;
    },
    clear: () => (wrong.textContent = ""),
  };
  return el("div", { class: "field" }, el("label", { for: id }, control.label), el("div", { class: "pair" }, range, number), help, wrong);
}

function showChoices() {
  for (const [id, value] of Object.entries(app.state.choices)) app.fields[id]?.show(value);
  const text = JSON.stringify(app.state.choices);
  for (const button of document.querySelectorAll("#presets button")) {
    const preset = app.contents.presets.find((p) => p.id === button.dataset.preset);
    button.setAttribute("aria-pressed", String(JSON.stringify({ ...defaultChoices(app.contents), ...preset.choices }) === text));
  }
}

function buildPresets() {
  $("presets").append(
    el("span", { class: "lead" }, "Begin with"),
    ...app.contents.presets.map((preset) =>
      el("button", { type: "button", "data-preset": preset.id, title: preset.note, onclick: () => {
        Object.values(app.fields).forEach((f) => f.clear?.());
        change({ choices: { ...defaultChoices(app.contents), ...preset.choices } });
      } }, preset.label),
    ),
  );
}

function buildActions() {
  const said = el("span", { class: "said", role: "status", id: "said" });
  const action = (id, text, work) => el("button", { type: "button", id, onclick: work }, text);
  $("actions").append(
    action("pin", "Pin this scenario", () => {
      app.pinnedView = app.view;
      change({ pinned: { ...app.state.choices } });
      app.pinnedView = app.view;
      drawPerson();
    }),
    action("unpin", "Remove the pin", () => change({ pinned: null })),
    action("swap", "Back to the pinned", () => change({ choices: { ...app.state.pinned } })),
    action("reset", "Start again", () => change({ choices: defaultChoices(app.contents), pinned: null })),
    action("copy", "Copy link", () =>
      navigator.clipboard.writeText(location.href).then(
        () => (said.textContent = "Link copied."),
        () => (said.textContent = "Copy the address from the address bar."),
      ),
    ),
    action("csv", "Data (CSV)", saveCurves),
    action("sbml", "Model of this scenario (SBML)", saveSbml),
    action("print", "Print", () => print()),
    said,
  );
}

// words -----------------------------------------------------------------------------------------------------------

/** A scenario in one line. */
function describeChoices(choices) {
  const { contents } = app;
  const option = (id) => controlOf(contents, id).options.find((o) => o.id === choices[id]).label;
  const count = dosesOf(contents, choices).filter((d) => d[2] === "methylcobalamin").length;
  const gap = choices.interval === 3.5 ? "twice a week" : choices.interval === 7 ? "every week" : choices.interval === 1 ? "every day" : `every ${nice(choices.interval)} days`;
  const drug = choices.dose > 0 ? (count === 1 ? `one dose of ${nice(choices.dose)} mg methylcobalamin ${option("route")}` : `${nice(choices.dose)} mg methylcobalamin ${option("route")} ${gap}, ${count} doses`) : "no methylcobalamin";
  const parts = [drug, choices.weeks === 1 ? "1 week" : `${nice(choices.weeks)} weeks`];
  if (choices.missed > 0) parts.push(`${nice(choices.missed)} % of doses missed`);
  parts.push(`ALSFRS-R ${nice(choices.baseline, 4)} at the first dose, losing ${nice(choices.progression)} points a month without methylcobalamin`);
  const defaults = defaultChoices(contents);
  for (const id of ["gfr", "mthfr", "b12", "folate", "b6", "betaine", "methionine"])
    if (choices[id] !== defaults[id]) {
      const control = controlOf(contents, id);
      parts.push(`${control.label.replace(/ \[.*\]/, "")}: ${control.kind === "choice" ? option(id) : nice(choices[id]) + (control.label.match(/\[(.*)\]/)?.[1].replace(/^/, " ") ?? "")}`);
    }
  parts.push(`assumed effect: ${option("scenario")}`);
  return `${parts.join("; ")}.`;
}

function scenarioOf(choices) {
  return app.contents.scenarios.find((s) => s.id === choices.scenario);
}

function percent(share) {
  return `${nice(100 * share, 2)} %`;
}

/** What is shown first: a number, its range, and what it rests on. */
function headline(view) {
  const { choices } = view;
  const { contents } = app;
  const scenario = scenarioOf(choices);
  const span = choices.weeks === 1 ? "1 week" : `${nice(choices.weeks)} weeks`;
  if (choices.first === "cbl_plasma" && choices.dose > 0) {
    const s = summaryOf(view, "cbl_plasma");
    const at = view.times.indexOf(s.peakHour);
    const { low, high } = view.curves.cbl_plasma;
    return { of: "Highest cobalamin in plasma", value: nice(s.peak), unit: `nmol/L, ${nice(s.peakHour, 2)} h after the first dose`, low: low?.[at], high: high?.[at], point: s.peak, zero: null, range: low ? `middle 80 % of draws of the fit: ${nice(low[at])} to ${nice(high[at])}` : "", rests: "Rests on measured levels: single injections in healthy men, to which the model was fitted. Higher and repeated doses follow from it." };
  }
  if (choices.first === "hcy_plasma") {
    const s = summaryOf(view, "hcy_plasma");
    const load = choices.dose === 0;
    const end = load && choices.methionine > 0 ? s.peak : s.end;
    const low = view.curves.hcy_plasma.low;
    const moment = load && choices.methionine > 0 ? view.times.indexOf(s.peakHour) : view.times.length - 1;
    return { of: load && choices.methionine > 0 ? `Highest homocysteine, ${nice(s.peakHour, 2)} h after the load` : `Homocysteine in plasma after ${span}`, value: nice(end), unit: `µmol/L, from ${nice(s.before)} before`, point: end, low: low?.[moment], high: view.curves.hcy_plasma.high?.[moment], zero: null, range: low ? `middle 80 % of draws of the fit: ${nice(low[moment])} to ${nice(view.curves.hcy_plasma.high[moment])}; without methylcobalamin ${nice(s.without)}` : "", rests: "Rests on the model of metabolism, fitted to studies of vitamins, genotypes and loads." };
  }
  const s = summaryOf(view, "alsfrs_r");
  if (choices.dose === 0)
    return { of: `ALSFRS-R lost in ${span}, without methylcobalamin`, value: fixed(s.before - s.end, 1), unit: "points", point: null, range: `from ${fixed(s.before, 1)} to ${fixed(s.end, 1)} points`, rests: "Rests on the chosen rate of progression. There is no treatment in this scenario." };
  const gap = s.end - s.without;
  const sure = scenario.effect !== null && scenario.effect_sd;
  return { of: `ALSFRS-R after ${span}: with methylcobalamin minus without`, value: signed(Number(gap.toFixed(2)), 2), unit: "points", point: gap, low: sure ? s.low - s.without : null, high: sure ? s.high - s.without : null, zero: 0, observed: contents.jetals.difference, range: sure ? `95 % range of the assumption: ${fixed(s.low - s.without, 1)} to ${fixed(s.high - s.without, 1)}` : "under this assumption", rests: `Rests on an assumption, “${scenario.title}”, carried through the model. It is not a finding of the model.` };
}

function drawHero(view) {
  const h = headline(view);
  const children = [el("p", { class: "of" }, h.of), el("p", { class: "number" }, h.value, " ", el("span", { class: "unit" }, h.unit)), el("p", { class: "range" }, h.range)];
  if (h.low !== null && h.low !== undefined && h.point !== null) children.push(rangeLine(h));
  children.push(el("p", { class: "rests" }, h.rests));
  if (app.pinnedView) {
    const p = headline(app.pinnedView);
    children.push(el("p", { class: "versus" }, `Pinned: ${p.value} ${p.unit}`));
  }
  $("hero").replaceChildren(...children);
  $("hero").classList.remove("stale");
}

/** The number and its range on a line, with zero and the observed where they belong. */
function rangeLine({ point, low, high, zero, observed }) {
  const values = [point, low, high, zero ?? point, ...(observed ? [observed.ci_low, observed.ci_high] : [])];
  const [a, b] = [Math.min(...values), Math.max(...values)];
  // drawn at its size on the screen, so that its words are as large as others
  const width = (app.heroWidth ??= Math.max(240, Math.min(540, $("hero").clientWidth - 46)));
  const x = (v) => 70 + ((width - 140) * (v - a)) / (b - a || 1);
  const parts = [`<line x1="${x(low)}" x2="${x(high)}" y1="14" y2="14" stroke="var(--with)" stroke-width="7" stroke-linecap="round" opacity=".35"/><circle cx="${x(point)}" cy="14" r="6" fill="var(--with)"/>`];
  if (zero !== null) parts.push(`<line x1="${x(zero)}" x2="${x(zero)}" y1="2" y2="40" stroke="var(--soft)" stroke-dasharray="3 3"/><text x="${x(zero)}" y="53" font-size="13" text-anchor="middle" fill="var(--soft)">no difference</text>`);
  if (observed)
    parts.push(`<line x1="${x(observed.ci_low)}" x2="${x(observed.ci_high)}" y1="32" y2="32" stroke="var(--point)" stroke-width="1.6"/><path d="M${x(observed.mean)} 26l6 6l-6 6l-6 -6z" fill="var(--paper)" stroke="var(--point)" stroke-width="1.6"/><text x="${x(observed.mean)}" y="71" font-size="13" text-anchor="middle" fill="var(--soft)">JETALS observed ${fixed(observed.mean, 2)}</text>`);
  const svg = el("span", {});
  svg.innerHTML = `<svg class="scale" width="${width}" height="${observed ? 76 : 58}" aria-hidden="true">${parts.join("")}</svg>`;
  return svg;
}

function drawCards(view) {
  const { texts, jetals } = app.contents;
  const { choices } = view;
  const scenario = scenarioOf(choices);
  const hcy = summaryOf(view, "hcy_plasma");
  const score = summaryOf(view, "alsfrs_r");
  const cbl = summaryOf(view, "cbl_plasma");
  const d = jetals.difference;
  const known = [
    fill(texts.known_trial, { active: fixed(-jetals.active.mean, 2), placebo: fixed(-jetals.placebo.mean, 2), difference: fixed(d.mean, 2), low: fixed(d.ci_low, 2), high: fixed(d.ci_high, 2) }),
    texts.known_later, texts.known_levels, texts.known_b12,
  ];
  const assumed = [scenario.effect === null ? texts.assumed_none : fill(texts.assumed_effect, { effect: percent(scenario.effect), low: percent(scenario.effect - 1.96 * scenario.effect_sd), high: percent(scenario.effect + 1.96 * scenario.effect_sd) }), fill(texts.assumed_path, { beta: nice(scenario.beta_hcy) }), texts.assumed_site, fill(texts.assumed_rate, { rate: nice(choices.progression) })];
  if (choices.weeks > app.contents.disease.weeks) assumed.push(texts.beyond_weeks);
  if (choices.route !== "im" && choices.dose > 1) assumed.push(texts.beyond_route);
  if (choices.dose > 50) assumed.push(texts.beyond_dose);
  const says = [
    `Homocysteine goes from ${nice(hcy.before)} to ${nice(hcy.end)} µmol/L (${signed(100 * (hcy.end / hcy.before - 1), 2)} %); without methylcobalamin it is ${nice(hcy.without)}.`,
    `ALSFRS-R goes from ${fixed(score.before, 1)} to ${fixed(score.end, 1)} points; without methylcobalamin to ${fixed(score.without, 1)}.`,
    choices.dose > 0 ? `Cobalamin in plasma peaks at ${nice(cbl.peak)} nmol/L and is ${nice(cbl.end)} at the end (before: ${nice(cbl.before)}).` : `Cobalamin in plasma rests at ${nice(cbl.before)} nmol/L.`,
    texts.run_in,
  ];
  const card = (kind, title, lines) => el("section", { class: `card ${kind}` }, el("h2", {}, title), el("ul", {}, lines.map((l) => el("li", {}, l))));
  $("cards").replaceChildren(card("known", "What is known", known), card("assumed", "What is assumed", assumed), card("says", "What the model says", says));
}

// drawing ---------------------------------------------------------------------------------------------------------

function captionOf(curve, view) {
  const { texts, version, built } = app.contents;
  const points = pointsFor(app.contents, view, curve.id);
  return [
    `${curve.name} [${curve.unit}]. Solid: with methylcobalamin; dashed: the same person without methylcobalamin.`,
    curve.band === "effect" ? texts.band_effect : fill(texts.band_draws, { count: view.draws }),
    app.pinnedView ? `Dotted: pinned scenario (${describeChoices(app.pinnedView.choices)})` : "",
    ...points.map((p) => `${p.arm === "with" ? "Diamond" : "Circle"}: ${p.label} (${p.reference})`),
    `Scenario: ${describeChoices(view.choices)}`,
    `als-methionine ${version}, built ${built}, drawn ${new Date().toISOString().slice(0, 10)}. ${texts.warning}`,
  ].filter(Boolean).join(" ");
}

function drawPerson() {
  const { view } = app;
  app.drawn += 1;
  drawHero(view);
  $("summary").textContent = `This scenario: ${describeChoices(view.choices)}`;
  for (const id of ["unpin", "swap"]) $(id).hidden = !app.state.pinned;
  drawCards(view);
  drawLegend(view);
  drawCharts(view);
  drawNumbers(view);
  drawFlux();
}

function drawLegend(view) {
  const line = (dash, colour) => `<svg width="34" height="10" aria-hidden="true"><line x1="1" x2="33" y1="5" y2="5" stroke="var(${colour})" stroke-width="2.4" stroke-dasharray="${dash}"/></svg>`;
  const entries = [[line("", "--with"), "with methylcobalamin"], [line("5 4", "--without"), "without methylcobalamin"]];
  if (app.pinnedView) entries.push([line("2 3", "--pinned"), `pinned: ${describeChoices(app.pinnedView.choices).split(";")[0]}`]);
  entries.push([`<svg width="16" height="14" aria-hidden="true"><path d="M8 1l6 6l-6 6l-6 -6z" fill="none" stroke="var(--point)" stroke-width="1.6"/></svg>`, "published"]);
  $("legend").replaceChildren(...entries.map(([mark, text]) => {
    const entry = el("span", {});
    entry.innerHTML = mark;
    entry.append(text);
    return entry;
  }));
}

function drawCharts(view) {
  const { contents } = app;
  const place = $("charts");
  if (!place.children.length) place.append(...contents.curves.map((curve) => figureFrame(curve)));
  // read once for each size of the window: a width asked for after a change would lay the whole page out again
  app.width ??= Math.max(280, $(`chart-${contents.curves[0].id}`).clientWidth - 30);
  for (const curve of contents.curves) {
    const figure = $(`chart-${curve.id}`);
    const points = pointsFor(contents, view, curve.id);
    drawPlot(curve, figure.querySelector(".plot"));
    const s = summaryOf(view, curve.id);
    const [per, unit] = timeUnit(view.choices.weeks);
    const reads = [["before", nice(s.before)], ["highest", `${nice(s.peak)} (${s.peakHour < 48 && s.peakHour > 0 ? `${nice(s.peakHour, 2)} h` : `${unit.slice(0, -1)} ${nice(s.peakHour / per, 2)}`})`], ["at the end", nice(s.end)], ["without", nice(s.without)]];
    figure.querySelector(".reads").replaceChildren(...reads.map(([k, v]) => el("span", {}, `${k} `, el("b", {}, v))));
    figure.querySelector("figcaption").textContent = [curve.band === "effect" ? contents.texts.band_effect : fill(contents.texts.band_draws, { count: view.draws }), ...points.map((p) => `${p.arm === "with" ? "Diamond" : "Circle"}: ${p.label}.`)].join(" ");
  }
}

/** One curve on the screen; what follows the pointer is added when a pointer comes. */
function drawPlot(curve, place, tips = false) {
  const svg = drawCurve(curve, app.view, { pinned: app.pinnedView, points: pointsFor(app.contents, app.view, curve.id), width: app.width, tips });
  place.replaceChildren(svg);
  place.onpointermove = (event) => {
    place.onpointermove = null;
    if (!tips) drawPlot(curve, place, true).dispatchEvent(new PointerEvent(event.type, event));
  };
  return svg;
}

function figureFrame(curve) {
  const keep = ["svg", "png"].map((kind) =>
    el("button", { type: "button", "aria-label": `${curve.name} as ${kind.toUpperCase()}`, onclick: () => {
      const svg = drawCurve(curve, app.view, { pinned: app.pinnedView, points: pointsFor(app.contents, app.view, curve.id), width: 860, height: 400, tips: false });
      saveFigure(kind, `als-methionine-${curve.id}`, svg, `${curve.name} [${curve.unit}]`, captionOf(curve, app.view));
    } }, kind.toUpperCase()),
  );
  return el("figure", { id: `chart-${curve.id}` }, el("div", { class: "head" }, el("h3", {}, `${curve.name} `, el("span", { class: "unit" }, curve.unit)), el("span", { class: "keep" }, keep)), el("p", { class: "reads" }), el("div", { class: "plot" }), el("figcaption", {}));
}

function table(head, rows, caption) {
  return el("table", { class: "stack" }, el("caption", { class: "help" }, caption), el("thead", {}, el("tr", {}, head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el("td", { "data-label": head[i] }, el("span", {}, ...[].concat(cell))))))));
}

function drawNumbers(view) {
  const [per, unit] = timeUnit(view.choices.weeks);
  const when = (hour) => el("small", {}, hour < 48 && hour > 0 ? `${nice(hour, 2)} h` : `${unit.slice(0, -1)} ${nice(hour / per, 2)}`);
  const rows = app.contents.curves.map((curve) => {
    const s = summaryOf(view, curve.id);
    return [`${curve.name} [${curve.unit}]`, nice(s.before), [nice(s.peak), when(s.peakHour)], [nice(s.lowest), when(s.lowestHour)], nice(s.end), nice(s.without), s.low === null ? "–" : `${nice(s.low)} to ${nice(s.high)}`, nice(s.area)];
  });
  const head = ["quantity", "before", "highest", "lowest", "at the end", "end, without methylcobalamin", "shaded, at the end", "area, with minus without [× days]"];
  $("numbers").replaceChildren(table(head, rows, "The end is just before a further dose would be due, so that cobalamin there is a trough."));
}

/** What few readers open, unpacked when it is first needed: what is known of each part, and the SBML. */
function library() {
  return (app.library ??= unpackJson($("library").textContent));
}

async function openPart(id) {
  $("part-name").textContent = id;
  $("part-text").textContent = (await library()).show[id] ?? "Nothing more is known of this.";
  $("part").showModal();
}

function drawFlux() {
  const { view, contents } = app;
  const healthy = view.choices.against === "healthy";
  if (healthy && !app.healthy) {
    personWorker().postMessage({ kind: "healthy" });
    return;
  }
  const reference = healthy ? app.healthy : view.levels.without;
  const against = healthy ? "a healthy person at rest" : "the same person without methylcobalamin";
  const title = `Mean of the last week${view.choices.dose > 0 ? ", with methylcobalamin" : ""}`;
  if (!app.map) {
    app.map = new FluxMap(contents, openPart);
    $("map").replaceChildren(app.map.svg);
  }
  Object.assign(app.map, { title, against });
  const changes = app.map.show(view.levels.with, reference, { title, against });
  $("map-words").textContent = `${title}, against ${against}. Choose an arrow or a box to read its equation, value and source.`;
  if (!$("map-tools").children.length) {
    const select = el("select", { id: "part-choice", onchange: () => select.value && openPart(select.value) }, el("option", { value: "" }, "choose a reaction or a level …"));
    library().then(({ show }) => select.append(...Object.keys(show).sort().map((n) => el("option", { value: n }, n))));
    const save = (kind) => el("button", { type: "button", onclick: () => saveFigure(kind, "als-methionine-flux-map", app.map.svg, "Flux map", `${app.map.title}. Arrow width: flux. Colour: change against ${app.map.against}. Scenario: ${describeChoices(app.view.choices)} als-methionine ${contents.version}, drawn ${new Date().toISOString().slice(0, 10)}. ${contents.texts.warning}`) }, `Map (${kind.toUpperCase()})`);
    $("map-tools").append(el("label", { for: "part-choice" }, "Look up "), select, save("svg"), save("png"));
  }
  const rows = changes.slice(0, 10).map((c) => [c.id, nice(c.value), nice(c.base), `${signed(100 * (c.ratio - 1), 2)} %`]);
  $("changes").replaceChildren(el("details", {}, el("summary", {}, "The ten fluxes that change most"), table(["reaction", "flux [µmol/h]", "in the reference", "change"], rows, "")));
}

// keeping ---------------------------------------------------------------------------------------------------------

function stamp() {
  const { version, built, model, texts } = app.contents;
  return [`als-methionine ${version}, built ${built}, model ${model.structure.slice(0, 12)}, values ${model.values.slice(0, 12)}`, `saved ${new Date().toISOString()}`, `address #${writeAddress(app.contents, app.state)}`, texts.warning];
}

function saveCurves() {
  const { view, contents } = app;
  const columns = ["time [h]"];
  const series = [];
  for (const curve of contents.curves)
    for (const [key, text] of [["with", "with methylcobalamin"], ["without", "without methylcobalamin"], ["low", "band low"], ["high", "band high"]]) {
      const values = view.curves[curve.id][key];
      if (!values) continue;
      columns.push(`${curve.name}, ${text} [${curve.unit}]`);
      series.push(values);
    }
  const text = csvText([`Scenario: ${describeChoices(view.choices)}`, ...stamp()], columns, view.times.map((t, i) => [t, ...series.map((s) => s[i])]));
  saveFile("als-methionine-scenario.csv", "text/csv", [text]);
}

/** The model with this person's values at rest and the doses as events, in the encoding of the export. */
async function saveSbml() {
  const { contents, view } = app;
  const { choices } = view;
  const xml = new DOMParser().parseFromString((await library()).sbml, "application/xml");
  const byId = new Map([...xml.querySelectorAll("[id]")].map((e) => [e.getAttribute("id"), e]));
  const put = (id, value) => {
    const element = byId.get(id);
    for (const name of ["initialConcentration", "initialAmount", "size", "value"]) if (element?.hasAttribute(name)) element.setAttribute(name, value);
  };
  for (const [id, value] of Object.entries(settingsOf(contents, choices))) put(id, value);
  view.rest.forEach((value, i) => put(contents.kernel.states[i], value));
  for (const [id, source] of Object.entries(contents.own_baseline)) put(id, view.rest[contents.kernel.states.indexOf(source)]);
  for (const [id, rate] of Object.entries(suppliesOf(contents, choices))) put(id, Number(byId.get(id).getAttribute("value")) + rate);
  // the template holds one series of doses to each place: copy the one that a bolus needs
  const events = [...xml.querySelectorAll("event")];
  const list = events[0].parentNode;
  const targets = new Map(events.map((e) => [[...e.querySelectorAll("eventAssignment")].map((a) => a.getAttribute("variable")).find((v) => !v.startsWith("dose_")), e]));
  let number = 0;
  const copies = [];
  for (const [time, target, amount] of boluses(contents, dosesOf(contents, choices))) {
    const event = targets.get(target);
    const old = event.getAttribute("id").match(/\d+/)[0];
    number += 1;
    const text = new XMLSerializer().serializeToString(event).replaceAll(`dose_${old}`, `bolus_${number}`).replaceAll(`DOSE_${old}`, `BOLUS_${number}`);
    copies.push([new DOMParser().parseFromString(text, "application/xml").documentElement, old, number, time, amount]);
  }
  const parameters = byId.get("dose_1").parentNode;
  for (const [event, old, own, time, amount] of copies) {
    list.append(xml.importNode(event, true));
    for (const [part, value] of [["", amount], ["_due", time], ["_last", time + 1], ["_interval", 1e9]]) {
      const copy = byId.get(`dose_${old}${part}`).cloneNode(true);
      copy.setAttribute("id", `bolus_${own}${part}`);
      copy.removeAttribute("metaid");
      copy.setAttribute("value", value);
      parameters.append(copy);
    }
  }
  for (const event of events) {
    const old = event.getAttribute("id").match(/\d+/)[0];
    for (const part of ["", "_due", "_last", "_interval"]) byId.get(`dose_${old}${part}`).remove();
    event.remove();
  }
  if (!list.children.length) list.remove();
  const note = xml.createComment(` Scenario: ${describeChoices(choices)} ${stamp().join("; ")} `.replaceAll("--", "- -"));
  xml.documentElement.before(note);
  saveFile("als-methionine-scenario.xml", "application/xml", ['<?xml version="1.0" encoding="UTF-8"?>\n', new XMLSerializer().serializeToString(xml.documentElement).replace(/^/, `<!--${note.data}-->\n`)]);
}

// the trial -------------------------------------------------------------------------------------------------------

const TRIAL_FIELDS = [
  ["patients", "Patients in all", 20, 1000, 1],
  ["dose", "Dose in the active arm [mg]", 0.5, 100, 0.5],
  ["interval", "Days between doses", 0.5, 28, 0.5],
  ["weeks", "Weeks of treatment", 4, 182, 1],
  ["visits", "Weeks between visits", 2, 52, 1],
  ["runin", "Weeks of observation before", 0, 24, 1],
  ["droplow", "Smallest accepted fall in it [points]", 0, 10, 1],
  ["drophigh", "Largest accepted fall in it [points]", 0, 20, 1],
  ["dropout", "Patients who leave [% a month]", 0, 10, 0.1],
  ["people", "Virtual people through the whole model", 50, 1000, 10],
  ["repeats", "Repetitions of the trial", 50, 2000, 50],
];

/** The numbers of a shipped design in the terms of the form. */
function formOf(design) {
  const active = design.arms.filter((_, a) => a !== design.control).at(-1);
  const visits = design.visits;
  return {
    patients: design.patients, dose: active.doses.dose, interval: active.doses.interval, weeks: visits.at(-1), visits: visits.length > 1 ? visits[1] - visits[0] : visits[0],
    runin: design.observation.weeks, droplow: design.observation.drop[0], drophigh: design.observation.drop[1], dropout: 100 * design.drop_out,
    people: visits.at(-1) <= 26 ? app.contents.trial.bodies : 100, repeats: 500,
  };
}

function buildTrial() {
  const { contents } = app;
  const choices = [...contents.trial.designs.map((d) => ({ id: d.id, label: d.title.split(":")[0] + (d.id === "jetals" ? ": 50 mg twice a week, 16 weeks" : ": 50 mg twice a week, 182 weeks") })), { id: "own", label: "your own" }];
  const design = fieldOf({ id: "trial-design", kind: "choice", label: "Which trial", options: choices, default: "jetals", help: "" }, (value) => {
    const known = contents.trial.designs.find((d) => d.id === value);
    changeTrial({ ...app.state.trial, ...(known ? formOf(known) : {}), design: value });
  });
  const scenario = fieldOf({ ...controlOf(contents, "scenario"), id: "trial-scenario" }, (value) => changeTrial({ ...app.state.trial, scenario: value }));
  const fields = TRIAL_FIELDS.map(([id, label, low, high, step]) =>
    fieldOf({ id: `trial-${id}`, kind: "number", label, low, high, step, default: 0, help: "" }, (value, replace) => {
      const shape = !["people", "repeats"].includes(id);
      changeTrial({ ...app.state.trial, [id]: value, design: shape ? "own" : app.state.trial.design }, replace);
    }),
  );
  $("trial-controls").append(
    el("p", { class: "help" }, "Would it happen again? Choose a trial and an assumption, then run it."),
    design, scenario,
    el("div", { class: "actions" }, el("button", { type: "button", class: "main", id: "run", onclick: runTrial }, "Run the trial"), el("button", { type: "button", id: "stop", disabled: true, onclick: stopTrial }, "Stop")),
    el("div", { id: "progress", role: "status" }),
    el("details", { open: !matchMedia("(max-width: 820px)").matches }, el("summary", {}, "Details of the trial"), ...fields),
  );
  $("trial-controls").addEventListener("submit", (event) => event.preventDefault());
  app.state.trial = { design: "jetals", scenario: controlOf(contents, "scenario").default, ...formOf(contents.trial.designs[0]) };
  $("trial-results").tabIndex = -1;
  drawTrialIntro();
}

function changeTrial(trial, replace = false) {
  app.state.trial = trial;
  showTrial();
  writeBack(replace);
}

/** Take what an address says of the trial, value by value; one sentence for each that is refused. */
function setTrial(given) {
  const known = app.contents.trial.designs.find((d) => d.id === given.design);
  const trial = { ...app.state.trial, ...(known ? { design: known.id, ...formOf(known) } : given.design === "own" ? { design: "own" } : {}) };
  const refused = (id, why) => `Trial, '${id.slice(0, 30)}' = '${given[id].slice(0, 30)}': ${why}`;
  const problems = [];
  for (const id of Object.keys(given)) {
    const field = TRIAL_FIELDS.find(([name]) => name === id);
    const { value, problem } = field ? readNumber(given[id], field[2], field[3]) : {};
    if (id === "design" ? known || given.design === "own" : id === "scenario" && app.contents.scenarios.some((s) => s.id === given.scenario))
      trial[id] = given[id];
    else if (!field) problems.push(refused(id, "not known; left as it was."));
    else if (problem) problems.push(refused(id, `${problem.slice(0, -1)}; left as it was.`));
    else trial[id] = value;
  }
  app.state.trial = trial;
  showTrial();
  return problems;
}

function showTrial() {
  for (const [id, value] of Object.entries(app.state.trial)) app.fields[`trial-${id}`]?.show(value);
}

/** The design that the form asks for. */
function designOf(trial) {
  const { contents } = app;
  const known = contents.trial.designs.find((d) => d.id === trial.design);
  const base = structuredClone(known ?? contents.trial.designs[0]);
  if (known) return base;
  const visits = [];
  for (let week = trial.visits; week < trial.weeks - 1e-9; week += trial.visits) visits.push(week);
  visits.push(trial.weeks);
  // the mixed model needs every pair of visits; many visits would cost more than they tell
  const kept = visits.length > 6 ? visits.filter((_, i) => (visits.length - 1 - i) % Math.ceil(visits.length / 6) === 0) : visits;
  const arm = base.arms.find((_, a) => a !== base.control);
  arm.name = `methylcobalamin_${nice(trial.dose)}mg`;
  arm.regimen = "own";
  arm.doses = { dose: trial.dose, interval: trial.interval, route: "im", count: Math.ceil((trial.weeks * 7) / trial.interval - 1e-9) };
  const gap = Math.min(...kept.map((w, i) => w - (kept[i - 1] ?? 0)));
  return Object.assign(base, {
    id: "own", title: "Your own trial", patients: trial.patients, visits: kept, primary: "mmrm", window_days: Math.min(base.window_days, gap * 3.4), drop_out: trial.dropout / 100,
    observation: { ...base.observation, weeks: trial.runin, drop: trial.runin > 0 ? [Math.min(trial.droplow, trial.drophigh), Math.max(trial.droplow, trial.drophigh)] : [-48, 48] },
    strata: trial.runin > 0 ? base.strata : base.strata.filter((s) => s !== "drop"),
  });
}

function runTrial() {
  stopTrial();
  const { trial } = app.state;
  const request = { design: designOf(trial), scenario: trial.scenario, people: trial.people, repeats: trial.repeats };
  $("run").disabled = true;
  $("stop").disabled = false;
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Progress of the trial" });
  const words = el("p", { class: "help" }, "starting …");
  $("progress").replaceChildren(bar, words);
  const begun = performance.now();
  let staged = begun;
  let stage = "";
  app.trialWorker = startWorker((data) => {
    if (data.kind === "progress") {
      if (data.stage !== stage) [stage, staged] = [data.stage, performance.now()];
      const left = ((performance.now() - staged) / data.done) * (data.total - data.done) / 1000;
      bar.value = data.stage === "people" ? (0.5 * data.done) / data.total : 0.5 + (0.5 * data.done) / data.total;
      words.textContent = `${data.stage === "people" ? "virtual people through the model" : "trials done"}: ${data.done} of ${data.total}${left > 1 ? `, about ${Math.ceil(left)} s left` : ""}`;
    } else if (data.kind === "study") {
      stopTrial();
      app.study = data.study;
      $("progress").replaceChildren(el("p", { class: "help" }, `done in ${nice((performance.now() - begun) / 1000, 2)} s: ${data.study.people} people through the model in ${nice(data.study.coupled / 1000, 2)} s, ${data.study.rows.length} trials of each kind`));
      showStudy();
    } else if (data.kind === "problem" || data.kind === "lost") {
      stopTrial();
      $("progress").replaceChildren(el("p", { class: "wrong" }, data.text ?? app.contents.texts.no_engine));
    }
  });
  app.trialWorker.postMessage({ kind: "study", request });
}

function stopTrial() {
  app.trialWorker?.terminate();
  app.trialWorker = null;
  $("run").disabled = false;
  $("stop").disabled = true;
  if ($("progress").querySelector("progress")) $("progress").replaceChildren(el("p", { class: "help" }, "stopped"));
}

function drawTrialIntro() {
  const d = app.contents.jetals.difference;
  $("trial-results").replaceChildren(
    el("section", { class: "hero" }, el("p", { class: "of" }, "Observed in JETALS"), el("p", { class: "number" }, signed(d.mean), " ", el("span", { class: "unit" }, "points of ALSFRS-R in 16 weeks")), el("p", { class: "range" }, `95 % interval ${fixed(d.ci_low, 2)} to ${fixed(d.ci_high, 2)}`), el("p", { class: "rests" }, "Run the trial to see how often virtual trials like it come out this way: if the drug works as assumed, and if it does nothing.")),
  );
}

/** One in how many, as people say it. */
function oneIn(hits, count) {
  if (hits === 0) return `fewer than one trial in ${nice(1 / shareInterval(0, count)[1], 2)}`;
  const n = count / hits;
  return `one trial in ${n < 2.95 ? nice(n, 2) : Math.round(n)}`;
}

function showStudy() {
  const { study, contents } = app;
  const { design } = study.request;
  const scenario = contents.scenarios.find((s) => s.id === study.request.scenario);
  const rows = study.rows;
  if (!rows.length) {
    $("progress").replaceChildren(el("p", { class: "wrong" }, "No trial could be analysed: there are too few patients or events."));
    return;
  }
  const jetals = design.id === "jetals";
  const observed = jetals ? contents.jetals.difference : null;
  const benefit = (value, p) => p < 0.05 && (study.ratio ? value < 1 : value > 0);
  const hits = rows.filter((r) => benefit(r.value, r.p)).length;
  const noneHits = rows.filter((r) => benefit(r.none, r.noneP)).length;
  const [lowPower, highPower] = shareInterval(hits, rows.length);
  const values = rows.map((r) => r.value);
  const middle = study.ratio ? Math.exp(mean(values.map(Math.log))) : mean(values);
  const [low, high] = [quantile(values, 0.025), quantile(values, 0.975)];
  const beyond = observed ? (value) => value >= observed.mean : (value) => (study.ratio ? value <= middle : value >= middle);
  const again = rows.filter((r) => beyond(r.value)).length;
  const chance = rows.filter((r) => beyond(r.none)).length;
  const [lowChance, highChance] = shareInterval(chance, rows.length);
  const what = study.ratio ? "hazard ratio" : "difference";
  const mark = observed ? `${fixed(observed.mean, 2)} points or more` : study.ratio ? `a hazard ratio of ${fixed(middle, 2)} or less` : `${fixed(middle, 2)} points or more`;
  const places = study.ratio ? 2 : 1;
  const arms = contents.jetals;
  const published = jetals ? [["placebo", false, -0.12], ["active", true, 0.12]].map(([key, active, shift]) => ({ x: design.visits.at(-1) + shift, mean: arms[key].mean, low: arms[key].ci_low, high: arms[key].ci_high, active })) : [];
  const hero = el(
    "section", { class: "hero", "aria-live": "polite", id: "trial-hero" },
    el("p", { class: "of" }, "If the drug did nothing"),
    el("p", { class: "number words" }, oneIn(chance, rows.length)),
    el("p", { class: "looks" }, `would look like this: ${mark}.`),
    el("p", { class: "range" }, `${percent(chance / rows.length)} of trials without any effect, 95 % Monte-Carlo interval ${percent(lowChance)} to ${percent(highChance)}`),
    el("p", { class: "rests" }, `If the drug works as assumed (“${scenario.title}”), ${oneIn(again, rows.length)} shows ${mark}.`),
  );
  const tile = (value, text) => el("div", { class: "tile" }, el("b", {}, value), el("span", {}, text));
  const tiles = el(
    "div", { class: "tiles" },
    tile(percent(hits / rows.length), `power: trials that show a significant benefit, as assumed (95 % Monte-Carlo interval ${percent(lowPower)} to ${percent(highPower)})`),
    tile(`${fixed(middle, places)}`, `mean ${what} as assumed; 95 % of trials between ${fixed(low, places)} and ${fixed(high, places)}`),
    tile(percent(noneHits / rows.length), "trials that show a significant benefit although the drug does nothing"),
    tile(`${study.people}`, `virtual people went through the whole model (${study.drawn} drawn, ${study.refused} implausible, ${study.failed} without an answer); ${nice(mean(rows.map((r) => r.candidates)) / design.patients, 2)} screened for each randomised`),
  );
  const width = Math.min(760, Math.max(300, ($("trial-results").clientWidth - 40) / ($("trial-results").clientWidth > 920 ? 2 : 1) - 40));
  const words = `${design.title.split(":")[0]}: ${design.patients} patients, ${design.arms.map((a) => armName(a.name)).join(" and ")}, ${nice(design.visits.at(-1))} weeks; assumed effect: ${scenario.title}; ${study.people} people through the model, ${rows.length} trials of each kind. als-methionine ${contents.version}, ${new Date().toISOString().slice(0, 10)}. ${contents.texts.warning}`;
  const figure = (id, title, draw, caption) => {
    const keep = ["svg", "png"].map((kind) => el("button", { type: "button", "aria-label": `${title} as ${kind.toUpperCase()}`, onclick: () => saveFigure(kind, `als-methionine-${id}`, draw(860, 420), title, `${caption} ${words}`) }, kind.toUpperCase()));
    return el("figure", { id: `figure-${id}` }, el("div", { class: "head" }, el("h3", {}, title), el("span", { class: "keep" }, keep)), el("div", { class: "plot" }, draw(width, 300)), el("figcaption", {}, caption));
  };
  const distribution = figure("distribution", study.ratio ? "Hazard ratios of repeated trials" : "Differences of repeated trials", (w, h) => drawDistribution(study, observed, { width: w, height: h }), `Blue: as assumed. Grey: the drug does nothing.${observed ? " The line marks what JETALS observed." : ""} ${mainContrast(design).split(" - ").map(armName).join(" against ")}, ${study.ratio ? "Cox model" : design.primary === "mmrm" ? "mixed model for repeated measures" : "analysis of covariance"}.`);
  const curves = figure("arms", "Change of ALSFRS-R", (w, h) => drawArms(study, published, { width: w, height: h }), `${design.arms.map((a, i) => `${i === design.control ? "Grey, dashed" : i === design.arms.length - 1 ? "Blue" : "Orange"}: ${armName(a.name)}`).join(". ")}. Mean of the patients seen, middle 95 % of trials.${published.length ? " Circle and diamond: published means of placebo and active arm with 95 % intervals." : ""}`);
  const keep = el("div", { class: "actions" }, el("button", { type: "button", onclick: () => saveFile("als-methionine-trial.csv", "text/csv", [csvText([words, ...stamp()], ["trial", `${what}, as assumed`, "P", "low", "high", `${what}, no effect`, "P, no effect", "screened"], rows.map((r, i) => [i, r.value, r.p, r.low, r.high, r.none, r.noneP, r.candidates]))]) }, "Trials (CSV)"), el("button", { type: "button", onclick: () => print() }, "Print"));
  const limits = el("p", { class: "summary" }, words, study.failures ? ` ${study.failures} trials could not be analysed.` : "", design.id === "e0761" ? " E0761 printed no hazard ratio for all its patients, so that none is marked." : "");
  $("trial-results").replaceChildren(hero, tiles, keep, el("div", { class: "trial-charts" }, distribution, curves), limits);
  document.documentElement.dataset.study = String(rows.length);
}

function buildAbout() {
  const { contents } = app;
  const entry = (term, text) => [el("dt", {}, term), el("dd", {}, text)];
  const references = [...new Set([contents.jetals.reference, ...contents.published.map((p) => p.reference), ...contents.scenarios.flatMap((s) => s.references)])];
  $("about-text").append(
    el("h2", {}, "What this page is"),
    el("p", {}, `A computer model of how the body handles homocysteine and vitamin B12, of methylcobalamin injected in large doses, and of the loss of motor units in ALS: ${contents.kernel.states.length} quantities and ${contents.map.routes.length} reactions. The whole model runs on this device, compiled to WebAssembly; it is the same code that the Python package runs.`),
    el("p", {}, el("strong", {}, contents.texts.warning)),
    el("h2", {}, "Words"),
    el("dl", {},
      entry("ALSFRS-R", "a score of 48 points for daily functions, such as speech, walking and breathing; it falls as ALS progresses."),
      entry("Homocysteine", "an amino acid that is turned back into methionine with the help of folate and vitamin B12; it rises if they are lacking."),
      entry("Motor unit", "a nerve cell of the spinal cord with the muscle fibres it moves."),
      entry("SAM/SAH ratio", "how well the cell can hand on methyl groups."),
      entry("Elasticity", "by how many per cent a rate changes if a level changes by one per cent."),
      entry("Run-in", "weeks of observation before a trial; who falls too little or too much is not randomised."),
      entry("Power", "the share of trials that show a significant benefit if the drug works as assumed."),
      entry("Draws of the fit", "sets of parameter values that agree with the measured data about equally well."),
    ),
    el("h2", {}, "The assumptions to choose from"),
    el("dl", {}, contents.scenarios.map((s) => entry(s.title, `${s.effect === null ? "No direct effect" : `Slows the loss of motor units by ${percent(s.effect)} (SD ${percent(s.effect_sd)})`}; elasticity to homocysteine ${nice(s.beta_hcy)}. ${s.locator}.${s.note ? ` ${s.note}.` : ""}`))),
    el("h2", {}, "Sources named here"),
    el("ul", {}, references.map((r) => el("li", {}, r))),
  );
}

begin();
