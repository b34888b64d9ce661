/**
 * What a person reads of a run: its events folded into a list of blocks. Text is joined and cut into parts of a bounded size,
 * so that whoever shows it never renders more than one part again when a word comes; of a flood the beginning is let go.
 */
import type { Choice, ReviewFile, RunEvent } from '../protocol';

/** Parts of a message are at most so long; a part ends where a paragraph does. */
const PART = 6_000;
/** Of a thought or an output so much is kept, its end. */
const TAIL = 40_000;
/** Of the whole transcript so much is kept. */
const BLOCKS = 4_000;
const CHARACTERS = 2_000_000;

/** Every block has a `key` of its own, counted from 0, and stays in its place. */
export type Block = { readonly key: number } & (
  | { kind: 'message'; text: string; open: boolean }
  | { kind: 'thought'; text: string; cut: boolean }
  | Call
  | { kind: 'file'; action: ReviewFile['action']; path: string; to: string | undefined }
  | Asked
  | { kind: 'said'; text: string }
  | { kind: 'notice'; tone: 'info' | 'warning' | 'error'; text: string; hint: string }
  | { kind: 'verify'; command: string; ok: boolean | null; running: boolean; seconds: number; summary: string }
  | { kind: 'end'; summary: string; files: { action: ReviewFile['action']; path: string }[]; counts: Counts }
  | { kind: 'outcome'; what: Outcome; files: string[]; reasons: string[]; ticked: boolean; partial: boolean }
);

export interface Call {
  kind: 'tool';
  id: string;
  /** One of ACP's kinds: `read`, `edit`, `execute` … */
  tool: string;
  title: string;
  path: string | undefined;
  status: string;
  output: string;
  cut: boolean;
}

export interface Asked {
  kind: 'question';
  requestId: string;
  asks: string;
  title: string;
  /** The exact command, one argument a line, and where it would run; empty for other questions. */
  argv: string[];
  cwd: string;
  options: Choice[];
  words: boolean;
  answer: { option: string; by: string; text: string } | undefined;
}

export type Outcome = 'applied' | 'rejected' | 'conflict' | 'undone' | 'superseded' | 'cancelled' | 'interrupted';
export interface Counts {
  created: number;
  modified: number;
  deleted: number;
  tests: number;
}

/** Events with neighbouring texts of one kind joined: the same transcript from less. Gaps in `seq` mean nothing after it. */
export function joined(events: readonly RunEvent[]): RunEvent[] {
  const found: RunEvent[] = [];
  let texts: string[] = [];
  const close = (): void => {
    const last = found.at(-1);
    if (texts.length > 1 && last && isText(last)) found[found.length - 1] = { ...last, text: texts.join('') };
    texts = [];
  };
  for (const event of events) {
    const last = found.at(-1);
    if (isText(event) && last?.type === event.type && texts.length > 0) {
      texts.push(event.text);
      // The number of the last one: what was seen up to.
      found[found.length - 1] = { ...event };
    } else {
      close();
      found.push(event);
      if (isText(event)) texts = [event.text];
    }
  }
  close();
  return found;
}

function isText(event: RunEvent): event is RunEvent & { type: 'chunk' | 'thought' } {
  return event.type === 'chunk' || event.type === 'thought';
}

export class Transcript {
  /** The number of the last event that is in here. */
  seq = 0;
  plan: { text: string; status: string }[] = [];
  isolation: { level: string; network: string } | undefined;
  /** Why this agent was taken. */
  reason = '';
  /** How many blocks at the beginning were let go. */
  dropped = 0;

  private way = '';
  private kept: Block[] = [];
  private nextKey = 0;
  private size = 0;
  private fence = false;
  private readonly calls = new Map<string, Block & Call>();
  private readonly questions = new Map<string, Block & Asked>();
  private readonly actions = new Map<string, ReviewFile['action']>();
  private changed = new Set<number>();

  /** From the first to the last, without those that were let go; not to be changed. */
  get blocks(): readonly Block[] {
    return this.kept;
  }

  /** The block with a key; `undefined` for one that was let go. */
  block(key: number): Block | undefined {
    return this.kept[key - this.dropped];
  }

  /** The keys of blocks that are new or different since this was asked last, in their order. */
  taken(): number[] {
    const keys = [...this.changed].filter((key) => key >= this.dropped).sort((one, other) => one - other);
    this.changed = new Set();
    return keys;
  }

  /** Takes events in their order; those that were seen are passed over. */
  add(events: readonly RunEvent[]): void {
    for (const event of events) {
      if (event.seq <= this.seq) continue;
      this.seq = event.seq;
      this.take(event);
    }
    this.letGo();
  }

  private take(event: RunEvent): void {
    switch (event.type) {
      case 'chunk':
        this.text(event.text);
        return;
      case 'thought':
        this.thought(event.text);
        return;
      case 'tool':
        this.tool(event);
        return;
      case 'plan':
        this.plan = event.entries;
        return;
      case 'isolation':
        this.isolation = { level: event.level, network: event.network };
        return;
      case 'start':
        this.way = event.way;
        this.reason = event.reason;
        if (event.comment) this.put({ kind: 'said', text: event.comment });
        return;
      case 'file':
        this.file(event);
        return;
      case 'permission':
        this.ask(event);
        return;
      case 'answer':
        this.answered(event);
        return;
      default:
        this.ended(event);
        return;
    }
  }

  /** What is said of the end, and after it. */
  private ended(event: RunEvent): void {
    switch (event.type) {
      case 'warning':
        this.put({ kind: 'notice', tone: 'warning', text: event.message, hint: event.hint });
        return;
      case 'error':
        this.put({ kind: 'notice', tone: 'error', text: event.message, hint: event.hint });
        return;
      case 'verifying':
      case 'verify':
        this.verify(event);
        return;
      case 'complete':
        this.complete(event);
        return;
      case 'state':
        if (event.to === 'interrupted') this.outcome('interrupted', []);
        return;
      case 'cancelled':
        this.outcome('cancelled', []);
        return;
      case 'applied':
        this.outcome('applied', event.files, [], event.ticked, event.partial);
        return;
      case 'rejected':
      case 'undone':
        this.outcome(event.type, event.files);
        return;
      case 'conflict':
        this.outcome('conflict', event.files, event.reasons);
        return;
      case 'superseded':
        this.outcome('superseded', [event.by]);
        return;
      default: // nothing to read
    }
  }

  // Text

  private text(text: string): void {
    const running = this.way === 'api' || this.way === 'replay' ? this.running() : undefined;
    if (running) {
      this.print(running, text);
      return;
    }
    let rest = text;
    while (rest !== '') {
      let last = this.kept.at(-1);
      if (last?.kind !== 'message' || !last.open) {
        rest = rest.replace(/^\n+/, '');
        if (rest === '') return;
        this.fence = false;
        last = this.put({ kind: 'message', text: '', open: true });
      }
      if (last.kind !== 'message') return;
      const all = last.text + rest;
      const end = this.endOfPart(all, Math.max(0, last.text.lastIndexOf('\n')));
      this.size += end - last.text.length;
      rest = all.slice(end);
      last.text = all.slice(0, end);
      last.open = rest === '' && !this.closes(last.text);
      this.changed.add(last.key);
    }
  }

  /** Where the part that `text` begins with ends: after its first blank line outside of a fence, or when it is too long. */
  private endOfPart(text: string, from: number): number {
    let at = from === 0 ? 0 : from + 1;
    while (at < text.length) {
      const newline = text.indexOf('\n', at);
      if (newline < 0) break;
      const line = text.slice(at, newline);
      if (/^\s{0,3}(```|~~~)/.test(line)) this.fence = !this.fence;
      if (!this.fence && line.trim() === '' && at > 0) return newline + 1;
      if (newline + 1 > PART) return newline + 1;
      at = newline + 1;
    }
    return text.length > 2 * PART ? PART : text.length;
  }

  private closes(text: string): boolean {
    return (!this.fence && /\n\s*\n$/.test(text)) || text.length > PART;
  }

  private thought(text: string): void {
    const last = this.kept.at(-1);
    if (last?.kind === 'thought') {
      this.grow(last, 'text', text);
    } else if (text.trim() !== '') {
      const made = this.put({ kind: 'thought', text: '', cut: false });
      if (made.kind === 'thought') this.grow(made, 'text', text.trimStart());
    }
  }

  /** Adds to what is kept of a thought or an output; of much only the end stays. */
  private grow<Name extends 'text' | 'output'>(
    block: Block & { cut: boolean } & Record<Name, string>,
    name: Name,
    text: string,
  ): void {
    const before = block[name].length;
    let all: string = block[name] + text;
    if (all.length > 2 * TAIL) {
      all = all.slice(-TAIL);
      block.cut = true;
    }
    (block as Record<Name, string>)[name] = all;
    this.size += all.length - before;
    this.changed.add(block.key);
  }

  // Calls

  /** The command that a model's own loop runs just now: what comes meanwhile is its output. */
  private running(): (Block & Call) | undefined {
    let found: (Block & Call) | undefined;
    for (const call of this.calls.values()) if (call.tool === 'execute') found = call;
    return found;
  }

  private print(call: Block & Call, text: string): void {
    this.grow(call, 'output', text);
  }

  private tool(event: RunEvent & { type: 'tool' }): void {
    const over = event.status === 'completed' || event.status === 'failed';
    const { id, kind: tool, title, path, status } = event;
    const made = { kind: 'tool', id, tool, title, path, status, output: '', cut: false } as const;
    const call = this.calls.get(id) ?? (this.put(made) as Block & Call);
    this.calls.set(id, call);
    Object.assign(call, { tool: event.kind, title: event.title, path: event.path ?? call.path, status: event.status });
    if (event.output !== undefined && (event.output !== '' || call.output === '')) {
      this.size += event.output.length - call.output.length;
      call.output = event.output;
      call.cut = false;
    }
    if (over) this.calls.delete(event.id);
    this.changed.add(call.key);
  }

  private file(event: RunEvent & { type: 'file' }): void {
    const { action, path, to } = event;
    const first = this.actions.get(path);
    this.actions.set(path, first === 'create' && action === 'modify' ? 'create' : action);
    const near = this.kept
      .slice(-4)
      .some((block) => (block.kind === 'tool' || block.kind === 'file') && block.path === path);
    if (!near) this.put({ kind: 'file', action, path, to });
  }

  // Questions

  private ask(event: RunEvent & { type: 'permission' }): void {
    const { requestId, kind: asks, title, options, detail } = event;
    const block = this.put({
      kind: 'question',
      requestId,
      asks,
      title,
      argv: detail?.argv ?? [],
      cwd: detail?.cwd ?? '',
      options,
      words: event.words ?? false,
      answer: undefined,
    });
    this.questions.set(requestId, block as Block & Asked);
  }

  private answered(event: RunEvent & { type: 'answer' }): void {
    const question = this.questions.get(event.requestId);
    if (!question) return;
    question.answer = { option: event.option, by: event.by, text: event.text ?? '' };
    this.questions.delete(event.requestId);
    this.changed.add(question.key);
  }

  // The end

  private verify(event: RunEvent & { type: 'verifying' | 'verify' }): void {
    const command = typeof event.command === 'string' ? event.command : event.command.join(' ');
    const running = event.type === 'verifying';
    const said = running
      ? { ok: null, running, seconds: 0, summary: '' }
      : { ok: event.ok, running, seconds: event.seconds, summary: event.summary };
    const open = this.kept.findLast((block) => block.kind === 'verify' && block.running);
    if (open && !running) {
      Object.assign(open, said);
      this.changed.add(open.key);
    } else {
      this.put({ kind: 'verify', command, ...said });
    }
  }

  private complete(event: RunEvent & { type: 'complete' }): void {
    const files = event.filesChanged.map((path) => ({ path, action: this.actions.get(path) ?? 'modify' }));
    const { filesCreated: created, filesModified: modified, filesDeleted: deleted, testsAdded: tests } = event;
    const last = this.kept.findLast((block) => block.kind === 'message');
    const said = last?.kind === 'message' && last.text.trim().endsWith(event.summary.trim());
    this.put({ kind: 'end', summary: said ? '' : event.summary, files, counts: { created, modified, deleted, tests } });
  }

  private outcome(what: Outcome, files: string[], reasons: string[] = [], ticked = false, partial = false): void {
    this.put({ kind: 'outcome', what, files, reasons, ticked, partial });
  }

  // Blocks

  private put(block: DistributiveOmit<Block, 'key'>): Block {
    const last = this.kept.at(-1);
    if (last?.kind === 'message') last.open = false;
    const made = { ...block, key: this.nextKey++ } as Block;
    this.kept.push(made);
    this.changed.add(made.key);
    this.size += 'text' in made ? made.text.length : 100;
    return made;
  }

  /** Lets the beginning go when there is too much; rarely and much at once, so that it costs nothing. */
  private letGo(): void {
    if (this.kept.length <= BLOCKS && this.size <= CHARACTERS) return;
    let count = Math.max(0, this.kept.length - (BLOCKS * 3) / 4);
    let size = this.kept.slice(0, count).reduce((sum, block) => sum + sizeOf(block), 0);
    const most = (CHARACTERS * 3) / 4;
    while (count < this.kept.length - 1 && this.size - size > most) size += sizeOf(this.kept[count++]);
    this.kept = this.kept.slice(count);
    this.dropped += count;
    this.size = this.kept.reduce((sum, block) => sum + sizeOf(block), 0);
    for (const [id, call] of this.calls) if (call.key < this.dropped) this.calls.delete(id);
  }
}

type DistributiveOmit<Value, Key extends PropertyKey> = Value extends unknown ? Omit<Value, Key> : never;

function sizeOf(block: Block | undefined): number {
  if (block === undefined) return 0;
  return 100 + ('text' in block ? block.text.length : 0) + ('output' in block ? block.output.length : 0);
}
