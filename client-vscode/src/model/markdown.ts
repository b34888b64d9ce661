/**
 * The part of Markdown that agents write, read into plain values: no HTML, no links that lead anywhere, no images. Whoever shows
 * it makes text nodes of the texts and nothing else.
 */

export type Inline = { kind: 'text' | 'code' | 'strong' | 'em'; text: string };

export type Part =
  | { kind: 'paragraph'; inlines: Inline[] }
  | { kind: 'heading'; level: number; inlines: Inline[] }
  | { kind: 'code'; language: string; text: string }
  /** `number` where the item has one, whatever its list begins with. */
  | { kind: 'list'; ordered: boolean; items: { depth: number; number: number | undefined; inlines: Inline[] }[] }
  | { kind: 'quote'; inlines: Inline[] };

const FENCE = /^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/;
const HEADING = /^\s{0,3}(#{1,6})\s+(.*?)#*\s*$/;
const QUOTE = /^\s{0,3}>\s?(.*)$/;

/** The parts of a text, in linear time; what is not understood is a paragraph. */
export function markdown(text: string): Part[] {
  const parts: Part[] = [];
  const lines = text.replace(/\n+$/, '').split('\n');
  let open: string[] = [];
  const close = (): void => {
    if (open.length > 0) parts.push({ kind: 'paragraph', inlines: inlines(open.join('\n')) });
    open = [];
  };
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const fence = FENCE.exec(line);
    if (fence) {
      close();
      const end = lines.findIndex((other, place) => place > at && other.trim().startsWith(fence[1] ?? '```'));
      const last = end < 0 ? lines.length : end;
      parts.push({ kind: 'code', language: fence[2] ?? '', text: lines.slice(at + 1, last).join('\n') });
      at = last;
    } else if (line.trim() === '') {
      close();
    } else if (!single(line, parts, close) && !item(line, parts, close, open.length > 0)) {
      open.push(line);
    }
  }
  close();
  return parts;
}

/** Headings and quotes. */
function single(line: string, parts: Part[], close: () => void): boolean {
  const heading = HEADING.exec(line);
  const quote = heading ? null : QUOTE.exec(line);
  if (!heading && !quote) return false;
  close();
  if (heading) parts.push({ kind: 'heading', level: heading[1]?.length ?? 1, inlines: inlines(heading[2] ?? '') });
  else parts.push({ kind: 'quote', inlines: inlines(quote?.[1] ?? '') });
  return true;
}

/** An item of a list, or a line that goes on with one. */
function item(line: string, parts: Part[], close: () => void, inParagraph: boolean): boolean {
  const found = ITEM.exec(line);
  const last = parts.at(-1);
  if (!found) {
    const goesOn = !inParagraph && last?.kind === 'list' && /^\s{2,}\S/.test(line);
    if (goesOn) last.items.at(-1)?.inlines.push({ kind: 'text', text: ' ' }, ...inlines(line.trim()));
    return goesOn;
  }
  close();
  const ordered = found[3] !== undefined;
  const entry = {
    depth: Math.min(4, Math.floor((found[1] ?? '').length / 2)),
    number: ordered ? Number(found[3]) : undefined,
    inlines: inlines(found[4] ?? ''),
  };
  const before = parts.at(-1);
  if (before?.kind === 'list' && (before.ordered === ordered || entry.depth > 0)) before.items.push(entry);
  else parts.push({ kind: 'list', ordered, items: [entry] });
  return true;
}

/** Code, bold and emphasis of a paragraph; a link is its text with the address behind it. */
export function inlines(text: string): Inline[] {
  const found: Inline[] = [];
  const pattern =
    /(`+)([^`]|[^`][^]*?[^`])\1(?!`)|\*\*(?=\S)([^*\n]{1,1000}?)\*\*|(?<![\w*])\*(?=[^\s*])([^*\n]{1,1000}?)\*(?![\w*])/g;
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > at) found.push({ kind: 'text', text: text.slice(at, match.index) });
    at = match.index + match[0].length;
    const [, , code, strong, em] = match;
    if (code !== undefined) found.push({ kind: 'code', text: code });
    else if (strong !== undefined) found.push({ kind: 'strong', text: strong });
    else found.push({ kind: 'em', text: em ?? '' });
  }
  if (at < text.length) found.push({ kind: 'text', text: text.slice(at) });
  return found;
}
