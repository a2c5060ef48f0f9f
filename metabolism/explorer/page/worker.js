// The computing side of the page in a worker: one kernel, two kinds of request.

import { Kernel } from "./kernel.js";
import { healthyLevels, NoAnswer, viewOf } from "./scenario.js";
import { FitFailed } from "./statistics.js";
import { runStudy } from "./trial.js";

/** What a text of the page holds, packed by `build.py`: base64 of gzip. */
export function unpack(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

export async function unpackJson(text) {
  return JSON.parse(new TextDecoder().decode(await unpack(text)));
}

/** Answer requests until the worker is ended; only the newest waiting view is computed. */
export function serveRequests(scope) {
  let contents;
  let kernel;
  let ready;
  let waiting = null;
  const answer = (request) => {
    try {
      if (request.kind === "view") scope.postMessage({ kind: "view", id: request.id, view: viewOf(contents, kernel, request.choices) });
      else if (request.kind === "healthy") scope.postMessage({ kind: "healthy", levels: healthyLevels(contents, kernel) });
      else if (request.kind === "study")
        scope.postMessage({ kind: "study", study: runStudy(contents, kernel, request.request, (progress) => scope.postMessage({ kind: "progress", ...progress })) });
    } catch (error) {
      const known = error instanceof NoAnswer || error instanceof FitFailed;
      scope.postMessage({ kind: "problem", of: request.kind, id: request.id, text: known ? error.message : contents.texts.no_answer, detail: String(error.stack ?? error) });
    }
  };
  const start = async (data) => {
    const [module, found] = await Promise.all([unpack(data.module).then((code) => WebAssembly.compile(code)), unpackJson(data.contents)]);
    contents = found;
    kernel = new Kernel(contents.kernel, module);
  };
  scope.onmessage = async ({ data }) => {
    if (data.kind === "start") {
      ready = start(data);
      ready.catch((error) => scope.postMessage({ kind: "problem", detail: String(error.stack ?? error) }));
      return;
    }
    await ready;
    if (data.kind === "view") {
      // a slider sends many: those that came while one was computed are skipped, all but the last
      if (waiting === null) setTimeout(() => {
        const request = waiting;
        waiting = null;
        answer(request);
      });
      waiting = data;
    } else answer(data);
  };
}
