// What the gateway says of the present, kept live: one stream for the page that is looked at.
//
// It is closed while nobody looks (the page is hidden), and opened again by itself after it broke, each time a little
// later, ten seconds at most.

import { events, Refusal } from "./api.js";

export const state = { overview: null, lanes: null, now: Date.now(), live: false, failure: null };

const listeners = new Set();
let wanted = null;
let stream = null;
let pause = 500;

/** `told(name)` after each event; returns what ends it. */
export function listen(told) {
  listeners.add(told);
  return () => listeners.delete(told);
}

/** Stream from now on, with the lanes of `subscription` where that is given. */
export function follow(subscription = "") {
  if (wanted === subscription && stream !== null) return;
  if (state.lanes?.subscription !== subscription) state.lanes = null;
  wanted = subscription;
  restart();
}

export function stop() {
  wanted = null;
  stream?.abort();
  stream = null;
  Object.assign(state, { overview: null, lanes: null, live: false, failure: null });
}

function restart() {
  stream?.abort();
  stream = null;
  if (wanted !== null && !document.hidden) void run(wanted, (stream = new AbortController()));
}

async function run(subscription, own) {
  while (stream === own) {
    let failure = null;
    try {
      const query = subscription ? `?${new URLSearchParams({ subscription })}` : "";
      await events(`/events${query}`, (name, data) => stream === own && take(name, data), own.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      failure = error instanceof Refusal ? error : null;
    }
    if (stream !== own) return;
    Object.assign(state, { live: false, failure });
    tell("lost");
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 10_000);
  }
}

function take(name, data) {
  pause = 500;
  Object.assign(state, { live: true, failure: null });
  const value = JSON.parse(data);
  if (name === "tick") state.now = value;
  else state[name] = value;
  tell(name);
}

function tell(name) {
  for (const each of listeners) each(name);
}

document.addEventListener("visibilitychange", restart);
