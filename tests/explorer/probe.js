// Runs in a browser for the tests: computes what a case asks with the page's own code and posts the answers back.

class Replay {
  constructor(log) {
    this.log = log;
    this.next = 0;
  }
  take(kind) {
    const [name, values] = this.log[this.next++];
    if (name !== kind) throw new Error(`draw ${this.next} is ${name}, asked ${kind}`);
    return values;
  }
  integers() { return Int32Array.from(this.take("integers")); }
  normals() { return Float64Array.from(this.take("normals")); }
  uniforms() { return Float64Array.from(this.take("uniforms")); }
  exponentials() { return Float64Array.from(this.take("exponentials")); }
  permutation() { return this.take("permutation"); }
}

const plain = (values) => Array.from(values, (v) => (Number.isFinite(v) ? v : null));

const WORK = {
  kernel(contents, kernel, { runs }) {
    return runs.map((run) => {
      const parameters = Float64Array.from(run.parameters);
      const rest = run.rest ? kernel.rest(Float64Array.from(run.rest), Float64Array.from(run.from)) : null;
      const answer = kernel.run({ ...run, parameters, initial: Float64Array.from(run.initial), doseScale: Float64Array.from(run.doseScale) });
      return { values: plain(answer.values), final: plain(answer.final), status: answer.status, delivered: plain(answer.delivered), rest: rest && plain(rest.states) };
    });
  },
  normals(contents, kernel, { count }) {
    return plain(bodyNormals(contents.trial.sobol, count));
  },
  statistics(contents, kernel, { points }) {
    return points.map(([name, ...rest]) => ({ normalCdf, normalQuantile, tTail, tQuantile, logRank, cox, quantile, shareInterval })[name](...rest));
  },
  trial(contents, kernel, { design, beta, size, kept, log, maximum }) {
    const pool = new Pool(contents, kernel, design, beta, bodyNormals(contents.trial.sobol, size), contents.trial.rtol.package);
    const quick = new Pool(contents, kernel, design, beta, pool.latents);
    for (const one of [pool, quick]) one.run(0, size, (body) => (kept ? Float64Array.from(kept[body]) : null));
    const active = pool.arms[pool.arms.length - 1];
    const draw = drawTrial(pool, new Replay(log));
    const trial = observeTrial(pool, draw, maximum);
    return {
      columns: Object.fromEntries(Object.entries(pool.columns).map(([k, v]) => [k, Array.from(v)])),
      usable: pool.usable,
      homocysteine: plain(active.homocysteine),
      direct: plain(active.direct),
      quick: plain(quick.arms[quick.arms.length - 1].homocysteine),
      people: trial.people,
      arm: Array.from(trial.arm),
      rated: plain(trial.rated),
      truth: plain(trial.truth),
      time: plain(trial.time),
      event: trial.event,
      candidates: draw.candidates,
      mmrm: mixedModel(trial),
      ancova: ancovaModel(trial),
      survival: survivalModel(trial),
    };
  },
  choices(contents, kernel, { list }) {
    return list.map((choices) => {
      const all = { ...defaultChoices(contents), ...choices };
      return { boluses: boluses(contents, dosesOf(contents, all)), set: settingsOf(contents, all), supplies: suppliesOf(contents, all) };
    });
  },
  view(contents, kernel, { choices }) {
    const view = viewOf(contents, kernel, { ...defaultChoices(contents), ...choices });
    return { times: view.times, curves: view.curves, levels: view.levels, draws: view.draws };
  },
};

(async () => {
  let answer;
  try {
    const [contents, code, job] = await Promise.all([fetch("contents.json").then((r) => r.json()), fetch("module.wasm").then((r) => r.arrayBuffer()), fetch("job.json").then((r) => r.json())]);
    if (!supported()) throw new Error("this browser has no 128-bit vectors");
    const kernel = new Kernel(contents.kernel, await WebAssembly.compile(code));
    answer = job.map((part) => WORK[part.work](contents, kernel, part));
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  await fetch("answer", { method: "POST", body: JSON.stringify({ agent: navigator.userAgent, answer }) });
  document.title = "done";
})();
