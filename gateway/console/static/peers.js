// Our partners, and one of them: is it linked, what flows, what is in the way, and whether we trust it.

import * as api from "./api.js";
import { h } from "./dom.js";
import { ago, count, plural, rate, span, until, when } from "./format.js";
import { flows, linkState } from "./map.js";
import {
  badge,
  button,
  confirm,
  empty,
  facts,
  field,
  form,
  go,
  head,
  link,
  notice,
  refusal,
  section,
  sentence,
  sign,
  table,
} from "./parts.js";

const to = (org) => `/peers/${encodeURIComponent(org)}`;

export const peers = {
  title: () => "Peers",
  view({ state: { overview, now } }) {
    return [
      head(
        "Whom we are paired with",
        "Other organizations, verified by their own certificates and no others.",
        go("/pair", "Pair with a partner", "first"),
      ),
      overview.peers.length === 0
        ? empty(
            "No peer yet",
            "Invite a partner, or accept an invite that you were sent.",
            go("/pair", "Pair with a partner", "first"),
          )
        : table(
            "Peers",
            [
              { name: "Organization", of: (row) => link(to(row.org), row.org) },
              { name: "State", of: (row) => badge(row.state) },
              { name: "Link", of: (row) => (row.state === "active" ? linkState(row, now) : "–") },
              {
                name: "Gateways",
                of: (row) => [...new Set(row.links.map((each) => each.gateway.split("/").at(-1)))].join(", ") || "–",
              },
              { name: "Certificate ends", of: (row) => ends(row, now) },
              { name: "Has our bundle", of: (row) => acknowledged(row, overview) },
              { name: "Flows", number: true, of: (row) => count(flows(overview, row.org).length) },
              { name: "Since", of: (row) => when(row.added_ms).slice(0, 10) },
            ],
            overview.peers,
            (row) => row.org,
          ),
    ];
  },
};

function ends(peer, now) {
  const first = Math.min(...peer.links.map((each) => each.leaf_end_ms).filter(Boolean));
  return Number.isFinite(first) ? until(first, now) : "–";
}

export function acknowledged(peer, overview) {
  const own = overview.certificates?.bundle.sequence;
  if (peer.state !== "active" || own === undefined) return "–";
  return peer.acknowledged === own
    ? badge("yes", "ok")
    : badge(peer.acknowledged ? `an older one, ${peer.acknowledged}` : "not yet", "warn");
}

export const peer = {
  title: ({ parameters: [org] }) => org,
  view(context) {
    const {
      parameters: [org],
      state: { overview, now },
      errors,
    } = context;
    const found = overview.peers.find((each) => each.org === org);
    if (!found) return [h("h1", { tabindex: "-1" }, "There is no such peer"), h("p", {}, link("/peers", "All peers"))];
    if (found.state === "pending") return [head(org, "waits to be approved"), approval(context, found)];
    return [
      head(org, [badge(found.state), found.state === "active" && linkState(found, now)], ...actions(context, found)),
      refusal(errors.change),
      found.bundle_refused &&
        notice("bad", "Its certificates are refused: nobody can connect as it", sentence(found.bundle_refused)),
      found.down.map((each) => notice("warn", `${each.address} was dialled in vain`, sentence(each.sentence))),
      section("Links", links(found, now)),
      section("What flows", flowing(overview, found)),
      section("What is in the way", doctor(context, found)),
      section(
        "Trust",
        facts([
          ["Reached at", found.addresses.join(", ") || "nowhere: it dials us"],
          [
            "Its bundle",
            `sequence ${found.bundle_sequence}, ${plural(found.certificates, "certificate")}`,
            h("span", { class: "prose" }, link("/certificates", "their ages")),
          ],
          ["Has our bundle", acknowledged(found, overview)],
          ["Paired", when(found.added_ms)],
          found.revoked_before_ms !== null && ["Leaves refused that began before", when(found.revoked_before_ms)],
          found.denied.length > 0 && ["Single leaves refused", count(found.denied.length)],
        ]),
      ),
    ];
  },
};

function actions(context, found) {
  const change = (verb, said) =>
    context.run("change", async () => {
      await api.post(api.path`/v1/peers/${found.org}/${verb}`);
      context.announce(`${found.org} is ${said}`);
    });
  const revoke = async () => {
    const yes = await confirm({
      title: `Revoke ${found.org}?`,
      action: "Revoke it for ever",
      text: [
        "Everything that runs with it ends at once. A revoked peering does not come back: you would pair anew under another domain.",
        "To stop for a while, suspend it instead.",
      ],
    });
    if (yes) await change("revoke", "revoked");
  };
  return [
    found.state === "active" && button("Suspend", () => change("suspend", "suspended")),
    found.state === "suspended" && button("Resume", () => change("resume", "active again"), "first"),
    found.state !== "revoked" && button("Revoke", revoke, "danger"),
  ].filter(Boolean);
}

function links(found, now) {
  if (found.links.length === 0) {
    const last = Math.max(0, ...Object.values(found.last_alive_ms));
    return empty("No link", last ? `The last one was open ${ago(last, now)}.` : "It has not connected yet.");
  }
  return table(
    `Links to ${found.org}`,
    [
      { name: "Gateway", of: (row) => row.gateway },
      { name: "Dialled by", of: (row) => (row.role === "dialler" ? "us" : "them") },
      { name: "Address", of: (row) => row.address },
      { name: "Open for", number: true, of: (row) => span((now - row.since_ms) / 1000) },
      { name: "Lanes to us", number: true, of: (row) => count(row.imports) },
      { name: "Lanes from us", number: true, of: (row) => count(row.exports) },
      { name: "Its certificate ends", of: (row) => (row.leaf_end_ms ? until(row.leaf_end_ms, now) : "–") },
      {
        name: "Clock",
        number: true,
        of: (row) =>
          row.clock_skew_ms === null
            ? "–"
            : Math.abs(row.clock_skew_ms) < 1000
              ? "in step"
              : `${row.clock_skew_ms > 0 ? "+" : "−"}${span(Math.abs(row.clock_skew_ms) / 1000)}`,
      },
      { name: "Version", of: (row) => row.version || "–" },
    ],
    found.links,
    (row) => `${row.gateway}:${row.address}:${row.role}`,
  );
}

function flowing(overview, found) {
  const list = flows(overview, found.org);
  if (list.length === 0) {
    return empty(
      "Nothing flows",
      "Grant it a share, or subscribe to one of its shares.",
      go("/shares", "Shares"),
      go(`/subscribe?peer=${encodeURIComponent(found.org)}`, "Subscribe", "first"),
    );
  }
  return table(
    `Flows with ${found.org}`,
    [
      { name: "What", of: (row) => link(row.to, row.name) },
      { name: "Way", of: (row) => (row.direction === "in" ? "to us" : "to them") },
      { name: "State", of: (row) => badge(row.state, row.kind) },
      { name: "Records", number: true, of: (row) => rate(row.rate) },
      { name: "Behind", number: true, of: (row) => count(row.behind) },
    ],
    list,
    (row) => row.key,
  );
}

function doctor(context, found) {
  const { local, busy, errors } = context;
  const ask = () =>
    context.run("doctor", async () => {
      local.hops = [];
      local.verdict = null;
      await api.lines(
        api.path`/v1/peers/${found.org}/doctor`,
        (value) => {
          if (value.event === "hop") local.hops.push(value);
          else local.verdict = value;
          context.redraw();
        },
        context.ended.signal,
      );
    });
  return [
    h(
      "div",
      { class: "actions" },
      button(busy.doctor ? "Looking …" : "Look from here to there", ask, "", { disabled: busy.doctor }),
      h("span", { class: "quiet" }, "Tries each step of the way: names, ports, TLS, certificates, protocol."),
    ),
    refusal(errors.doctor),
    local.hops?.length > 0 &&
      h(
        "ul",
        { class: "hops" },
        local.hops.map((hop, number) =>
          h(
            "li",
            { key: number },
            sign(hop.passed === null ? "idle" : hop.passed ? "ok" : "bad"),
            h(
              "div",
              {},
              h("b", {}, hop.hop),
              h("span", {}, hop.detail),
              hop.remedy && h("p", { class: "remedy" }, sentence(hop.remedy)),
            ),
          ),
        ),
      ),
    local.verdict && notice(local.verdict.ok ? "ok" : "bad", sentence(local.verdict.sentence)),
  ];
}

/** The comparison that makes a peer of who came of an invite. */
export function approval(context, found) {
  const { busy, errors } = context;
  const approve = (data) =>
    context.run("approve", async () => {
      await api.post(api.path`/v1/peers/${found.org}/approve`, { phrase: String(data.get("phrase")) });
      context.announce(`${found.org} is approved here`);
    });
  const reject = async () => {
    const yes = await confirm({
      title: `Forget ${found.org}?`,
      action: "Forget it",
      text: ["It is not trusted, and may be invited again."],
    });
    if (yes) {
      await context.run("approve", async () => {
        await api.post(api.path`/v1/peers/${found.org}/reject`);
        context.announce(`${found.org} is forgotten`);
      });
    }
  };
  if (found.approved) {
    return h(
      "div",
      { key: "approval" },
      notice(
        "busy",
        `You have approved ${found.org}`,
        "It is active as soon as its operator has approved you, too, and both gateways have met. Your words, for its operator:",
      ),
      h("p", { class: "phrase" }, found.phrase),
      h("div", { class: "actions" }, button("Forget it", reject, "danger")),
    );
  }
  return h(
    "div",
    { class: "approval", key: "approval" },
    h(
      "ol",
      { class: "steps" },
      h(
        "li",
        {},
        h(
          "p",
          {},
          "Call the operator of ",
          h("b", {}, found.org),
          " at a number that you know from elsewhere, not from the invite.",
        ),
      ),
      h(
        "li",
        {},
        h("p", {}, "Both of you see six words on this page. Read yours out:"),
        h("p", { class: "phrase", "aria-label": "Your six words" }, found.phrase),
      ),
      h(
        "li",
        {},
        h("p", {}, "Type the six that you hear. They are the same only if nobody stands between you."),
        form(
          {
            label: "Approve",
            action: "Approve",
            submit: approve,
            busy: busy.approve,
            error: errors.approve,
            extra: button("They differ: forget it", reject, "danger"),
          },
          field("The words of the other side", { name: "phrase", required: true }),
        ),
      ),
    ),
  );
}
