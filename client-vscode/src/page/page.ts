/** The page of the output view: it folds the events of one run and shows them, a frame at a time. */
import type { Head, ToPage } from '../model/output';
import { Transcript } from '../model/transcript';
import { shown, textOf } from './blocks';
import type { Run, Shown } from './blocks';
import { button, el, icon } from './dom';
import { Find } from './find';
import { Header } from './header';
import { learn, post, say } from './post';

/** So many blocks are in the page; those before them come when the person asks for them. */
const WINDOW = 250;
const MORE = 250;
/** While the person reads further up, nothing goes away at the top until there are so many. */
const MOST = 1500;
/** From this height on there is room for the steps of a plan beside what is said. */
const ROOMY = 480;
/** How near to its end the log counts as at its end, in pixels. */
const NEAR = 32;

class Page {
  private transcript = new Transcript();
  private head: Head | undefined;
  private readonly run: Run = { live: false, proposed: false };
  private readonly nodes = new Map<number, Shown>();
  /** The first block that is shown. */
  private first = 0;
  private sticks = true;
  private drawing = false;
  private planText = '';

  private readonly header = new Header();
  private readonly plan = el('details', { id: 'plan', open: true, hidden: true });
  private readonly earlier = button('', { id: 'earlier', class: 'link', hidden: '' }, () => this.showEarlier());
  private readonly dropped = el('p', { class: 'hint', hidden: true });
  private readonly blocks = el('div', { id: 'blocks' });
  private readonly log = el('main', { id: 'log', tabindex: '0' }, this.dropped, this.earlier, this.blocks);
  private readonly jump = button('', { id: 'jump', hidden: '' }, () => this.jumpToEnd());
  private readonly find = new Find(this.log);
  private readonly said = el('div', { class: 'sr', 'aria-live': 'polite', role: 'status' });

  constructor() {
    const stage = el('div', { id: 'stage' }, this.find.node, this.log, this.jump);
    document.body.append(this.header.node, this.plan, stage, this.said);
    this.log.addEventListener('scroll', () => this.scrolled(), { passive: true });
    const resized = new ResizeObserver(() => this.sticks && this.toEnd());
    resized.observe(this.log);
    resized.observe(this.blocks);
    window.addEventListener('message', (event: MessageEvent<ToPage>) => this.take(event.data));
    post({ type: 'ready' });
  }

  private take(message: ToPage): void {
    switch (message.type) {
      case 'words':
        this.name(message.words);
        break;
      case 'runs':
        this.header.list(message);
        break;
      case 'open':
        this.open(message.head);
        break;
      case 'head':
        this.headed(message.head);
        break;
      case 'events':
        if (message.runId !== this.head?.runId) return;
        this.transcript.add(message.events);
        this.drawSoon();
        break;
      case 'copy':
        post({ type: 'copied', text: this.text() });
    }
  }

  private name(words: Record<string, string>): void {
    learn(words);
    this.log.setAttribute('aria-label', say('log'));
    this.earlier.textContent = say('earlier');
    this.dropped.textContent = say('dropped');
    this.jump.replaceChildren(icon('down'), say('jump'));
    this.header.name();
    this.find.name();
  }

  private open(head: Head | undefined): void {
    this.transcript = new Transcript();
    this.nodes.clear();
    this.blocks.replaceChildren();
    this.first = 0;
    this.sticks = true;
    this.planText = '';
    this.plan.hidden = true;
    this.head = undefined;
    document.body.classList.toggle('empty', head === undefined);
    if (head) this.headed(head);
    else this.blocks.replaceChildren(nothing());
    this.header.show(head, undefined);
    this.drawSoon();
  }

  private headed(head: Head): void {
    const before = this.head;
    this.head = head;
    const run: Run = { live: head.endedAt === null, proposed: head.proposed };
    const other = run.live !== this.run.live || run.proposed !== this.run.proposed;
    Object.assign(this.run, run);
    if (other) {
      for (const [key, one] of this.nodes) this.again(key, one);
      this.drawSoon();
    }
    if (before && before.state !== head.state && before.tone !== head.tone) this.said.textContent = head.state;
    this.header.show(head, this.transcript.isolation);
  }

  private again(key: number, one: Shown): void {
    const block = this.transcript.block(key);
    if (block && (block.kind === 'question' || block.kind === 'end')) one.update(block);
  }

  // Drawing

  private drawSoon(): void {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.draw();
    });
  }

  /** Brings the page up to date with what changed since the last frame. */
  private draw(): void {
    const { transcript } = this;
    const keys = transcript.taken();
    const end = transcript.dropped + transcript.blocks.length;
    const kept = this.sticks ? WINDOW : MOST;
    if (end - this.first > kept * 1.5) this.first = end - kept;
    this.first = Math.max(this.first, transcript.dropped);
    this.letGo();
    for (const key of keys) if (key >= this.first) this.put(key);
    this.earlier.hidden = this.first <= transcript.dropped;
    this.dropped.hidden = transcript.dropped === 0 || !this.earlier.hidden;
    this.drawPlan();
    if (this.head) this.header.show(this.head, transcript.isolation);
    if (this.sticks) this.toEnd();
    else this.scrolled();
  }

  private put(key: number): void {
    const block = this.transcript.block(key);
    if (!block) return;
    const known = this.nodes.get(key);
    if (known) {
      known.update(block);
      return;
    }
    const made = shown(block, this.run);
    this.nodes.set(key, made);
    this.blocks.append(made.node);
  }

  private letGo(): void {
    for (const [key, { node }] of this.nodes) {
      if (key >= this.first) break;
      node.remove();
      this.nodes.delete(key);
    }
  }

  private showEarlier(): void {
    const from = Math.max(this.transcript.dropped, this.first - MORE);
    const before = this.log.scrollHeight - this.log.scrollTop;
    const made: [number, Shown][] = [];
    for (let key = from; key < this.first; key++) {
      const block = this.transcript.block(key);
      if (block) made.push([key, shown(block, this.run)]);
    }
    this.first = from;
    this.sticks = false;
    const later = [...this.nodes];
    this.nodes.clear();
    for (const [key, one] of [...made, ...later]) this.nodes.set(key, one);
    this.blocks.prepend(...made.map(([, { node }]) => node));
    this.log.scrollTop = this.log.scrollHeight - before;
    this.drawSoon();
  }

  private drawPlan(): void {
    const { plan } = this.transcript;
    const text = JSON.stringify(plan);
    if (text === this.planText) return;
    if (this.planText === '[]' || this.planText === '') this.plan.open = window.innerHeight >= ROOMY;
    this.planText = text;
    this.plan.hidden = plan.length === 0;
    const done = plan.filter((entry) => entry.status === 'completed').length;
    const now = plan.find((entry) => entry.status === 'in_progress');
    const step = now && el('span', { class: 'hint step' }, now.text);
    const summary = el(
      'summary',
      {},
      say('plan'),
      el('span', { class: 'hint' }, say('planDone', done, plan.length)),
      step,
    );
    const items = plan.map((entry) => {
      const looks = entry.status === 'completed' ? 'ok' : entry.status === 'in_progress' ? 'running' : 'pending';
      const word = entry.status === 'completed' ? 'done' : entry.status === 'in_progress' ? 'inProgress' : 'pending';
      const spoken = el('span', { class: 'sr' }, say(word));
      return el('li', { class: entry.status }, icon(looks, looks), el('span', {}, entry.text), spoken);
    });
    this.plan.replaceChildren(summary, el('ul', {}, ...items));
  }

  // Scrolling

  private scrolled(): void {
    const left = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight;
    this.sticks = left < NEAR;
    this.jump.hidden = this.sticks;
  }

  private toEnd(): void {
    this.log.scrollTop = this.log.scrollHeight;
    this.jump.hidden = true;
  }

  private jumpToEnd(): void {
    this.sticks = true;
    this.drawSoon();
    this.log.focus();
  }

  private text(): string {
    const { head, transcript } = this;
    const title = head ? [head.title, [...head.about, head.state, head.used].filter(Boolean).join(' · '), ''] : [];
    return [...title, ...transcript.blocks.map(textOf)].join('\n') + '\n';
  }
}

/** What is shown where no run is. */
function nothing(): HTMLElement {
  return el(
    'div',
    { class: 'nothing' },
    el('h2', {}, say('emptyTitle')),
    el('p', {}, say('emptyText')),
    el(
      'div',
      { class: 'answers' },
      button(say('openTaskFile'), { class: 'primary' }, () => post({ type: 'command', name: 'openTaskFile' })),
      button(say('demo'), { class: 'secondary' }, () => post({ type: 'command', name: 'demo' })),
    ),
  );
}

new Page();
