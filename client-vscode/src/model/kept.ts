import { askedOnce } from './asked';

/** Answers that are kept until what they are about has changed. Pure. */
export class Kept<T> {
  private readonly asked = new Map<string, Promise<T>>();
  private readonly answered = new Map<string, T>();

  /** The answer that is known, or is on its way, else a new one. One that was asked for before a change is not kept. */
  async get(key: string, ask: () => Promise<T>): Promise<T> {
    return await askedOnce(this.asked, key, () => {
      const asked = ask().then((answer) => {
        if (this.asked.get(key) === asked) this.answered.set(key, answer);
        return answer;
      });
      return asked;
    });
  }

  /** The last answer that was kept, though it may have changed since. */
  last(key: string): T | undefined {
    return this.answered.get(key);
  }

  /** What it is about has changed. */
  drop(key: string): void {
    this.asked.delete(key);
  }

  /** Everything may have changed. */
  clear(): void {
    this.asked.clear();
  }
}
