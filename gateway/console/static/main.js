// The frame: who is logged in, where in the console we are, and the page of it.
//
// A page is {title(context), view(context) -> nodes, live?(context) -> subscription, open?(context), after?(context)}.
// `view` is asked again after each event and each change, and the difference is put into the document; what a page
// remembers while it is open stands in `context.local`.

import * as api from "./api.js";
import { h, patch } from "./dom.js";
import { enter, givenCode, showLogin } from "./login.js";
import { badge, link, notice, sentence } from "./parts.js";
import { follow, listen, state } from "./store.js";
import audit from "./audit.js";
import certificates from "./certificates.js";
import map from "./map.js";
import pair from "./pair.js";
import { peer, peers } from "./peers.js";
import { newShare, share, shares } from "./shares.js";
import subscribe from "./subscribe.js";
import { subscription, subscriptions } from "./subscriptions.js";
import { topic, topics } from "./topics.js";
import translate from "./translate.js";

const PAGES = [
  [/^\/map$/, map],
  [/^\/subscriptions$/, subscriptions],
  [/^\/subscribe$/, subscribe],
  [/^\/subscriptions\/([^/]+)$/, subscription],
  [/^\/shares$/, shares],
  [/^\/shares\/new$/, newShare],
  [/^\/share\/([^/]+)$/, share],
  [/^\/peers$/, peers],
  [/^\/peers\/([^/]+)$/, peer],
  [/^\/pair$/, pair],
  [/^\/certificates$/, certificates],
  [/^\/translate$/, translate],
  [/^\/audit$/, audit],
  [/^\/topics$/, topics],
  [/^\/topics\/([^/]+)$/, topic],
];
const MENU = [
  [
    "What flows",
    [
      ["/map", "Map"],
      ["/subscriptions", "Subscriptions"],
      ["/shares", "Shares"],
      ["/topics", "Topics"],
    ],
  ],
  [
    "With whom",
    [
      ["/peers", "Peers"],
      ["/pair", "Pair"],
      ["/certificates", "Certificates"],
    ],
  ],
  [
    "Look up",
    [
      ["/translate", "Offsets"],
      ["/audit", "Audit"],
    ],
  ],
];

let context = null;
let waiting = false;
const shell = { root: null, main: null, said: null };

function place() {
  const [path, query = ""] = (location.hash.slice(1) || "/map").split("?");
  for (const [pattern, page] of PAGES) {
    const found = pattern.exec(path);
    if (found)
      return { page, path, parameters: found.slice(1).map(decodeURIComponent), query: new URLSearchParams(query) };
  }
  return { page: missing, path, parameters: [], query: new URLSearchParams(query) };
}

const missing = {
  title: () => "Not here",
  view: () => [h("h1", { tabindex: "-1" }, "There is no such page"), h("p", {}, link("/map", "Go to the map"))],
};

function visit() {
  context?.ended.abort();
  const at = place();
  context = {
    ...at,
    state,
    local: {},
    busy: {},
    errors: {},
    ended: new AbortController(),
    redraw,
    run,
    announce,
    go: (to) => {
      location.hash = to;
    },
  };
  follow(at.page.live?.(context) ?? "");
  draw();
  document.title = `${at.page.title(context)} · ${state.overview?.organization ?? "Stream Mesh"}`;
  scrollTo(0, 0);
  shell.main.querySelector("h1")?.focus({ preventScroll: true });
  at.page.open?.(context);
}

/** Draws again, once for all that changes in one frame. */
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (context !== null) draw();
  });
}

/** Carries out what was clicked: one at a time by `name`, its refusal kept for the page to show. */
async function run(name, work) {
  const own = context;
  own.busy[name] = true;
  delete own.errors[name];
  redraw();
  try {
    return await work();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    if (!(error instanceof api.Refusal)) console.error(error);
    own.errors[name] = error;
    if (own === context)
      requestAnimationFrame(() => shell.main.querySelector("[role=alert]")?.scrollIntoView({ block: "nearest" }));
    return undefined;
  } finally {
    delete own.busy[name];
    redraw();
  }
}

/** Says what was done, to be seen for a while and to be heard. */
function announce(text) {
  patch(shell.said, [h("p", { class: "toast" }, text)]);
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => patch(shell.said, []), 6000);
}

function draw() {
  const overview = state.overview;
  patch(shell.root, [
    h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to the page"),
    h("header", { class: "top" }, identity(overview), h("div", { class: "pulse" }, pulse(), logoutButton())),
    h(
      "nav",
      { class: "menu", "aria-label": "Console" },
      MENU.map(([title, entries]) => [
        h("p", { class: "group", key: `group:${title}` }, title),
        h(
          "ul",
          { key: `list:${title}` },
          entries.map(([to, name]) => h("li", {}, entry(to, name, overview))),
        ),
      ]),
    ),
    h("main", { id: "main", own: true, key: "main" }),
    h("div", { class: "sayings", role: "status", own: true, key: "said" }),
  ]);
  shell.main = shell.root.querySelector("main");
  shell.said = shell.root.querySelector(".sayings");
  const loading = overview === null && !context.page.alone;
  patch(shell.main, [
    !state.live && state.failure && notice("warn", sentence(state.failure.sentence), sentence(state.failure.remedy)),
    ...(loading
      ? [h("p", { class: "loading", key: "loading" }, "Asking the gateway …")]
      : [context.page.view(context)].flat(2)),
  ]);
  if (!loading) {
    context.page.after?.(context, shell.main);
    if (!context.focused) {
      context.focused = true;
      shell.main.querySelector("h1")?.focus({ preventScroll: true });
      document.title = `${context.page.title(context)} · ${overview?.organization ?? "Stream Mesh"}`;
    }
  }
}

function skip(event) {
  event.preventDefault();
  shell.main.querySelector("h1")?.focus();
}

const identity = (overview) =>
  h(
    "p",
    { class: "identity" },
    h("span", { class: "mark", "aria-hidden": "true" }),
    h("strong", {}, overview?.organization ?? "…"),
    overview &&
      h(
        "span",
        { class: "quiet" },
        `${overview.gateway}, ${overview.cluster === "kafka" ? "Apache Kafka" : "embedded log"}`,
      ),
  );

function pulse() {
  if (!state.live) return badge("not live", "warn");
  const failed = state.overview?.checks.filter((each) => !each.ok) ?? [];
  return failed.length > 0 ? badge(`not ready: ${failed[0].name}`, "bad") : badge("live", "ok");
}

const logoutButton = () =>
  h(
    "button",
    {
      type: "button",
      class: "button small",
      onclick: async () => {
        await api.logout().catch(() => {});
        leave();
      },
    },
    "Log out",
  );

function entry(to, name, overview) {
  const here =
    context.path === to ||
    context.path.startsWith(`${to}/`) ||
    (to === "/shares" && context.path.startsWith("/share/")) ||
    (to === "/subscriptions" && context.path === "/subscribe");
  const number = overview?.[{ "/subscriptions": "subscriptions", "/shares": "shares", "/peers": "peers" }[to]];
  const pending =
    to === "/peers" ? overview?.peers.filter((each) => each.state === "pending" && !each.approved).length : 0;
  return h(
    "a",
    { href: `#${to}`, "aria-current": here ? "page" : null },
    name,
    pending > 0
      ? h("span", { class: "count warn" }, `${pending} to approve`)
      : number?.length > 0 && h("span", { class: "count" }, number.length),
  );
}

/** Back to the login, with the reason. */
function leave(error = null) {
  context?.ended.abort();
  context = null;
  showLogin(start, error);
}

function start() {
  shell.root = h("div", { class: "shell", key: "shell" });
  patch(document.body, [shell.root]);
  patch(shell.root, [h("main", { id: "main", own: true, key: "main" })]);
  shell.main = shell.root.querySelector("main");
  visit();
}

listen(() => {
  if (context !== null) redraw();
});
addEventListener("hashchange", () => {
  const code = givenCode();
  if (code) void enter(start, { code });
  else if (context !== null) visit();
});
addEventListener("resize", () => {
  if (context !== null) redraw();
});
addEventListener("mesh-logged-out", () => {
  if (context !== null)
    leave({
      sentence: "the session has ended",
      remedy: "log in again; it ends with the gateway's process, with the token, and after twelve hours",
    });
});

const code = givenCode();
if (code) void enter(start, { code });
else if (api.hasKey()) start();
else leave();
