// Pairing: making an invite, or accepting one; then the six words are compared on the peer's page.

import * as api from "./api.js";
import { h } from "./dom.js";
import { until, when } from "./format.js";
import { approval } from "./peers.js";
import {
  asTexts,
  badge,
  button,
  check,
  copyable,
  field,
  form,
  head,
  link,
  notice,
  refusal,
  save,
  section,
  sentence,
  table,
} from "./parts.js";

export default {
  title: () => "Pair with a partner",
  open: (context) => {
    context.local.way = context.query.get("way") === "accept" ? "accept" : "invite";
  },
  view(context) {
    const {
      local,
      state: { overview },
    } = context;
    const way = local.way ?? "invite";
    const choose = (each) => () => {
      local.way = each;
      context.redraw();
    };
    const pending = overview.peers.filter((each) => each.state === "pending");
    return [
      head("Pair with a partner", "One side invites, the other accepts; then both compare six words, and are peers."),
      pending.map((each) => section(`${each.org} waits`, approval(context, each))),
      h(
        "div",
        { class: "choice wide", role: "group", "aria-label": "Who invites", key: "ways" },
        h(
          "button",
          { type: "button", "aria-pressed": String(way === "invite"), onclick: choose("invite") },
          "I invite",
        ),
        h(
          "button",
          { type: "button", "aria-pressed": String(way === "accept"), onclick: choose("accept") },
          "I was invited",
        ),
      ),
      way === "invite" ? (local.made ? made(context) : inviting(context)) : accepting(context),
      section("Invites that we made", invites(context)),
    ];
  },
};

function inviting(context) {
  const { busy, errors } = context;
  const invite = (data) =>
    context.run("invite", async () => {
      context.local.made = await api.post("/v1/invites", {
        expect_domain: String(data.get("domain")).trim(),
        name: String(data.get("note")),
        ttl_s: Number(data.get("ttl")),
        addresses: asTexts(data.get("addresses")),
        enrolment_addresses: asTexts(data.get("enrolment")),
        allow_private: data.get("private") === null ? "no" : "yes",
      });
    });
  return h(
    "div",
    { key: "inviting" },
    form(
      { label: "Invite a partner", action: "Make the invite", submit: invite, busy: busy.invite, error: errors.invite },
      field(
        "The partner's domain",
        { name: "domain", required: true, placeholder: "globex.example" },
        "The invite is good for this organization and no other.",
      ),
      field("Good for", {
        kind: "select",
        name: "ttl",
        value: "86400",
        options: [
          ["3600", "an hour"],
          ["86400", "a day"],
          ["604800", "a week"],
        ],
      }),
      h(
        "details",
        { class: "more", key: "more" },
        h("summary", {}, "More"),
        field("A note of your own", { name: "note", maxlength: "80" }),
        field(
          "Addresses by which the partner reaches us",
          { name: "addresses", placeholder: "mesh.acme.example:7463" },
          "Empty: those of the configuration.",
        ),
        field(
          "Addresses at which it redeems the invite",
          { name: "enrolment", placeholder: "mesh.acme.example:7464" },
          "Empty: the enrolment listener.",
        ),
        check(
          "The partner's addresses may be private",
          { name: "private" },
          "Both gateways in one network, or on one machine.",
        ),
      ),
    ),
  );
}

function made(context) {
  const { made: invite } = context.local;
  const away = () => {
    context.local.made = null;
    context.redraw();
  };
  return h(
    "div",
    { class: "handout", key: "made" },
    notice("ok", `The invite for ${invite.expect_domain} is made`, "Its words are shown this once: they are not kept."),
    h(
      "ol",
      { class: "steps" },
      h(
        "li",
        {},
        h("p", {}, "Send the file to the partner, by mail or chat."),
        copyable(invite.file, "the invite"),
        button("Save as a file", () => save(`${invite.expect_domain}.invite.json`, invite.file), "small"),
      ),
      h(
        "li",
        {},
        h("p", {}, "Tell the words another way, by telephone for instance."),
        copyable(invite.words, "the words", { code: false }),
      ),
      h(
        "li",
        {},
        h("p", {}, "When the partner has accepted, it appears on this page, and you compare six other words."),
      ),
    ),
    invite.advice && notice("warn", sentence(invite.advice)),
    h("div", { class: "actions" }, button("Done", away, "first")),
  );
}

function accepting(context) {
  const { busy, errors } = context;
  const accept = (data) =>
    context.run("accept", async () => {
      const peer = await api.post("/v1/invites/accept", {
        file: String(data.get("file")),
        words: String(data.get("words")),
        addresses: asTexts(data.get("addresses")),
        allow_private: data.get("private") === null ? "no" : "yes",
      });
      context.announce(`${peer.org} is found; compare the words now`);
      context.go(`/peers/${encodeURIComponent(peer.org)}`);
    });
  return h(
    "div",
    { key: "accepting" },
    form(
      { label: "Accept an invite", action: "Accept", submit: accept, busy: busy.accept, error: errors.accept },
      field(
        "The invite",
        { kind: "textarea", name: "file", rows: "7", required: true, placeholder: "{ … }" },
        "Paste the content of the file that you were sent.",
      ),
      field(
        "Its six words",
        { name: "words", required: true },
        "As the partner told you. They are sent to your own gateway only.",
      ),
      h(
        "details",
        { class: "more", key: "more" },
        h("summary", {}, "More"),
        field("Addresses by which the partner reaches us", { name: "addresses" }, "Empty: those of the configuration."),
        check(
          "The partner's addresses may be private",
          { name: "private" },
          "Both gateways in one network, or on one machine.",
        ),
      ),
    ),
  );
}

function invites(context) {
  const {
    state: { overview, now },
    errors,
  } = context;
  if (overview.invites.length === 0) return h("p", { class: "quiet" }, "None yet.");
  const withdraw = (invite) =>
    context.run("withdraw", async () => {
      await api.post(api.path`/v1/invites/${invite.id}/withdraw`);
      context.announce(`the invite for ${invite.expect_domain} is withdrawn`);
    });
  return [
    refusal(errors.withdraw),
    table(
      "Invites",
      [
        {
          name: "For",
          of: (row) =>
            overview.peers.some((each) => each.org === row.expect_domain)
              ? link(`/peers/${encodeURIComponent(row.expect_domain)}`, row.expect_domain)
              : row.expect_domain,
        },
        { name: "State", of: (row) => badge(row.state) },
        { name: "Made", of: (row) => when(row.created_ms) },
        { name: "Ends", of: (row) => (row.state === "open" ? until(row.expires_ms, now) : "–") },
        { name: "Wrong words", number: true, of: (row) => String(row.strikes) },
        { name: "Note", of: (row) => row.name || "–" },
        {
          name: "",
          of: (row) =>
            row.state === "open" &&
            button("Withdraw", () => withdraw(row), "small", {
              "aria-label": `Withdraw the invite for ${row.expect_domain}`,
            }),
        },
      ],
      overview.invites,
      (row) => row.id,
    ),
  ];
}
