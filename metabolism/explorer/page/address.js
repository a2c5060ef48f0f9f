// The state of the page in its address: what differs from the defaults, so that a link shares a scenario.

import { checkChoice, defaultChoices } from "./scenario.js";

/** Choices as the text behind the # of the address, without those at their default. */
export function writeChoices(contents, choices) {
  const defaults = defaultChoices(contents);
  const query = new URLSearchParams();
  for (const { id } of contents.controls) if (choices[id] !== defaults[id]) query.set(id, String(choices[id]));
  return query.toString();
}

/** Choices from such a text, and one sentence for every value that was refused. */
export function readChoices(contents, text) {
  const choices = defaultChoices(contents);
  const problems = [];
  for (const [id, value] of new URLSearchParams(text)) {
    const { value: good, problem } = checkChoice(contents, id, value);
    if (problem) problems.push(contents.controls.some((c) => c.id === id) ? `${contents.controls.find((c) => c.id === id).label}: ${problem}` : problem);
    else choices[id] = good;
  }
  return { choices, problems };
}

/** The whole address: which tab, the scenario, the pinned one, the trial. */
export function writeAddress(contents, state) {
  const query = new URLSearchParams(writeChoices(contents, state.choices));
  if (state.tab !== "person") query.set("tab", state.tab);
  if (state.pinned) query.set("pin", writeChoices(contents, state.pinned));
  if (state.tab === "trial") for (const [id, value] of Object.entries(state.trial)) query.set(`trial.${id}`, String(value));
  return query.toString();
}

export function readAddress(contents, text) {
  const query = new URLSearchParams(text.replace(/^#/, ""));
  const asked = query.get("tab") ?? "person";
  const tab = ["trial", "about"].includes(asked) ? asked : "person";
  const pin = query.has("pin") ? readChoices(contents, query.get("pin")) : { choices: null, problems: [] };
  const problems = pin.problems.map((problem) => `The pinned scenario: ${problem}`);
  if (tab !== asked) problems.push(`There is no tab '${asked.slice(0, 30)}'; one person is shown.`);
  const trial = {};
  for (const key of [...query.keys()])
    if (key === "tab" || key === "pin" || key.startsWith("trial.")) {
      if (key.startsWith("trial.")) trial[key.slice(6)] = query.get(key);
      query.delete(key);
    }
  const { choices, problems: own } = readChoices(contents, query.toString());
  return { tab, pinned: pin.choices, trial, choices, problems: [...own, ...problems] };
}
