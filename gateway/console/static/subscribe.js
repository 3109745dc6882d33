// Subscribing: a partner, one of its shares, the topics with their names here; what it would do; then doing it.

import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, count, plural, span, until } from "./format.js";
import {
  badge,
  button,
  check,
  empty,
  field,
  form,
  go,
  head,
  notice,
  refusal,
  section,
  sentence,
  table,
} from "./parts.js";

export default {
  title: () => "Subscribe",
  open: (context) => {
    const given = context.query.get("peer");
    const active = context.state.overview?.peers.filter((each) => each.state === "active") ?? [];
    const org = given ?? (active.length === 1 ? active[0].org : null);
    if (org) void choosePeer(context, org);
  },
  view(context) {
    const {
      local,
      errors,
      state: { overview },
    } = context;
    const active = overview.peers.filter((each) => each.state === "active");
    if (!local.org && active.length === 1 && !local.asked) {
      local.asked = true;
      void choosePeer(context, active[0].org);
    }
    return [
      head(
        "Take a partner's share",
        "Its topics are mirrored into our own cluster, record by record, and go on by themselves.",
      ),
      active.length === 0
        ? empty(
            "There is no active partner",
            "Pair with one first; a partner that is pending has still to be approved by both sides.",
            go("/pair", "Pair with a partner", "first"),
          )
        : [
            peerChoice(context, active),
            refusal(errors.catalog),
            local.shares && shareChoice(context),
            local.share && details(context),
            local.plan && planned(context),
          ],
    ].flat();
  },
};

async function choosePeer(context, org) {
  Object.assign(context.local, { org, shares: null, share: null, plan: null });
  await context.run("catalog", async () => {
    const found = (await api.get(`/v1/catalog${api.query({ peer: org })}`, context.ended.signal)).shares;
    if (context.local.org !== org) return;
    context.local.shares = found;
    if (found.length === 1) chooseShare(context, found[0]);
  });
}

function chooseShare(context, share) {
  Object.assign(context.local, { share, plan: null });
  context.redraw();
}

const peerChoice = (context, active) =>
  h(
    "div",
    { class: "form line", key: "peer" },
    field("Partner", {
      kind: "select",
      name: "peer",
      value: context.local.org ?? "",
      onchange: (event) => event.target.value && choosePeer(context, event.target.value),
      options: [["", "choose …"], ...active.map((each) => [each.org])],
    }),
    context.busy.catalog && h("p", { class: "loading" }, "Asking the partner for its catalog …"),
  );

function shareChoice(context) {
  const {
    local: { shares, share, org },
    state: { now },
  } = context;
  if (shares.length === 0) {
    return empty(
      `${org} grants us nothing yet`,
      `Ask its operator for a grant: mesh grant create SHARE --to ${context.state.overview.organization}`,
      button("Ask again", () => choosePeer(context, org)),
    );
  }
  return section(
    "Which share",
    h(
      "div",
      { class: "cards" },
      shares.map((each) =>
        h(
          "button",
          {
            type: "button",
            class: "card",
            "aria-pressed": String(share?.name === each.name),
            key: each.name,
            onclick: () => chooseShare(context, each),
          },
          h("b", {}, each.name),
          h("span", {}, each.topics.map((topic) => topic.name).join(", ") || "no topics yet"),
          h(
            "small",
            {},
            `${plural(each.topics.length, "topic")}, version ${each.version}`,
            each.grant_end_ms !== null && `, granted for ${until(each.grant_end_ms, now).replace("in ", "")} more`,
          ),
        ),
      ),
    ),
  );
}

function details(context) {
  const {
    local: { share, org },
    busy,
    errors,
  } = context;
  const prefix = org.split(".")[0];
  const submit = (data, element) => (element.dataset.plan === "yes" ? plan(context, data) : subscribe(context, data));
  const look = (event) => {
    const element = event.target.closest("form");
    element.dataset.plan = "yes";
    element.requestSubmit();
    delete element.dataset.plan;
  };
  return section(
    "Under which names",
    h(
      "div",
      { key: `share:${share.name}` },
      form(
        {
          label: "Subscribe",
          action: "Subscribe",
          submit,
          busy: busy.subscribe,
          error: errors.subscribe ?? errors.plan,
          extra: button(busy.plan ? "Looking …" : "Show what it would do", look, "", { disabled: busy.plan }),
        },
        field("Name of the subscription", {
          name: "name",
          required: true,
          value: share.name,
          id: `name-${share.name}`,
        }),
        check(`All topics, also those that come later, as ${prefix}.*`, {
          name: "all",
          value: share.name,
          onchange: () => context.redraw(),
        }),
        h(
          "fieldset",
          { key: "topics" },
          h("legend", {}, "Topics, and their names here"),
          share.topics.length === 0
            ? h("p", { class: "quiet" }, "The share has no topics yet; take all that come.")
            : share.topics.map((topic) => topicRow(topic, prefix)),
        ),
        field("Begin", {
          kind: "select",
          name: "start",
          options: [
            ["earliest", "with the oldest record there is"],
            ["latest", "with the next record that is written"],
          ],
        }),
        h(
          "details",
          { class: "more", key: "more" },
          h("summary", {}, "What to do when something goes wrong"),
          field("The source has lost records", {
            kind: "select",
            name: "on_loss",
            options: [
              ["stop", "stop, and ask me"],
              ["continue", "go on; the ledger keeps the range"],
            ],
          }),
          field("Somebody else writes into the copy", {
            kind: "select",
            name: "on_foreign_write",
            options: [
              ["stop", "stop, and ask me"],
              ["report", "report it"],
            ],
          }),
          field("Our topic refuses a timestamp", {
            kind: "select",
            name: "on_timestamp",
            options: [
              ["stop", "stop, and ask me"],
              ["override", "copy without the timestamp"],
              ["quarantine", "leave the record out"],
            ],
          }),
          check("Topic settings follow the source", { name: "follow_config" }),
        ),
      ),
    ),
  );
}

const topicRow = (topic, prefix) =>
  h(
    "div",
    { class: "row", key: topic.name },
    check([topic.name, h("small", {}, plural(topic.partitions, "partition"))], {
      name: "topic",
      value: topic.name,
      checked: true,
    }),
    h("input", {
      name: `to:${topic.name}`,
      value: `${prefix}.${topic.name}`,
      "aria-label": `Name of ${topic.name} here`,
      autocomplete: "off",
      spellcheck: "false",
    }),
  );

function wanted(context, data) {
  const { share, org } = context.local;
  const prefix = org.split(".")[0];
  const topics =
    data.get("all") !== null
      ? [{ source: "*", destination: `${prefix}.*` }]
      : data.getAll("topic").map((source) => ({ source, destination: String(data.get(`to:${source}`)).trim() }));
  return {
    peer: org,
    share: share.name,
    name: String(data.get("name")).trim(),
    topics,
    start: String(data.get("start")),
    on_loss: String(data.get("on_loss")),
    on_foreign_write: String(data.get("on_foreign_write")),
    on_timestamp: String(data.get("on_timestamp")),
    follow_config: data.get("follow_config") !== null,
  };
}

const plan = (context, data) =>
  context.run("plan", async () => {
    delete context.errors.subscribe;
    context.local.plan = await api.post("/v1/subscriptions/plan", wanted(context, data));
  });

const subscribe = (context, data) =>
  context.run("subscribe", async () => {
    delete context.errors.plan;
    const made = await api.post("/v1/subscriptions", wanted(context, data));
    context.announce(`${made.name} is subscribed; ${plural(made.created_topics.length, "topic")} made`);
    context.go(`/subscriptions/${encodeURIComponent(made.name)}`);
  });

function planned(context) {
  const { plan: found } = context.local;
  const { total } = found;
  return section(
    "What it would do",
    found.refused > 0 && notice("bad", `${plural(found.refused, "topic")} cannot be mirrored as asked`),
    total.topics > 0 &&
      h(
        "p",
        {},
        `Copy ${count(total.offsets)} offsets of ${plural(total.topics, "topic")} in ${plural(total.partitions, "partition")}`,
        total.size_bytes !== null && `, ${bytes(total.size_bytes)}`,
        total.seconds !== null && `, in about ${span(total.seconds)} at ${bytes(total.rate_bytes_per_s)}/s`,
        ", then go on.",
      ),
    table(
      "Plan",
      [
        { name: "Source topic", of: (row) => row.source },
        { name: "Here", of: (row) => row.destination },
        { name: "Partitions", number: true, of: (row) => count(row.partitions) },
        { name: "Offsets", number: true, of: (row) => count(row.offsets) },
        {
          name: "",
          wide: true,
          of: (row) =>
            row.refused
              ? [
                  badge("refused", "bad"),
                  h(
                    "small",
                    { class: "why" },
                    sentence(row.refused.reason),
                    row.refused.remedy && h("br"),
                    row.refused.remedy && sentence(row.refused.remedy),
                  ),
                ]
              : row.destination_offsets === "identical"
                ? badge("identical offsets", "ok")
                : "offsets are translated",
        },
      ],
      found.topics,
      (row) => row.source,
    ),
  );
}
