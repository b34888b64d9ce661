/** Elements from plain values. Texts become text nodes; nothing here, or anywhere in the page, reads HTML. */
import type { Inline, Part } from '../model/markdown';
import { markdown } from '../model/markdown';

type Child = Node | string | undefined | false;

/** An element with attributes and children; `undefined` and `false` are left out. */
export function el<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Record<string, string | boolean | undefined>,
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, '');
    else if (typeof value === 'string') made.setAttribute(key, value);
  }
  for (const child of children) if (child !== undefined && child !== false) made.append(child);
  return made;
}

/** A plain button that does something. */
export function button(
  label: string,
  attributes: Record<string, string | undefined>,
  act: () => void,
): HTMLButtonElement {
  const made = el('button', { type: 'button', ...attributes }, label);
  made.addEventListener('click', act);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

/** Outlines in a square of 16, drawn with the text's colour. */
const ICONS = {
  read: 'M4 2h5l3 3v9H4zM9 2v3h3M6 8h4M6 10.5h4',
  edit: 'M3 13l.7-2.8 7.1-7.1 2.1 2.1-7.1 7.1zM9.5 4.4l2.1 2.1',
  delete: 'M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.5 8.5h6l.5-8.5',
  move: 'M3 8h9M9 5l3 3-3 3',
  search: 'M7 11.5a4.5 4.5 0 1 1 0-9 4.5 4.5 0 0 1 0 9zM10.3 10.3 14 14',
  execute: 'M2.5 3h11v10h-11zM5 6l2 2-2 2M8.5 10.5H11',
  think: 'M5.5 10.5a4 4 0 1 1 5 0V12h-5zM6.5 14h3',
  fetch: 'M8 14A6 6 0 1 1 8 2a6 6 0 0 1 0 12zM2 8h12M8 2c-4 4-4 8 0 12 4-4 4-8 0-12',
  other: 'M8 3v2M8 11v2M3 8h2M11 8h2M8 9.2A1.2 1.2 0 1 0 8 6.8a1.2 1.2 0 0 0 0 2.4z',
  ok: 'M3 8.5l3.2 3.2L13 5',
  failed: 'M4 4l8 8M12 4l-8 8',
  running: 'M8 2a6 6 0 1 1-6 6',
  pending: 'M8 13A5 5 0 1 1 8 3a5 5 0 0 1 0 10z',
  waiting: 'M5.8 6a2.3 2.3 0 1 1 3.3 2.1c-.8.4-1.1.9-1.1 1.7M8 12.2v.3M8 14.5a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13z',
  warning: 'M8 2.5 14 13.5H2zM8 6.5v3.5M8 11.5v.3',
  review: 'M1.8 8S4 3.8 8 3.8 14.2 8 14.2 8 12 12.2 8 12.2 1.8 8 1.8 8zM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6z',
  down: 'M8 3v9M4.5 8.5 8 12l3.5-3.5',
  stop: 'M4.5 4.5h7v7h-7z',
} as const;

/** An icon that screen readers pass over: what it says stands beside it in words. */
export function icon(name: string, ...classes: string[]): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon', ...classes);
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', (ICONS as Record<string, string>)[name] ?? ICONS.other);
  svg.append(path);
  return svg;
}

/** A text of an agent as elements. */
export function prose(text: string): Node[] {
  return markdown(text).map(partOf);
}

function partOf(part: Part): Node {
  switch (part.kind) {
    case 'heading':
      return el(
        'p',
        { role: 'heading', 'aria-level': String(part.level + 2), class: 'heading' },
        ...inlinesOf(part.inlines),
      );
    case 'code':
      return el('pre', { tabindex: '0', 'data-language': part.language || undefined }, el('code', {}, part.text));
    case 'quote':
      return el('blockquote', {}, ...inlinesOf(part.inlines));
    case 'list': {
      const items = part.items.map(({ depth, number, inlines }) =>
        el(
          'li',
          { class: `in${depth}${number === undefined ? ' dot' : ' number'}`, value: number?.toString() },
          ...inlinesOf(inlines),
        ),
      );
      return el(part.ordered ? 'ol' : 'ul', {}, ...items);
    }
    case 'paragraph':
      return el('p', {}, ...inlinesOf(part.inlines));
  }
}

function inlinesOf(inlines: Inline[]): (Node | string)[] {
  return inlines.map(({ kind, text }) => (kind === 'text' ? text : el(kind, {}, text)));
}
