// Where is the copy of a record: type an offset, read the other one.
//
// It is asked while one types, the newest question only; what lies around the answer is drawn below it.

import * as api from "./api.js";
import { h, s } from "./dom.js";
import { count, plural } from "./format.js";
import { copyable, empty, field, go, head, notice, refusal, sentence } from "./parts.js";

const AROUND = 4;
const PAUSE_MS = 150;

export default {
  title: () => "Offsets",
  open: (context) => {
    context.local.form = { way: "forward" };
    context.redraw();
  },
  view(context) {
    const {
      state: { overview },
    } = context;
    const usable = overview.subscriptions.filter((each) => each.topics.length > 0);
    return [
      head(
        "Where is a record on the other side",
        "Every source offset has exactly one answer: its copy, or the reason why there is none.",
      ),
      usable.length === 0
        ? empty(
            "Nothing is mirrored yet",
            "Offsets translate as soon as a subscription has copied records.",
            go("/subscribe", "Subscribe", "first"),
          )
        : [asking(context, usable), answer(context)],
    ].flat();
  },
};

function asking(context, usable) {
  const asked = context.local.form ?? { way: "forward" };
  const chosen =
    usable.find((each) => each.name === (asked.subscription ?? context.query.get("subscription"))) ?? usable[0];
  const ask = (event) => {
    const data = new FormData(event.currentTarget);
    context.local.form = Object.fromEntries(data);
    clearTimeout(context.local.timer);
    context.local.timer = setTimeout(() => void translate(context), PAUSE_MS);
    context.redraw();
  };
  const reverse = asked.way === "back";
  return h(
    "form",
    {
      class: "form line",
      "aria-label": "Translate",
      key: "asking",
      oninput: ask,
      onsubmit: (event) => {
        event.preventDefault();
        ask(event);
      },
    },
    field("Subscription", {
      kind: "select",
      name: "subscription",
      value: chosen.name,
      options: usable.map((each) => [each.name]),
    }),
    field("Source topic", { kind: "select", name: "topic", options: chosen.topics.map((each) => [each.source]) }),
    field("Partition", { name: "partition", type: "number", min: "0", value: "0" }),
    field("I know", {
      kind: "select",
      name: "way",
      options: [
        ["forward", "a source offset"],
        ["back", "our offset"],
        ["time", "a time"],
      ],
    }),
    asked.way === "time"
      ? field("Time", { name: "time", type: "datetime-local", step: "1" }, "The first record at or after it.")
      : field(reverse ? "Our offset" : "Source offset", {
          name: "offset",
          inputmode: "numeric",
          pattern: "[0-9]*",
          placeholder: "12345",
          autofocus: true,
        }),
  );
}

async function translate(context) {
  const { local, ended } = context;
  const { subscription, topic, partition, way, offset, time } = local.form;
  const typed = String(offset ?? "").replaceAll(/[\s,_]/g, "");
  const value = way === "time" ? time && String(new Date(time).getTime()) : typed;
  if (!value) {
    Object.assign(local, { answer: null, around: null });
    delete context.errors.translate;
    context.redraw();
    return;
  }
  const number = (local.number = (local.number ?? 0) + 1);
  const base = api.path`/v1/subscriptions/${subscription}/offsets`;
  const ask = (values) => api.get(base + api.query({ topic, partition, ...values }), ended.signal);
  await context.run("translate", async () => {
    local.stale = true;
    try {
      const found = await ask(
        way === "time" ? { timestamp: value } : { offset: value, reverse: way === "back" ? "true" : null },
      );
      if (number !== local.number) return;
      Object.assign(local, { answer: found, around: null, stale: false });
      local.around = await around(ask, found);
    } catch (error) {
      if (number !== local.number) return;
      Object.assign(local, { answer: null, around: null, stale: false });
      throw error;
    }
  });
}

/** The answers for the offsets before and after, as far as there are any. */
async function around(ask, found) {
  for (const from of [Math.max(0, found.source_offset - AROUND), found.source_offset]) {
    try {
      return (await ask({ offset: from, count: 2 * AROUND + 1 })).answers;
    } catch (error) {
      if (error.name === "AbortError") throw error; // the map may begin in between: then from the offset itself on
    }
  }
  return null;
}

function answer(context) {
  const {
    local,
    errors,
    state: { overview },
  } = context;
  if (errors.translate) return refusal(errors.translate);
  const found = local.answer;
  if (!found) return h("p", { class: "quiet", key: "hint" }, "The answer appears here as you type.");
  const subscription = overview.subscriptions.find((each) => each.name === found.subscription);
  const copy = subscription?.topics.find((each) => each.source === found.topic)?.destination ?? found.topic;
  const source = `${found.topic} [${found.partition}] at ${subscription?.peer ?? "the source"}`;
  const ours = `${copy} [${found.partition}] here`;
  return h(
    "section",
    { class: "answer", key: "answer", "aria-live": "polite" },
    h(
      "div",
      { class: "pairing" },
      side(
        "Source",
        source,
        found.source_offset,
        found.answer === "foreign" || found.answer === "lost" ? "next of the lane" : null,
      ),
      h(
        "div",
        { class: `arrow ${found.answer}`, "aria-hidden": "true" },
        s("svg", { viewBox: "0 0 40 16" }, s("path", { d: "M2 8h34m-7-6 7 6-7 6" })),
      ),
      side("Our copy", ours, found.destination_offset, found.answer === "gap" ? "of the first record after it" : null),
    ),
    words(found),
    local.around && strip(found, local.around),
  );
}

const side = (name, where, offset, note) =>
  h(
    "div",
    { class: "place" },
    h("h2", {}, name),
    h("p", { class: "offset" }, offset === null ? "none yet" : count(offset)),
    h("p", { class: "quiet" }, where, note && h("small", {}, note)),
    offset !== null &&
      copyable(String(offset), name === "Source" ? "the source offset" : "our offset", { code: false }),
  );

function words(found) {
  if (found.answer === "exact") return notice("ok", "Exact: the same record is at both offsets.");
  if (found.answer === "gap")
    return notice(
      "warn",
      `No copy: ${found.reason}`,
      "There is no record of ours for this source offset. Reading on from our offset skips nothing.",
    );
  if (found.answer === "lost")
    return notice(
      "warn",
      "The source has lost this record since it was copied",
      "Its copy stays here; the source offset is that of the lane's next record.",
    );
  return notice(
    "warn",
    "Somebody else wrote this record here",
    "It has no source; the source offset is that of the lane's next record.",
  );
}

/** Source offsets above, ours below, a line for each record. */
function strip(found, around) {
  const [width, height, gap] = [72, 114, 8];
  const x = (number) => number * (width + gap);
  const total = x(around.length) - gap;
  return h(
    "figure",
    {
      class: "strip",
      role: "img",
      "aria-label": `${plural(around.length, "source offset")} from ${around[0].source_offset} on, and their copies`,
    },
    h("div", { class: "names", "aria-hidden": "true" }, h("span", {}, "source"), h("span", {}, "copy")),
    s(
      "svg",
      { viewBox: `0 0 ${total} ${height}`, "aria-hidden": "true" },
      around.map((each, number) => {
        const middle = x(number) + width / 2;
        const here = each.source_offset === found.source_offset;
        const exact = each.answer === "exact";
        const box = (y, text, kind) => [
          s("rect", { class: `box ${kind}`, x: x(number) + 0.5, y: y + 0.5, width: width - 1, height: 29, rx: 5 }),
          s("text", { x: middle, y: y + 19, "text-anchor": "middle", class: kind }, text),
        ];
        return s(
          "g",
          {},
          box(0, count(each.source_offset), `${here ? "here" : ""} ${exact ? "" : "gap"}`),
          exact && s("line", { class: here ? "here" : null, x1: middle, x2: middle, y1: 34, y2: 78 }),
          exact
            ? box(82, count(each.destination_offset), here ? "here" : "")
            : s(
                "text",
                { class: "reason", x: middle, y: 48, "text-anchor": "middle" },
                sentence(each.reason ?? each.answer),
              ),
        );
      }),
    ),
  );
}
