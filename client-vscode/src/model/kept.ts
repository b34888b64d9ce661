/** Answers that are kept until what they are about has changed. Pure. */
export class Kept<T> {
  private readonly asked = new Map<string, Promise<T>>();
  private readonly answered = new Map<string, T>();

  /** The answer that is known, or is on its way, else a new one. One that was asked for before a change is not kept. */
  async get(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.asked.get(key);
    if (known) return await known;
    const asked = ask();
    this.asked.set(key, asked);
    try {
      const answer = await asked;
      if (this.asked.get(key) === asked) this.answered.set(key, answer);
      return answer;
    } catch (error) {
      if (this.asked.get(key) === asked) this.asked.delete(key);
      throw error;
    }
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
