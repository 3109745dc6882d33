// What needs a person, out of all that the gateway says: the gravest first.

import { plural } from "./format.js";
import { sentence } from "./parts.js";

/** [{kind, title, text, to, remedy}] */
export function troubles(overview) {
  return [
    ...checks(overview),
    ...stopped(overview),
    ...pending(overview),
    ...unlinked(overview),
    ...waiting(overview),
    ...overview.warnings.map((each) => ({
      kind: "warn",
      title: sentence(each.why),
      remedy: each.remedy,
      to: `/subscriptions/${encodeURIComponent(each.lanes[0].split("/")[0])}`,
    })),
    ...grants(overview),
  ];
}

// told better below, with what is behind them
const ADVICE = new Set(["lanes"]);

const checks = (overview) =>
  overview.checks
    .filter((each) => each.why && !ADVICE.has(each.name))
    .map((each) => ({
      kind: each.ok ? "warn" : "bad",
      title: sentence(`${each.name}: ${each.why}`),
      to: each.name.startsWith("cert") ? "/certificates" : null,
    }));

const to = (subscription) => `/subscriptions/${encodeURIComponent(subscription.name)}`;

const stopped = (overview) =>
  overview.subscriptions
    .filter((each) => each.lane_states.stopped)
    .map((each) => ({
      kind: "bad",
      title: `${each.name}: ${plural(each.lane_states.stopped, "lane")} of ${each.lanes} stopped`,
      text: each.trouble?.reason,
      remedy: each.trouble?.remedy,
      to: to(each),
    }));

const waiting = (overview) =>
  overview.subscriptions
    .filter(
      (each) =>
        each.state === "active" &&
        !each.lane_states.stopped &&
        each.lane_states.waiting &&
        overview.peers.some((peer) => peer.org === each.peer && peer.links.length > 0),
    )
    .map((each) => ({
      kind: "warn",
      title: `${each.name}: ${plural(each.lane_states.waiting, "lane")} of ${each.lanes} waiting`,
      text: each.trouble?.reason,
      remedy: each.trouble?.remedy,
      to: to(each),
    }));

const pending = (overview) =>
  overview.peers
    .filter((each) => each.state === "pending")
    .map((each) => ({
      kind: "busy",
      to: `/peers/${encodeURIComponent(each.org)}`,
      title: each.approved ? `${each.org} has not approved us yet` : `${each.org} waits for your approval`,
      text: each.approved
        ? "It is active as soon as its operator has compared the words, too."
        : "Compare six words with its operator.",
    }));

const unlinked = (overview) =>
  overview.peers
    .filter((each) => each.state === "active" && (each.links.length === 0 || each.bundle_refused))
    .map((each) => ({
      kind: "warn",
      title: `No link to ${each.org}`,
      to: `/peers/${encodeURIComponent(each.org)}`,
      text: each.bundle_refused ?? each.failure?.sentence ?? "It has not connected, and we have not reached it yet.",
    }));

const grants = (overview) =>
  overview.grants
    .filter(
      (each) =>
        each.state === "active" &&
        !each.allowed &&
        overview.peers.some((peer) => peer.org === each.peer && peer.state === "active"),
    )
    .map((each) => ({
      kind: "idle",
      title: `The grant of ${each.share} to ${each.peer} is not in force: ${each.reason}`,
      to: `/share/${encodeURIComponent(each.share)}`,
    }));
