/**
 * The AsyncAPI document as a page for people, what such pages are made of, and their style: HTML without script. What
 * it says is asyncapi.ts; the page of the REST API is rest-page.ts.
 */
import type { Json } from "./asyncapi.ts";

export type Node = Readonly<Record<string, Json>>;

const isNode = (value: Json | undefined): value is Node =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const node = (value: Json | undefined): Node => (isNode(value) ? value : {});
export const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");

export const escaped = (value: string): string =>
  value.replace(
    /[&<>"]/g,
    (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign] ?? sign,
  );

/** Backticks become code; everything else is text. */
export const prose = (value: string): string => escaped(value).replace(/`([^`]*)`/g, "<code>$1</code>");

/** `string`, `number 0–1`, `list of string`, the values of an enumeration. */
export function typeOf(schema: Node): string {
  if (Array.isArray(schema.enum))
    return schema.enum.map((value) => `<code>${escaped(String(value))}</code>`).join(" ");
  if (schema.const !== undefined) return `<code>${escaped(String(schema.const))}</code>`;
  const options = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(options)) return options.map((option) => typeOf(node(option))).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(node(schema.items))}`;
  const type = text(schema.type);
  if (type !== "number" && type !== "integer") return escaped(type);
  const { minimum, maximum } = schema;
  // What JSON Schema writes for any whole number says nothing to people.
  const low = typeof minimum === "number" && minimum > Number.MIN_SAFE_INTEGER ? `${minimum}` : "";
  const high = typeof maximum === "number" && maximum < Number.MAX_SAFE_INTEGER ? `${maximum}` : "";
  return low + high === "" ? type : `${type} ${low === "" ? "…" : low}–${high === "" ? "…" : high}`;
}

/** One row a field. @param resolve follows references, where a document has them */
export function rows(
  schema: Node,
  path: string,
  resolve: (value: Json | undefined) => Node = (value) => node(value),
): string {
  if (schema.type === "array") return rows(resolve(schema.items), `${path}[]`, resolve);
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(node(schema.properties))
    .map(([name, value]) => {
      const field = resolve(value);
      const full = path === "" ? name : `${path}.${name}`;
      const optional = required.includes(name) ? "" : " <small>optional</small>";
      const items = resolve(field.items);
      const inner = isNode(field.properties)
        ? rows(field, full, resolve)
        : isNode(items.properties)
          ? rows(items, `${full}[]`, resolve)
          : "";
      return (
        `<tr><td><code>${escaped(full)}</code>${optional}</td><td>${typeOf(field)}</td>` +
        `<td>${prose(text(field.description))}</td></tr>${inner}`
      );
    })
    .join("\n");
}

/** @param document what asyncApiDocument() gives */
export function docsPage(document: Node): string {
  const info = node(document.info);
  const components = node(document.components);
  const schemas = node(components.schemas);
  const messages = Object.entries(node(components.messages)).map(([id, value]) => {
    const message = node(value);
    const schema = node(schemas[id]);
    const properties = node(schema.properties);
    // Of an event its data is of interest: the envelope is the same for all.
    const shown = isNode(properties.data) ? properties.data : schema;
    const example = Array.isArray(message.examples) ? node(message.examples[0]).payload : undefined;
    return { id, name: text(message.name), summary: text(message.summary), shown, example };
  });
  const links = messages.map(({ id, name }) => `<a href="#${id}">${escaped(name)}</a>`).join("\n");
  const sections = messages.map(
    ({ id, name, summary, shown, example }) => `<section id="${id}">
<h2>${escaped(name)}</h2>
<p>${prose(summary)}</p>
<table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead>
<tbody>${rows(shown, "")}</tbody></table>
${example === undefined ? "" : `<pre tabindex="0">${escaped(JSON.stringify(example, undefined, 2))}</pre>`}
</section>`,
  );
  return documentPage({
    title: text(info.title),
    version: text(info.version),
    nav: { label: "Messages", links },
    intro:
      `<p>${prose(text(info.description))}</p>\n` +
      '<p>For programs: <a href="/docs/asyncapi.json">asyncapi.json</a>. Calls, consent, models over HTTP: ' +
      '<a href="/docs/rest">REST API</a>, <a href="/openapi.json">openapi.json</a></p>',
    body: sections.join("\n"),
  });
}

/** What a page about a document is made of; all but title, version and label is HTML. */
export interface DocumentPage {
  readonly title: string;
  readonly version: string;
  readonly nav: { readonly label: string; readonly links: string };
  readonly intro: string;
  readonly body: string;
}

export function documentPage({ title, version, nav, intro, body }: DocumentPage): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<link rel="stylesheet" href="/docs/docs.css">
</head>
<body>
<nav aria-label="${escaped(nav.label)}">${nav.links}</nav>
<main>
<h1>${escaped(title)} <small>${escaped(version)}</small></h1>
${intro}
${body}
</main>
</body>
</html>
`;
}

export const DOCS_STYLE = `:root { color-scheme: light dark; --line: #8886; --ground: #8881; }
* { box-sizing: border-box; }
body { margin: 0; display: grid; grid-template-columns: 15rem minmax(0, 1fr); font: 1rem/1.5 system-ui, sans-serif; }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1rem; border-right: 1px solid var(--line); }
nav strong { display: block; margin-top: .8rem; }
nav a { display: block; overflow-wrap: anywhere; padding: .15rem 0; font-size: .9rem; }
main { max-width: 60rem; padding: 1rem 2rem 4rem; }
h2 { margin-top: 3rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); }
td, code { overflow-wrap: anywhere; }
pre { overflow: auto; padding: 1rem; background: var(--ground); font-size: .85rem; }
@media (max-width: 45rem) {
  body { display: block; }
  nav { position: static; height: auto; max-height: 30vh; border-right: 0; border-bottom: 1px solid var(--line); }
  main { padding: 1rem; }
  table, tbody, tr, td { display: block; }
  thead { display: none; }
  td { border: 0; padding: 0; }
  tr { padding: .4rem 0; border-bottom: 1px solid var(--line); }
}
`;
