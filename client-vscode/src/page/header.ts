/** The top of the page: which run, how it goes, and what can be done with it. */
import type { Head, ToPage } from '../model/output';
import { button, el, icon } from './dom';
import { post, say } from './post';

const ICONS = {
  running: 'running',
  waiting: 'waiting',
  review: 'review',
  done: 'ok',
  failed: 'failed',
  idle: 'stop',
} as const;
const NEWEST = '';

/** Where the agent works, in words. */
function place({ level, network }: { level: string; network: string }): string[] {
  const known = { memory: 'inMemory', overlay: 'inSandbox', bubblewrap: 'inSandbox', copy: 'inCopy' } as const;
  const word = known[level as keyof typeof known] as (typeof known)[keyof typeof known] | undefined;
  return [word ? say(word) : level, network === 'none' ? say('noNetwork') : say('network', network)];
}

export class Header {
  private readonly choice = el('select', { id: 'runs' });
  private readonly state = el('span', { id: 'state' });
  private readonly time = el('span', { id: 'time' });
  private readonly used = el('span', { id: 'used' });
  private readonly actions = el('div', { id: 'actions', role: 'group' });
  private readonly about = el('div', { id: 'about' });
  readonly node = el(
    'header',
    {},
    el('div', { class: 'bar' }, this.choice, this.state, this.time, this.used, this.about, this.actions),
  );
  private head: Head | undefined;
  private looks = '';
  private aboutText = '';
  private listed = '';

  constructor() {
    this.choice.addEventListener('change', () => {
      post({ type: 'select', runId: this.choice.value === NEWEST ? undefined : this.choice.value });
    });
    setInterval(() => this.tick(), 1000);
  }

  /** Once the words are known. */
  name(): void {
    this.choice.setAttribute('aria-label', say('choose'));
    this.choice.title = say('choose');
    this.node.setAttribute('aria-label', say('run'));
    this.actions.setAttribute('aria-label', say('hint'));
  }

  /** The runs to choose from. */
  list({ runs, selected, following }: ToPage & { type: 'runs' }): void {
    const listed = JSON.stringify([runs, selected, following]);
    if (listed === this.listed) return;
    this.listed = listed;
    const newest = runs[0] ? `${say('newest')}: ${runs[0].label}` : say('newest');
    this.choice.replaceChildren(
      el('option', { value: NEWEST }, newest),
      ...runs.map(({ runId, label }) => el('option', { value: runId }, label)),
    );
    this.choice.value = following ? NEWEST : (selected ?? NEWEST);
    this.choice.hidden = runs.length === 0;
  }

  /** The run that is shown; nothing for none. */
  show(head: Head | undefined, isolation: { level: string; network: string } | undefined): void {
    this.head = head;
    this.node.hidden = head === undefined;
    if (!head) return;
    const about = [...head.about, ...(isolation ? place(isolation) : [])].filter((part) => part !== '').join(' · ');
    if (about !== this.aboutText) this.about.textContent = this.about.title = this.aboutText = about;
    const looks = JSON.stringify([head.tone, head.state, head.buttons, head.used, head.runId]);
    if (looks !== this.looks) this.redraw(head);
    this.looks = looks;
    this.tick();
  }

  private redraw(head: Head): void {
    const focused = (document.activeElement as HTMLElement | null)?.dataset['act'];
    this.state.className = head.tone;
    this.state.replaceChildren(icon(ICONS[head.tone], head.tone === 'running' ? 'spin' : 'still'), head.state);
    this.used.textContent = head.used;
    this.actions.replaceChildren(
      ...head.buttons.map(({ act, label, tip, primary }) =>
        button(label, { class: primary ? 'primary' : 'secondary', title: tip, 'data-act': act }, () =>
          post({ type: 'act', act }),
        ),
      ),
    );
    if (focused) this.actions.querySelector<HTMLElement>(`[data-act="${focused}"]`)?.focus();
  }

  private tick(): void {
    const { head } = this;
    if (!head) return;
    const to = head.endedAt === null ? Date.now() : Date.parse(head.endedAt);
    const taken = Math.max(0, Math.floor((to - Date.parse(head.startedAt)) / 1000));
    const text = Number.isNaN(taken)
      ? ''
      : taken < 120
        ? say('seconds', taken)
        : say('minutes', Math.floor(taken / 60), taken % 60);
    if (this.time.textContent !== text) this.time.textContent = text;
  }
}
