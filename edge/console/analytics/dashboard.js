// The dashboard of /console/analytics: asks the reports of the API, with the session's cookie, and draws them.

const PANELS = [
  ["Users", [
    { title: "Accounts", about: "All accounts at the end of each bucket.", path: "users/growth", series: { totalUsers: "accounts" }, line: true },
    { title: "Active users", about: "People who sent at least one message.", path: "users/active", series: { activeUsers: "active users" }, line: true },
    { title: "Sign-ups", about: "Registered, and addresses verified.", path: "users/signups", series: { signups: "sign-ups", verified: "verified" } },
    { title: "Funnel", about: "How far people come who registered in the range.", path: "users/funnel", key: "step", series: { users: "people" }, columns: { fromPrevious: ["of the step before", percent], fromFirst: ["of the first", percent] }, whole: true },
    { title: "Retention", about: "People who came back, by week of registration.", path: "users/retention", cohorts: true, whole: true },
  ]],
  ["Chat", [
    { title: "Messages and answers", about: "What people sent, and answers that succeeded or broke off.", path: "chat/activity", series: { messages: "messages", completions: "answers", failures: "failures" }, line: true },
    { title: "Conversations begun", path: "chat/activity", series: { conversations: "conversations" } },
    { title: "Answers by provider", path: "chat/by-provider", key: "provider", series: { messages: "answers" }, columns: { share: ["share", percent] }, whole: true },
    { title: "Tokens by plan", path: "chat/tokens", key: "plan", series: { tokensIn: "tokens in", tokensOut: "tokens out" }, stacked: true, whole: true },
  ]],
  ["Revenue", [
    { title: "Revenue", about: "Money received, less tax and refunds.", path: "revenue/over-time", series: { netMinor: "net", refundsMinor: "refunds", taxMinor: "tax" }, format: money },
    { title: "Monthly recurring revenue", about: "At the end of each bucket.", path: "revenue/mrr", rows: (data) => data.series, series: { mrrMinor: "MRR" }, format: money, line: true },
    { title: "What moved it", about: "Start and net are the end, always.", path: "revenue/movements", series: { new: "new", expansion: "expansion", reactivation: "reactivation", contraction: "contraction", churn: "churn" }, losses: ["contraction", "churn"], format: money, stacked: true },
    { title: "Net revenue by plan", path: "revenue/by-plan", key: "plan", series: { netMinor: "net" }, columns: { payments: ["payments", number] }, format: money, whole: true },
  ]],
  ["Providers", [
    { title: "Latency", about: "Milliseconds to the whole answer, of those that succeeded.", path: "providers/performance", key: "provider", series: { latencyMsP50: "half are faster", latencyMsP95: "19 of 20 are faster" }, columns: { successRate: ["success", percent], outputTokensPerSecond: ["tokens/s", number] }, whole: true },
    { title: "Cost", about: "In US dollars, by model.", path: "providers/cost", key: "model", series: { costMicros: "cost" }, columns: { requests: ["requests", number] }, format: micros, whole: true },
    { title: "Requests by provider", path: "providers/usage", key: "provider", series: { requests: "requests" }, columns: { uniqueUsers: ["people", number] }, whole: true },
    { title: "Errors", path: "providers/errors", key: "errorCode", label: (row) => `${row.errorCode}: ${row.model}`, series: { errors: "errors" }, columns: { provider: ["provider", String], errorRate: ["rate", percent] }, whole: true },
  ]],
];
const LIVE_MS = 15_000;
const PLACE = new Set(["days", "start", "end", "zone", "currency"]);

const $ = (selector) => document.querySelector(selector);
const range = $("#range");
const charts = new Map();
let round = 0;
let challenge = "";
let timer = 0;

class Refused extends Error {
  constructor(status, problem) {
    super(problem.errors?.[0]?.description ?? problem.detail ?? problem.title ?? `status ${status}`);
    this.status = status;
  }
}

async function ask(path, options) {
  const answer = await fetch(path, { headers: { accept: "application/json", "content-type": "application/json" }, ...options });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

function report(path, parameters) {
  return ask(`/api/analytics/${path}?${new URLSearchParams(parameters)}`);
}

// What to show

function days() {
  return Math.round((new Date(range.end.value) - new Date(range.start.value)) / 86_400_000) + 1;
}

function today(zone) {
  return new Intl.DateTimeFormat("sv", { timeZone: zone }).format(new Date());
}

function setDays(count) {
  const end = today(range.zone.value);
  const start = new Date(end);
  start.setUTCDate(start.getUTCDate() - count + 1);
  range.end.value = end;
  range.start.value = start.toISOString().slice(0, 10);
}

function interval() {
  const count = days();
  return count <= 2 ? "hour" : count <= 92 ? "day" : count <= 400 ? "week" : "month";
}

function restore() {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = new Set(["UTC", own, ...Intl.supportedValuesOf("timeZone")]);
  range.zone.replaceChildren(...[...zones].map((zone) => new Option(zone, zone, zone === own, zone === own)));
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (PLACE.has(name)) range[name].value = value;
  }
  if (range.days.value) setDays(Number(range.days.value));
}

function remember() {
  const place = [...new FormData(range)].filter(([name]) => PLACE.has(name));
  history.replaceState(null, "", `?${new URLSearchParams(place)}`);
}

// Figures

function number(value) {
  return value === null || value === undefined ? "–" : Number(value).toLocaleString(undefined, { maximumFractionDigits: 1 });
}

function percent(value) {
  return value === null || value === undefined ? "–" : Number(value).toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 });
}

function money(value, currency = range.currency.value) {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  return format.format(Number(value) / 10 ** format.resolvedOptions().maximumFractionDigits);
}

function micros(value) {
  return (Number(value) / 1e6).toLocaleString(undefined, { style: "currency", currency: "usd" });
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col", textContent: text })));
  const body = rows.map((row) => element("tr", {}, ...row.map((text) => element("td", { textContent: text }))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

// Panels

function prepare() {
  for (const [title, panels] of PANELS) {
    const grid = element("div", { className: "grid" });
    for (const panel of panels) grid.append(frame(panel));
    $("#panels").append(element("h2", { textContent: title }), grid);
  }
}

function frame(panel) {
  panel.canvas = element("canvas");
  panel.canvas.setAttribute("role", "img");
  panel.plot = element("div", { className: "plot" }, panel.canvas);
  panel.note = element("p", { className: "dim" });
  panel.table = element("div", { className: "scroll", tabIndex: 0 });
  panel.table.setAttribute("role", "region");
  panel.table.setAttribute("aria-label", `${panel.title}, as a table`);
  panel.details = element("details", {}, element("summary", { textContent: "As a table" }), panel.table);
  panel.box = element("section", { className: "panel" }, element("h3", { textContent: panel.title }), panel.note, panel.plot, panel.details);
  panel.box.dataset.path = panel.path;
  return panel.box;
}

async function fill(panel, mine) {
  try {
    const { data } = await report(panel.path, parametersOf(panel));
    if (mine !== round) return;
    if (panel.cohorts) showCohorts(panel, data ?? []);
    else show(panel, (panel.rows ? panel.rows(data ?? {}) : data) ?? []);
  } catch (error) {
    if (error.status === 401 || error.status === 403) throw error;
    if (mine === round) say(panel, `Not shown: ${error.message}`, "problem");
  }
}

function parametersOf(panel) {
  const asked = { startDate: range.start.value, endDate: range.end.value, timezone: range.zone.value };
  if (panel.format === money) asked.currency = range.currency.value;
  if (panel.cohorts) asked.interval = days() > 400 ? "month" : "week";
  else if (!panel.whole) asked.interval = interval();
  return asked;
}

function say(panel, text, kind) {
  panel.note.textContent = text;
  panel.note.className = kind;
  panel.plot.hidden = panel.details.hidden = kind === "problem";
}

function show(panel, rows) {
  const names = Object.keys(panel.series);
  if (!rows.some((row) => names.some((name) => Number(row[name])))) {
    say(panel, "Nothing happened in this range.", "problem");
    return;
  }
  say(panel, panel.about ?? "", "dim");
  const labels = rows.map(panel.label ?? ((row) => labelOf(row[panel.key ?? "date"])));
  const format = panel.format ?? number;
  const further = Object.entries(panel.columns ?? {});
  panel.table.replaceChildren(table(
    [panel.key ?? "date", ...Object.values(panel.series), ...further.map(([, [head]]) => head)],
    rows.map((row, at) => [labels[at], ...names.map((name) => format(row[name] ?? 0)), ...further.map(([name, [, shown]]) => shown(row[name]))]),
  ));
  panel.canvas.setAttribute("aria-label", `${panel.title}: ${names.length} series of ${rows.length} values; the table below has them`);
  draw(panel, labels, names.map((name, at) => dataset(panel, name, at, rows)));
}

function labelOf(value) {
  return /T\d\d:/.test(value) ? value.slice(5, 16).replace("T", " ") : value || "–";
}

function dataset(panel, name, at, rows) {
  const colour = getComputedStyle(document.documentElement).getPropertyValue(`--c${(at % 5) + 1}`);
  const resolved = element("span", { hidden: true });
  resolved.style.color = colour;
  document.body.append(resolved);
  const color = getComputedStyle(resolved).color;
  resolved.remove();
  const lost = panel.losses?.includes(name);
  return {
    label: panel.series[name],
    data: rows.map((row) => (lost ? -Math.abs(Number(row[name] ?? 0)) : Number(row[name] ?? 0))),
    borderColor: color,
    backgroundColor: color,
    borderWidth: panel.line ? 2 : 0,
    pointRadius: rows.length > 60 ? 0 : 2,
    borderDash: panel.line && at ? [[], [6, 3], [2, 3]][at % 3] : [],
  };
}

function draw(panel, labels, datasets) {
  charts.get(panel)?.destroy();
  const style = getComputedStyle(document.body);
  const format = panel.format ?? number;
  // Names lie beside their bars, where a phone has room for them.
  const lies = Boolean(panel.key);
  panel.plot.classList.toggle("long", lies && labels.length > 6);
  const axis = { grid: { color: "rgba(128, 128, 128, .2)" }, ticks: { color: style.color, maxRotation: 0, autoSkipPadding: 12 }, stacked: Boolean(panel.stacked) };
  const figures = { ...axis, beginAtZero: true, ticks: { ...axis.ticks, callback: (value) => format(value) } };
  charts.set(panel, new Chart(panel.canvas, {
    type: panel.line ? "line" : "bar",
    data: { labels: lies ? labels.map((label) => label.split(": ")) : labels, datasets },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      indexAxis: lies ? "y" : "x",
      interaction: { mode: "index", axis: lies ? "y" : "x", intersect: false },
      scales: lies ? { x: figures, y: { ...axis, ticks: { ...axis.ticks, autoSkip: false } } } : { x: axis, y: figures },
      plugins: {
        legend: { display: datasets.length > 1, labels: { color: style.color, boxWidth: 12 } },
        tooltip: { callbacks: { title: ([item]) => labels[item.dataIndex], label: (item) => `${item.dataset.label}: ${format(item.raw)}` } },
      },
    },
  }));
}

function showCohorts(panel, all) {
  panel.plot.hidden = true;
  const cohorts = all.filter((cohort) => cohort.size);
  if (!cohorts.length) {
    say(panel, "Nobody registered in this range.", "problem");
    return;
  }
  say(panel, panel.about, "dim");
  panel.plot.hidden = true;
  panel.details.open = true;
  const width = Math.min(Math.max(...cohorts.map((cohort) => cohort.values?.length ?? 0)), 13);
  const heads = ["registered", "people", ...Array.from({ length: width }, (_, period) => `+${period}`)];
  const rows = cohorts.map((cohort) => [cohort.cohort, number(cohort.size), ...Array.from({ length: width }, (_, period) => (cohort.values?.[period] ? percent(cohort.values[period].rate) : ""))]);
  panel.table.replaceChildren(table(heads, rows));
}

async function showOverview() {
  const { data, meta } = await report("overview", { timezone: range.zone.value });
  const now = { ...data, today: data.today ?? {} };
  const tiles = [
    ["active in 5 minutes", number(now.activeUsersLast5m ?? 0)],
    ["active in 30 minutes", number(now.activeUsersLast30m ?? 0)],
    ["messages in 30 minutes", number(now.messagesLast30m ?? 0)],
    ["errors in 30 minutes", number(now.errorsLast30m ?? 0)],
    ["sign-ups today", number(now.today.signups ?? 0)],
    ["messages today", number(now.today.messages ?? 0)],
    ["models' cost today", micros(now.today.costMicros ?? 0)],
    ["received today", money(now.today.grossMinor ?? 0, "usd")],
    ["MRR", money(now.mrrMinor ?? 0, "usd")],
    ["subscribers", number(now.activeSubscribers ?? 0)],
  ];
  $("#tiles").replaceChildren(...tiles.map(([name, figure]) => element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: figure }))));
  const behind = now.ingestLagSeconds > 5 ? `Counting is ${number(now.ingestLagSeconds)} s and ${number(now.backlogEvents)} events behind.` : "";
  const through = meta.dataThrough ? new Date(meta.dataThrough).toLocaleString(undefined, { timeZone: range.zone.value }) : "";
  $("#freshness").textContent = (through ? `Newest event: ${through}. ` : "No event is counted yet: chatmesh seed-demo makes some up. ") + behind;
}

// Coming and going

async function refresh() {
  clearTimeout(timer);
  const mine = ++round;
  remember();
  try {
    await showOverview();
    if (mine !== round) return;
    arrive();
    await Promise.all(PANELS.flatMap(([, panels]) => panels).map((panel) => fill(panel, mine)));
    if (mine === round) tell("");
  } catch (error) {
    if (mine === round) leave(error);
  }
  if (mine !== round) return;
  document.documentElement.dataset.shown = String(mine);
  if (range.live.checked && !$("#reports").hidden) timer = setTimeout(() => (document.hidden ? wait() : refresh()), LIVE_MS);
}

function wait() {
  document.addEventListener("visibilitychange", () => refresh(), { once: true });
}

function arrive() {
  $("#sign-in").hidden = true;
  $("#reports").hidden = $("#sign-out").hidden = false;
}

function leave(error) {
  if (error.status === 401) {
    $("#reports").hidden = $("#sign-out").hidden = true;
    $("#sign-in").hidden = false;
    return;
  }
  if (error.status === 403) {
    $("#reports").hidden = true;
    $("#sign-out").hidden = false;
    tell("You are signed in, but reports are for analysts and administrators. An administrator can change your role; or sign out and in as somebody else.");
    return;
  }
  tell(`Reports cannot be had right now: ${error.message}. This page keeps trying.`);
  timer = setTimeout(refresh, LIVE_MS);
}

function tell(text) {
  $("#notice").textContent = text;
  $("#notice").hidden = !text;
}

async function signIn(event) {
  event.preventDefault();
  const form = event.target;
  try {
    if (challenge) {
      await post("/api/auth/mfa/verify", { challengeToken: challenge, code: form.code.value });
    } else {
      const answer = await post("/api/auth/signin", { email: form.email.value, password: form.password.value });
      challenge = answer.mfaRequired?.challengeToken ?? "";
    }
  } catch (error) {
    challenge = error.status === 401 && !challenge ? "" : challenge;
    tell(error.message);
    return;
  }
  tell("");
  if (challenge && $("#second-factor").hidden) {
    $("#second-factor").hidden = false;
    form.code.focus();
    return;
  }
  challenge = "";
  form.reset();
  $("#second-factor").hidden = true;
  await refresh();
  $("#reports").focus();
}

async function signOut() {
  clearTimeout(timer);
  await post("/api/auth/signout", {}).catch(() => undefined);
  tell("");
  await refresh();
}

function post(path, body) {
  return ask(path, { method: "POST", body: JSON.stringify(body) });
}

function changed(event) {
  if (event.target.name === "days" && range.days.value) setDays(Number(range.days.value));
  if (event.target.name === "start" || event.target.name === "end") range.days.value = "";
  if (range.reportValidity()) refresh();
}

prepare();
restore();
range.addEventListener("change", changed);
range.addEventListener("submit", (event) => event.preventDefault());
$("#sign-in").addEventListener("submit", signIn);
$("#sign-out").addEventListener("click", signOut);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => refresh());
refresh();
