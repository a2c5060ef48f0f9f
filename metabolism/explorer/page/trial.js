// A trial of virtual patients: bodies through the coupled model once, diseases drawn afresh in every repetition.
//
// Follows metabolism/trials (patients, pool, screening, trial, analysis) step by step; the tests hand both the same
// random numbers and compare patients, ratings and estimates.

import { boluses, regularDoses, scoreOf, unitsOf } from "./scenario.js";
import { cox, FitFailed, fitMixed, logRank, mean, normalCdf, normalQuantile, quantile } from "./statistics.js";

/** Random numbers of one stream: sfc32, started by splitmix32 from two whole numbers. */
export class Stream {
  constructor(seed, number) {
    let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca77)) >>> 0;
    const next = () => {
      state = (state + 0x9e3779b9) | 0;
      let t = state ^ (state >>> 16);
      t = Math.imul(t, 0x21f0aaad);
      t ^= t >>> 15;
      t = Math.imul(t, 0x735a2d97);
      return t ^ (t >>> 15);
    };
    [this.a, this.b, this.c, this.d] = [next(), next(), next(), 1];
    for (let i = 0; i < 15; i++) this.word();
    this.spare = null;
  }

  word() {
    const t = (((this.a + this.b) | 0) + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + t) | 0;
    return t >>> 0;
  }

  /** One number in [0, 1) with 53 random bits. */
  uniform() {
    return ((this.word() >>> 5) * 67108864 + (this.word() >>> 6)) / 9007199254740992;
  }

  normal() {
    if (this.spare !== null) {
      const value = this.spare;
      this.spare = null;
      return value;
    }
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const s = u * u + v * v;
      if (s > 0 && s < 1) {
        const factor = Math.sqrt((-2 * Math.log(s)) / s);
        this.spare = v * factor;
        return u * factor;
      }
    }
  }

  integers(high, count) {
    return Int32Array.from({ length: count }, () => Math.floor(this.uniform() * high));
  }

  normals(count) {
    return Float64Array.from({ length: count }, () => this.normal());
  }

  uniforms(count) {
    return Float64Array.from({ length: count }, () => this.uniform());
  }

  exponentials(count, scale = 1) {
    return Float64Array.from({ length: count }, () => -scale * Math.log(1 - this.uniform()));
  }

  permutation(list) {
    const out = [...list];
    for (let i = out.length - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
}

/** Standard normals of the bodies: the scrambled Sobol points that Python uses, patients x dimensions. */
export function bodyNormals({ first, steps, bits }, count) {
  const size = first.length;
  const out = new Float64Array(count * size);
  const point = first.map(BigInt);
  const whole = 2 ** bits;
  for (let i = 0; i < count; i++) {
    for (let d = 0; d < size; d++)
      out[i * size + d] = normalQuantile(Math.min(Math.max(Number(point[d]) / whole, 1e-12), 1 - 1e-12));
    let bit = 0;
    while ((i >> bit) & 1) bit++;
    if (bit < steps.length) for (let d = 0; d < size; d++) point[d] ^= BigInt(steps[bit][d]);
  }
  return out;
}

/** Columns of bodies from independent standard normals, patients x body latents. */
export function makeBodies(spec, latents) {
  const { values: g, root, body, typical, spread } = spec;
  const size = body.length;
  const count = latents.length / size;
  const names = ["age", "male", "height", "bmi", "weight", "onset", "fvc", "riluzole", "genotype"];
  const columns = Object.fromEntries([...names, ...spread.map(([n]) => n), "MTHFR_677T", "central"].map((n) => [n, new Array(count)]));
  const mass = g.bmi_mean * (g.male * g.height_men + (1 - g.male) * g.height_women) ** 2;
  for (let i = 0; i < count; i++) {
    const z = {};
    body.forEach((name, a) => {
      let sum = 0;
      for (let b = 0; b <= a; b++) sum += root[a][b] * latents[i * size + b];
      z[name] = sum;
    });
    const male = normalCdf(z.male) < g.male;
    const height = (male ? g.height_men : g.height_women) + g.height_sd * z.height;
    const bmi = g.bmi_mean + g.bmi_sd * z.bmi;
    const region = normalCdf(z.onset);
    const gene = normalCdf(z.genotype);
    columns.age[i] = g.age_mean + g.age_sd * z.age;
    columns.male[i] = male;
    columns.height[i] = height;
    columns.bmi[i] = bmi;
    columns.weight[i] = bmi * height ** 2;
    columns.onset[i] = region < g.bulbar ? "bulbar" : region < g.bulbar + g.upper_limb ? "upper limb" : "lower limb";
    columns.fvc[i] = g.fvc_mean + g.fvc_sd * z.fvc;
    columns.riluzole[i] = normalCdf(z.riluzole) < g.riluzole;
    columns.genotype[i] = gene < g.tt_frequency ? "TT" : gene < g.tt_frequency + g.ct_frequency ? "CT" : "CC";
    for (const [name, omega, latent] of spread) columns[name][i] = typical[name] * Math.exp(g[omega] * z[latent]);
    columns.MTHFR_677T[i] = columns.genotype[i] === "TT" ? 1 : 0;
    columns.central[i] = (typical.central * columns.weight[i]) / mass;
  }
  return columns;
}

/** What a rater writes down; numpy rounds halves to even. */
export function rate(score, noise) {
  const x = score + noise;
  const floor = Math.floor(x);
  const rest = x - floor;
  const rounded = rest > 0.5 ? floor + 1 : rest < 0.5 ? floor : floor % 2 === 0 ? floor : floor + 1;
  return Math.min(48, Math.max(0, rounded));
}

/** Run bodies through the coupled model under each arm: relative loss G = A - Emax B on a grid. */
export class Pool {
  constructor(contents, kernel, design, beta, latents, rtol = contents.trial.rtol.page) {
    this.rtol = rtol;
    this.contents = contents;
    this.kernel = kernel;
    this.design = design;
    this.beta = beta;
    this.spec = contents.trial;
    this.latents = latents;
    this.size = latents.length / this.spec.body.length;
    this.columns = makeBodies(this.spec, latents);
    this.inherited = inheritedLatents(this.spec, latents);
    const order = ["k", "entry", "period_run_in", "period_treatment", "noise_entry", "noise_baseline", "rater", "vc"];
    this.diseaseOrder = order.map((name) => this.spec.disease.indexOf(name));
    const g = this.spec.values;
    this.entryEdges = ["low", "high"].map((side) => normalCdf((g[`entry_${side}`] - g.entry_mean) / g.entry_sd));
    const { step } = this.spec;
    this.grid = [];
    for (let t = 0; t < Math.ceil(designHours(design, contents) / step) * step + 1; t += step) this.grid.push(t);
    this.arms = design.arms.map(() => ({
      homocysteine: new Float64Array(this.size * this.grid.length),
      direct: new Float64Array(this.size * this.grid.length),
    }));
    this.usable = [];
    this.refused = 0;
    this.failed = 0;
    this.columns.hcy_plasma = new Array(this.size).fill(NaN);
    this.columns.cbl_plasma = new Array(this.size).fill(NaN);
  }

  /** Parameters and resting states of some bodies; plausible ones only. */
  _atRest(begin, end) {
    const { kernel, contents, columns } = this;
    const { meta } = kernel;
    const count = end - begin;
    const parameters = new Float64Array(count * meta.parameters.length);
    const start = new Float64Array(count * meta.states.length);
    for (let i = 0; i < count; i++) {
      parameters.set(contents.person.parameters, i * meta.parameters.length);
      start.set(contents.person.states, i * meta.states.length);
      for (const [name, column] of Object.entries(columns))
        if (kernel.parameter.has(name)) parameters[i * meta.parameters.length + kernel.parameter.get(name)] = column[begin + i];
    }
    const rest = kernel.rest(parameters, start);
    return { parameters, states: rest.states, ok: rest.ok };
  }

  /** Run the bodies from `begin` to `end`; `kept(i, doses)` says which doses body i receives. */
  run(begin, end, kept) {
    const { kernel, contents, spec, columns, grid } = this;
    const { meta } = kernel;
    const P = meta.parameters.length;
    const S = meta.states.length;
    const here = this._atRest(begin, end);
    const levels = kernel.run({
      plan: { boluses: [], settings: [] },
      start: 0,
      end: spec.step,
      parameters: here.parameters,
      initial: here.states,
      rtol: this.rtol,
      times: [0],
      outputs: ["hcy_plasma", "cbl_plasma"],
    });
    const good = [];
    for (let i = 0; i < end - begin; i++) {
      const body = begin + i;
      columns.hcy_plasma[body] = levels.values[2 * i];
      columns.cbl_plasma[body] = levels.values[2 * i + 1];
      const fits = Object.entries(spec.plausible).every(
        ([name, [low, high]]) => !(name in columns) || (columns[name][body] >= low && columns[name][body] <= high),
      );
      if (!here.ok[i]) this.failed++;
      else if (!fits) this.refused++;
      else good.push(i);
    }
    const probe = 0.5;
    const lost = new Set();
    this.arms.forEach((arm, a) => {
      const doses = this.design.arms[a].doses;
      if (!doses || !good.length) {
        for (const i of good) arm.homocysteine.set(grid, (begin + i) * grid.length);
        return;
      }
      const plan = { boluses: boluses(contents, regularDoses(contents, doses, grid.at(-1))), settings: [] };
      const rate = contents.person.parameters[kernel.parameter.get(contents.disease.rate)];
      const T = grid.length;
      const group = Math.floor(kernel.together / 2);
      for (let first = 0; first < good.length; first += group) {
        const some = good.slice(first, first + group);
        const size = some.length;
        // each body twice: without the direct path, and with half of it, which shares the course of the drug
        const parameters = new Float64Array(2 * size * P);
        const initial = new Float64Array(2 * size * S);
        const doseScale = new Float64Array(2 * size * plan.boluses.length).fill(1);
        some.forEach((i, n) => {
          const given = kept(begin + i, plan.boluses.length);
          for (const k of [0, 1]) {
            const row = n + k * size;
            parameters.set(here.parameters.subarray(i * P, (i + 1) * P), row * P);
            initial.set(here.states.subarray(i * S, (i + 1) * S), row * S);
            const own = parameters.subarray(row * P, (row + 1) * P);
            own[kernel.parameter.get(contents.disease.elasticity)] = this.beta;
            own[kernel.parameter.get(contents.disease.maximum)] = k * probe;
            for (const [name, source] of Object.entries(contents.own_baseline))
              own[kernel.parameter.get(name)] = here.states[i * S + kernel.state.get(source)];
            if (given) doseScale.set(given, row * plan.boluses.length);
          }
        });
        const outputs = [contents.disease.units];
        const answer = kernel.run({ plan, start: 0, end: grid.at(-1), parameters, initial, rtol: this.rtol, doseScale, times: grid, outputs, follow: [...some.keys()] });
        some.forEach((i, n) => {
          const body = begin + i;
          const [own, twin] = [n * T, (n + size) * T];
          if (answer.status[n] !== meta.done || answer.status[n + size] !== meta.done) lost.add(i);
          for (let t = 0; t < T; t++) {
            const plain = Math.log(answer.values[own] / answer.values[own + t]) / rate;
            const half = Math.log(answer.values[twin] / answer.values[twin + t]) / rate;
            arm.homocysteine[body * T + t] = plain;
            arm.direct[body * T + t] = (plain - half) / probe;
          }
        });
      }
    });
    this.failed += lost.size;
    for (const i of good) if (!lost.has(i)) this.usable.push(begin + i);
  }
}

/** Length of treatment with the last visit's window [h]. */
export function designHours(design, contents) {
  return design.visits.at(-1) * contents.hours.week + design.window_days * 24;
}

/** What the latents of each body say of its disease, bodies x disease latents; the rest is drawn afresh. */
function inheritedLatents(spec, latents) {
  const { root, body, disease } = spec;
  const n = body.length;
  const m = disease.length;
  const out = new Float64Array((latents.length / n) * m);
  for (let i = 0; i < out.length / m; i++)
    for (let d = 0; d < m; d++) for (let b = 0; b < n; b++) out[i * m + d] += root[n + d][b] * latents[i * n + b];
  return out;
}

/** The disease of one candidate from its body and fresh latents, with the observation period before the trial. */
export function makeDisease(pool, body, fresh, offset, factor) {
  const { values: g, root, body: names, disease } = pool.spec;
  const { contents, design, inherited } = pool;
  const { gamma, half } = contents.disease;
  const n = names.length;
  const m = disease.length;
  const latent = (d) => {
    let sum = inherited[body * m + d];
    for (let b = 0; b <= d; b++) sum += root[n + d][n + b] * fresh[offset + b];
    return sum;
  };
  const [k0, e0, runInShift, treatmentShift, noiseEntry, noiseBaseline, rater, vital] = pool.diseaseOrder.map(latent);
  const riluzole = pool.columns.riluzole[body] ? 1 : 0;
  const k = (g.k_median * Math.exp(g.k_omega * k0) * (1 - g.riluzole_effect * riluzole)) / (1 - g.riluzole_effect * g.riluzole);
  const [low, high] = pool.entryEdges;
  const entry = g.entry_mean + g.entry_sd * normalQuantile(low + normalCdf(e0) * (high - low));
  const units = unitsOf(entry, gamma, half);
  const watch = design.observation;
  const tau = g.k_tau;
  const runIn = k * Math.exp(tau * runInShift - tau ** 2 / 2);
  const left = units * Math.exp(-runIn * watch.weeks * contents.hours.week);
  const habit = g.rater_habit_sd * rater;
  const rating = rate(entry, habit + g.rater_sd * noiseEntry);
  const baseline = watch.weeks ? rate(scoreOf(left, gamma, half), habit + g.rater_sd * noiseBaseline) : rating;
  return {
    body,
    k_run_in: runIn,
    MN_k: g.k_after * k * Math.exp(tau * treatmentShift - tau ** 2 / 2) * factor,
    entry_score: entry,
    onset_months: -Math.log(units) / k / contents.hours.month,
    entry_rating: rating,
    rater_habit: habit,
    vc_rate: g.vc_rate * (pool.columns.onset[body] === "bulbar" ? g.vc_bulbar : 1) * Math.exp(g.vc_omega * vital),
    motor_units: left,
    baseline_rating: baseline,
    drop: rating - baseline,
  };
}

/** Draw candidates, observe them, and keep the first eligible ones. */
export function screenPatients(pool, stream, factor) {
  const { design, columns, usable } = pool;
  const watch = design.observation;
  const want = design.patients;
  const size = pool.spec.disease.length;
  const batch = Math.max(12 * want, 500);
  const eligibility = Object.entries(design.eligibility);
  const kept = [];
  let candidates = 0;
  while (kept.length < want) {
    const chosen = stream.integers(usable.length, batch);
    const fresh = stream.normals(batch * size);
    for (let i = 0; i < batch && kept.length < want; i++) {
      candidates += 1;
      const one = makeDisease(pool, usable[chosen[i]], fresh, i * size, factor);
      const fits =
        one.onset_months <= watch.onset_limit &&
        one.baseline_rating >= watch.floor &&
        one.drop >= watch.drop[0] &&
        one.drop <= watch.drop[1] &&
        eligibility.every(([name, [low, high]]) => {
          const value = name in one ? one[name] : columns[name][one.body];
          return value >= low && value <= high;
        });
      if (fits) kept.push(one);
    }
    const few = kept.length < want;
    if (few && (candidates >= 400000 || (candidates >= 20000 && kept.length < candidates / 2000)))
      throw new FitFailed("Almost nobody passes the run-in: widen its window, or allow a longer time since onset.");
  }
  const people = Object.fromEntries(Object.keys(kept[0]).map((key) => [key, kept.map((one) => one[key])]));
  for (const [name, column] of Object.entries(columns)) people[name] ??= people.body.map((i) => column[i]);
  return { people, candidates };
}

function compareLevels(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Assign arms by permuted blocks within strata. */
export function randomiseArms(people, design, stream) {
  const block = Array.from({ length: design.block }, () => design.arms.flatMap((arm, i) => Array(arm.ratio).fill(i))).flat();
  const n = people.body.length;
  let label = new Array(n).fill(0);
  for (const name of design.strata) {
    const levels = [...new Set(people[name])].sort(compareLevels);
    const place = new Map(levels.map((level, i) => [level, i]));
    label = label.map((l, i) => l * levels.length + place.get(people[name][i]));
  }
  const arm = new Int32Array(n);
  for (const stratum of [...new Set(label)].sort(compareLevels)) {
    const members = [...label.keys()].filter((i) => label[i] === stratum);
    let given = [];
    for (let b = 0; b < Math.ceil(members.length / block.length); b++) given = given.concat(stream.permutation(block));
    members.forEach((i, k) => (arm[i] = given[k]));
  }
  return arm;
}

/** Everything random of one trial; the outcome under any size of effect follows from it. */
export function drawTrial(pool, stream) {
  const { design, contents } = pool;
  const g = pool.spec.values;
  const factor = design.trial_effect ? Math.exp(g.k_omega_trial * stream.normals(1)[0]) : 1;
  const { people, candidates } = screenPatients(pool, stream, factor);
  const arm = randomiseArms(people, design, stream);
  const n = arm.length;
  const V = design.visits.length;
  const edaravone = stream.uniforms(n);
  const level = stream.exponentials(n);
  const left = design.drop_out > 0 ? stream.exponentials(n, 1 / design.drop_out).map((m) => m * contents.hours.month) : new Float64Array(n).fill(Infinity);
  const shift = stream.uniforms(n * V);
  const noise = stream.normals(n * V);
  const absent = stream.uniforms(n * V);
  return { people, candidates, arm, edaravone, level, left, shift, noise, absent };
}

/** What a trial observes for one size of the direct effect; `none`: no effect by either path. */
export function observeTrial(pool, draw, maximum, none = false) {
  const { design, contents, spec, grid } = pool;
  const { people, arm } = draw;
  const g = spec.values;
  const { gamma, half } = contents.disease;
  const n = arm.length;
  const V = design.visits.length;
  const T = grid.length;
  const end = designHours(design, contents);
  const rated = new Float64Array(n * V);
  const truth = new Float64Array(n * V);
  const time = new Float64Array(n);
  const event = new Array(n);
  const curve = new Float64Array(T);
  const loss = new Float64Array(T);
  for (let i = 0; i < n; i++) {
    const k =
      people.MN_k[i] * (1 - design.arms[arm[i]].loss_reduction) * (draw.edaravone[i] < design.edaravone ? 1 - g.edaravone_effect : 1);
    const { homocysteine, direct } = pool.arms[arm[i]];
    const base = people.body[i] * T;
    let death = Infinity;
    let total = 0;
    let before = 0;
    for (let t = 0; t < T; t++) {
      loss[t] = none ? grid[t] : homocysteine[base + t] - maximum * direct[base + t];
      const first = people.motor_units[i];
      const left = first * Math.exp(-k * loss[t]);
      curve[t] = scoreOf(left, gamma, half);
      const vital = (people.fvc[i] / 100) * Math.exp(-people.vc_rate[i] * (k * loss[t] - first + left));
      const hazard = g.h0 * Math.exp((g.h_slope * (48 - curve[t])) / 48 + g.h_vc * (1 - vital));
      if (t > 0 && death === Infinity) {
        const next = total + ((hazard + before) / 2) * spec.step;
        if (next >= draw.level[i]) death = (t - 1 + (draw.level[i] - total) / (next - total)) * spec.step;
        total = next;
      }
      before = hazard;
    }
    const stop = Math.min(death, draw.left[i], end);
    time[i] = Math.min(stop / contents.hours.month, end / contents.hours.month);
    event[i] = death <= draw.left[i] && death <= end;
    for (let v = 0; v < V; v++) {
      const when = design.visits[v] * contents.hours.week + design.window_days * 24 * (2 * draw.shift[i * V + v] - 1);
      const place = Math.min(Math.max(when / spec.step, 0), T - 1);
      const low = Math.min(Math.floor(place), T - 2);
      const share = place - low;
      const relative = loss[low] * (1 - share) + loss[low + 1] * share;
      const score = scoreOf(people.motor_units[i] * Math.exp(-k * relative), gamma, half);
      truth[i * V + v] = score;
      const missing = when > stop || draw.absent[i * V + v] < design.missing_visits;
      rated[i * V + v] = missing ? NaN : rate(score, people.rater_habit[i] + g.rater_sd * draw.noise[i * V + v]);
    }
  }
  return { design, people, arm, rated, truth, time, event };
}

/** Change from baseline, patients x visits. */
function changes(trial) {
  const V = trial.design.visits.length;
  return trial.rated.map((v, i) => v - trial.people.baseline_rating[Math.floor(i / V)]);
}

function covariates(trial, members) {
  const { design, people, arm } = trial;
  const columns = [new Float64Array(members.length).fill(1)];
  const byVisit = [true];
  const place = new Map();
  design.arms.forEach((_, a) => {
    if (a === design.control) return;
    place.set(a, columns.length);
    columns.push(Float64Array.from(members, (i) => (arm[i] === a ? 1 : 0)));
    byVisit.push(true);
  });
  const centred = (column) => {
    const middle = mean(column);
    return column.map((v) => v - middle);
  };
  columns.push(centred(Float64Array.from(members, (i) => people.baseline_rating[i])));
  byVisit.push(true);
  for (const name of design.strata) {
    const levels = [...new Set(members.map((i) => people[name][i]))].sort(compareLevels);
    for (const level of levels.slice(1)) {
      const flag = Float64Array.from(members, (i) => (people[name][i] === level ? 1 : 0));
      const sum = flag.reduce((s, v) => s + v, 0);
      if (sum > 0 && sum < flag.length) {
        columns.push(centred(flag));
        byVisit.push(false);
      }
    }
  }
  return { columns, byVisit, place };
}

/** Mixed model of the change at the last visit: each arm, and each active arm against control. */
export function mixedModel(trial) {
  const V = trial.design.visits.length;
  const y = changes(trial);
  const members = [...trial.arm.keys()].filter((i) => y.subarray(i * V, (i + 1) * V).some(Number.isFinite));
  const rows = new Float64Array(members.length * V);
  members.forEach((i, n) => rows.set(y.subarray(i * V, (i + 1) * V), n * V));
  const { columns, byVisit, place } = covariates(trial, members);
  return contrasts(trial, fitMixed(rows, columns, byVisit), V - 1, place);
}

/** Analysis of covariance of the last observed change. */
export function ancovaModel(trial) {
  const V = trial.design.visits.length;
  const y = changes(trial);
  const last = [...trial.arm.keys()].map((i) => [...y.subarray(i * V, (i + 1) * V)].reverse().find(Number.isFinite) ?? NaN);
  const members = [...last.keys()].filter((i) => Number.isFinite(last[i]));
  const { columns, place } = covariates(trial, members);
  const fitted = fitMixed(Float64Array.from(members, (i) => last[i]), columns, columns.map(() => false));
  return contrasts(trial, fitted, 0, place);
}

function contrasts(trial, fitted, visit, place) {
  const { arms, control } = trial.design;
  const out = { [arms[control].name]: fitted.contrast([[visit, 0]]) };
  for (const [a, column] of place) {
    out[arms[a].name] = fitted.contrast([[visit, 0], [visit, column]]);
    out[`${arms[a].name} - ${arms[control].name}`] = fitted.contrast([[visit, column]]);
  }
  return out;
}

/** Cox hazard ratio of each active arm against control, with the log-rank P. */
export function survivalModel(trial) {
  const { arms, control } = trial.design;
  const out = {};
  arms.forEach((arm, a) => {
    if (a === control) return;
    const members = [...trial.arm.keys()].filter((i) => trial.arm[i] === a || trial.arm[i] === control);
    const time = members.map((i) => trial.time[i]);
    const event = members.map((i) => trial.event[i]);
    const group = members.map((i) => (trial.arm[i] === a ? 1 : 0));
    const [log, se] = cox(time, event, group);
    const width = normalQuantile(0.975) * se;
    const p = logRank(time, event, group);
    out[`${arm.name} - ${arms[control].name}`] = { value: Math.exp(log), se, df: Infinity, p, low: Math.exp(log - width), high: Math.exp(log + width) };
  });
  return out;
}

const ANALYSES = { mmrm: mixedModel, ancova: ancovaModel, survival: survivalModel };

/** Mean change of an arm at each visit among those seen. */
function armMeans(trial) {
  const V = trial.design.visits.length;
  const y = changes(trial);
  return trial.design.arms.map((_, a) =>
    trial.design.visits.map((_, v) => mean([...trial.arm.keys()].filter((i) => trial.arm[i] === a && Number.isFinite(y[i * V + v])).map((i) => y[i * V + v]))),
  );
}

/** The last active arm against control: what the page shows. */
export function mainContrast(design) {
  const active = design.arms.filter((_, a) => a !== design.control);
  return `${active.at(-1).name} - ${design.arms[design.control].name}`;
}

/**
 * Run a whole study: the pool in pieces, then repetitions of the trial under the scenario and under no effect.
 *
 * @param {object} contents
 * @param {object} kernel
 * @param {object} request `design`, `scenario`, `people`, `repeats`
 * @param {function(object): void} report called with {stage, done, total}
 */
export function runStudy(contents, kernel, request, report) {
  const { design, people, repeats } = request;
  const scenario = contents.scenarios.find((s) => s.id === request.scenario);
  const begun = performance.now();
  const pool = new Pool(contents, kernel, design, scenario.beta_hcy, bodyNormals(contents.trial.sobol, people));
  const missed = (body, doses) =>
    design.missed_doses > 0 ? new Stream(contents.trial.seed + 77, body).uniforms(doses).map((u) => (u >= design.missed_doses ? 1 : 0)) : null;
  const piece = 20;
  for (let begin = 0; begin < people; begin += piece) {
    pool.run(begin, Math.min(people, begin + piece), missed);
    report({ stage: "people", done: Math.min(people, begin + piece), total: people });
  }
  const coupled = performance.now() - begun;
  const name = mainContrast(design);
  const rows = [];
  let failures = 0;
  const means = [];
  for (let number = 0; number < repeats; number++) {
    const draw = drawTrial(pool, new Stream(contents.trial.seed, number));
    const trial = observeTrial(pool, draw, scenario.maximum);
    try {
      const found = ANALYSES[design.primary](trial)[name];
      const nothing = ANALYSES[design.primary](observeTrial(pool, draw, 0, true))[name];
      rows.push({ value: found.value, p: found.p, low: found.low, high: found.high, none: nothing.value, noneP: nothing.p, candidates: draw.candidates });
      means.push(armMeans(trial));
    } catch (error) {
      if (!(error instanceof FitFailed)) throw error;
      failures++;
    }
    if (number % 5 === 4 || number === repeats - 1) report({ stage: "trials", done: number + 1, total: repeats });
  }
  const arms = design.arms.map((arm, a) => ({
    name: arm.name,
    visits: design.visits.map((week, v) => {
      const column = means.map((m) => m[a][v]).filter(Number.isFinite);
      return { week, mean: mean(column), low: quantile(column, 0.025), high: quantile(column, 0.975) };
    }),
  }));
  return {
    request,
    contrast: name,
    rows,
    failures,
    arms,
    people: pool.usable.length,
    drawn: people,
    refused: pool.refused,
    failed: pool.failed,
    coupled,
    total: performance.now() - begun,
    finished: rows.length,
    ratio: design.primary === "survival",
  };
}
