// The topics of our own cluster, and one of them: its partitions, and its newest records when they are asked for.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, plural, when } from "./format.js";
import { badge, button, empty, facts, field, form, head, link, refusal, section, table } from "./parts.js";

const NEWEST = 20;
const copyOf = (name) => `/subscriptions/${encodeURIComponent(name)}`;
const to = (name) => `/topics/${encodeURIComponent(name)}`;
const ask = (context) =>
  context.run("topics", async () => {
    context.local.topics = (await api.get("/v1/topics?ranges=true", context.ended.signal)).topics;
  });

const records = (topic) => topic.ranges.reduce((sum, each) => sum + each.last_stable - each.start, 0);

export const topics = {
  title: () => "Topics",
  open: ask,
  view(context) {
    const {
      local,
      busy,
      errors,
      state: { overview },
    } = context;
    const make = (data, element) =>
      context.run("make", async () => {
        const made = await api.post("/v1/topics", {
          name: String(data.get("name")).trim(),
          partitions: Number(data.get("partitions")),
        });
        element.reset();
        context.announce(`${made.name} is made`);
        await ask(context);
      });
    return [
      head(
        "What our cluster holds",
        "Our own topics, and the copies of partners' topics.",
        button("Look again", () => ask(context)),
      ),
      refusal(errors.topics),
      local.topics === undefined
        ? h("p", { class: "loading" }, "Asking the gateway …")
        : local.topics.length === 0
          ? empty("No topic yet", "Make one below, or let your applications make theirs.")
          : table(
              "Topics",
              [
                { name: "Topic", of: (row) => link(to(row.name), row.name) },
                {
                  name: "Kind",
                  of: (row) =>
                    row.mirrored_by
                      ? h("span", { class: "prose" }, "a copy by ", link(copyOf(row.mirrored_by), row.mirrored_by))
                      : "our own",
                },
                {
                  name: "Shared in",
                  of: (row) =>
                    overview.shares
                      .filter((each) => each.topics.includes(row.name))
                      .map((each) => each.name)
                      .join(", ") || h("span", { class: "quiet" }, "–"),
                },
                { name: "Partitions", number: true, of: (row) => count(row.partitions) },
                { name: "Offsets held", number: true, of: (row) => count(records(row)) },
              ],
              local.topics,
              (row) => row.name,
            ),
      h(
        "details",
        { class: "act", key: "making", open: local.topics?.length === 0 },
        h("summary", {}, "Make a topic"),
        form(
          { label: "Make a topic", action: "Make the topic", submit: make, busy: busy.make, error: errors.make },
          field("Name", { name: "name", required: true, placeholder: "departures" }),
          field("Partitions", {
            name: "partitions",
            type: "number",
            min: "1",
            max: "10000",
            value: "1",
            required: true,
          }),
        ),
      ),
    ];
  },
};

export const topic = {
  title: ({ parameters: [name] }) => name,
  open: ask,
  view(context) {
    const {
      parameters: [name],
      local,
      busy,
      errors,
    } = context;
    const found = local.topics?.find((each) => each.name === name);
    if (local.topics && !found)
      return [h("h1", { tabindex: "-1" }, "There is no such topic"), h("p", {}, link("/topics", "All topics"))];
    const read = () => context.run("read", () => newest(context, found));
    return [
      head(
        name,
        found?.mirrored_by
          ? ["a copy, written by ", link(`/subscriptions/${encodeURIComponent(found.mirrored_by)}`, found.mirrored_by)]
          : "our own topic",
        found && button("Look again", () => ask(context)),
      ),
      refusal(errors.topics),
      found &&
        section(
          "Partitions",
          table(
            "Partitions",
            [
              { name: "Partition", of: (row) => String(row.number) },
              { name: "Log start", number: true, of: (row) => count(row.start) },
              { name: "Last stable offset", number: true, of: (row) => count(row.last_stable) },
              { name: "Log end", number: true, of: (row) => count(row.end) },
              { name: "", of: (row) => row.end > row.last_stable && badge("open transaction", "warn") },
            ],
            found.ranges.map((each, number) => ({ ...each, number })),
            (row) => String(row.number),
          ),
        ),
      found &&
        section(
          "Newest records",
          h(
            "div",
            { class: "actions" },
            button(busy.read ? "Reading …" : local.records ? "Read again" : "Show the newest records", read, "", {
              disabled: busy.read,
            }),
            h("span", { class: "quiet" }, "They may be confidential; nothing is read before you ask."),
          ),
          refusal(errors.read),
          local.records && shown(local.records),
        ),
      found && Object.keys(found.config).length > 0 && section("Settings", facts(Object.entries(found.config))),
    ];
  },
};

async function newest(context, found) {
  const list = [];
  const each = Math.max(1, Math.ceil(NEWEST / found.ranges.length));
  await ask(context);
  const now = context.local.topics.find((one) => one.name === found.name);
  for (const [partition, range] of now.ranges.entries()) {
    if (list.length >= NEWEST * 2 || range.last_stable === range.start) continue;
    const from = `offset:${Math.max(range.start, range.last_stable - each)}`;
    const path = api.path`/v1/topics/${found.name}/records`;
    await api.lines(
      path + api.query({ partition, from, max: each }),
      (record) => list.push(record),
      context.ended.signal,
    );
  }
  context.local.records = list
    .sort((one, other) => other.timestamp - one.timestamp || other.offset - one.offset)
    .slice(0, NEWEST);
}

function shown(list) {
  if (list.length === 0) return h("p", { class: "quiet" }, "There is none.");
  return [
    h("p", { class: "quiet" }, `The newest ${plural(list.length, "record")}, the newest first.`),
    table(
      "Newest records",
      [
        { name: "Partition", number: true, of: (row) => count(row.partition) },
        { name: "Offset", number: true, of: (row) => count(row.offset) },
        { name: "Time", of: (row) => when(row.timestamp) },
        { name: "Key", of: (row) => h("code", {}, text(row.key, row.key_b64)) },
        { name: "Value", wide: true, of: (row) => h("code", { class: "value" }, text(row.value, row.value_b64)) },
      ],
      list,
      (row) => `${row.partition}:${row.offset}`,
    ),
  ];
}

function text(value, base64) {
  if (base64 !== undefined) return `base64 ${base64}`;
  return value === null || value === undefined ? "null" : typeof value === "string" ? value : JSON.stringify(value);
}
