// Whose certificates end when, and who holds ours: what a rotation of the CA waits for.

import * as api from "./api.js";
import { h } from "./dom.js";
import { ago, when } from "./format.js";
import { badge, button, confirm, facts, head, life, link, notice, refusal, section, sentence, table } from "./parts.js";
import { acknowledged } from "./peers.js";

export default {
  title: () => "Certificates",
  open: (context) => {
    const again = () => {
      if (context.ended.signal.aborted) return;
      void load(context);
      setTimeout(again, 10_000);
    };
    again();
  },
  view(context) {
    const {
      state: { overview, now },
      errors,
    } = context;
    const own = overview.certificates;
    if (!own) return [head("Whose certificates end when"), notice("warn", "This gateway keeps no certificates")];
    return [
      head(
        "Whose certificates end when",
        "Leaves are renewed by themselves. The CA is rotated when you say so, and peers take the new one first.",
        ...actions(context, own),
      ),
      refusal(errors.rotate),
      refusal(errors.load),
      own.warnings.map((each) => notice("warn", sentence(each))),
      own.leaf.fault && notice("bad", "The newest certificate files are not used", sentence(own.leaf.fault)),
      section(
        "Our own",
        table(
          "Our certificates",
          [
            { name: "Certificate", of: (row) => row.subject },
            { name: "Kind", of: (row) => row.kind },
            {
              name: "Life",
              wide: true,
              of: (row) => (row.begin ? life(row.begin, row.end, now) : `until ${row.end.slice(0, 10)}`),
            },
            { name: "Renewed", of: (row) => row.renewed },
          ],
          ours(own),
          (row) => `${row.kind}:${row.subject}:${row.end}`,
        ),
      ),
      own.rotation && section("Rotation of the CA", rotation(own.rotation)),
      section("Who has our bundle", holders(context, own)),
      section("Our partners'", partners(context)),
    ];
  },
};

async function load(context) {
  await context.run("load", async () => {
    context.local.peers = (await api.get("/v1/peer-certificates", context.ended.signal)).peers;
  });
}

const ours = (own) => [
  {
    subject: own.gateway,
    kind: "this gateway",
    begin: own.leaf.begin,
    end: own.leaf.end,
    renewed: own.leaf.renewal ? `by itself, ${own.leaf.renewal.slice(0, 10)}` : "elsewhere: the CA key is not here",
  },
  ...own.bundle.roots.map((root) => ({
    subject: root.subject,
    kind: "our CA",
    begin: root.begin,
    end: root.end,
    renewed: "by a rotation",
  })),
];

function actions(context, own) {
  const rotate = async () => {
    const yes = await confirm({
      title: "Begin a rotation of the CA?",
      action: "Begin",
      kind: "first",
      text: [
        "A new CA is made and sent to every peer. The gateway issues from it only when each of them has acknowledged it, or you leave some behind.",
        "Nothing stops meanwhile.",
      ],
    });
    if (yes)
      await context.run("rotate", async () => {
        await api.post("/v1/certificates/rotation");
        context.announce("the rotation has begun");
      });
  };
  const renew = () =>
    context.run("rotate", async () => {
      await api.post("/v1/certificates/rotate-leaf");
      context.announce("the gateway shows a new certificate");
    });
  const under = own.rotation && own.rotation.phase !== "done";
  return [button("Renew the gateway's", renew), !under && button("Rotate the CA", rotate)].filter(Boolean);
}

const rotation = (found) => [
  facts([
    ["Phase", badge(found.phase, found.phase === "done" ? "ok" : "busy"), found.emergency && "an emergency"],
    ["Next", sentence(found.next.replaceAll("-", " ")), sentence(found.why)],
    found.lagging.length > 0 && ["Waits for", found.lagging.join(", ")],
    found.due && ["Due", when(Date.parse(found.due))],
    found.left.length > 0 && ["Left behind", found.left.join(", ")],
    ["Deadline", found.deadline && when(Date.parse(found.deadline))],
  ]),
];

function holders(context, own) {
  const {
    state: { overview },
  } = context;
  const active = overview.peers.filter((each) => each.state === "active");
  if (active.length === 0) return h("p", { class: "quiet" }, "There is no active peer.");
  const why = Object.fromEntries(own.peers.map((each) => [each.peer, each.refusal]));
  return [
    h(
      "p",
      { class: "quiet" },
      `Our bundle is number ${own.bundle.sequence}. A peer that has acknowledged it holds it durably.`,
    ),
    table(
      "Who has our bundle",
      [
        { name: "Peer", of: (row) => link(`/peers/${encodeURIComponent(row.org)}`, row.org) },
        { name: "Acknowledged", of: (row) => acknowledged(row, overview) },
        { name: "", wide: true, of: (row) => sentence(why[row.org]) },
      ],
      active,
      (row) => row.org,
    ),
  ];
}

function partners(context) {
  const {
    local,
    state: { now },
  } = context;
  if (local.peers === undefined) return h("p", { class: "loading" }, "Asking the gateway …");
  const rows = local.peers.flatMap((peer) => [
    ...peer.leaves.map((each) => ({ ...each, org: peer.org, kind: each.refused ? "gateway, refused" : "gateway" })),
    ...peer.roots.map((each) => ({ ...each, org: peer.org, kind: `CA, bundle ${peer.bundle_sequence}` })),
  ]);
  if (rows.length === 0) return h("p", { class: "quiet" }, "There are no peers.");
  return table(
    "Certificates of partners",
    [
      { name: "Peer", of: (row) => link(`/peers/${encodeURIComponent(row.org)}`, row.org) },
      { name: "Kind", of: (row) => (row.refused ? badge(row.kind, "bad") : row.kind) },
      {
        name: "Certificate",
        wide: true,
        of: (row) => [row.subject, row.refused && h("small", { class: "why" }, sentence(row.refused))],
      },
      { name: "Life", wide: true, of: (row) => life(row.begin, row.end, now) },
      { name: "Seen", of: (row) => (row.at_ms ? ago(row.at_ms, now) : "–") },
    ],
    rows,
    (row) => `${row.org}:${row.kind}:${row.subject}:${row.end}`,
  );
}
