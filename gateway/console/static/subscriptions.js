// Our subscriptions, and one of them: its lanes, its past, its gaps, and what can be done with it.

import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, count, lanesState, plural, rate, span, tone } from "./format.js";
import {
  badge,
  button,
  confirm,
  empty,
  figures,
  go,
  head,
  link,
  notice,
  refusal,
  section,
  sentence,
  table,
} from "./parts.js";
import { plot, series } from "./plot.js";
import { gaps, laneTable, terms, verification } from "./subscription_details.js";

const WINDOWS = [
  ["5 min", 300],
  ["30 min", 1800],
  ["24 h", 86_400],
];
const to = (name) => `/subscriptions/${encodeURIComponent(name)}`;

export const subscriptions = {
  title: () => "Subscriptions",
  view({ state: { overview } }) {
    const list = overview.subscriptions;
    return [
      head(
        "What we take from partners",
        "Each subscription mirrors topics of a partner's share into our own cluster.",
        go("/subscribe", "Subscribe", "first"),
      ),
      list.length === 0
        ? empty(
            "No subscription yet",
            "Choose one of the shares that a partner grants you; its topics are mirrored into your cluster.",
            go("/subscribe", "Subscribe", "first"),
          )
        : table(
            "Subscriptions",
            [
              { name: "Subscription", of: (row) => link(to(row.name), row.name) },
              {
                name: "From",
                of: (row) => [link(`/peers/${encodeURIComponent(row.peer)}`, row.peer), h("small", {}, row.share)],
              },
              { name: "State", of: (row) => badge(lanesState(row)) },
              { name: "Lanes", number: true, of: (row) => count(row.lanes) },
              { name: "Behind", number: true, of: (row) => count(row.lag_records) },
              { name: "Lag", number: true, of: (row) => span(row.lag_s) },
              { name: "Records", number: true, of: (row) => rate(row.records_per_s) },
              { name: "Copied", number: true, of: (row) => count(row.records) },
              { name: "Gaps", number: true, of: (row) => count(row.gaps) },
            ],
            list,
            (row) => row.name,
          ),
    ];
  },
};

export const subscription = {
  title: ({ parameters: [name] }) => name,
  live: ({ parameters: [name] }) => name,
  open: (context) => {
    context.local.window = 300;
    const again = () => {
      if (context.ended.signal.aborted) return;
      void load(context);
      setTimeout(again, 4000);
    };
    again();
  },
  view(context) {
    const {
      parameters: [name],
      state: { overview },
      local,
      errors,
    } = context;
    const found = overview.subscriptions.find((each) => each.name === name);
    if (!found) {
      return [
        h("h1", { tabindex: "-1" }, "There is no such subscription"),
        local.deleted ? notice("ok", `${name} is deleted`, `Its topics stay: ${local.deleted.join(", ")}.`) : null,
        h("p", {}, link("/subscriptions", "All subscriptions")),
      ];
    }
    return [
      head(
        found.name,
        ["from ", link(`/peers/${encodeURIComponent(found.peer)}`, found.peer), ", share ", h("b", {}, found.share)],
        ...actions(context, found),
      ),
      refusal(errors.change),
      found.trouble &&
        notice(
          tone(found.trouble.state),
          `${found.trouble.lane}: ${found.trouble.reason}`,
          sentence(found.trouble.remedy),
        ),
      overview.warnings
        .filter((each) => each.lanes.some((lane) => lane.startsWith(`${name}/`)))
        .map((each) => notice("warn", sentence(each.why), sentence(each.remedy))),
      numbers(found),
      plots(context),
      section("Lanes", laneTable(context, found)),
      section("Gaps", gaps(context, found)),
      section("Exactness", verification(context, found)),
      section("Terms", terms(found)),
    ];
  },
};

const numbers = (found) =>
  figures([
    ["State", badge(lanesState(found)), plural(found.lanes, "lane")],
    ["Behind", count(found.lag_records), "source offsets not yet copied"],
    ["Lag", span(found.lag_s), "age of the newest copy while more waits"],
    ["Throughput", rate(found.records_per_s), found.bytes_per_s ? `${bytes(found.bytes_per_s)}/s` : "records"],
    ["Copied", count(found.records), "records since it began"],
    ["Gaps", count(found.gaps), "offsets without a copy"],
  ]);

function actions(context, found) {
  const change = (verb, said) =>
    context.run("change", async () => {
      await api.post(api.path`/v1/subscriptions/${found.name}/${verb}`);
      context.announce(said);
    });
  const final = found.state === "promoted" || found.state === "promoting";
  return [
    go(`/translate?subscription=${encodeURIComponent(found.name)}`, "Translate an offset"),
    found.state === "active" && button("Pause", () => change("pause", `${found.name} is paused`)),
    found.state === "paused" && button("Resume", () => change("resume", `${found.name} goes on`), "first"),
    !final && button("Promote", () => promote(context, found)),
    button("Delete", () => remove(context, found), "danger"),
  ].filter(Boolean);
}

async function promote(context, found) {
  const yes = await confirm({
    title: `Make ${found.name} a normal topic?`,
    action: "Promote it",
    text: [
      "The mirror ends for ever: its writers are shut out, and your own producers may write to its topics.",
      "It cannot be taken back. Offsets can still be translated.",
    ],
  });
  if (yes) {
    await context.run("change", async () => {
      await api.post(api.path`/v1/subscriptions/${found.name}/promote`);
      context.announce(`${found.name} is promoted`);
    });
  }
}

async function remove(context, found) {
  const yes = await confirm({
    title: `Delete ${found.name}?`,
    action: "Delete it",
    text: [
      "Its lanes end, and with them their offset maps: offsets can no longer be translated.",
      `The topics stay as they are: ${found.topics.map((each) => each.destination).join(", ") || "none yet"}.`,
    ],
  });
  if (!yes) return;
  await context.run("change", async () => {
    const { kept_topics: kept } = await api.remove(api.path`/v1/subscriptions/${found.name}`);
    context.local.deleted = kept;
    context.announce(`${found.name} is deleted`);
  });
}

async function load(context) {
  const {
    parameters: [name],
    local,
  } = context;
  try {
    const asked = local.window;
    const { samples } = await api.get(
      `/history${api.query({ series: `subscription:${name}`, window_s: asked })}`,
      context.ended.signal,
    );
    if (asked === local.window) local.samples = samples;
    const copied = context.state.overview?.subscriptions.find((each) => each.name === name)?.gaps;
    if (local.gapsOf !== copied) {
      local.ledger = await api.get(api.path`/v1/subscriptions/${name}/gaps`, context.ended.signal);
      local.gapsOf = copied;
    }
    context.redraw();
  } catch (error) {
    if (error.name !== "AbortError" && error.code !== "subscription-absent" && error.status !== 0) {
      context.errors.change = error;
      context.redraw();
    }
  }
}

function plots(context) {
  const { local, state } = context;
  local.hover ??= {
    at: null,
    set: (at) => {
      local.hover.at = at;
      context.redraw();
    },
  };
  const { lag, age, records, bytes: size } = series(local.samples ?? []);
  const seconds = local.window ?? 300;
  const common = {
    from: state.now - seconds * 1000,
    to: state.now,
    hover: local.hover,
    gap: seconds > 1800 ? 150_000 : 15_000,
  };
  const choose = (each) => () => {
    local.window = each;
    local.hover.at = null;
    void load(context);
    context.redraw();
  };
  return h(
    "section",
    { class: "section", key: "plots" },
    h(
      "div",
      { class: "bar" },
      h("h2", {}, "Over time"),
      h(
        "div",
        { class: "choice", role: "group", "aria-label": "Time shown" },
        WINDOWS.map(([text, each]) =>
          h("button", { type: "button", "aria-pressed": String(each === seconds), onclick: choose(each) }, text),
        ),
      ),
    ),
    h(
      "div",
      { class: "plots" },
      plot({ ...common, title: "Behind, records", points: lag, write: count, least: 10 }),
      plot({ ...common, title: "Throughput, records a second", points: records, write: rate, least: 10 }),
      plot({ ...common, title: "Lag, seconds", points: age, write: span, least: 4 }),
      plot({
        ...common,
        title: "Throughput, bytes a second",
        points: size,
        write: (value) => `${bytes(value)}/s`,
        least: 1000,
      }),
    ),
  );
}
