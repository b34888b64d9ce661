/** Finding a text in what is shown: Ctrl+F, Enter and Shift+Enter, Escape. The editor has no such thing for views. */
import { button, el, icon } from './dom';
import { say } from './post';

/** More places than these are not marked. */
const MOST = 1000;

export class Find {
  private readonly input = el('input', { type: 'text', spellcheck: 'false' });
  private readonly count = el('span', { class: 'hint', role: 'status' });
  private readonly buttons: [HTMLButtonElement, HTMLButtonElement, HTMLButtonElement];
  readonly node: HTMLElement;
  private ranges: Range[] = [];
  private at = -1;

  /** @param within the element whose text is searched */
  constructor(private readonly within: HTMLElement) {
    this.buttons = [
      button('', { class: 'bare up' }, () => this.step(-1)),
      button('', { class: 'bare' }, () => this.step(1)),
      button('', { class: 'bare' }, () => this.close()),
    ];
    (['down', 'down', 'failed'] as const).forEach((name, place) => this.buttons[place]?.append(icon(name, 'plain')));
    this.node = el('div', { id: 'find', role: 'search', hidden: true }, this.input, this.count, ...this.buttons);
    this.input.addEventListener('input', () => this.look());
    this.node.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && event.target === this.input) this.step(event.shiftKey ? -1 : 1);
      if (event.key === 'Escape') this.close();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key.toLowerCase() !== 'f' || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey)
        return;
      event.preventDefault();
      this.open();
    });
  }

  /** Once the words are known. */
  name(): void {
    const words = [say('findPrevious'), say('findNext'), say('findClose')];
    this.input.placeholder = say('find');
    this.input.setAttribute('aria-label', say('find'));
    this.buttons.forEach((one, place) => {
      one.title = words[place] ?? '';
      one.setAttribute('aria-label', words[place] ?? '');
    });
  }

  private open(): void {
    this.node.hidden = false;
    this.input.select();
    this.input.focus();
    this.look();
  }

  private close(): void {
    this.node.hidden = true;
    this.ranges = [];
    this.mark();
    this.within.focus();
  }

  /** Finds all places anew, and stays near the one that was shown. */
  private look(): void {
    const wanted = this.input.value.toLowerCase();
    this.ranges = wanted === '' ? [] : this.places(wanted);
    this.at = Math.min(Math.max(this.at, 0), this.ranges.length - 1);
    this.show();
  }

  private places(wanted: string): Range[] {
    const found: Range[] = [];
    const walker = document.createTreeWalker(this.within, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node && found.length < MOST; node = walker.nextNode()) {
      // What peeks out of a folded thought is found in the thought.
      const text = node.parentElement?.className === 'peek' ? '' : (node.nodeValue?.toLowerCase() ?? '');
      for (
        let at = text.indexOf(wanted);
        at >= 0 && found.length < MOST;
        at = text.indexOf(wanted, at + wanted.length)
      ) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, Math.min(at + wanted.length, node.nodeValue?.length ?? 0));
        found.push(range);
      }
    }
    return found;
  }

  private step(by: 1 | -1): void {
    const before = this.at;
    this.look(); // the run may have said more
    if (this.ranges.length > 0) this.at = (before + by + this.ranges.length) % this.ranges.length;
    this.show();
  }

  private show(): void {
    const range = this.ranges[this.at];
    const parent = range?.startContainer.parentElement;
    const folded = parent?.closest('details');
    if (folded) folded.open = true;
    parent?.scrollIntoView({ block: 'center' });
    this.count.textContent = this.input.value === '' ? '' : say('findCount', this.at + 1, this.ranges.length);
    this.mark();
  }

  private mark(): void {
    const current = this.ranges[this.at];
    CSS.highlights.set('found', new Highlight(...this.ranges));
    CSS.highlights.set('current', new Highlight(...(current ? [current] : [])));
  }
}
