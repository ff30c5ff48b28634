/** How the event documents follow from the code. Writing them is generate-asyncapi.ts; the test compares. */
import { asyncApiDocument, eventExamples } from "../src/events/index.ts";

export interface GeneratedDocument {
  readonly url: URL;
  /** What the file should say, given what it says. */
  readonly render: (before: string) => string;
}

export const eventDocs: readonly GeneratedDocument[] = [
  {
    url: new URL("../docs/asyncapi.json", import.meta.url),
    render: () => `${JSON.stringify(asyncApiDocument(), undefined, 2)}\n`,
  },
  { url: new URL("../docs/events.md", import.meta.url), render: withExamples },
];

/** Fills every block of JSON that follows `<!-- example: kind -->`, or `<!-- example: kind data -->` for its `data` alone. */
export function withExamples(markdown: string): string {
  const examples: Readonly<Record<string, { readonly data: unknown }>> = eventExamples();
  return markdown.replace(
    /(<!-- example: ([\w.]+)( data)? -->\n```json\n)[^`]*(```)/g,
    (_match, head: string, kind: string, dataOnly: string | undefined, tail: string) => {
      const example = examples[kind];
      const shown = dataOnly === undefined ? example : example?.data;
      return `${head}${readable(shown)}\n${tail}`;
    },
  );
}

/** JSON with one field a line, objects of numbers and texts on one line. */
function readable(value: unknown): string {
  return JSON.stringify(value, undefined, 2).replace(/\{[^{}[\]]*\}/g, (flat) => {
    const line = flat.replace(/\s*\n\s*/g, " ");
    return line.length <= 110 ? line : flat;
  });
}
