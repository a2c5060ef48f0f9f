// Small statistics of a trial: normal and t distributions, quantiles, and the mixed model for repeated measures.
//
// The mixed model follows metabolism/trials/mmrm.py step by step (restricted maximum likelihood, unstructured
// covariance, Kenward and Roger); the tests compare every estimate with it.

/** log of the gamma function (Lanczos, g = 607/128, 15 terms; relative error below 1e-14). */
export function logGamma(x) {
  const c = [
    0.99999999999999709182, 57.156235665862923517, -59.597960355475491248, 14.136097974741747174,
    -0.49191381609762019978, 0.33994649984811888699e-4, 0.46523628927048575665e-4, -0.98374475304879564677e-4,
    0.15808870322491248884e-3, -0.21026444172410488319e-3, 0.2174396181152126432e-3, -0.16431810653676389022e-3,
    0.84418223983852743293e-4, -0.2619083840158140867e-4, 0.36899182659531622704e-5,
  ];
  let sum = c[0];
  for (let i = 1; i < c.length; i++) sum += c[i] / (x + i);
  const t = x + 607 / 128 + 0.5;
  return (x + 0.5) * Math.log(t) - t + Math.log((2.5066282746310005 * sum) / x);
}

/** Standard normal distribution: P(Z <= z), Hart's rational function (1968), relative error near 1e-15. */
export function normalCdf(z) {
  const x = Math.abs(z);
  if (x > 37) return z > 0 ? 1 : 0;
  let tail;
  if (x < 7.07106781186547) {
    const top =
      (((((3.52624965998911e-2 * x + 0.700383064443688) * x + 6.37396220353165) * x + 33.912866078383) * x + 112.079291497871) * x + 221.213596169931) * x + 220.206867912376;
    const bottom =
      ((((((8.83883476483184e-2 * x + 1.75566716318264) * x + 16.064177579207) * x + 86.7807322029461) * x + 296.564248779674) * x + 637.333633378831) * x + 793.826512519948) * x + 440.413735824752;
    tail = (Math.exp((-x * x) / 2) * top) / bottom;
  } else {
    let fraction = x + 0.65;
    for (let i = 40; i > 0; i--) fraction = x + i / fraction;
    tail = Math.exp((-x * x) / 2) / fraction / 2.506628274631;
  }
  return z > 0 ? 1 - tail : tail;
}

/** Quantile of the standard normal distribution: Wichura's AS 241, relative error near 1e-16. */
export function normalQuantile(p) {
  const poly = (c, r) => c.reduceRight((sum, k) => sum * r + k, 0);
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (
      (q *
        poly(
          [3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125, 45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727],
          r,
        )) /
      poly(
        [1, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867, 39307.89580009271061, 28729.085735721942674, 5226.495278852545925],
        r,
      )
    );
  }
  let r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  let value;
  if (r <= 5) {
    r -= 1.6;
    value =
      poly(
        [1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504, 1.27045825245236838258, 0.24178072517745061177, 0.0227238449892691845833, 7.7454501427834140764e-4],
        r,
      ) /
      poly(
        [1, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455, 0.14810397642748007459, 0.0151986665636164571966, 5.475938084995344946e-4, 1.05075007164441684324e-9],
        r,
      );
  } else {
    r -= 5;
    value =
      poly(
        [6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123, 0.026532189526576123093, 0.0012426609473880784386, 2.71155556874348757815e-5, 2.01033439929228813265e-7],
        r,
      ) /
      poly(
        [1, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525, 7.868691311456132591e-4, 1.8463183175100546818e-5, 1.4215117583164458887e-7, 2.04426310338993978564e-15],
        r,
      );
  }
  return q < 0 ? -value : value;
}

/** Regularised incomplete beta function (Lentz's continued fraction). */
function betaShare(a, b, x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - betaShare(b, a, 1 - x);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  let c = 1;
  let d = 1 / (1 - ((a + b) * x) / (a + 1));
  let h = d;
  for (let m = 1; m < 1000; m++) {
    for (const term of [
      (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)),
      (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1)),
    ]) {
      d = 1 / (1 + term * d);
      c = 1 + term / c;
      h *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-16) break;
  }
  return (front * h) / a;
}

/** Upper tail of Student's t: P(T > t). */
export function tTail(t, df) {
  if (!Number.isFinite(df)) return normalCdf(-t);
  const half = betaShare(df / 2, 0.5, df / (df + t * t)) / 2;
  return t < 0 ? 1 - half : half;
}

/** Quantile of Student's t for a share above 0.5. */
export function tQuantile(p, df) {
  let t = normalQuantile(p);
  if (!Number.isFinite(df)) return t;
  const log = logGamma((df + 1) / 2) - logGamma(df / 2) - 0.5 * Math.log(df * Math.PI);
  for (let i = 0; i < 60; i++) {
    const density = Math.exp(log - ((df + 1) / 2) * Math.log1p((t * t) / df));
    const move = (1 - p - tTail(t, df)) / density;
    // P(T > t) falls as t grows
    t -= Math.max(-5, Math.min(5, move));
    if (Math.abs(move) < 1e-14 * Math.max(1, Math.abs(t))) break;
  }
  return t;
}

/** Quantile with linear interpolation between order statistics, as numpy does. */
export function quantile(values, share) {
  return sortedQuantile(Float64Array.from(values).sort(), share);
}

export function sortedQuantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

export function mean(values) {
  let sum = 0;
  for (const v of values) sum += v;
  return sum / values.length;
}

/** Exact (Clopper-Pearson) 95 % interval of a share. */
export function shareInterval(hits, count) {
  const solve = (goal, a, b) => {
    let low = 0;
    let high = 1;
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (betaShare(a, b, middle) < goal) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };
  return [hits === 0 ? 0 : solve(0.025, hits, count - hits + 1), hits === count ? 1 : solve(0.975, hits + 1, count - hits)];
}

// small dense matrices, row by row in a Float64Array --------------------------------------------------------------

/** Lower Cholesky factor, or null where the matrix is not positive. */
export function cholesky(a, n) {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j];
      for (let k = 0; k < j; k++) sum -= l[i * n + k] * l[j * n + k];
      if (i === j) {
        if (!(sum > 0)) return null;
        l[i * n + i] = Math.sqrt(sum);
      } else l[i * n + j] = sum / l[j * n + j];
    }
  return l;
}

/** Solve with a Cholesky factor, in place. */
function solveWith(l, n, b) {
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) b[i] -= l[i * n + k] * b[k];
    b[i] /= l[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) b[i] -= l[k * n + i] * b[k];
    b[i] /= l[i * n + i];
  }
  return b;
}

function inverse(l, n) {
  const out = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    const e = new Float64Array(n);
    e[j] = 1;
    solveWith(l, n, e);
    for (let i = 0; i < n; i++) out[i * n + j] = e[i];
  }
  return out;
}

function logDeterminant(l, n) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += 2 * Math.log(l[i * n + i]);
  return sum;
}

function times(a, b, n) {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < n; k++) {
      const v = a[i * n + k];
      if (v) for (let j = 0; j < n; j++) out[i * n + j] += v * b[k * n + j];
    }
  return out;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export class FitFailed extends Error {}

/**
 * Fit the mixed model for repeated measures; with one visit it is the linear model.
 *
 * @param {Float64Array} y response, patients x visits; NaN where missing
 * @param {Float64Array[]} columns covariates, one array of patients each
 * @param {boolean[]} byVisit whether a covariate has a coefficient at each visit
 * @returns {{contrast: function(Map): object}} see `contrast`
 */
export function fitMixed(y, columns, byVisit) {
  const patients = columns[0].length;
  const T = y.length / patients;
  const A = columns.length;
  // sums of products of each missingness pattern
  const groups = new Map();
  for (let i = 0; i < patients; i++) {
    let key = 0;
    for (let t = 0; t < T; t++) if (Number.isFinite(y[i * T + t])) key |= 1 << t;
    if (!key) continue;
    if (!groups.has(key))
      groups.set(key, { key, count: 0, zz: new Float64Array(A * A), zy: new Float64Array(A * T), yy: new Float64Array(T * T) });
    const g = groups.get(key);
    g.count++;
    for (let a = 0; a < A; a++) {
      for (let b = 0; b < A; b++) g.zz[a * A + b] += columns[a][i] * columns[b][i];
      for (let t = 0; t < T; t++) if (key & (1 << t)) g.zy[a * T + t] += columns[a][i] * y[i * T + t];
    }
    for (let t = 0; t < T; t++)
      for (let s = 0; s < T; s++) if (key & (1 << t) && key & (1 << s)) g.yy[t * T + s] += y[i * T + t] * y[i * T + s];
  }
  const patterns = [...groups.values()];
  const sees = (g, t) => (g.key >> t) & 1;
  const together = new Float64Array(T * T);
  for (const g of patterns)
    for (let t = 0; t < T; t++) for (let s = 0; s < T; s++) if (sees(g, t) && sees(g, s)) together[t * T + s] += g.count;
  if (together.some((n) => n < 2)) throw new FitFailed("some pair of visits was seen together in fewer than two patients.");
  const place = new Int32Array(T * A);
  let size = 0;
  for (let a = 0; a < A; a++) {
    for (let t = 0; t < T; t++) place[t * A + a] = size + (byVisit[a] ? t : 0);
    size += byVisit[a] ? T : 1;
  }
  const pairs = [];
  for (let t = 0; t < T; t++) for (let s = t; s < T; s++) pairs.push([t, s]);
  const K = pairs.length;
  const model = { patterns, sees, T, A, K, size, place, pairs };

  let sigma = startCovariance(model, together);
  let part = evaluate(model, sigma);
  for (let round = 1; round <= 60; round++) {
    let step = cholesky(part.hessian, K);
    const observed = step !== null;
    if (!step) step = cholesky(part.expected, K);
    if (!step) throw new FitFailed("the information matrix is not positive; there are too few patients for this model.");
    const move = solveWith(step, K, Float64Array.from(part.gradient));
    if (dot(part.gradient, move) < 1e-14 && observed) return finish(model, part, step);
    let next = null;
    let trial;
    for (let halving = 0; halving < 30 && !next; halving++) {
      trial = Float64Array.from(sigma);
      pairs.forEach(([t, s], k) => {
        trial[t * T + s] += move[k] / 2 ** halving;
        if (t !== s) trial[s * T + t] += move[k] / 2 ** halving;
      });
      if (!cholesky(trial, T)) continue;
      const candidate = evaluate(model, trial);
      if (candidate.loglik >= part.loglik - 1e-12 * Math.abs(part.loglik)) next = candidate;
    }
    if (!next) throw new FitFailed("the likelihood could not be raised further; the covariance is near a boundary.");
    sigma = trial;
    part = next;
  }
  throw new FitFailed("no convergence within 60 iterations.");
}

function startCovariance({ patterns, sees, T, A }, together) {
  const b = new Float64Array(T * A);
  for (let t = 0; t < T; t++) {
    const zz = new Float64Array(A * A);
    const zy = new Float64Array(A);
    for (const g of patterns)
      if (sees(g, t)) {
        for (let i = 0; i < A * A; i++) zz[i] += g.zz[i];
        for (let a = 0; a < A; a++) zy[a] += g.zy[a * T + t];
      }
    const l = cholesky(zz, A);
    if (!l) throw new FitFailed("the covariates are collinear at some visit; an arm or a stratum may be empty.");
    b.set(solveWith(l, A, zy), t * A);
  }
  const raw = new Float64Array(T * T);
  for (const g of patterns) residual(g, b, T, A, sees).forEach((v, i) => (raw[i] += v));
  for (let i = 0; i < T * T; i++) raw[i] /= together[i];
  let largest = 1e-300;
  for (let t = 0; t < T; t++) largest = Math.max(largest, raw[t * T + t]);
  const scale = Array.from({ length: T }, (_, t) => Math.sqrt(Math.max(raw[t * T + t], 1e-8 * largest)));
  const start = new Float64Array(T * T);
  for (let t = 0; t < T; t++)
    for (let s = 0; s < T; s++) {
      const r = t === s ? 1 : 0.95 * Math.max(-1, Math.min(1, raw[t * T + s] / (scale[t] * scale[s])));
      start[t * T + s] = r * scale[t] * scale[s];
    }
  if (cholesky(start, T)) return start;
  start.fill(0);
  for (let t = 0; t < T; t++) start[t * T + t] = scale[t] ** 2;
  return start;
}

/** Sums of products of residuals of one pattern for coefficients b, visits x covariates. */
function residual(g, b, T, A, sees) {
  const out = new Float64Array(T * T);
  const zb = new Float64Array(A * T);
  for (let a = 0; a < A; a++)
    for (let t = 0; t < T; t++) {
      let sum = 0;
      for (let c = 0; c < A; c++) sum += g.zz[a * A + c] * b[t * A + c];
      zb[a * T + t] = sum;
    }
  for (let t = 0; t < T; t++)
    for (let s = 0; s < T; s++) {
      if (!sees(g, t) || !sees(g, s)) continue;
      let sum = g.yy[t * T + s];
      for (let a = 0; a < A; a++) sum += -b[t * A + a] * g.zy[a * T + s] - g.zy[a * T + t] * b[s * A + a] + b[t * A + a] * zb[a * T + s];
      out[t * T + s] = sum;
    }
  return out;
}

/** Add factor times X' (weights) X of one pattern to a matrix of coefficients. */
function project(target, { T, A, size, place }, g, weights, factor = 1) {
  for (let t = 0; t < T; t++)
    for (let s = 0; s < T; s++) {
      const w = factor * weights[t * T + s];
      if (!w) continue;
      for (let a = 0; a < A; a++) {
        const row = place[t * A + a] * size;
        for (let b = 0; b < A; b++) target[row + place[s * A + b]] += w * g.zz[a * A + b];
      }
    }
  return target;
}

function evaluate(model, sigma) {
  const { patterns, sees, T, A, K, size, place, pairs } = model;
  const information = new Float64Array(size * size);
  let logdet = 0;
  let total = 0;
  const work = patterns.map((g) => {
    const padded = new Float64Array(T * T);
    let seen = 0;
    for (let t = 0; t < T; t++) {
      seen += sees(g, t);
      for (let s = 0; s < T; s++) padded[t * T + s] = sees(g, t) && sees(g, s) ? sigma[t * T + s] : t === s ? 1 : 0;
    }
    const l = cholesky(padded, T);
    logdet += g.count * logDeterminant(l, T);
    total += g.count * seen;
    const w = inverse(l, T);
    for (let t = 0; t < T; t++) for (let s = 0; s < T; s++) if (!sees(g, t) || !sees(g, s)) w[t * T + s] = 0;
    project(information, model, g, w);
    return { g, w };
  });
  const root = cholesky(information, size);
  if (!root) throw new FitFailed("the coefficients cannot all be estimated; the covariates are collinear.");
  const phi = inverse(root, size);
  const right = new Float64Array(size);
  for (const { g, w } of work)
    for (let t = 0; t < T; t++)
      for (let a = 0; a < A; a++) {
        let sum = 0;
        for (let s = 0; s < T; s++) sum += w[t * T + s] * g.zy[a * T + s];
        right[place[t * A + a]] += sum;
      }
  const beta = new Float64Array(size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) beta[i] += phi[i * size + j] * right[j];
  const b = Float64Array.from(place, (p) => beta[p]);

  let quadratic = 0;
  const p = Array.from({ length: K }, () => new Float64Array(size * size));
  const g1 = Array.from({ length: K }, () => new Float64Array(size));
  const gradient = new Float64Array(K);
  const wewe = new Float64Array(K * K);
  const curve = new Float64Array(K * K);
  const phiQ = new Float64Array(K * K);
  for (const { g, w } of work) {
    const r = residual(g, b, T, A, sees);
    quadratic += dot(w, r);
    // X phi X' of this pattern between visits: the trace of phi with any projection
    const m = new Float64Array(T * T);
    const zr = new Float64Array(A * T);
    for (let t = 0; t < T; t++)
      for (let a = 0; a < A; a++) {
        let sum = sees(g, t) ? g.zy[a * T + t] : 0;
        for (let c = 0; c < A; c++) sum -= g.zz[a * A + c] * b[t * A + c];
        zr[a * T + t] = sum;
        for (let s = 0; s < T; s++)
          for (let c = 0; c < A; c++) m[t * T + s] += g.zz[a * A + c] * phi[place[t * A + a] * size + place[s * A + c]];
      }
    // W R W and W M W: every trace below is then a few products, because each basis matrix has one or two ones
    const wrw = times(times(w, r, T), w, T);
    const wmw = times(times(w, m, T), w, T);
    for (let k = 0; k < K; k++) {
      const [t, s] = pairs[k];
      const ones = t === s ? [[t, t]] : [[t, s], [s, t]];
      const wew = new Float64Array(T * T);
      let trace = 0;
      let along = 0;
      for (const [i, j] of ones) {
        trace += w[j * T + i];
        along += wrw[j * T + i];
        for (let x = 0; x < T; x++) for (let y = 0; y < T; y++) wew[x * T + y] += w[x * T + i] * w[j * T + y];
      }
      project(p[k], model, g, wew, -1);
      gradient[k] += -0.5 * (g.count * trace - along);
      for (let x = 0; x < T; x++)
        for (let a = 0; a < A; a++) {
          let sum = 0;
          for (let y = 0; y < T; y++) sum += wew[x * T + y] * zr[a * T + y];
          g1[k][place[x * A + a]] += sum;
        }
      for (let l = 0; l < K; l++) {
        const [u, v] = pairs[l];
        const others = u === v ? [[u, u]] : [[u, v], [v, u]];
        let plain = 0;
        let bent = 0;
        let wide = 0;
        for (const [i, j] of ones)
          for (const [x, y] of others) {
            const left = w[j * T + x];
            plain += left * w[y * T + i];
            bent += left * wrw[y * T + i];
            wide += left * wmw[y * T + i];
          }
        wewe[k * K + l] += g.count * plain;
        curve[k * K + l] += bent;
        phiQ[k * K + l] += wide;
      }
    }
  }
  const phiP = p.map((pk) => times(phi, pk, size));
  const turned = phiP.map((m) => m.map((_, c) => m[(c % size) * size + Math.floor(c / size)]));
  const squares = new Float64Array(K * K);
  const hessian = new Float64Array(K * K);
  const expected = new Float64Array(K * K);
  const spread = g1.map((v) => {
    const out = new Float64Array(size);
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) out[i] += phi[i * size + j] * v[j];
    return out;
  });
  for (let k = 0; k < K; k++) {
    let trace = 0;
    for (let i = 0; i < size; i++) trace += phiP[k][i * size + i];
    gradient[k] += -0.5 * trace;
    for (let l = 0; l < K; l++) {
      const pp = l < k ? squares[l * K + k] : dot(phiP[k], turned[l]);
      squares[k * K + l] = pp;
      const sym = phiQ[k * K + l] + phiQ[l * K + k];
      hessian[k * K + l] = 0.5 * (-wewe[k * K + l] + sym - pp + curve[k * K + l] + curve[l * K + k] - 2 * dot(g1[k], spread[l]));
      expected[k * K + l] = 0.5 * (wewe[k * K + l] - sym + pp);
    }
  }
  const loglik = -0.5 * (logdet + logDeterminant(root, size) + quadratic + (total - size) * Math.log(2 * Math.PI));
  return { loglik, beta, phi, gradient, hessian, expected, p, phiP, work };
}

function finish(model, part, root) {
  const { T, A, K, size, place, pairs } = model;
  const { beta, phi, p, work } = part;
  // Kenward and Roger's correction of the covariance
  const w = inverse(root, K);
  const inner = new Float64Array(size * size);
  const ones = pairs.map(([t, s]) => (t === s ? [[t, t]] : [[t, s], [s, t]]));
  for (const { g, w: own } of work) {
    const middle = new Float64Array(T * T);
    for (let i = 0; i < K; i++)
      for (let j = 0; j < K; j++)
        for (const [t, s] of ones[i]) for (const [u, v] of ones[j]) middle[t * T + v] += w[i * K + j] * own[s * T + u];
    project(inner, model, g, times(times(own, middle, T), own, T));
  }
  for (let i = 0; i < K; i++) {
    const mixed = new Float64Array(size * size);
    for (let j = 0; j < K; j++) for (let c = 0; c < size * size; c++) mixed[c] += w[i * K + j] * p[j][c];
    times(times(p[i], phi, size), mixed, size).forEach((v, c) => (inner[c] -= v));
  }
  const correction = times(times(phi, inner, size), phi, size);
  const adjusted = phi.map((v, i) => v + 2 * correction[i]);
  return {
    beta,
    place,
    /** Estimate of a sum of coefficients [[visit, covariate], ...]. */
    contrast(terms) {
      const line = new Float64Array(size);
      for (const [visit, covariate] of terms) line[place[visit * A + covariate]] += 1;
      const spread = new Float64Array(size);
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) spread[i] += phi[i * size + j] * line[j];
      const slope = p.map((pk) => {
        let sum = 0;
        for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) sum -= spread[i] * pk[i * size + j] * spread[j];
        return sum;
      });
      const plain = dot(line, spread);
      const df = (2 * plain ** 2) / dot(slope, solveWith(root, K, Float64Array.from(slope)));
      let variance = 0;
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) variance += line[i] * adjusted[i * size + j] * line[j];
      if (!(variance > 0 && df > 0)) throw new FitFailed("the contrast has no positive variance; there are too few patients for this model.");
      return estimate(dot(line, beta), Math.sqrt(variance), df);
    },
  };
}

function estimate(value, se, df) {
  const half = tQuantile(0.975, df) * se;
  return { value, se, df, p: 2 * tTail(Math.abs(value) / se, df), low: value - half, high: value + half };
}

// survival --------------------------------------------------------------------------------------------------------

/** Risk table of two groups at each time with an event. */
function riskTable(time, event, group) {
  const n = time.length;
  const order = [...Array(n).keys()].sort((a, b) => time[a] - time[b]);
  const rows = [];
  let left = n;
  let leftActive = group.reduce((s, g) => s + g, 0);
  for (let i = 0; i < n; ) {
    let j = i;
    let died = 0;
    let diedActive = 0;
    let goneActive = 0;
    while (j < n && time[order[j]] === time[order[i]]) {
      if (event[order[j]]) {
        died++;
        diedActive += group[order[j]];
      }
      goneActive += group[order[j]];
      j++;
    }
    if (died) rows.push({ died, diedActive, risk: left, riskActive: leftActive });
    left -= j - i;
    leftActive -= goneActive;
    i = j;
  }
  return rows;
}

/** Cox regression on one two-level covariate with Efron ties: log hazard ratio and its standard error. */
export function cox(time, event, group) {
  const rows = riskTable(time, event, group);
  const active = rows.reduce((s, r) => s + r.diedActive, 0);
  if (!active || active === rows.reduce((s, r) => s + r.died, 0))
    throw new FitFailed("a group has no event; its hazard ratio cannot be estimated.");
  const steps = rows.flatMap((r) =>
    Array.from({ length: r.died }, (_, i) => [
      r.riskActive - (i / r.died) * r.diedActive,
      r.risk - r.riskActive - (i / r.died) * (r.died - r.diedActive),
    ]),
  );
  let beta = 0;
  for (let round = 0; round < 50; round++) {
    let information = 0;
    let expected = 0;
    for (const [n1, n0] of steps) {
      const share = (n1 * Math.exp(beta)) / (n1 * Math.exp(beta) + n0);
      information += share * (1 - share);
      expected += share;
    }
    if (information <= 0) break;
    const move = (active - expected) / information;
    beta += Math.max(-1, Math.min(1, move));
    if (Math.abs(move) < 1e-10) return [beta, 1 / Math.sqrt(information)];
  }
  throw new FitFailed("the Cox model did not converge.");
}

/** Two-sample log-rank test: two-sided P. */
export function logRank(time, event, group) {
  let variance = 0;
  let excess = 0;
  for (const { died, diedActive, risk: n, riskActive: n1 } of riskTable(time, event, group)) {
    if (n > 1) variance += (died * (n1 / n) * (1 - n1 / n) * (n - died)) / (n - 1);
    excess += diedActive - (died * n1) / n;
  }
  if (variance <= 0) throw new FitFailed("there are too few events for a log-rank test.");
  return 2 * normalCdf(-Math.abs(excess) / Math.sqrt(variance));
}
