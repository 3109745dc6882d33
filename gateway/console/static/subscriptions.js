// Our subscriptions, and one of them: its lanes, its past, its gaps, and what can be done with it.

import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, count, lanesState, plural, rate, span, tone, when } from "./format.js";
import {
  badge,
  button,
  confirm,
  empty,
  facts,
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

// more rows than anybody reads, drawn anew each second, would cost the browser dearly
const LANES = 300;
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
          sentence(`${found.trouble.lane}: ${found.trouble.reason}`),
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

function laneTable(context, found) {
  const held = context.state.lanes;
  if (found.lanes === 0) {
    return empty(
      "No lane runs",
      found.state === "active"
        ? "A lane begins for each source partition as soon as the partner is linked and its topics are known."
        : `The subscription is ${found.state}.`,
    );
  }
  if (!held) return h("p", { class: "loading" }, "Asking the gateway …");
  const graveFirst = held.lanes.toSorted((one, other) => gravity(one) - gravity(other));
  const shown = graveFirst.slice(0, LANES).map((row) => ({ ...row, tone: row.state === "stopped" ? "bad" : null }));
  const more = held.lanes.length - shown.length + held.left_out;
  return [
    table(
      "Lanes",
      [
        { name: "Source", of: (row) => `${row.topic} [${row.partition}]` },
        { name: "Our copy", of: (row) => row.destination_topic },
        {
          name: "State",
          wide: true,
          of: (row) => [badge(row.state), row.reason && h("small", { class: "why" }, sentence(row.reason))],
        },
        { name: "Position", number: true, of: (row) => offset(row.source_position) },
        { name: "Source end", number: true, of: (row) => offset(row.source_end) },
        { name: "Behind", number: true, of: (row) => count(row.lag_records) },
        { name: "Lag", number: true, of: (row) => span(row.lag_s) },
        { name: "Copied", number: true, of: (row) => count(row.records) },
        { name: "Our end", number: true, of: (row) => offset(row.destination_end) },
        { name: "Gaps", number: true, of: (row) => count(row.gaps) },
      ],
      shown,
      (row) => `${row.topic}:${row.partition}`,
    ),
    more > 0 &&
      h("p", { class: "quiet" }, `and ${count(more)} more, in no worse state: mesh subscription show ${found.name}`),
  ];
}

const GRAVE = ["stopped", "waiting", "recovering", "catching-up"];
const gravity = (lane) => (GRAVE.includes(lane.state) ? GRAVE.indexOf(lane.state) : GRAVE.length);

const offset = (value) => (value < 0 ? "–" : count(value));

const REASONS = {
  marker: "transaction markers, which are no records",
  aborted: "records of aborted transactions",
  compacted: "compacted away at the source",
  filtered: "left out by policy",
  quarantined: "refused by a topic of ours",
  lost: "lost at the source",
  recreated: "of a topic that was made anew",
};

function gaps(context, found) {
  const { ledger } = context.local;
  if (!ledger) return h("p", { class: "loading" }, "Asking the gateway …");
  if (ledger.gaps.length === 0) return h("p", { class: "quiet" }, "None: every source offset has its copy.");
  const byReason = Object.groupBy(ledger.gaps, (each) => each.reason);
  return [
    h(
      "ul",
      { class: "reasons" },
      Object.entries(byReason).map(([reason, list]) =>
        h(
          "li",
          {},
          h("b", {}, count(list.reduce((sum, each) => sum + each.offsets, 0))),
          ` ${reason}`,
          h("small", {}, REASONS[reason] ?? ""),
        ),
      ),
    ),
    h(
      "details",
      { class: "more" },
      h(
        "summary",
        {},
        `Show ${ledger.gaps.length > 200 ? "the first 200 of " : ""}${plural(ledger.gaps.length, "range")}`,
      ),
      table(
        "Gaps",
        [
          { name: "Lane", of: (row) => `${row.topic} [${row.partition}]` },
          { name: "From source offset", number: true, of: (row) => count(row.source_offset) },
          { name: "To, exclusive", number: true, of: (row) => count(row.next_source_offset) },
          { name: "Offsets", number: true, of: (row) => count(row.offsets) },
          {
            name: "Reason",
            of: (row) => [
              row.reason,
              row.pending && h("small", {}, "the lane has stopped for it"),
              row.noticed_ms && h("small", {}, when(row.noticed_ms)),
            ],
          },
        ],
        ledger.gaps.slice(0, 200),
        (row) => `${row.topic}:${row.partition}:${row.source_offset}:${row.reason}:${row.incarnation ?? ""}`,
      ),
    ),
    found.foreign_writes > 0 &&
      notice(
        "warn",
        `${plural(found.foreign_writes, "write")} of others found in its partitions`,
        "The map stays exact; the writes are not ours.",
      ),
  ];
}

function verification(context, found) {
  const { local, busy, errors } = context;
  const check = () =>
    context.run("verify", async () => {
      local.verified = { done: 0, total: 0 };
      await api.lines(
        api.path`/v1/subscriptions/${found.name}/verify`,
        (value) => {
          if (value.event === "begin") local.verified.total = value.total;
          if (value.event === "progress") local.verified.done = value.done;
          if (value.event === "result") local.verified.result = value;
          context.redraw();
        },
        context.ended.signal,
      );
    });
  const result = local.verified?.result;
  return [
    h(
      "p",
      { class: "quiet" },
      "Reads both logs record by record and compares them, independently of the mirror. Nothing is written.",
    ),
    h(
      "div",
      { class: "actions" },
      button(busy.verify ? "Comparing …" : "Compare both logs", check, "", { disabled: busy.verify }),
      busy.verify &&
        local.verified?.total > 0 &&
        h("progress", { max: local.verified.total, value: local.verified.done, "aria-label": "Compared" }),
    ),
    refusal(errors.verify),
    result &&
      notice(
        result.ok ? "ok" : "bad",
        sentence(result.closing),
        `${count(result.records)} records in ${plural(result.lanes.length, "lane")}.`,
      ),
  ];
}

const terms = (found) =>
  facts([
    [
      "Topics",
      h(
        "ul",
        { class: "plain" },
        found.topics.map((each) =>
          h(
            "li",
            { key: each.source },
            each.source === each.destination
              ? each.source
              : [each.source, " → ", link(`/topics/${encodeURIComponent(each.destination)}`, each.destination)],
          ),
        ),
      ),
    ],
    found.patterns.length > 0 && [
      "Also by pattern",
      found.patterns.map((each) => `${each.source} → ${each.destination}`).join(", "),
    ],
    ["Began at", found.start],
    [
      "Where records are lost at the source",
      found.policies.on_loss === "stop" ? "stop, and ask" : "go on; the ledger keeps the range",
    ],
    ["Where others write to the copy", found.policies.on_foreign_write === "stop" ? "stop, and ask" : "report it"],
    ["Where a timestamp is refused", found.policies.on_timestamp],
    ["Topic settings", found.policies.follow_config ? "follow the source" : "are our own"],
    found.policies.groups.length > 0 && ["Groups kept in step", found.policies.groups.join(", ")],
  ]);
