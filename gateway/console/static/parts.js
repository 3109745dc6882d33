// The parts that pages are made of.

import { h, s } from "./dom.js";
import { span, tone, until } from "./format.js";

const SHAPES = {
  ok: [["circle", { cx: 6, cy: 6, r: 4.2 }]],
  busy: [
    ["circle", { cx: 6, cy: 6, r: 3.6, class: "ring" }],
    ["path", { d: "M6 2.4a3.6 3.6 0 0 1 3.6 3.6", class: "arc" }],
  ],
  warn: [["path", { d: "M6 1.6 11 10.4H1Z" }]],
  bad: [["path", { d: "M2.4 2.4l7.2 7.2M9.6 2.4l-7.2 7.2", class: "cross" }]],
  idle: [["circle", { cx: 6, cy: 6, r: 3.6, class: "ring" }]],
};

/** The sign of a tone: its shape says what its colour says. */
export const sign = (kind) =>
  s(
    "svg",
    { class: `sign ${kind}`, viewBox: "0 0 12 12", "aria-hidden": "true" },
    SHAPES[kind].map(([name, properties]) => s(name, properties)),
  );

/** A state in a word. */
export const badge = (state, kind = tone(state)) => h("span", { class: `badge ${kind}` }, sign(kind), state);

/** The head of a page: what it answers, then what it is about. */
export const head = (title, about, ...actions) =>
  h(
    "header",
    { class: "head" },
    h("div", {}, h("h1", { tabindex: "-1" }, title), about && h("p", { class: "about" }, about)),
    actions.length > 0 && h("div", { class: "actions" }, actions),
  );

export const section = (title, ...children) =>
  h("section", { class: "section", key: `section:${title}` }, h("h2", {}, title), children);

/** Facts by name; null ones are left out. */
export const facts = (pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs
      .filter((pair) => pair && pair[1] !== null && pair[1] !== undefined)
      .map(([name, value, note]) => h("div", {}, h("dt", {}, name), h("dd", {}, value, note && h("small", {}, note)))),
  );

/** Numbers that one looks at first. */
export const figures = (list) =>
  h(
    "dl",
    { class: "figures" },
    list
      .filter(Boolean)
      .map(([name, value, note, kind]) =>
        h(
          "div",
          { class: kind ?? null },
          h("dt", {}, name),
          h("dd", {}, value),
          note && h("dd", { class: "note" }, note),
        ),
      ),
  );

/**
 * A table. `columns` are {name, of: row -> node, number?: true, wide?: true}; `title` says what it holds, to those who
 * do not see it.
 */
export function table(title, columns, rows, keyOf) {
  return h(
    "div",
    { class: "table", role: "region", "aria-label": title, tabindex: "0" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) => h("th", { scope: "col", class: column.number ? "number" : null }, column.name)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            { key: keyOf(row), class: row.tone ?? null },
            columns.map((column, at) =>
              h(
                at === 0 ? "th" : "td",
                { scope: at === 0 ? "row" : null, class: column.number ? "number" : column.wide ? "wide" : null },
                column.of(row),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

/** Nothing is there yet: why, and what to do next. */
export const empty = (title, text, ...actions) =>
  h(
    "div",
    { class: "empty" },
    h("p", { class: "title" }, title),
    h("p", {}, text),
    actions.length > 0 && h("div", { class: "actions" }, actions),
  );

/** What was refused, with the remedy. */
export function refusal(error) {
  if (!error) return null;
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    sign("bad"),
    h(
      "div",
      {},
      h("p", { class: "title" }, sentence(error.sentence ?? error.message)),
      error.remedy && h("p", {}, sentence(error.remedy)),
      error.code && h("p", { class: "code" }, error.code),
    ),
  );
}

export const notice = (kind, title, text, ...more) =>
  h(
    "div",
    { class: `notice ${kind}` },
    sign(kind),
    h("div", {}, h("p", { class: "title" }, title), text && h("p", {}, text), more),
  );

/** Messages of the gateway begin with a small letter. */
export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");

export const link = (to, ...children) => h("a", { href: `#${to}` }, children);

/** A link that looks like what it is for. */
export const go = (to, text, kind = "") => h("a", { class: `button ${kind}`, href: `#${to}` }, text);

export const button = (text, onclick, kind = "", more = {}) =>
  h("button", { type: "button", class: `button ${kind}`, onclick, ...more }, text);

/** A labelled input; `help` stands under it. `properties` are those of the input, `name` among them. */
export function field(label, properties, help) {
  const id = properties.id ?? `field-${properties.name}`;
  const said = help ? `${id}-help` : null;
  const { kind = "input", options, ...rest } = properties;
  const made = { autocomplete: "off", spellcheck: "false", ...rest, id, "aria-describedby": said };
  const input =
    kind === "select"
      ? h(
          "select",
          made,
          options.map(([value, text]) =>
            h("option", { value, key: value, selected: value === rest.value }, text ?? value),
          ),
        )
      : h(kind, made);
  return h(
    "div",
    { class: "field", key: `field:${id}` },
    h("label", { for: id }, label),
    input,
    help && h("p", { class: "help", id: said }, help),
  );
}

export function check(label, properties, help) {
  const id = properties.id ?? `check-${properties.name}-${properties.value ?? ""}`;
  const said = help ? `${id}-help` : null;
  return h(
    "div",
    { class: "check", key: `check:${id}` },
    h("input", { type: "checkbox", ...properties, id, "aria-describedby": said }),
    h("label", { for: id }, label),
    help && h("p", { class: "help", id: said }, help),
  );
}

/** A form that calls `submit` with what is in it; `busy` while that goes on. */
export function form({ submit, action, busy, kind = "first", error, extra, label }, ...children) {
  return h(
    "form",
    {
      class: "form",
      "aria-label": label ?? null,
      novalidate: false,
      onsubmit: (event) => {
        event.preventDefault();
        if (!busy) submit(new FormData(event.target), event.target);
      },
    },
    children,
    refusal(error),
    h(
      "div",
      { class: "actions" },
      h("button", { type: "submit", class: `button ${kind}`, disabled: busy }, busy ? "One moment …" : action),
      extra,
    ),
  );
}

export const asTexts = (text) =>
  String(text ?? "")
    .split(/[\s,]+/)
    .filter(Boolean);

/** A text that is to be taken along. */
export function copyable(text, label, { code = true } = {}) {
  const status = h("span", { class: "said", role: "status" });
  const copy = async (event) => {
    const says = event.target.parentElement.querySelector(".said");
    try {
      await navigator.clipboard.writeText(text);
      says.textContent = "copied";
    } catch {
      says.textContent = "copy it by hand: the browser does not allow it";
    }
    setTimeout(() => {
      says.textContent = "";
    }, 4000);
  };
  return h(
    "div",
    { class: "copyable", key: `copy:${label}` },
    h(
      code ? "pre" : "p",
      { class: code ? "text" : "text words", tabindex: "0", "aria-label": label, role: "group" },
      text,
    ),
    h("div", { class: "actions" }, button(`Copy ${label}`, copy, "small"), status),
  );
}

/** Gives `text` to be saved as a file. */
export function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const made = document.createElement("a");
  made.href = address;
  made.download = name;
  made.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** Asks before what cannot be taken back; true where the reader says yes. */
export function confirm({ title, text, action, kind = "danger" }) {
  return new Promise((answered) => {
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "dialog-title" },
      h("h2", { id: "dialog-title" }, title),
      text.map((each) => h("p", {}, each)),
      h(
        "div",
        { class: "actions" },
        button("Leave it", () => dialog.close(), "", { autofocus: true }),
        button(action, () => dialog.close("yes"), kind),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      answered(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** The life of a certificate: how much of it is over, and when it ends. */
export function life(begin, end, now) {
  const [from, to] = [Date.parse(begin), Date.parse(end)];
  const over = Math.min(1, Math.max(0, (now - from) / (to - from)));
  const kind = now >= to ? "bad" : over > 0.9 ? "bad" : over > 0.75 ? "warn" : "ok";
  return h(
    "div",
    { class: `life ${kind}` },
    s(
      "svg",
      { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { class: "rest", x: 0, y: 0, width: 100, height: 6 }),
      s("rect", { class: "over", x: 0, y: 0, width: (over * 100).toFixed(1), height: 6 }),
    ),
    h("span", {}, now >= to ? until(to, now) : `ends ${until(to, now)}`),
    h("small", {}, `of ${span((to - from) / 1000)}, since ${new Date(from).toISOString().slice(0, 10)}`),
  );
}
