// The gateway's admin API, as a logged-in page may call it.
//
// The cookie goes with each request by itself; the key stands in this origin's storage and is worth nothing without it.

const KEY = "mesh-console-key";
const API = "/console/api";

/** What the gateway, or the way to it, answered instead. */
export class Refusal extends Error {
  constructor(status, { code, sentence, remedy }) {
    super(sentence);
    Object.assign(this, { status, code, sentence, remedy });
  }
}

const UNREACHED = {
  code: "gateway-unreached",
  sentence: "the gateway does not answer",
  remedy: "see whether it still runs; this page goes on by itself as soon as it answers",
};

async function request(method, path, body, signal) {
  const headers = { "mesh-console-key": localStorage.getItem(KEY) ?? "" };
  if (method !== "GET") headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, UNREACHED);
  }
  if (answer.ok) return answer;
  let said = null;
  try {
    said = (await answer.json()).error;
  } catch {
    /* what is not ours to read is said below */
  }
  const refusal = new Refusal(
    answer.status,
    said ?? {
      code: `http-${answer.status}`,
      sentence: `the gateway answered with status ${answer.status}`,
      remedy: "",
    },
  );
  if (refusal.code === "session-refused") dispatchEvent(new Event("mesh-logged-out"));
  throw refusal;
}

export const get = async (path, signal) => (await request("GET", API + path, undefined, signal)).json();
export const post = async (path, body = {}) => (await request("POST", API + path, body)).json();
export const remove = async (path) => (await request("DELETE", API + path, {})).json();

/** Whose console this is: {organization, gateway}. */
export const whose = async () => (await request("GET", "/console/gateway")).json();

/** `by` is {token} or {code}. */
export async function login(by) {
  const { key } = await (await request("POST", "/console/session", by)).json();
  localStorage.setItem(KEY, key);
}

export async function logout() {
  localStorage.removeItem(KEY);
  await request("DELETE", "/console/session");
}

export const hasKey = () => localStorage.getItem(KEY) !== null;
export const forgetKey = () => localStorage.removeItem(KEY);

/** Calls `take` for each object of a newline-delimited answer; a refusal in the stream is thrown. */
export async function lines(path, take, signal) {
  const answer = await request("GET", API + path, undefined, signal);
  for await (const line of split(answer.body, "\n")) {
    const value = JSON.parse(line);
    if (value.error) throw new Refusal(answer.status, value.error);
    take(value);
  }
}

/** Calls `take(name, data)` for each server-sent event until the stream ends. */
export async function events(path, take, signal) {
  const answer = await request("GET", API + path, undefined, signal);
  for await (const event of split(answer.body, "\n\n")) {
    const fields = Object.fromEntries(
      event.split("\n").map((line) => {
        const at = line.indexOf(": ");
        return [line.slice(0, at), line.slice(at + 2)];
      }),
    );
    if (fields.data !== undefined) take(fields.event ?? "message", fields.data);
  }
}

async function* split(body, end) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split(end);
    rest = parts.pop();
    yield* parts.filter((part) => part !== "");
  }
  if (rest.trim() !== "") yield rest;
}

/** A path with what stands in it escaped: path`/v1/shares/${name}`. */
export const path = (texts, ...values) =>
  texts.reduce((made, text, at) => made + encodeURIComponent(values[at - 1]) + text);

/** A query, without what is undefined, null or empty. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}
