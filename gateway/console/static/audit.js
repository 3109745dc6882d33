// Who did what, and when: the newest first, older ones on demand.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, when } from "./format.js";
import { badge, button, empty, head, notice, refusal, table } from "./parts.js";

const KINDS = [
  "",
  "gateway",
  "peer",
  "invite",
  "share",
  "grant",
  "subscription",
  "leaf",
  "bundle",
  "rotation",
  "group",
  "console",
  "audit",
];
const PAGE = 100;

export default {
  title: () => "Audit",
  open: (context) => load(context),
  view(context) {
    const {
      local,
      busy,
      errors,
      state: { overview },
    } = context;
    if (local.end !== undefined && overview.audit_end !== local.end && !local.loading) void load(context);
    const choose = (event) => {
      local.action = event.target.value;
      void load(context);
    };
    const verify = () =>
      context.run("verify", async () => {
        local.verdict = await api.get("/v1/audit/verify", context.ended.signal);
      });
    return [
      head(
        "Who did what",
        "Each entry carries the hash of the one before it; the gateway signs the end. What is done here, by the command or by a partner, is all in it.",
        button(busy.verify ? "Checking …" : "Check the chain", verify, "", { disabled: busy.verify }),
      ),
      refusal(errors.verify),
      local.verdict &&
        notice(
          "ok",
          `The log is whole: ${count(local.verdict.entries)} entries`,
          local.verdict.signer
            ? `${count(local.verdict.signed)} of them are signed, the last time by ${local.verdict.signer}, ${when(local.verdict.signed_ms)}.`
            : "None of them is signed yet.",
        ),
      h(
        "div",
        { class: "bar", key: "filter" },
        h(
          "div",
          { class: "field inline" },
          h("label", { for: "audit-kind" }, "Show"),
          h(
            "select",
            { id: "audit-kind", onchange: choose },
            KINDS.map((each) => h("option", { value: each, key: each }, each || "everything")),
          ),
        ),
      ),
      refusal(errors.load),
      local.entries === undefined
        ? h("p", { class: "loading" }, "Asking the gateway …")
        : local.entries.length === 0
          ? empty("No such entry", "Choose another kind above.")
          : entries(local.entries),
      local.next
        ? h(
            "div",
            { class: "actions" },
            button("Show older ones", () => more(context), "", { disabled: busy.more }),
          )
        : null,
    ];
  },
};

const ask = (context, values) =>
  api.get(`/v1/audit/tail${api.query({ limit: PAGE, action: context.local.action, ...values })}`, context.ended.signal);

async function load(context) {
  const { local } = context;
  local.loading = true;
  await context.run("load", async () => {
    const end = context.state.overview?.audit_end;
    const found = await ask(context, {});
    Object.assign(local, { entries: found.entries, next: found.next, end: end ?? found.entries[0]?.index + 1 });
  });
  local.loading = false;
  if (context.errors.load) local.end = context.state.overview?.audit_end; // not again before something is new
}

const more = (context) =>
  context.run("more", async () => {
    const { local } = context;
    const found = await ask(context, { before: local.next });
    Object.assign(local, { entries: [...local.entries, ...found.entries], next: found.next });
  });

const entries = (list) =>
  table(
    "Audit log",
    [
      { name: "Time", of: (row) => h("time", { datetime: new Date(row.time_ms).toISOString() }, when(row.time_ms)) },
      { name: "Who", of: (row) => row.actor },
      {
        name: "What",
        of: (row) => [h("b", {}, row.action), row.outcome !== "done" && h("small", {}, badge(row.outcome, "bad"))],
      },
      { name: "On", wide: true, of: (row) => row.object },
      {
        name: "Details",
        wide: true,
        of: (row) =>
          h(
            "span",
            { class: "details" },
            Object.entries(row.details).map(([name, value]) => h("span", { key: name }, h("i", {}, name), " ", value)),
          ),
      },
      { name: "Entry", number: true, of: (row) => count(row.index) },
    ],
    list,
    (row) => String(row.index),
  );
