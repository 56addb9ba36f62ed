/**
 * What an address shows: everything, one GPU, one user, one environment, who looks at the page, or who used
 * how much.
 * @module
 */

import { byId, element, name, setContent, setText } from "./dom.js";
import { DeviceView } from "./device_view.js";
import { everybody, loadMe, saveMe } from "./me.js";
import { EnvironmentView, UserView } from "./people_view.js";
import { address, parse, userLink } from "./routes.js";
import { UsageView } from "./usage_view.js";

/** @typedef {import("./routes.js").Route} Route */

const SKIPPED = "#main";

/** Shows the view of the current address. */
export class Views {
  /** @param {() => void} changed called after the address, or who looks at the page, has changed */
  constructor(changed) {
    this.changed = changed;
    this.me = loadMe();
    this.route = parse(location.hash);
    /** @type {any} */
    this.view = null;
    this.heading = "";
    addEventListener("hashchange", () => this.go());
    this.button = element("button", { type: "button" });
    this.button.addEventListener("click", () => this.toggleMe());
    this.open();
  }

  /** What the page shows, in a few words; empty for everything. */
  get place() {
    const { kind } = this.route;
    return kind === "overview" ? "" : kind === "env" ? this.heading : this.title();
  }

  /** Who is shown; null unless it is a user. */
  get user() {
    return this.route.kind === "me" ? this.me : this.route.kind === "user" ? this.route.value : null;
  }

  go() {
    if (location.hash === SKIPPED) return; // the link to the content, in any view
    this.route = parse(location.hash);
    this.open();
    this.changed();
    if (this.route.kind !== "overview") {
      scrollTo(0, 0);
      byId("view-title").focus({ preventScroll: true });
    } else if (this.route.value) {
      const place = document.getElementById(this.route.value);
      place?.scrollIntoView(); // it was hidden while another view was shown
    }
  }

  /** Make the view of the address. */
  open() {
    const { kind, value } = this.route;
    byId("overview").hidden = kind !== "overview";
    byId("view").hidden = kind === "overview";
    const user = this.user;
    this.view = kind === "gpu" ? new DeviceView(/^\d+$/.test(value) ? Number(value) : NaN) : kind === "env" ? new EnvironmentView(value)
      : kind === "usage" ? new UsageView() : user === null ? null : new UserView(user);
    this.heading = this.title();
    byId("view-content").replaceChildren(...(this.view ? [this.view.node] : []));
  }

  toggleMe() {
    const user = this.user;
    if (user === null) return;
    const wanted = this.me === user ? null : user;
    if (saveMe(wanted)) this.me = wanted;
    if (this.route.kind === "me") this.open();
    this.changed();
  }

  /**
   * @param {any} data the overview
   * @param {number} now in seconds
   */
  update(data, now) {
    setContent(byId("me"), this.me === null ? ["My GPUs"] : ["My GPUs (", name(this.me, false), ")"]);
    if (this.route.kind === "overview") return;
    this.heading = this.user ?? this.view?.title(data) ?? this.title();
    setContent(byId("view-title"), [...(this.user === null ? [] : ["User "]), element("bdi", {}, this.heading)]);
    const button = this.user === null ? [] : [this.button];
    setText(this.button, this.me === this.user ? "This is not me" : "This is me");
    if (byId("view-tools").firstChild !== (button[0] ?? null)) byId("view-tools").replaceChildren(...button);
    if (this.view) this.view.update(data, now, this.me);
    else setContent(byId("view-content"), chooser(data));
  }

  title() {
    const { kind, value } = this.route;
    if (kind === "me") return this.me ?? "My GPUs";
    if (kind === "usage") return "Usage";
    return kind === "gpu" ? `GPU ${value}` : value;
  }
}

/** @param {any} data */
function chooser(data) {
  const people = everybody(data).map((user) => element("li", {}, userLink(user)));
  const none = data.summary.people === null ? "It is not known who uses this machine." : "Nobody uses this machine now.";
  return [
    element("p", {}, "Who are you? Open your user and press “This is me”: this browser then remembers it. Or use the address ",
      element("code", {}, address("user", "NAME")), "."),
    people.length ? element("ul", { class: "people" }, ...people) : element("p", { class: "muted" }, none),
  ];
}
