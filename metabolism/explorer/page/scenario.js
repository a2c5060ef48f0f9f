// One person: choices to parameters and doses, the runs of the kernel, and the curves the page shows.

import { sortedQuantile } from "./statistics.js";

/** ALSFRS-R from the share of motor units, and back, as in the model. */
export function scoreOf(units, gamma, half) {
  return (48 * (1 + half ** gamma)) / (1 + (half / units) ** gamma);
}

export function unitsOf(score, gamma, half) {
  return half / ((48 * (1 + half ** gamma)) / score - 1) ** (1 / gamma);
}

/** The control with an id. */
export function controlOf(contents, id) {
  return contents.controls.find((c) => c.id === id);
}

export function defaultChoices(contents) {
  return Object.fromEntries(contents.controls.map((c) => [c.id, c.default]));
}

/** Check one value of a control: {value} or {problem}. */
export function checkChoice(contents, id, text) {
  const control = controlOf(contents, id);
  if (!control) return { problem: `There is no setting “${shortText(id)}”; it was left out.` };
  if (control.kind === "choice")
    return control.options.some((o) => o.id === text)
      ? { value: text }
      : { problem: `“${shortText(text)}” is not one of: ${control.options.map((o) => o.label).join(", ")}.` };
  return readNumber(text, control.low, control.high);
}

/** Read one number as the command line does: no decimal comma, no hexadecimal, nothing beside it. */
export function readNumber(text, low, high) {
  const said = String(text).trim();
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(said) ? Number(said) : NaN;
  if (value >= low && value <= high) return { value };
  const comma = /^[+-]?\d+,\d+$/.test(said) ? ` For a decimal comma write ${said.replace(",", ".")}.` : "";
  return { problem: `“${shortText(text)}” is not a number from ${low} to ${high}.${comma}` };
}

function shortText(text) {
  const all = text === null || text === undefined ? "empty" : String(text) || "empty";
  return all.length > 40 ? `${all.slice(0, 40)}…` : all;
}

/** Doses of a regular regimen before an end [h]: [[time, µmol, substance, route], ...]. */
export function regularDoses(contents, { dose, interval, route, count = Infinity, missed = 0 }, end) {
  const per = controlOf(contents, "dose").dose;
  const list = [];
  const gap = interval * 24;
  const share = missed / 100;
  for (let i = 0; i < count && i * gap < end - 1e-9; i++)
    if (Math.floor((i + 1) * share + 1e-9) === Math.floor(i * share + 1e-9)) list.push([i * gap, dose * per.per, per.substance, route]);
  return dose > 0 ? list : [];
}

/** Boluses of a plan in time order; doses into one species at one time are added up. */
export function boluses(contents, doses) {
  const sums = new Map();
  for (const [time, amount, substance, route] of doses) {
    const target = contents.substances[substance][route];
    const key = `${time} ${target}`;
    const entry = sums.get(key) ?? [time, target, 0];
    entry[2] += amount;
    sums.set(key, entry);
  }
  return [...sums.values()].sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
}

/** All doses of a scenario: methylcobalamin, and what is taken once. */
export function dosesOf(contents, choices) {
  const list = regularDoses(contents, choices, choices.weeks * contents.hours.week);
  for (const { id, once } of contents.controls)
    if (once && choices[id] > 0) list.push([0, choices[id] * once.per, once.substance, once.route]);
  return list;
}

/** Steady supplies that begin with the first dose: what is added to each input [parameter unit]. */
export function suppliesOf(contents, choices) {
  const supplies = {};
  for (const control of contents.controls) {
    const option = control.options?.find((o) => o.id === choices[control.id]);
    for (const [name, rate] of Object.entries(option?.supply ?? {})) supplies[name] = (supplies[name] ?? 0) + rate;
    for (const [name, rate] of Object.entries(control.supply ?? {}))
      if (choices[control.id] > 0) supplies[name] = (supplies[name] ?? 0) + rate * choices[control.id];
  }
  return supplies;
}

/** Values that the choices set: parameters and states by id. */
export function settingsOf(contents, choices) {
  const set = {};
  for (const control of contents.controls) {
    const value = choices[control.id];
    if (control.kind === "choice") Object.assign(set, control.options.find((o) => o.id === value).set ?? {});
    else if (control.parameter) set[control.parameter] = value * control.factor;
  }
  const { gamma, half, weeks, rate, units, elasticity, maximum } = contents.disease;
  const { week, month } = contents.hours;
  // the loss rate at which the score falls by the chosen points a month, on average over the weeks of progression
  const hours = weeks * week;
  const now = unitsOf(choices.baseline, gamma, half);
  const later = unitsOf(choices.baseline - (choices.progression * hours) / month, gamma, half);
  const scenario = contents.scenarios.find((s) => s.id === choices.scenario);
  set[rate] = Math.log(now / later) / hours;
  set[units] = now;
  set[elasticity] = scenario.beta_hcy;
  set[maximum] = scenario.ends[1];
  return set;
}

/** Output times [h]: even steps, and dense enough after every dose that peak and trough are seen all along. */
export function outputTimes(choices, doses, week) {
  const end = choices.weeks * week;
  const step = [0.5, 1, 2, 3, 6, 12, 24, 48].find((s) => end / s <= 240) ?? 96;
  const at = new Set();
  for (let t = 0; t < end; t += step) at.add(t);
  at.add(end);
  const own = doses;
  const after = own.length <= 4 ? [0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 18, 24, 36] : own.length <= 60 ? [0, 0.5, 1, 2, 4, 8, 16, 30, 48] : own.length <= 150 ? [0, 1, 4, 12] : [0, 1];
  const gap = choices.interval * 24;
  for (const [time] of own) {
    for (const more of after) if (more < gap - 1e-9 && time + more <= end) at.add(time + more);
    if (time > 0) at.add(time - 0.01);
  }
  return [...at].sort((a, b) => a - b);
}

/** A person at rest: parameter and state rows with the choices and, if given, one posterior draw. */
function rowOf(contents, kernel, set, draw) {
  const parameters = Float64Array.from(contents.person.parameters);
  const states = Float64Array.from(contents.person.states);
  const put = (name, value) => {
    if (kernel.parameter.has(name)) parameters[kernel.parameter.get(name)] = value;
    else if (kernel.state.has(name)) states[kernel.state.get(name)] = value;
  };
  if (draw) contents.draws.names.forEach((name, i) => put(name, draw[i]));
  for (const [name, value] of Object.entries(set)) put(name, value);
  return { parameters, states };
}

export class NoAnswer extends Error {}

/** What does not move the resting state: a motor unit takes nothing from metabolism. */
function restKey(contents, set) {
  const { rate, units, elasticity, maximum } = contents.disease;
  return JSON.stringify(Object.entries(set).filter(([name]) => ![rate, units, elasticity, maximum].includes(name)));
}

/** Compute everything one scenario shows. */
export function viewOf(contents, kernel, choices) {
  const begun = performance.now();
  const { meta } = kernel;
  const { disease } = contents;
  const P = meta.parameters.length;
  const S = meta.states.length;
  const set = settingsOf(contents, choices);
  const { ends } = contents.scenarios.find((s) => s.id === choices.scenario);
  // rows: as chosen, without methylcobalamin, as chosen with both ends of the effect, then the draws
  const rows = [1, 1, 0, 2].map((end) => rowOf(contents, kernel, { ...set, [disease.maximum]: ends[end] }));
  const LEAD = rows.length;
  for (const draw of contents.draws.rows) rows.push(rowOf(contents, kernel, set, draw));
  const count = rows.length;
  const parameters = new Float64Array(count * P);
  const initial = new Float64Array(count * S);
  rows.forEach((row, i) => {
    parameters.set(row.parameters, i * P);
    initial.set(row.states, i * S);
  });

  // rest: one of the first rows, and the draws; kept while only doses and the disease change
  const key = restKey(contents, set);
  if (kernel.rested?.key !== key) kernel.rested = { key, ...kernel.rest(parameters.slice((LEAD - 1) * P), initial.slice((LEAD - 1) * S)) };
  const { states, ok } = kernel.rested;
  if (!ok[0]) throw new NoAnswer(contents.texts.no_answer);
  for (let i = 0; i < count; i++) {
    const n = Math.max(0, i - LEAD + 1);
    initial.set(states.subarray(n * S, (n + 1) * S), i * S);
    initial[i * S + kernel.state.get(disease.units)] = set[disease.units];
    for (const [name, source] of Object.entries(contents.own_baseline))
      parameters[i * P + kernel.parameter.get(name)] = states[n * S + kernel.state.get(source)];
    // a supplement begins with the first dose: the person rests without it
    for (const [name, rate] of Object.entries(suppliesOf(contents, choices))) parameters[i * P + kernel.parameter.get(name)] += rate;
  }

  const doses = dosesOf(contents, choices);
  const all = boluses(contents, doses);
  const end = choices.weeks * contents.hours.week;
  // methylcobalamin shares no species with the supplements, so that its boluses can be left out for one row
  const targets = new Set(boluses(contents, regularDoses(contents, choices, end)).map((b) => b[1]));
  const times = outputTimes(choices, doses, contents.hours.week);
  let steps = 0;
  const outputs = [...new Set(contents.curves.flatMap((c) => c.output))];
  /** Run the rows of `from` (the first of them `first`) between two times; `what` is asked for. */
  const through = (first, from, rtol, [start, stop], what) => {
    const own = all.filter(([time]) => time >= start && time < stop);
    const size = from.length / S;
    const doseScale = new Float64Array(size * own.length).fill(1);
    if (first === 0) own.forEach((b, k) => targets.has(b[1]) && (doseScale[own.length + k] = 0));
    const rows = [parameters.subarray(first * P, (first + size) * P), from];
    const problem = { plan: { boluses: own, settings: [] }, start, end: stop, rtol, parameters: rows[0], initial: rows[1], doseScale, ...what };
    const answer = kernel.run(problem);
    steps += answer.steps.reduce((sum, n) => sum + n, 0);
    if (first === 0 && answer.status.some((s) => s !== meta.done)) throw new NoAnswer(contents.texts.no_answer);
    return answer;
  };
  /** One output of one row over time. */
  const column = ({ values }, count, name, row) => {
    const [width, o] = [outputs.length, outputs.indexOf(name)];
    return Array.from({ length: count }, (_, t) => values[(row * count + t) * width + o]);
  };

  // the last week apart: every flux and level as its exact mean, since sampling would miss what follows a dose
  const split = end - contents.hours.week;
  const cut = split > 0 ? times.findIndex((t) => t >= split) : 0;
  const { curves: rtol, bands } = contents.rtol;
  const lead = initial.subarray(0, LEAD * S);
  // both ends of the effect have the drug's course of the first row
  const follow = [0, 0];
  const early = split > 0 ? through(0, lead, rtol, [0, split], { times: times.slice(0, cut), outputs, follow }) : null;
  const from = early?.final ?? lead;
  const late = through(0, from, rtol, [split, end], { times: times.slice(cut), outputs, follow });
  const main = (name, row) => [...(early ? column(early, cut, name, row) : []), ...column(late, times.length - cut, name, row)];
  const names = mapNames(contents, kernel);
  const areas = through(0, from.subarray(0, 2 * S), rtol, [split, end], { endpoints: names.map((name) => ["auc", name]) }).values;
  const levels = [0, 1].map((row) => Object.fromEntries(names.map((name, n) => [name, areas[row * names.length + n] / contents.hours.week])));

  const well = [...rows.keys()].filter((i) => i >= LEAD && ok[i - LEAD + 1]);
  const people = through(LEAD, initial.subarray(LEAD * S), bands, [0, end], { times, outputs });
  const alive = well.map((i) => i - LEAD).filter((n) => people.status[n] === meta.done);

  const curves = {};
  const sorted = new Float64Array(alive.length);
  for (const curve of contents.curves) {
    const [chosen, without, ...bounds] = [0, 1, 2, 3].map((row) => curveOf(curve, (name) => main(name, row)));
    const entry = { with: chosen, without };
    if (curve.band === "effect") {
      entry.low = bounds[0].map((v, t) => Math.min(v, bounds[1][t]));
      entry.high = bounds[0].map((v, t) => Math.max(v, bounds[1][t]));
    } else if (alive.length > 1) {
      const courses = alive.map((n) => curveOf(curve, (name) => column(people, times.length, name, n)));
      entry.low = [];
      entry.high = [];
      for (let t = 0; t < times.length; t++) {
        courses.forEach((course, n) => (sorted[n] = course[t]));
        sorted.sort();
        entry.low.push(sortedQuantile(sorted, 0.1));
        entry.high.push(sortedQuantile(sorted, 0.9));
      }
    }
    curves[curve.id] = entry;
  }
  return {
    choices,
    times,
    rest: Array.from(initial.subarray(0, S)),
    curves,
    levels: { with: levels[0], without: levels[1] },
    draws: alive.length,
    steps,
    milliseconds: performance.now() - begun,
  };
}

function curveOf({ output, factor }, column) {
  const [top, bottom] = [].concat(output).map(column);
  return top.map((v, t) => factor * (bottom ? v / bottom[t] : v));
}

/** What the flux map shows. */
function mapNames(contents, kernel) {
  return [...contents.map.routes, ...contents.map.nodes].map((part) => part.id).filter((name) => kernel.output.has(name));
}

/** Every level and flux of the healthy reference at rest. */
export function healthyLevels(contents, kernel) {
  const rest = kernel.rest(Float64Array.from(contents.healthy.parameters), Float64Array.from(contents.healthy.states));
  const names = mapNames(contents, kernel);
  const run = kernel.run({
    plan: { boluses: [], settings: [] },
    start: 0,
    end: 1,
    parameters: Float64Array.from(contents.healthy.parameters),
    initial: rest.states,
    rtol: contents.rtol.curves,
    times: [0],
    outputs: names,
  });
  return Object.fromEntries(names.map((name, o) => [name, run.values[o]]));
}

/** Peak, trough, ends and area between with and without, of one curve. */
export function summaryOf(view, id) {
  const { times } = view;
  const { with: y, without: z, low, high } = view.curves[id];
  const last = times.length - 1;
  let top = 0;
  let bottom = times.findIndex((t) => t > 0);
  let area = 0;
  for (let t = 1; t <= last; t++) {
    if (y[t] > y[top]) top = t;
    if (y[t] < y[bottom]) bottom = t;
    area += ((y[t] - z[t] + y[t - 1] - z[t - 1]) / 2) * (times[t] - times[t - 1]);
  }
  return {
    before: z[0],
    peak: y[top],
    peakHour: times[top],
    lowest: y[bottom],
    lowestHour: times[bottom],
    end: y[last],
    without: z[last],
    low: low ? low[last] : null,
    high: high ? high[last] : null,
    area: area / 24,
  };
}

/** Published points that belong to a scenario; a relative one is placed from where its curve begins. */
export function pointsFor(contents, { choices, curves }, curve) {
  const defaults = defaultChoices(contents);
  const fitting = contents.published.filter((point) => {
    if (point.curve !== curve || point.hour > choices.weeks * contents.hours.week) return false;
    return Object.entries(point.when).every(([key, value]) => {
      if (key === "single") return regularDoses(contents, choices, choices.weeks * contents.hours.week).length === 1;
      return choices[key] === (value === "default" ? defaults[key] : value);
    });
  });
  return fitting.map((point) => ({ ...point, value: point.value ?? point.share * curves[curve].without[0] }));
}
