// What flows where: this organization in the middle, its partners beside it, a line for each share that flows.
//
// Partners we take from stand on the left, partners who take from us on the right, who does both where there is room.
// The cards are ordinary elements; the lines are drawn between them after each layout.

import { h, patch, s } from "./dom.js";
import { ago, count, lanesState, plural, rate, span, tone } from "./format.js";
import { badge, empty, go, head, link, section, sentence, sign, table } from "./parts.js";
import { troubles } from "./trouble.js";

export default {
  title: () => "Map",
  view({ state }) {
    const { overview, now } = state;
    const found = troubles(overview);
    return [
      head(
        "What flows where",
        summary(overview),
        go("/pair", "Pair with a partner"),
        go("/subscribe", "Subscribe", "first"),
      ),
      attention(found),
      overview.peers.length === 0 ? begin(overview) : picture(overview, now),
      overview.peers.length > 0 && section("The same as a table", flowTable(overview)),
    ];
  },
  after: (context, main) => drawLines(main),
};

function summary(overview) {
  const flowing = overview.subscriptions.filter((each) => lanesState(each) === "running").length;
  const linked = overview.peers.filter((each) => each.links.length > 0).length;
  return (
    `${plural(linked, "partner")} linked, ${plural(flowing, "subscription")} in step, ` +
    `${plural(overview.exports.length, "share")} being read.`
  );
}

function attention(found) {
  if (found.length === 0) return null;
  return h(
    "section",
    { class: "attention", key: "attention", "aria-label": "What needs you" },
    h(
      "ul",
      {},
      found
        .slice(0, 8)
        .map((each) =>
          h(
            "li",
            {},
            sign(each.kind),
            h(
              "div",
              {},
              each.to ? link(each.to, each.title) : h("strong", {}, each.title),
              each.text && h("p", {}, sentence(each.text)),
              each.remedy && h("p", { class: "remedy" }, sentence(each.remedy)),
            ),
          ),
        ),
    ),
    found.length > 8 && h("p", {}, `and ${found.length - 8} more`),
  );
}

/** The first steps, done ones ticked. */
function begin(overview) {
  const steps = [
    ["Pair with a partner", "Make an invite, or accept one that you were sent.", "/pair", false],
    [
      "Share a topic",
      "A share is a named set of topics; nobody sees it without a grant.",
      "/shares/new",
      overview.shares.length > 0,
    ],
    [
      "Subscribe to what a partner shares",
      "Its topics are mirrored into your own cluster, exactly.",
      "/subscribe",
      overview.subscriptions.length > 0,
    ],
  ];
  return h(
    "section",
    { class: "begin", key: "begin", "aria-label": "First steps" },
    h("p", { class: "title" }, `${overview.organization} has no partners yet`),
    h(
      "ol",
      {},
      steps.map(([name, text, to, done]) =>
        h("li", { class: done ? "done" : null }, h("div", {}, link(to, name), h("p", {}, done ? "Done." : text))),
      ),
    ),
  );
}

/** What flows between us and a peer: {key, direction, name, kind, state, text, to, rate}. */
export function flows(overview, org) {
  const taken = overview.subscriptions
    .filter((each) => each.peer === org)
    .map((each) => {
      const word = lanesState(each);
      return {
        key: `in:${each.name}`,
        direction: "in",
        name: each.name,
        kind: tone(word),
        state: word,
        to: `/subscriptions/${encodeURIComponent(each.name)}`,
        rate: each.records_per_s,
        behind: each.lag_records,
        lanes: each.lanes,
        lag_s: each.lag_s,
      };
    });
  const given = overview.grants
    .filter((each) => each.peer === org && each.state === "active")
    .map((grant) => {
      const read = overview.exports.find((each) => each.peer === org && each.share === grant.share);
      const word = !grant.allowed ? "not in force" : read ? "read" : "not read";
      return {
        key: `out:${grant.share}`,
        direction: "out",
        name: grant.share,
        kind: read && grant.allowed ? "ok" : "idle",
        state: word,
        to: `/share/${encodeURIComponent(grant.share)}`,
        rate: read?.records_per_s ?? null,
        behind: read?.behind ?? null,
        lanes: read?.lanes ?? 0,
        lag_s: null,
      };
    });
  return [...taken, ...given];
}

export function linkState(peer, now) {
  if (peer.state !== "active") return badge(peer.state);
  if (peer.bundle_refused) return badge("certificates refused", "bad");
  if (peer.links.length > 0) return badge("linked", "ok");
  const last = Math.max(0, ...Object.values(peer.last_alive_ms));
  return badge(last ? `no link, last ${ago(last, now)}` : "no link yet", "warn");
}

function picture(overview, now) {
  const cards = overview.peers.map((peer) => ({ peer, flows: flows(overview, peer.org) }));
  const sides = { left: [], right: [] };
  const rows = (side) => sides[side].reduce((sum, each) => sum + 2 + each.flows.length, 0);
  for (const card of cards) {
    const [taken, given] = ["in", "out"].map((way) => card.flows.some((each) => each.direction === way));
    const side =
      taken && !given ? "left" : given && !taken ? "right" : rows("left") <= rows("right") ? "left" : "right";
    sides[side].push(card);
  }
  return h(
    "section",
    { class: "map", key: "map", "aria-label": "Map of organizations" },
    s("svg", { class: "lines", own: true, "aria-hidden": "true", key: "lines" }),
    h(
      "div",
      { class: "side left" },
      sides.left.map((card) => partner(card, "left", now)),
    ),
    h(
      "div",
      { class: "own" },
      h("h2", {}, overview.organization),
      h("p", { class: "quiet" }, overview.gateway),
      h("p", { class: "quiet" }, plural(overview.shares.length, "share")),
      h("p", { class: "quiet" }, plural(overview.subscriptions.length, "subscription")),
    ),
    h(
      "div",
      { class: "side right" },
      sides.right.map((card) => partner(card, "right", now)),
    ),
  );
}

const partner = ({ peer, flows }, side, now) =>
  h(
    "article",
    { class: "partner", key: peer.org, "data-side": side, "data-linked": peer.links.length > 0 },
    h("header", {}, h("h3", {}, link(`/peers/${encodeURIComponent(peer.org)}`, peer.org)), linkState(peer, now)),
    flows.length === 0
      ? h("p", { class: "quiet nothing", "data-flow": "none" }, "nothing flows")
      : h(
          "ul",
          {},
          flows.map((each) =>
            h(
              "li",
              { key: each.key, "data-flow": each.direction, "data-kind": each.kind, "data-moves": each.rate > 0 },
              link(
                each.to,
                sign(each.kind),
                h("span", { class: "name" }, each.name),
                h(
                  "span",
                  { class: "visually-hidden" },
                  each.direction === "in" ? " from them to us, " : " from us to them, ",
                  each.state,
                  ", ",
                ),
                h(
                  "span",
                  { class: "numbers" },
                  each.kind === "ok" && each.rate !== null ? rate(each.rate) : each.state,
                  lagOf(each),
                ),
              ),
            ),
          ),
        ),
  );

const lagOf = (flow) =>
  flow.behind > 0
    ? h("small", {}, `${count(flow.behind)} behind`)
    : flow.behind === 0 && flow.kind === "ok"
      ? h("small", {}, "in step")
      : null;

/** From each row to the middle: away from the source, an arrow at the destination. */
function drawLines(main) {
  const map = main.querySelector(".map");
  if (!map) return;
  const box = map.getBoundingClientRect();
  const own = map.querySelector(".own").getBoundingClientRect();
  const drawing = map.querySelector(".lines");
  drawing.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
  const narrow = getComputedStyle(map).getPropertyValue("--lines").trim() === "none";
  const made = [];
  for (const side of narrow ? [] : ["left", "right"]) {
    const rows = [...map.querySelectorAll(`[data-side=${side}] [data-flow]`)];
    rows.forEach((row, number) => {
      const at = row.getBoundingClientRect();
      const start = { x: (side === "left" ? at.right : at.left) - box.left, y: at.top + at.height / 2 - box.top };
      const room = Math.min(own.height - 24, rows.length * 22);
      const end = {
        x: (side === "left" ? own.left : own.right) - box.left,
        y: own.top - box.top + own.height / 2 - room / 2 + (room * (number + 0.5)) / rows.length,
      };
      made.push(line(start, end, row.dataset, row.closest("article").dataset.linked === "true"));
    });
  }
  patch(drawing, made.flat());
}

function line(start, end, { flow, kind, moves }, linked) {
  if (flow === "none") return [s("path", { class: `line none ${linked ? "" : "cut"}`, d: curve(start, end) })];
  const [from, to] = flow === "in" ? [start, end] : [end, start];
  const way = to.x > from.x ? 1 : -1;
  const tip = { x: to.x - way * 7, y: to.y };
  return [
    s("path", { class: `line ${kind}`, d: curve(from, tip) }),
    moves === "true" && s("path", { class: `line ${kind} moves`, d: curve(from, tip) }),
    s("path", { class: `tip ${kind}`, d: `M${to.x - way} ${to.y}l${-way * 8} -4.5v9Z` }),
  ].filter(Boolean);
}

function curve(from, to) {
  const half = (from.x + to.x) / 2;
  return `M${from.x.toFixed(1)} ${from.y.toFixed(1)}C${half.toFixed(1)} ${from.y.toFixed(1)} ${half.toFixed(1)} ${to.y.toFixed(1)} ${to.x.toFixed(1)} ${to.y.toFixed(1)}`;
}

function flowTable(overview) {
  const rows = overview.peers.flatMap((peer) => flows(overview, peer.org).map((flow) => ({ ...flow, org: peer.org })));
  if (rows.length === 0) {
    return empty(
      "Nothing flows yet",
      "Grant a share to a partner, or subscribe to what a partner grants you.",
      go("/shares", "Shares"),
      go("/subscribe", "Subscribe", "first"),
    );
  }
  return table(
    "What flows",
    [
      { name: "From", of: (row) => (row.direction === "in" ? row.org : overview.organization) },
      { name: "To", of: (row) => (row.direction === "in" ? overview.organization : row.org) },
      { name: "What", of: (row) => link(row.to, row.name) },
      { name: "State", of: (row) => badge(row.state, row.kind) },
      { name: "Lanes", number: true, of: (row) => count(row.lanes) },
      { name: "Records", number: true, of: (row) => rate(row.rate) },
      { name: "Behind", number: true, of: (row) => count(row.behind) },
      { name: "Lag", number: true, of: (row) => span(row.lag_s) },
    ],
    rows,
    (row) => `${row.org}:${row.key}`,
  );
}
