// Logging in: by the admin token that is pasted, or by the code that `mesh console` puts behind the address.

import * as api from "./api.js";
import { h, patch } from "./dom.js";
import { field, form, refusal } from "./parts.js";
import { stop } from "./store.js";

const entering = { entered: null, error: null, busy: false, whose: null, shown: false };

/** Shows the login, with what ended or refused the last one. `entered` is called when somebody has logged in. */
export function showLogin(entered, error = null) {
  stop();
  api.forgetKey();
  Object.assign(entering, { entered, error, busy: false, shown: true });
  document.title = "Log in · Stream Mesh console";
  drawLogin();
  document.querySelector("input[name=token]")?.focus();
  api.whose().then(
    (whose) => {
      entering.whose = whose;
      if (entering.shown) drawLogin();
    },
    () => {},
  );
}

function drawLogin() {
  const { whose, error, busy } = entering;
  patch(document.body, [
    h(
      "main",
      { class: "login", key: "login" },
      h("h1", { tabindex: "-1" }, h("span", { class: "mark", "aria-hidden": "true" }), "Stream Mesh console"),
      h(
        "p",
        { class: "about" },
        whose ? h("strong", {}, whose.organization) : "…",
        whose && `, gateway ${whose.gateway}`,
      ),
      form(
        {
          label: "Log in",
          action: "Log in",
          busy,
          error: null,
          submit: (data) => enter(entering.entered, { token: String(data.get("token")) }),
        },
        field(
          "Admin token",
          { name: "token", type: "password", required: true, autocomplete: "current-password" },
          "It stands in admin.token, in the gateway's state directory.",
        ),
        refusal(error),
      ),
      h(
        "p",
        { class: "quiet" },
        "Or type ",
        h("code", {}, "mesh console"),
        " in a terminal of that machine: it prints an address that logs you in.",
      ),
    ),
  ]);
}

/** Logs in by {token} or {code}. */
export async function enter(entered, by) {
  Object.assign(entering, { entered, busy: true, error: null, shown: true });
  drawLogin();
  try {
    await api.login(by);
  } catch (error) {
    showLogin(entered, error);
    return;
  }
  entering.shown = false;
  entered();
}

/** The code that `mesh console` put behind the address; it is taken out of it at once. */
export function givenCode() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) history.replaceState(null, "", "/console/");
  return code;
}
