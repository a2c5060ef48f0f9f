// The compiled model in a browser: lays out one problem for the WebAssembly kernel and reads what it wrote.
//
// The same contract as the native host (metabolism/engines/ensemble): a context of 64-bit words (addresses, counts,
// numbers), work memory for vectors, patients in chunks, and for each chunk the parts of the model in turn. All sizes,
// names of fields and limits come from Python in `meta`; nothing of the model stands here.

const PAGE = 65536;
const STACK = 1 << 20;
const WORD = 8;

export class KernelError extends Error {}

/** Whether this browser can run 128-bit vectors; the smallest module that needs them. */
export function supported() {
  return (
    typeof WebAssembly === "object" &&
    WebAssembly.validate(
      new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]),
    )
  );
}

/** Memory of the module, handed out in order; everything is released at once. */
class Heap {
  constructor(memory) {
    this.memory = memory;
    this.top = STACK;
  }

  release() {
    this.top = STACK;
  }

  take(bytes) {
    const begin = Math.ceil(this.top / 64) * 64;
    this.top = begin + bytes;
    const lacking = this.top - this.memory.buffer.byteLength;
    if (lacking > 0) {
      try {
        this.memory.grow(Math.ceil(lacking / PAGE));
      } catch {
        throw new KernelError("this device has too little memory for so many patients at once");
      }
    }
    return begin;
  }
}

export class Kernel {
  /**
   * @param {object} meta sizes, names and limits of the compiled model (see `kernel_meta` in Python)
   * @param {WebAssembly.Module} module
   */
  constructor(meta, module) {
    this.meta = meta;
    this.memory = new WebAssembly.Memory({ initial: STACK / PAGE + 16, maximum: 16384 });
    const pointer = new WebAssembly.Global({ value: "i32", mutable: true }, STACK);
    const { exports } = new WebAssembly.Instance(module, {
      env: { __linear_memory: this.memory, __stack_pointer: pointer },
    });
    this.code = exports;
    this.heap = new Heap(this.memory);
    this.parameter = new Map(meta.parameters.map((name, i) => [name, i]));
    this.state = new Map(meta.states.map((name, i) => [name, i]));
    this.order = [...meta.parts].reverse().flatMap((part) => part.states);
    const names = [...this.order.map((i) => meta.states[i]), ...meta.parameters, ...Object.keys(meta.derived)];
    this.output = new Map(names.map((name, i) => [name, i]));
    this.place = new Map(this.order.map((state, i) => [state, i]));
    this.together = meta.together[meta.parts.length - 1] * meta.lanes;
  }

  /** Copy an array of numbers into the module; returns its address. */
  _put(values, integers = false) {
    const address = this.heap.take(Math.max(1, values.length) * WORD);
    if (integers) new BigInt64Array(this.memory.buffer, address, values.length).set(Array.from(values, BigInt));
    else new Float64Array(this.memory.buffer, address, values.length).set(values);
    return address;
  }

  /** Room that the kernel writes before it reads: large ones cost more to fill than to use. */
  _room(count) {
    return this.heap.take(Math.max(1, count) * WORD);
  }

  _zeros(count, fill = 0) {
    const address = this._room(count);
    new Float64Array(this.memory.buffer, address, count).fill(fill);
    return address;
  }

  _integers(count, fill = 0) {
    const address = this._room(count);
    new BigInt64Array(this.memory.buffer, address, count).fill(BigInt(fill));
    return address;
  }

  _reals(address, count) {
    return new Float64Array(this.memory.buffer, address, count);
  }

  _work(codes, requests) {
    const { lanes, tail, per_code: per } = this.meta;
    const bytes = (tail + codes * per + requests + 1) * lanes * WORD;
    const address = this.heap.take(bytes + 64);
    new Uint8Array(this.memory.buffer, address, bytes).fill(0);
    return address;
  }

  /** Write the words of a context: `real` names numbers, all others are addresses and counts. */
  _context(fields, values, real = []) {
    const address = this.heap.take(fields.length * WORD);
    const view = new DataView(this.memory.buffer, address);
    fields.forEach((name, i) => {
      if (!(name in values)) throw new KernelError(`the kernel asks for '${name}'`);
      if (real.includes(name)) view.setFloat64(i * WORD, values[name], true);
      else view.setBigInt64(i * WORD, BigInt(values[name]), true);
    });
    return address;
  }

  /**
   * Bring patients to rest by pseudo-transient continuation.
   *
   * @param {Float64Array} parameters patients x parameters, row by row
   * @param {Float64Array} initial patients x states, where to start
   * @returns {{states: Float64Array, residuals: Float64Array, ok: boolean[]}}
   */
  rest(parameters, initial) {
    const { meta } = this;
    const size = meta.states.length;
    const count = initial.length / size;
    const breadth = meta.parameters.length;
    const keep = meta.states.map((name) => !meta.held.includes(name));
    const floor = meta.scale.map((scale) => 1e-3 * scale);
    const x = Float64Array.from(initial);
    const step = new Float64Array(count).fill(1);
    const best = new Float64Array(count).fill(Infinity);
    let active = [...Array(count).keys()].filter(
      (i) =>
        x.subarray(i * size, (i + 1) * size).every(Number.isFinite) &&
        parameters.subarray(i * breadth, (i + 1) * breadth).every(Number.isFinite),
    );
    for (let round = 0; round < meta.rest_limit && active.length; round++) {
      this.heap.release();
      const here = this._zeros(active.length * size);
      const of = this._zeros(active.length * breadth);
      active.forEach((i, n) => {
        this._reals(here, active.length * size).set(x.subarray(i * size, (i + 1) * size), n * size);
        this._reals(of, active.length * breadth).set(parameters.subarray(i * breadth, (i + 1) * breadth), n * breadth);
      });
      const rates = this._zeros(active.length * size);
      const moves = this._zeros(active.length * size);
      const steps = this._put(active.map((i) => step[i]));
      const weights = this._put(keep.map((moving) => (moving ? 1 : 1e300)));
      const work = this._work(0, 0);
      const context = this._context(meta.newton_fields, {
        patients: active.length,
        parameters: of,
        states: here,
        step: steps,
        weights,
        rates,
        moves,
      });
      this.code.newton(context, work);
      const f = this._reals(rates, active.length * size);
      const move = this._reals(moves, active.length * size);
      const next = [];
      active.forEach((i, n) => {
        let residual = 0;
        let wild = false;
        for (let s = 0; s < size; s++) {
          if (!keep[s]) continue;
          const value = x[i * size + s];
          residual = Math.max(residual, Math.abs(f[n * size + s]) / Math.max(Math.abs(value), floor[s]));
          if (Number.isNaN(f[n * size + s])) residual = NaN;
          const m = move[n * size + s];
          if (!Number.isFinite(m) || value + m < -floor[s] || Math.abs(m) > 2 * (value + floor[s])) wild = true;
        }
        if (!(residual >= best[i])) best[i] = Number.isNaN(residual) ? best[i] : residual;
        const done = residual < 1e-3 * meta.residual || (residual < meta.residual && step[i] > 1e10);
        if (wild && done) return;
        if (wild) step[i] /= 4;
        else {
          for (let s = 0; s < size; s++) if (keep[s]) x[i * size + s] = Math.max(x[i * size + s] + move[n * size + s], 0);
          step[i] = Math.min(step[i] * 3, 1e13);
        }
        // the last move is known already: at rest it only polishes
        if (done) return;
        for (let s = 0; s < size; s++)
          if (keep[s] && x[i * size + s] > meta.runaway * meta.scale[s]) {
            best[i] = Infinity;
            return;
          }
        if (step[i] >= 1e-12) next.push(i);
      });
      active = next;
    }
    return { states: x, residuals: best, ok: Array.from(best, (value) => value < meta.residual) };
  }

  _needs(output) {
    const code = this.output.get(output);
    const held = this.meta.derived[output] ?? (code < this.order.length ? [this.order[code]] : []);
    return held.map((state) => this.place.get(state));
  }

  _fine(output) {
    return Math.max(0, ...this._needs(output)) >= this.meta.parts.at(-1).states.length;
  }

  /**
   * Integrate patients over one plan.
   *
   * @param {object} problem
   *   `start`, `end` [h]; `plan` with `boluses` [[time, state, amount]] and `settings` [[time, parameter, factor,
   *   offset]], both in time order: value = factor x own + offset, an offset being a number or one per patient, and a
   *   time of null meaning before the start; `parameters` and `initial` (row by row);
   *   `rtol`; `doseScale` (patients x boluses, optional); `follow` (optional: as many last patients differ in
   *   nothing that the driving part sees from those named here, and share their course; no more than `together` patients
   *   then); and either `times` and `outputs`, or `endpoints`
   *   [[kind, output, level?]].
   * @returns {{values: Float64Array, final: Float64Array, delivered: Float64Array, status: number[], steps: number[]}}
   *   values: patients x times x outputs, after any dose at the same time; or patients x endpoints.
   */
  run(problem) {
    const { meta } = this;
    const { plan, start, end, initial } = problem;
    const size = meta.states.length;
    const patients = initial.length / size;
    const endpoints = problem.endpoints ?? null;
    const outputs = endpoints
      ? [...new Set(endpoints.map(([, output]) => output))].sort((a, b) => this._fine(a) - this._fine(b))
      : problem.outputs;
    for (const name of outputs) if (!this.output.has(name)) throw new KernelError(`there is no output '${name}'`);
    const times = endpoints ? [] : problem.times;
    const moments = [...plan.boluses.map((b) => b[0]), ...plan.settings.map((s) => s[0] ?? start)];
    const stops = [...new Set([start, ...moments.filter((t) => t > start && t < end), end])].sort((a, b) => a - b);
    const targets = [...new Set(plan.boluses.map((b) => b[1]))];
    const chunk = this.together;
    const zero = this._zero(problem);
    const width = endpoints ? endpoints.length : times.length * outputs.length;
    const answer = {
      values: new Float64Array(patients * width).fill(NaN),
      final: new Float64Array(patients * size).fill(NaN),
      delivered: new Float64Array(patients * targets.length),
      targets,
      status: new Array(patients).fill(-1),
      steps: new Array(patients).fill(0),
    };
    for (let begin = 0; begin < patients; begin += chunk) {
      const rows = [begin, Math.min(patients, begin + chunk)];
      let rooms = meta.rows * stops.length;
      while (!this._chunk(problem, { stops, targets, outputs, times, endpoints, rows, rooms, zero }, answer)) {
        rooms *= 2;
        if (rooms * (chunk + 1) * (1 + meta.degrees * size) * WORD > 2 ** 29)
          throw new KernelError("the course of one patient needs more memory than a browser has");
      }
    }
    return answer;
  }

  _chunk(problem, layout, answer) {
    const { meta } = this;
    const { stops, targets, outputs, times, endpoints, rows, rooms, zero } = layout;
    const { plan, parameters, start } = problem;
    const [begin, end] = rows;
    const count = end - begin;
    const size = meta.states.length;
    const breadth = meta.parameters.length;
    const last = meta.parts.at(-1);
    const own = last.states.length;
    this.heap.release();
    const begins = (list) => [...stops.map((stop) => list.findIndex((t) => t >= stop)), list.length].map((n) => (n < 0 ? list.length : n));
    const needs = [...new Set(outputs.flatMap((output) => this._needs(output)))].sort((a, b) => a - b);
    const need = needs.filter((n) => n < own);
    const keep = [...new Set([...last.inputs.map((s) => this.place.get(s)), ...needs].filter((n) => n >= own).map((n) => n - own))];
    const minus = new Array(stops.length).fill(-1);
    const row = new Map(times.map((t, i) => [t, i]));
    const width = endpoints ? endpoints.length : times.length * outputs.length;
    const values = this._zeros(count * width, NaN);
    const delivered = this._zeros(count * targets.length);
    const after = (stop) => {
      const n = times.findIndex((t) => t > stop);
      return n < 0 ? times.length : n;
    };
    // a setting: value = factor x own + offset; one before the start is in force from the beginning
    const changes = plan.settings.filter((s) => s[0] !== null && s[0] >= start);
    const offsetOf = (setting, i) => (typeof setting[3] === "number" ? setting[3] : setting[3][begin + i]);
    const offsets = new Float64Array(count * changes.length);
    for (let i = 0; i < count; i++) changes.forEach((s, n) => (offsets[i * changes.length + n] = offsetOf(s, i)));
    const loaded = Float64Array.from(parameters.subarray(begin * breadth, end * breadth));
    for (const s of plan.settings)
      if (!changes.includes(s))
        for (let i = 0; i < count; i++) {
          const place = i * breadth + this.parameter.get(s[1]);
          loaded[place] = s[2] * parameters[begin * breadth + place] + offsetOf(s, i);
        }
    const shared = {
      patients: count,
      halt: this._integers(1),
      parameters: this._put(parameters.subarray(begin * breadth, end * breadth)),
      loaded: this._put(loaded),
      stops: stops.length,
      stop_times: this._put(stops),
      targets: targets.length,
      delivered,
      setting_begin: this._put(begins(changes.map((s) => s[0])), true),
      setting_parameter: this._put(changes.map((s) => this.parameter.get(s[1])), true),
      settings: changes.length,
      setting_factor: this._put(changes.map((s) => s[2])),
      setting_offset: this._put(offsets),
      codes: outputs.length,
      code: this._put(outputs.map((o) => this.output.get(o)), true),
      needs: need.length,
      need: this._put(need, true),
      values: endpoints ? this._zeros(0) : values,
      pre: this._zeros(0),
      pres: 0,
      limit: meta.limit * stops.length,
      linked: 0,
      requests: endpoints ? endpoints.length : 0,
      kind: this._put((endpoints ?? []).map(([kind]) => meta.kinds.indexOf(kind)), true),
      slot: this._put((endpoints ?? []).map(([, output]) => outputs.indexOf(output)), true),
      level: this._put((endpoints ?? []).map(([, , level]) => level ?? 0)),
      results: endpoints ? values : this._zeros(0),
      keeps: keep.length,
      keep: this._put(keep, true),
      coarse: outputs.filter((o) => !this._fine(o)).length,
      pre_row: this._put(minus, true),
      out_row: this._put(endpoints ? minus : stops.map((stop) => row.get(stop) ?? -1), true),
      out_next: this._put(endpoints ? stops.map(() => 0) : stops.map(after), true),
      times: this._put([...times, Infinity]),
      rows: times.length,
      rooms: 0,
      begins: this._zeros(0),
      record: this._zeros(0),
      marks: this._integers(0),
      until: this._zeros(0),
      leader: this._integers(1),
    };
    const parts = meta.parts.map((part) => this._part(problem, part, stops, targets, rows, begins, zero));
    const work = this._work(outputs.length, shared.requests);
    const bytes = (meta.tail + outputs.length * meta.per_code + shared.requests + 1) * meta.lanes * WORD;
    let more = {};
    if (parts.length > 1) {
      const places = meta.together[1] * meta.lanes + 1;
      const rowed = 1 + meta.degrees * keep.length;
      const record = {
        rooms,
        begins: this._room(places * rooms),
        record: this._room(places * rooms * rowed),
        marks: this._integers(places * stops.length),
      };
      const silent = { codes: 0, requests: 0, pre_row: this._put(minus, true), out_row: this._put(minus, true) };
      const follow = problem.follow ?? [];
      const leaders = count - follow.length;
      const own = [...Array(leaders).keys()];
      const leader = this._put([...own, leaders], true);
      this._call(parts[0], { ...shared, ...silent, ...record, leader, patients: leaders }, work, bytes);
      const all = new Uint8Array(this.memory.buffer);
      follow.forEach((ahead, n) => {
        for (const [address, words] of [
          [parts[0].final, meta.parts[0].states.length],
          [parts[0].status, 1],
          [parts[0].failed_at, 1],
        ]) {
          const from = address + ahead * words * WORD;
          all.copyWithin(address + (leaders + n) * words * WORD, from, from + words * WORD);
        }
      });
      const status = this._whole(parts[0].status, count);
      if (status.includes(meta.full)) return false;
      const reached = this._reals(parts[0].failed_at, count);
      more = { ...record, leader: this._put([...own, ...follow, leaders], true), until: this._put(status.map((s, i) => (s === meta.done ? Infinity : reached[i]))) };
    }
    const final = parts.at(-1);
    this._call(final, { ...shared, ...more }, work, bytes);
    answer.values.set(this._reals(values, count * width), begin * width);
    answer.delivered.set(this._reals(delivered, count * targets.length), begin * targets.length);
    const status = this._whole(final.status, count);
    parts.forEach((part, n) => {
      const states = meta.parts[n].states;
      const ends = this._reals(part.final, count * states.length);
      const steps = this._whole(part.steps, count);
      for (let i = 0; i < count; i++) {
        answer.steps[begin + i] += steps[i];
        if (status[i] === meta.done) states.forEach((s, k) => (answer.final[(begin + i) * size + s] = ends[i * states.length + k]));
      }
    });
    status.forEach((s, i) => {
      answer.status[begin + i] = s;
      if (s !== meta.done && endpoints) answer.values.fill(NaN, (begin + i) * width, (begin + i + 1) * width);
    });
    return true;
  }

  /** States and parameters that are zero throughout, in every patient: nothing is given, made or changed. */
  _zero({ plan, initial, parameters }) {
    const { meta } = this;
    const zero = new Set();
    for (const [names, values] of [[meta.states, initial], [meta.parameters, parameters]]) {
      const found = names.map(() => true);
      values.forEach((value, n) => value !== 0 && (found[n % names.length] = false));
      names.forEach((name, n) => found[n] && zero.add(name));
    }
    for (const [, name] of [...plan.settings, ...plan.boluses]) zero.delete(name);
    const moves = (s) => zero.has(s) && !meta.rests[s].every((term) => term.some((name) => zero.has(name)));
    for (let moved; (moved = meta.states.filter(moves)).length; ) moved.forEach((s) => zero.delete(s));
    return zero;
  }

  _part(problem, part, stops, targets, [begin, end], begins, zero) {
    const { meta } = this;
    const { plan, initial, rtol, doseScale, start } = problem;
    const count = end - begin;
    const size = meta.states.length;
    const share = part.inputs.length ? meta.driven : 1;
    const index = new Map(part.states.map((state, n) => [meta.states[state], n]));
    const own = [...plan.boluses.keys()].filter((n) => index.has(plan.boluses[n][1]));
    const boluses = own.map((n) => plan.boluses[n]);
    const live = [...part.states.keys()].filter((n) => !zero.has(meta.states[part.states[n]]));
    const first = new Float64Array(count * part.states.length);
    const given = new Float64Array(count * own.length).fill(1);
    for (let i = 0; i < count; i++) {
      part.states.forEach((state, n) => (first[i * part.states.length + n] = initial[(begin + i) * size + state]));
      if (doseScale) own.forEach((n, k) => (given[i * own.length + k] = doseScale[(begin + i) * plan.boluses.length + n]));
    }
    return {
      run: part.run,
      initial: this._put(first),
      rtol: rtol * share,
      atol: this._put(part.states.map((state) => rtol * meta.atol_fraction * meta.scale[state] * share)),
      dose_scale: this._put(given),
      boluses: own.length,
      bolus_begin: this._put(begins(boluses.map((b) => b[0])), true),
      bolus_state: this._put(boluses.map((b) => index.get(b[1])), true),
      bolus_volume: this._put(boluses.map((b) => this.parameter.get(meta.volume[b[1]]) ?? -1), true),
      bolus_amount: this._put(boluses.map((b) => b[2])),
      bolus_target: this._put(boluses.map((b) => targets.indexOf(b[1])), true),
      final: this._zeros(count * part.states.length, NaN),
      status: this._integers(count, -1),
      failed_at: this._zeros(count, start),
      rates: this._zeros(count * part.states.length),
      steps: this._integers(count),
      lives: live.length,
      live: this._put(live, true),
      counter: this._integers(1),
      done: this._integers(1),
    };
  }

  _call(part, values, work, bytes) {
    new Uint8Array(this.memory.buffer, work, bytes).fill(0);
    const context = this._context(this.meta.fields, { ...values, ...part }, ["rtol"]);
    this.code[part.run](context, work);
  }

  _whole(address, count) {
    return Array.from(new BigInt64Array(this.memory.buffer, address, count), Number);
  }
}
