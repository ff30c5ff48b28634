/** The OpenAPI document as a page for people: one HTML text without script. What it says is openapi.ts, its style docs-page.ts. */
import type { Json } from "./asyncapi.ts";
import { documentPage, escaped, type Node, node, prose, rows, text, typeOf } from "./docs-page.ts";

const METHODS = ["get", "post", "put", "patch", "delete", "options"] as const;

const list = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : []);

/** @param document what openApiDocument() gives */
export function restPage(document: Node): string {
  const info = node(document.info);
  const resolve = (value: Json | undefined): Node => resolved(document, node(value));
  const operations = Object.entries(node(document.paths)).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = node(node(item)[method]);
      return operation.operationId === undefined ? [] : [{ method: method.toUpperCase(), path, operation }];
    }),
  );
  const tags = list(document.tags).map(node);
  const tagged = tags.map((tag) => ({
    name: text(tag.name),
    description: text(tag.description),
    operations: operations.filter(({ operation }) => list(operation.tags).includes(text(tag.name))),
  }));
  const links = tagged
    .flatMap(({ name, operations: own }) => [
      `<strong>${escaped(name)}</strong>`,
      ...own.map(
        ({ method, path, operation }) =>
          `<a href="#${escaped(text(operation.operationId))}">${method} ${escaped(path)}</a>`,
      ),
    ])
    .join("\n");
  const sections = tagged.map(
    ({ name, description, operations: own }) =>
      `<h2 id="tag-${escaped(name)}">${escaped(name)}</h2>\n<p>${prose(description)}</p>\n` +
      own.map((one) => section(one, resolve)).join("\n"),
  );
  return documentPage({
    title: text(info.title),
    version: text(info.version),
    nav: { label: "Operations", links },
    intro:
      `<p>${prose(text(info.description))}</p>\n` +
      '<p>For programs: <a href="/openapi.json">openapi.json</a>. Events: <a href="/docs">event protocol</a></p>',
    body: sections.join("\n"),
  });
}

interface Shown {
  readonly method: string;
  readonly path: string;
  readonly operation: Node;
}

function section({ method, path, operation }: Shown, resolve: (value: Json | undefined) => Node): string {
  const [needed] = list(operation.security).map((requirement) => text(list(node(requirement).key)[0]));
  const parameters = list(operation.parameters)
    .map(node)
    .map(
      (parameter) =>
        `<tr><td><code>${escaped(text(parameter.name))}</code> <small>${escaped(text(parameter.in))}</small></td>` +
        `<td>${typeOf(node(parameter.schema))}</td><td>${prose(text(parameter.description))}</td></tr>`,
    )
    .join("\n");
  const body = bodyOf(node(operation.requestBody), resolve);
  const answers = Object.entries(node(operation.responses)).map(([status, value]) => {
    const answer = resolve(value);
    const [contentType = "", media] = Object.entries(node(answer.content))[0] ?? [];
    const schema = resolve(node(media).schema);
    // What is not right is the same everywhere: its type is told once, in the document.
    const fields = contentType.startsWith("application/problem") ? "" : rows(schema, "", resolve);
    return (
      `<tr><td><code>${status}</code></td><td>${escaped(contentType)}</td><td>${prose(text(answer.description))}</td></tr>` +
      fields
    );
  });
  const right =
    needed === undefined || needed === "" ? "asks nobody" : `needs <code>${escaped(needed)}</code>`;
  return `<section id="${escaped(text(operation.operationId))}">
<h3><code>${method} ${escaped(path)}</code></h3>
<p>${prose(text(operation.summary))}. <small>${right}</small></p>
${operation.description === undefined ? "" : `<p>${prose(text(operation.description))}</p>`}
${parameters === "" ? "" : table("Parameter", parameters)}
${body === "" ? "" : table("Body", body)}
${table("Answer", answers.join("\n"))}
</section>`;
}

function bodyOf(body: Node, resolve: (value: Json | undefined) => Node): string {
  const [contentType = "", media] = Object.entries(node(body.content))[0] ?? [];
  if (contentType === "") return "";
  const fields = rows(resolve(node(media).schema), "", resolve);
  return fields === ""
    ? `<tr><td>${escaped(contentType)}</td><td></td><td>${prose(text(body.description))}</td></tr>`
    : fields;
}

const table = (head: string, body: string): string =>
  `<table><thead><tr><th>${head}</th><th>Type</th><th>Meaning</th></tr></thead>\n<tbody>${body}</tbody></table>`;

/** Follows `{"$ref": "#/a/b"}`. */
function resolved(document: Node, value: Node): Node {
  const { $ref, ...beside } = value;
  if (typeof $ref !== "string") return value;
  let found: Node = document;
  for (const step of $ref.slice(2).split("/")) found = node(found[step]);
  return { ...found, ...beside };
}
