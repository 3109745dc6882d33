// What we offer: the shares, one of them with who has it, and a new one.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, plural, rate, when } from "./format.js";
import {
  asTexts,
  badge,
  button,
  check,
  confirm,
  empty,
  field,
  form,
  go,
  head,
  link,
  refusal,
  section,
  sentence,
  table,
} from "./parts.js";

const to = (name) => `/share/${encodeURIComponent(name)}`;

export const shares = {
  title: () => "Shares",
  view({ state: { overview } }) {
    return [
      head(
        "What we offer",
        "A share is a named set of our topics. A partner sees it only where it is granted.",
        go("/shares/new", "New share", "first"),
      ),
      overview.shares.length === 0
        ? empty(
            "No share yet",
            "Choose some of your topics and give the set a name; then grant it to a partner.",
            go("/shares/new", "New share", "first"),
          )
        : table(
            "Shares",
            [
              { name: "Share", of: (row) => link(to(row.name), row.name) },
              { name: "Topics", wide: true, of: (row) => [...row.topics, ...row.patterns].join(", ") || "none" },
              {
                name: "Granted to",
                wide: true,
                of: (row) =>
                  row.granted_to.length === 0 ? h("span", { class: "quiet" }, "nobody yet") : row.granted_to.join(", "),
              },
              {
                name: "Read by",
                number: true,
                of: (row) =>
                  count(
                    new Set(overview.exports.filter((each) => each.share === row.name).map((each) => each.peer)).size,
                  ),
              },
              { name: "Version", number: true, of: (row) => count(row.version) },
              { name: "Made", of: (row) => when(row.created_ms).slice(0, 10) },
            ],
            overview.shares,
            (row) => row.name,
          ),
    ];
  },
};

const askTopics = (context) =>
  context.run("topics", async () => {
    context.local.topics = (await api.get("/v1/topics", context.ended.signal)).topics;
  });

export const newShare = {
  title: () => "New share",
  open: askTopics,
  view(context) {
    const { local, busy, errors } = context;
    const make = (data) =>
      context.run("make", async () => {
        const made = await api.post("/v1/shares", {
          name: String(data.get("name")).trim(),
          topics: [...data.getAll("topic"), ...asTexts(data.get("patterns"))],
        });
        context.announce(`${made.name} is made; now grant it`);
        context.go(to(made.name));
      });
    return [
      head("New share", "Which topics belong together, and under which name do partners see them?"),
      refusal(errors.topics),
      form(
        { label: "New share", action: "Make the share", submit: make, busy: busy.make, error: errors.make },
        field(
          "Name",
          { name: "name", required: true, placeholder: "flights" },
          "Partners see it. It cannot be changed later.",
        ),
        h(
          "fieldset",
          { key: "topics" },
          h("legend", {}, "Topics"),
          local.topics === undefined ? h("p", { class: "loading" }, "Asking the gateway …") : topicChoice(local.topics),
        ),
        field(
          "Patterns",
          { name: "patterns", placeholder: "flights.*" },
          "Optional: also topics that come later, by names with one *.",
        ),
      ),
    ];
  },
};

const topicChoice = (topics) =>
  topics.length === 0
    ? h(
        "p",
        { class: "quiet" },
        "The cluster has no topics yet. ",
        link("/topics", "Make one"),
        ", or give a pattern below.",
      )
    : h(
        "div",
        { class: "choices" },
        topics.map((topic) =>
          check(
            [
              topic.name,
              h(
                "small",
                {},
                plural(topic.partitions, "partition"),
                topic.mirrored_by && `, a copy by ${topic.mirrored_by}`,
              ),
            ],
            { name: "topic", value: topic.name },
          ),
        ),
      );

export const share = {
  title: ({ parameters: [name] }) => name,
  open: (context) => load(context),
  view(context) {
    const {
      parameters: [name],
      state: { overview },
      errors,
      local,
    } = context;
    const found = overview.shares.find((each) => each.name === name);
    if (!found)
      return [h("h1", { tabindex: "-1" }, "There is no such share"), h("p", {}, link("/shares", "All shares"))];
    if (local.version !== undefined && local.version !== found.version && !local.loading) void load(context);
    return [
      head(found.name, `Version ${found.version}, made ${when(found.created_ms).slice(0, 10)}.`),
      refusal(errors.change),
      section("Who has it", holders(context, found), granting(context, found)),
      section("What is in it", contents(context, found)),
    ];
  },
};

function load(context) {
  context.local.loading = true;
  return context
    .run("contents", async () => {
      const found = await api.get(api.path`/v1/shares/${context.parameters[0]}`, context.ended.signal);
      context.local.contents = found.contents;
      context.local.version = found.version;
    })
    .finally(() => {
      context.local.loading = false;
      // what was refused is not asked again until the share changes
      if (context.errors.contents)
        context.local.version = context.state.overview?.shares.find(
          (each) => each.name === context.parameters[0],
        )?.version;
    });
}

function holders(context, found) {
  const { overview, now } = context.state;
  const grants = overview.grants.filter((each) => each.share === found.name);
  if (grants.length === 0) return empty("Nobody has it", "A partner sees the share as soon as it is granted.");
  const read = (grant) => overview.exports.find((each) => each.peer === grant.peer && each.share === grant.share);
  return table(
    `Who has ${found.name}`,
    [
      { name: "Partner", of: (row) => link(`/peers/${encodeURIComponent(row.peer)}`, row.peer) },
      {
        name: "Grant",
        wide: true,
        of: (row) =>
          row.state === "revoked"
            ? badge("revoked", "idle")
            : row.allowed
              ? badge("in force", "ok")
              : [badge("not in force", "warn"), h("small", { class: "why" }, sentence(row.reason))],
      },
      { name: "Terms", wide: true, of: (row) => termsOf(row, now) },
      {
        name: "Reads",
        of: (row) =>
          read(row) ? badge(plural(read(row).lanes, "lane"), "ok") : h("span", { class: "quiet" }, "not now"),
      },
      { name: "Records", number: true, of: (row) => rate(read(row)?.records_per_s) },
      { name: "Behind", number: true, of: (row) => count(read(row)?.behind) },
      {
        name: "",
        of: (row) =>
          row.state === "active" &&
          button("Revoke", () => revoke(context, row), "small danger", {
            "aria-label": `Revoke the grant to ${row.peer}`,
          }),
      },
    ],
    grants,
    (row) => row.peer,
  );
}

function termsOf(grant, now) {
  const said = [
    grant.end_ms === null ? "without end" : `until ${when(grant.end_ms).slice(0, 16)}`,
    grant.start_ms > now ? `from ${when(grant.start_ms).slice(0, 16)}` : null,
    grant.groups === "none" ? null : `groups: ${grant.groups}`,
    grant.onward ? "may share copies on" : null,
  ];
  return said.filter(Boolean).join(", ");
}

async function revoke(context, grant) {
  const yes = await confirm({
    title: `Revoke ${grant.share} from ${grant.peer}?`,
    action: "Revoke the grant",
    text: ["Its lanes end at once, and it sees the share no more. What it has copied stays with it."],
  });
  if (!yes) return;
  await context.run("change", async () => {
    await api.post(api.path`/v1/grants/${grant.share}/${grant.peer}/revoke`);
    context.announce(`${grant.peer} has ${grant.share} no more`);
  });
}

function granting(context, found) {
  const {
    state: { overview },
    busy,
    errors,
  } = context;
  const held = new Set(
    overview.grants.filter((each) => each.share === found.name && each.state === "active").map((each) => each.peer),
  );
  const peers = overview.peers.filter((each) => each.state === "active" && !held.has(each.org));
  if (peers.length === 0) {
    return h(
      "p",
      { class: "quiet", key: "nobody" },
      overview.peers.length === 0 ? "There is nobody to grant it to yet. " : "Every active partner has it. ",
      link("/pair", "Pair with a partner"),
    );
  }
  const grant = (data, element) =>
    context.run("grant", async () => {
      const until = String(data.get("until"));
      const made = await api.post("/v1/grants", {
        share: found.name,
        peer: String(data.get("peer")),
        groups: String(data.get("groups")),
        onward: data.get("onward") !== null,
        end_ms: until === "" ? null : new Date(until).getTime(),
      });
      element.reset();
      context.announce(`${made.peer} has ${made.share} now`);
    });
  return h(
    "details",
    { class: "act", key: "granting", open: held.size === 0 },
    h("summary", {}, "Grant it to a partner"),
    form(
      { label: "Grant", action: "Grant", submit: grant, busy: busy.grant, error: errors.grant },
      field("Partner", { kind: "select", name: "peer", required: true, options: peers.map((each) => [each.org]) }),
      field("Until", { name: "until", type: "datetime-local" }, "Empty: without end. It can be revoked at any time."),
      field("Positions of our consumer groups", {
        kind: "select",
        name: "groups",
        options: [
          ["none", "not shown"],
          ["read", "shown, so that groups can move there"],
          ["write", "shown and set, so that groups can move back"],
        ],
      }),
      check("The partner may share its copies on", { name: "onward" }),
    ),
  );
}

function contents(context, found) {
  const { local, errors } = context;
  if (!local.contents) return refusal(errors.contents) ?? h("p", { class: "loading" }, "Asking the gateway …");
  const change = (verb, topics, said) =>
    context.run("change", async () => {
      await api.post(api.path`/v1/shares/${found.name}/${verb}`, { topics });
      context.announce(said);
      await load(context);
    });
  const away = async (topic) => {
    const yes = await confirm({
      title: `Take ${topic} out of ${found.name}?`,
      action: "Take it out",
      text: ["Partners' lanes of this topic end at once. Their copies stay with them."],
    });
    if (yes) await change("remove", [topic], `${topic} is no longer in ${found.name}`);
  };
  return [
    local.contents.length === 0
      ? empty("Nothing is in it", "Add topics below.")
      : table(
          `Topics of ${found.name}`,
          [
            { name: "Topic", of: (row) => link(`/topics/${encodeURIComponent(row.topic)}`, row.topic) },
            { name: "Partitions", number: true, of: (row) => count(row.partitions) },
            { name: "By", of: (row) => (row.by === row.topic || !row.by ? "name" : `pattern ${row.by}`) },
            { name: "Origin", of: (row) => (row.origin.length === 0 ? "ours" : row.origin.join(" → ")) },
            {
              name: "",
              wide: true,
              of: (row) =>
                row.left_out && [badge("left out", "warn"), h("small", { class: "why" }, sentence(row.left_out))],
            },
            {
              name: "",
              of: (row) =>
                found.topics.includes(row.topic) &&
                button("Take out", () => away(row.topic), "small", { "aria-label": `Take ${row.topic} out` }),
            },
          ],
          local.contents,
          (row) => row.topic,
        ),
    h(
      "details",
      { class: "act", key: "adding" },
      h("summary", {}, "Add topics"),
      form(
        {
          label: "Add topics",
          action: "Add",
          submit: (data, element) => change("add", asTexts(data.get("add")), "added").then(() => element.reset()),
        },
        field(
          "Topics or patterns",
          { name: "add", required: true, placeholder: "arrivals, gates.*" },
          "Several with commas. Subscribed partners see them at once.",
        ),
      ),
    ),
  ];
}
