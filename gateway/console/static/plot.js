// Plots over time, drawn here from the gateway's samples.
//
// A line breaks where there is no sample, or no number in it. The axis begins at 0 and ends at a round number. What the
// picture shows is said in words beside it (`said`), and the value under the pointer, or under the arrow keys, above it.

import { h, s } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 460;
const HEIGHT = 132;
const LEFT = 54;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 20;

/** A value that is at least `value`, and whose half is a round number, too. */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 10].map((each) => each * unit).find((each) => each >= value);
}

/** Stretches of points whose values are known and that follow each other closely. */
export function stretches(points, gap) {
  const found = [];
  let last = null;
  for (const point of points) {
    const known = point[1] !== null && Number.isFinite(point[1]);
    if (known && last !== null && point[0] - last[0] <= gap) found.at(-1).push(point);
    else if (known) found.push([point]);
    last = known ? point : null;
  }
  return found;
}

/**
 * One line. `points` are [ms, value or null]; `from`, `to` the time that is shown; `write` makes a value readable;
 * `hover` is {at: ms or null, set: ms -> void}, shared by plots of one page.
 */
export function plot({ title, points, from, to, write, hover, gap = 15_000, least = 1 }) {
  const shown = points.filter(([at]) => at >= from - gap && at <= to);
  const values = shown.map(([, value]) => value).filter((value) => value !== null && Number.isFinite(value));
  const top = roundUp(Math.max(least, ...values));
  const x = (at) => LEFT + ((at - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const near = hover.at === null ? null : nearest(shown, hover.at);
  const last = values.at(-1);
  const said = near
    ? `${write(near[1])} at ${clock(near[0])}`
    : last === undefined
      ? "no sample yet"
      : `${write(last)} now`;
  const move = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const part = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT);
    hover.set(from + Math.min(1, Math.max(0, part)) * (to - from));
  };
  const keys = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    hover.set(Math.min(to, Math.max(from, (hover.at ?? to) + (step * (to - from)) / 60)));
  };
  return h(
    "figure",
    { class: "plot", key: `plot:${title}` },
    h("figcaption", {}, h("span", {}, title), h("span", { class: "value" }, said)),
    s(
      "svg",
      {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        tabindex: "0",
        "aria-label": `${title}, ${said}, at most ${write(Math.max(0, ...values))} since ${clock(from)}`,
        onpointermove: move,
        onpointerleave: () => hover.set(null),
        onkeydown: keys,
      },
      [0, 0.5, 1].map((part) => [
        s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(top * part), y2: y(top * part) }),
        s("text", { class: "axis", x: LEFT - 6, y: y(top * part) + 3.5, "text-anchor": "end" }, write(top * part)),
      ]),
      ticks(from, to).map((at) =>
        s(
          "text",
          { class: "axis", x: x(at), y: HEIGHT - 5, "text-anchor": "middle" },
          clock(at).slice(0, at % 60_000 === 0 ? 5 : 8),
        ),
      ),
      stretches(shown, gap).map((stretch) => [
        s("path", {
          class: "area",
          d: `${path(stretch, x, y)}L${x(stretch.at(-1)[0]).toFixed(1)} ${y(0)}L${x(stretch[0][0]).toFixed(1)} ${y(0)}Z`,
        }),
        s("path", { class: "line", d: path(stretch, x, y) }),
      ]),
      near && [
        s("line", { class: "cross", x1: x(near[0]), x2: x(near[0]), y1: TOP, y2: HEIGHT - BOTTOM }),
        s("circle", { class: "dot", cx: x(near[0]), cy: y(near[1]), r: 3.2 }),
      ],
    ),
  );
}

const path = (points, x, y) =>
  points.map(([at, value], number) => `${number ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");

function nearest(points, at) {
  const known = points.filter(([, value]) => value !== null && Number.isFinite(value));
  return known.reduce(
    (best, point) => (best === null || Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best),
    null,
  );
}

/** Round times between `from` and `to`, five or so. */
export function ticks(from, to) {
  const steps = [10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600].map((each) => each * 1000);
  const step = steps.find((each) => (to - from) / each <= 5) ?? steps.at(-1);
  const zone = new Date(from).getTimezoneOffset() * 60_000;
  const found = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) {
    if (at - from > step * 0.25 && to - at > step * 0.1) found.push(at);
  }
  return found;
}

/** Samples of the gateway as points of the plots: lag, and records and bytes a second by difference. */
export function series(samples) {
  const lag = samples.map(([at, , , records]) => [at, records]);
  const age = samples.map(([at, , , , seconds]) => [at, seconds]);
  const speed = (column) =>
    samples.slice(1).map((sample, number) => {
      const before = samples[number];
      const [more, seconds] = [sample[column] - before[column], (sample[0] - before[0]) / 1000];
      const known = sample[column] !== null && before[column] !== null && more >= 0 && seconds > 0;
      return [sample[0], known ? more / seconds : null];
    });
  return { lag, age, records: speed(1), bytes: speed(2) };
}
