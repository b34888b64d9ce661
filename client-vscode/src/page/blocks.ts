/** One element for each block of the transcript, and how it is brought up to date without losing what the person opened. */
import type { Asked, Block, Call, Outcome } from '../model/transcript';
import { button, el, icon, prose } from './dom';
import { post, say } from './post';

/** Of an output so many lines are shown before it is folded. */
const LINES = 12;

/** What the blocks need to know of the run. */
export interface Run {
  /** Whether its questions can still be answered. */
  live: boolean;
  proposed: boolean;
}

export interface Shown {
  node: HTMLElement;
  update(block: Block): void;
}

/** The element of a block; `update` takes the same block again after it changed. */
export function shown(block: Block, run: Run): Shown {
  const node = el('div', { class: `block ${block.kind}` });
  switch (block.kind) {
    case 'thought':
      return thought(node, block);
    case 'tool':
      return call(node, block, run);
    case 'verify':
      return rebuilt(node, block, verify);
    case 'question':
      return rebuilt(node, block, (now) => (now.kind === 'question' ? question(now, run, node) : []));
    case 'message':
      return rebuilt(node, block, (now) => (now.kind === 'message' ? prose(now.text) : []));
    default:
      return rebuilt(node, block, (now) => plain(now, run));
  }
}

function rebuilt(node: HTMLElement, block: Block, children: (block: Block) => Node[]): Shown {
  const update = (now: Block): void => node.replaceChildren(...children(now));
  update(block);
  return { node, update };
}

/** Blocks that nothing is opened in. */
function plain(block: Block, run: Run): Node[] {
  switch (block.kind) {
    case 'said':
      return [el('span', { class: 'who' }, say('you')), el('p', {}, block.text)];
    case 'notice':
      return [
        icon(block.tone === 'error' ? 'failed' : 'warning', block.tone),
        el('div', {}, el('p', {}, block.text), block.hint !== '' && el('p', { class: 'hint' }, block.hint)),
      ];
    case 'file':
      return [icon('edit'), el('span', {}, say(block.action)), link(block.to ?? block.path, run)];
    case 'end':
      return end(block, run);
    case 'outcome':
      return outcome(block);
    default:
      return [];
  }
}

/** A path that opens when it is clicked. */
function link(path: string, run: Run): HTMLElement {
  const title = say(run.proposed ? 'openProposed' : 'openFile', path);
  return button(path, { class: 'link', title, 'aria-label': title }, () => post({ type: 'file', path }));
}

// Text that grows

/** Shows a text that grows at its end: only what is new is added. */
class Growing {
  readonly node = document.createTextNode('');
  private text = '';

  show(text: string): void {
    if (text === this.text) return;
    if (text.startsWith(this.text)) this.node.appendData(text.slice(this.text.length));
    else this.node.data = text;
    this.text = text;
  }
}

function thought(node: HTMLElement, block: Block): Shown {
  const text = new Growing();
  const peek = el('span', { class: 'peek' });
  const cut = el('p', { class: 'hint', hidden: true }, say('cut'));
  const summary = el('summary', {}, icon('think'), el('span', {}, say('thought')), peek);
  node.append(el('details', {}, summary, cut, el('div', { class: 'text' }, text.node)));
  const update = (now: Block): void => {
    if (now.kind !== 'thought') return;
    text.show(now.text);
    cut.hidden = !now.cut;
    peek.textContent = now.text.slice(0, 160).split('\n')[0] ?? '';
  };
  update(block);
  return { node, update };
}

// Calls of tools

function call(node: HTMLElement, block: Block & Call, run: Run): Shown {
  const line = el('div', { class: 'line' });
  const output = new Output();
  node.append(line);
  let made = '';
  const update = (now: Block): void => {
    if (now.kind !== 'tool') return;
    const looks = [now.tool, now.title, now.path, now.status].join('\n');
    if (looks !== made) line.replaceChildren(...callLine(now, run));
    made = looks;
    node.dataset['status'] = now.status;
    if (now.output !== '' && !output.node.isConnected) node.append(output.node);
    if (now.output !== '')
      output.show(now.output, now.cut, now.title, now.status !== 'in_progress' && now.tool !== 'execute');
  };
  update(block);
  return { node, update };
}

function callLine(now: Call, run: Run): Node[] {
  const words = { pending: 'pending', in_progress: 'inProgress', completed: 'done', failed: 'failed' } as const;
  const word = words[now.status as keyof typeof words];
  const state =
    { pending: 'pending', in_progress: 'running', completed: 'ok', failed: 'failed' }[now.status] ?? 'pending';
  const title = el('span', { class: now.tool === 'execute' ? 'title code' : 'title' });
  const at = now.path === undefined ? -1 : now.title.lastIndexOf(now.path);
  if (now.path === undefined) title.append(now.title);
  else if (at < 0) title.append(now.title, ' ', link(now.path, run));
  else title.append(now.title.slice(0, at), link(now.path, run), now.title.slice(at + now.path.length));
  const spoken = el('span', { class: 'sr' }, say(word));
  return [icon(now.tool, 'tool'), title, icon(state, 'state', state === 'running' ? 'spin' : state), spoken];
}

/** What was printed: the end of it, and all of it when the person wants it. */
class Output {
  readonly node = el('div', { class: 'output' });
  private readonly text = new Growing();
  private readonly pre = el('pre', { tabindex: '0' }, this.text.node);
  private readonly more = button('', { class: 'link more', hidden: '' }, () => this.toggle());
  private all = '';
  private cut = false;
  private opened = false;
  private lines = LINES;

  constructor() {
    this.node.append(this.pre, this.more);
  }

  /** `short`: one line is enough until it is opened. */
  show(text: string, cut: boolean, of: string, short: boolean): void {
    this.all = text.replace(/\n+$/, '');
    this.cut = cut;
    this.lines = short ? 2 : LINES;
    this.pre.setAttribute('aria-label', say('outputOf', of));
    this.render();
  }

  private toggle(): void {
    this.opened = !this.opened;
    this.render();
  }

  private render(): void {
    const count = lineCount(this.all);
    const folds = count > this.lines + 2;
    this.more.hidden = !folds;
    this.more.textContent = this.opened ? say('showLess') : say('showAll', count);
    this.more.setAttribute('aria-expanded', String(this.opened));
    const lead = this.cut ? `${say('cut')}\n` : '';
    this.text.show(folds && !this.opened ? lastLines(this.all, this.lines) : lead + this.all);
  }
}

function lineCount(text: string): number {
  let count = 1;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

function lastLines(text: string, count: number): string {
  let at = text.length;
  for (let left = count; left > 0 && at > 0; left--) at = text.lastIndexOf('\n', at - 1);
  return text.slice(at + 1);
}

// Questions

function question(now: Asked, run: Run, node: HTMLElement): Node[] {
  const open = now.answer === undefined && run.live;
  node.classList.toggle('open', open);
  const [first = '', ...rest] = now.title.split('\n');
  const title = now.argv.length > 0 ? (first.split(':')[0] ?? first) : first;
  const head = el('p', { class: 'asks' }, icon('waiting', open ? 'waiting' : 'ok'), title);
  const parts: Node[] = [head];
  if (open && rest.length > 0) parts.push(el('p', { class: 'lines' }, rest.join('\n')));
  if (now.argv.length > 0) {
    const text = now.argv.map(visible).join(now.argv.some((part) => /\s/.test(part)) ? '\n' : ' ');
    parts.push(el('pre', { tabindex: '0' }, text));
    if (now.cwd !== '' && now.cwd !== '.') parts.push(el('p', { class: 'hint' }, say('inFolder', now.cwd)));
  }
  if (open) parts.push(...answers(now));
  else parts.push(el('p', { class: 'hint' }, answered(now)));
  return parts;
}

function answers(now: Asked): Node[] {
  const { requestId } = now;
  const parts: Node[] = [];
  const answer = (option: string, text?: string): void => {
    for (const one of row.querySelectorAll('button')) one.disabled = true;
    post({ type: 'answer', requestId, option, text });
  };
  const row = el('div', { class: 'answers', role: 'group', 'aria-label': now.title });
  if (now.words) {
    const words = el('textarea', { rows: '2', 'aria-label': say('words'), placeholder: say('words') });
    words.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send();
    });
    const send = (): void => {
      if (words.value.trim() !== '') answer('', words.value);
    };
    parts.push(words);
    row.append(button(say('send'), { class: 'primary' }, send));
  }
  now.options.forEach((option, place) => {
    const primary = place === 0 && option.kind !== 'deny' && !now.words;
    row.append(button(option.label, { class: primary ? 'primary' : 'secondary' }, () => answer(option.id)));
  });
  parts.push(row);
  return parts;
}

function answered(now: Asked): string {
  if (!now.answer || now.answer.by === 'nobody') return say('unanswered');
  const label = now.options.find((option) => option.id === now.answer?.option)?.label ?? now.answer.option;
  return [label, now.answer.text].filter((part) => part !== '').join(': ');
}

/** Control and direction characters as escapes: nothing in a command is hidden or moves what stands beside it. */
function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (one) => `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

// The end

function verify(block: Block): Node[] {
  if (block.kind !== 'verify') return [];
  const { command, ok, running } = block;
  const title = running ? 'verifying' : ok === null ? 'stoppedVerify' : ok ? 'verified' : 'notVerified';
  const looks = running
    ? ['running', 'spin']
    : ok === null
      ? ['warning', 'warning']
      : ok
        ? ['ok', 'ok']
        : ['failed', 'failed'];
  const [first, ...rest] = block.summary.split('\n');
  const said = el('div', {}, el('p', {}, say(title, command)), first !== '' && el('p', { class: 'hint' }, first));
  if (rest.join('').trim() !== '') {
    const output = new Output();
    output.show(rest.join('\n').replace(/^\n+/, ''), false, command, false);
    said.append(output.node);
  }
  return [icon(looks[0] ?? 'ok', looks[1] ?? ''), said];
}

const LETTERS = { create: '+', modify: '~', delete: '−', rename: '→' } as const;

function end(block: Block & { kind: 'end' }, run: Run): Node[] {
  const { created, modified, deleted, tests } = block.counts;
  const counts = [
    created > 0 && say('created', created),
    modified > 0 && say('modified', modified),
    deleted > 0 && say('deleted', deleted),
    tests > 0 && say('tests', tests),
  ].filter((part) => part !== false);
  const files = block.files.map(({ action, path }) => {
    const letter = el(
      'span',
      { class: `letter ${action}`, title: say(action), 'aria-label': say(action) },
      LETTERS[action],
    );
    return el('li', {}, letter, link(path, run));
  });
  const title = block.files.length > 0 ? say('proposes') : say('noFiles');
  return [
    el('p', { class: 'caption' }, title, el('span', { class: 'hint' }, counts.join(' · '))),
    ...(files.length > 0 ? [el('ul', { class: 'files' }, ...files)] : []),
    ...(block.summary.trim() === '' ? [] : [el('div', { class: 'summary' }, ...prose(block.summary))]),
  ];
}

const OUTCOMES: Record<Outcome, string> = {
  applied: 'ok',
  rejected: 'failed',
  conflict: 'warning',
  undone: 'move',
  superseded: 'move',
  cancelled: 'stop',
  interrupted: 'warning',
};

function outcome(block: Block & { kind: 'outcome' }): Node[] {
  const looks = OUTCOMES[block.what];
  return [icon(looks, looks), el('div', {}, ...outcomeLines(block).map((line) => el('p', {}, line)))];
}

function outcomeLines(block: Block & { kind: 'outcome' }): string[] {
  const { what, files, reasons } = block;
  switch (what) {
    case 'applied': {
      const said = say(block.partial ? 'appliedPart' : 'applied', files.length);
      return [block.ticked ? `${said} · ${say('ticked')}` : said];
    }
    case 'conflict':
      return files.map((file, place) => say('conflict', [file, reasons[place]].filter(Boolean).join(': ')));
    case 'undone':
      return [say('undone', files.length)];
    default:
      return [say(what)];
  }
}

/** A block as plain text, for the clipboard. */
export function textOf(block: Block): string {
  switch (block.kind) {
    case 'message':
      return block.text.trim();
    case 'thought':
      return `${say('thought')}: ${block.text.trim().replaceAll('\n', '\n  ')}`;
    case 'tool':
      return [`[${block.tool}] ${block.title} (${block.status})`, block.output]
        .filter((part) => part !== '')
        .join('\n');
    case 'file':
      return `${say(block.action)} ${block.path}`;
    case 'question':
      return `? ${[block.title, answered(block)].join('\n  ')}`;
    case 'said':
      return `${say('you')}: ${block.text}`;
    case 'notice':
      return [block.text, block.hint].filter((part) => part !== '').join('\n');
    case 'verify':
      return `${block.command}: ${block.summary}`;
    case 'end':
      return [...block.files.map(({ action, path }) => `${LETTERS[action]} ${path}`), block.summary].join('\n');
    case 'outcome':
      return outcomeLines(block).join('\n');
  }
}
