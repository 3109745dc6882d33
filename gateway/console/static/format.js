// Numbers, times and states as people read them.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const THIN = "\u2009";
const NONE = "–";

/** 12 345 678 */
export const count = (value) =>
  value === null || value === undefined || Number.isNaN(value) ? NONE : WHOLE.format(value).replaceAll(",", THIN);

/** 1.2k, 34M: where there is little room. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  for (const [unit, size] of [
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ]) {
    if (value >= size) return `${trim(value / size)}${unit}`;
  }
  return trim(value);
}

const trim = (value) => (value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1));

export const rate = (value) => (value === null || value === undefined ? NONE : `${short(value)}/s`);

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  for (const [unit, size] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ]) {
    if (value >= size) return `${trim(value / size)} ${unit}`;
  }
  return `${trim(value)} B`;
}

/** A length of time, two units at most needed by nobody: 3 s, 12 min, 5 h, 40 d. */
export function span(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return NONE;
  if (seconds === 0) return "0 s";
  if (seconds < 1) return "< 1 s";
  for (const [unit, size] of [
    ["y", 31_536_000],
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
  ]) {
    if (seconds >= 2 * size) return `${Math.round(seconds / size)} ${unit}`;
  }
  return `${Math.round(seconds)} s`;
}

const pad = (value) => String(value).padStart(2, "0");

/** In this machine's zone: 2026-03-01 14:05:09. */
export function when(ms) {
  if (ms === null || ms === undefined) return NONE;
  const at = new Date(ms);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export const clock = (ms) => when(ms).slice(11);
export const day = (ms) => when(ms).slice(0, 10);

export function ago(ms, now) {
  return ms === null || ms === undefined ? NONE : `${span(Math.max(0, (now - ms) / 1000))} ago`;
}

export const until = (ms, now) => (ms >= now ? `in ${span((ms - now) / 1000)}` : `ended ${ago(ms, now)}`);

/** "1 lane", "3 lanes"; `many` where an s is not enough. */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** ok, busy, warn, bad, idle: how a state is to be seen. */
const TONES = {
  running: "ok",
  "catching-up": "busy",
  recovering: "busy",
  waiting: "warn",
  paused: "idle",
  elsewhere: "idle",
  stopped: "bad",
  active: "ok",
  pending: "busy",
  suspended: "idle",
  revoked: "bad",
  promoting: "busy",
  promoted: "idle",
  open: "busy",
  used: "ok",
  expired: "idle",
  withdrawn: "idle",
  burned: "bad",
};
export const tone = (state) => TONES[state] ?? "idle";

/** What is told of a subscription in one word: the gravest of its lanes. */
export function lanesState(subscription) {
  if (subscription.state !== "active") return subscription.state;
  const states = subscription.lane_states;
  const gravest = ["stopped", "waiting", "recovering", "catching-up", "running", "elsewhere", "paused"];
  return gravest.find((state) => states[state]) ?? "waiting";
}
