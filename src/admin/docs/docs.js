// Draws the OpenAPI document beside it: a list to search, one operation at a time. Text only ever becomes text.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const byId = (id) => document.getElementById(id);
let spec = null;
let operations = [];

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

// Plain text with `code`, which is all our descriptions use.
const inline = (text) => (text || "").split(/(`[^`]+`)/).map((piece) =>
  piece.length > 2 && piece.startsWith("`") && piece.endsWith("`") ? make("code", null, piece.slice(1, -1)) : piece);

const prose = (text) => (text || "").split(/\n\n+/).filter(Boolean).map((paragraph) => make("p", null, inline(paragraph)));

function resolve(node) {
  const seen = new Set();
  while (node && node.$ref && !seen.has(node.$ref)) {
    seen.add(node.$ref);
    node = node.$ref.slice(2).split("/").reduce((at, key) => at && at[key.replace(/~1/g, "/").replace(/~0/g, "~")], spec);
  }
  return node || {};
}

const nameOf = (node) => (node && node.$ref ? node.$ref.split("/").pop() : null);

function kindOf(schema) {
  if (!schema) return "any";
  const name = nameOf(schema);
  const found = resolve(schema);
  const choices = found.oneOf || found.anyOf;
  if (choices && !name) return choices.map(kindOf).join(" or ");
  let types = [].concat(found.type || (found.properties ? "object" : []));
  if (types.includes("array")) return types.filter((type) => type !== "array").concat(`list of ${kindOf(found.items)}`).join(" or ");
  if (found.enum && found.enum.length < 9) return found.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (name && (types.includes("object") || choices)) return name;
  let text = types.join(" or ") || name || "any";
  if (found.format) text += ` (${found.format})`;
  const bounds = [["minimum", "≥"], ["maximum", "≤"], ["minLength", "length ≥"], ["maxLength", "length ≤"], ["maxItems", "items ≤"]];
  for (const [key, sign] of bounds) if (found[key] !== undefined) text += `, ${sign} ${found[key]}`;
  if (found.pattern) text += `, matches ${found.pattern}`;
  if (found.default !== undefined) text += `, default ${JSON.stringify(found.default)}`;
  return text;
}

// Everything an object may hold, with what is merged into it.
function propertiesOf(schema) {
  const found = resolve(schema);
  const own = Object.entries(found.properties || {}).map(([name, value]) => ({ name, schema: value, needed: (found.required || []).includes(name) }));
  return own.concat((found.allOf || []).flatMap(propertiesOf));
}

function inner(schema) {
  const found = resolve(schema);
  if (found.items) return inner(found.items);
  const choice = (found.oneOf || found.anyOf || []).filter((one) => resolve(one).type !== "null");
  if (choice.length === 1) return inner(choice[0]);
  return schema;
}

function fields(schema, above) {
  const list = propertiesOf(inner(schema));
  const rows = list.map(({ name, schema: field, needed }) => {
    const below = inner(field);
    const key = nameOf(below) || name;
    const opens = propertiesOf(below).length > 0 && !above.includes(key) && above.length < 6;
    const about = resolve(field).description || field.description;
    return make("tr", null,
      make("td", null, make("code", null, name), needed ? make("div", { class: "needed" }, "required") : null),
      make("td", null, make("div", { class: "kind" }, kindOf(field)), prose(about),
        opens ? make("details", null, make("summary", null, nameOf(below) || "fields"), make("div", null, fields(below, above.concat(key)))) : null));
  });
  if (rows.length) return make("table", null, make("thead", null, make("tr", null, make("th", { scope: "col" }, "Field"), make("th", { scope: "col" }, "What it is"))), make("tbody", null, rows));
  const choices = resolve(schema).oneOf || resolve(schema).anyOf;
  if (choices && above.length < 6) return make("div", null, choices.map((one) => make("details", null, make("summary", null, resolve(one).title || kindOf(one)), make("div", null, prose(resolve(one).description), fields(one, above.concat(nameOf(one) || "choice"))))));
  return make("p", { class: "kind" }, kindOf(schema));
}

function example(schema, depth) {
  const found = resolve(schema);
  if (found.example !== undefined) return found.example;
  if (found.default !== undefined) return found.default;
  if (found.enum) return found.enum[0];
  const choices = (found.oneOf || found.anyOf || []).filter((one) => resolve(one).type !== "null");
  if (choices.length) return example(choices[0], depth + 1);
  const type = [].concat(found.type || []).find((one) => one !== "null");
  if (type === "array") return depth > 4 ? [] : [example(found.items || {}, depth + 1)];
  if (type === "integer" || type === "number") return found.minimum || 1;
  if (type === "boolean") return true;
  if (type === "string") return { uuid: "019aa0f0-0000-7000-8000-000000000000", "date-time": "2030-01-01T00:00:00Z", email: "ada@example.com", uri: "https://example.com" }[found.format] || "text";
  const value = {};
  if (depth > 4) return value;
  for (const { name, schema: field, needed } of propertiesOf(schema)) if (needed) value[name] = example(field, depth + 1);
  return value;
}

function bodyOf(operation) {
  const content = resolve(operation.requestBody).content || {};
  const kind = Object.keys(content)[0];
  return kind ? { kind, schema: content[kind].schema } : null;
}

function curl({ method, path, operation }) {
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}"${location.origin}${path}"`];
  if ((operation.security || []).length) lines.push('-H "Authorization: Bearer $TOKEN"');
  const body = bodyOf(operation);
  if (body && body.kind.includes("json")) {
    lines.push("-H 'Content-Type: application/json'");
    lines.push(`-d '${JSON.stringify(example(body.schema, 0), null, 2).replace(/'/g, "'\\''")}'`);
  }
  return lines.join(" \\\n  ");
}

function copyable(text) {
  const button = make("button", { class: "copy", type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return make("div", { class: "copyable" }, button, make("pre", null, make("code", null, text)));
}

function parameters(list) {
  if (!list.length) return [];
  const rows = list.map(resolve).map((one) => make("tr", null,
    make("td", null, make("code", null, one.name), make("div", { class: "kind" }, one.in), one.required ? make("div", { class: "needed" }, "required") : null),
    make("td", null, make("div", { class: "kind" }, kindOf(one.schema)), prose(one.description))));
  return [make("h3", null, "Parameters"), make("table", null, make("tbody", null, rows))];
}

function answers(responses) {
  const all = Object.entries(responses || {});
  const draw = ([status, node]) => {
    const answer = resolve(node);
    const content = Object.entries(answer.content || {});
    const headers = Object.keys(answer.headers || {}).filter((name) => name !== "x-request-id");
    return make("details", { open: status < "300" && content.length ? "" : null },
      make("summary", null, make("span", { class: "status" }, status), inline(answer.description)),
      make("div", null, headers.length ? make("p", { class: "kind" }, `Headers: ${headers.join(", ")}`) : null,
        content.map(([kind, { schema }]) => [make("p", { class: "kind" }, kind, nameOf(schema) ? ` · ${nameOf(schema)}` : ""), schema ? fields(schema, []) : null])));
  };
  const refusals = all.filter(([status]) => status >= "400").map(([status, node]) =>
    make("tr", null, make("td", { class: "status" }, status), make("td", null, inline(resolve(node).description))));
  return [make("h3", null, "Answers"), all.filter(([status]) => status < "400").map(draw),
    make("h3", null, "Refusals"), make("p", { class: "kind" }, "application/problem+json with a stable ", make("code", null, "code"), "."),
    make("table", null, make("tbody", null, refusals))];
}

function draw(entry) {
  const { method, path, operation } = entry;
  const body = bodyOf(operation);
  const main = byId("main");
  main.replaceChildren(
    make("h1", null, operation.summary || operation.operationId),
    make("div", { class: "line" }, make("span", { class: `method ${method}` }, method), make("code", null, path),
      make("span", { class: "badge", title: "who may use it" }, operation["x-permission"] || "public"),
      operation.deprecated ? make("span", { class: "badge" }, "deprecated") : null),
    ...prose(operation.description),
    ...parameters(operation.parameters || []),
    ...(body ? [make("h3", null, "Body"), make("p", { class: "kind" }, body.kind), fields(body.schema, [])] : []),
    make("h3", null, "Example"), copyable(curl(entry)),
    ...answers(operation.responses).flat(Infinity));
  document.title = `${operation.summary || operation.operationId} · Synaxis admin API`;
}

function welcome() {
  byId("main").replaceChildren(make("h1", null, spec.info.title), ...prose(spec.info.description),
    make("p", null, `${operations.length} operations. Sign in with `, make("code", null, "POST /api/v1/auth/login"), " and send the access token as ", make("code", null, "Authorization: Bearer …"), "."));
  document.title = spec.info.title;
}

function show() {
  const id = decodeURIComponent(location.hash.slice(1));
  const entry = operations.find((one) => one.operation.operationId === id);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === location.hash && entry) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (entry) draw(entry); else welcome();
  window.scrollTo(0, 0);
}

function list() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = operations.filter((one) => words.every((word) => one.text.includes(word)));
  const groups = new Map();
  for (const one of found) {
    const tag = (one.operation.tags || ["other"])[0];
    groups.set(tag, (groups.get(tag) || []).concat(one));
  }
  const item = ({ method, operation }) => make("li", null,
    make("a", { href: `#${operation.operationId}` }, make("span", { class: `method ${method}` }, method), make("span", null, operation.summary || operation.operationId)));
  byId("list").replaceChildren(...[...groups].sort(([one], [other]) => one.localeCompare(other))
    .map(([tag, entries]) => make("section", null, make("h2", null, tag.replace(/[-_]/g, " ")), make("ul", null, entries.map(item)))));
  if (!found.length) byId("list").append(make("p", { class: "none" }, "Nothing matches."));
  byId("count").textContent = words.length ? `${found.length} of ${operations.length}` : String(operations.length);
  show();
}

function move(step) {
  const links = [...document.querySelectorAll("nav a")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next].focus();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const search = byId("search");
  const isInList = document.activeElement === search || document.activeElement.closest("nav");
  if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); search.select(); }
  else if (event.key === "Escape") { search.value = ""; list(); search.focus(); }
  else if (event.key === "ArrowDown" && isInList) { event.preventDefault(); move(1); }
  else if (event.key === "ArrowUp" && isInList) { event.preventDefault(); move(-1); }
  else if (event.key === "Enter" && document.activeElement === search) { const first = document.querySelector("nav a"); if (first) { first.click(); byId("main").focus(); } }
}

async function start() {
  try {
    const answer = await fetch("/api/openapi.json");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    spec = await answer.json();
  } catch (error) {
    byId("main").replaceChildren(make("h1", null, "The document could not be read"), make("p", null, String(error.message)));
    return;
  }
  operations = Object.entries(spec.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method) => {
    const operation = item[method];
    const text = [method, path, operation.operationId, operation.summary, operation["x-permission"], ...(operation.tags || [])].join(" ").toLowerCase();
    return { method, path, operation, text };
  }));
  byId("version").textContent = spec.info.version;
  byId("search").addEventListener("input", list);
  window.addEventListener("hashchange", show);
  document.addEventListener("keydown", keys);
  list();
}

start();
