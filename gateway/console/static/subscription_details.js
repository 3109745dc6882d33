// What a subscription's page shows in detail: its lanes, its gaps, a comparison of both logs, and its terms.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, plural, span, when } from "./format.js";
import { badge, button, empty, facts, link, notice, refusal, sentence, table } from "./parts.js";

// more rows than anybody reads, drawn anew each second, would cost the browser dearly
const LANES = 300;
export function laneTable(context, found) {
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

export function gaps(context, found) {
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

export function verification(context, found) {
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

export const terms = (found) =>
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
