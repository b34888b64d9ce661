/** Ends of something that is only there once, asked for at any time and by several at once. Pure. */
export class Endings {
  /** How often an end was asked for: what began before is not to go on. */
  count = 0;
  private pending: Promise<unknown> = Promise.resolve();

  /**
   * Waits for an end, and for those that are under way: what begins before they are over would meet what ends.
   * @param ended that of what is there; nothing where nothing is
   * @returns whether no other was asked for since, so of several at once only the last goes on
   */
  async end(ended?: Promise<unknown>): Promise<boolean> {
    const mine = ++this.count;
    if (ended) this.pending = Promise.allSettled([this.pending, ended]);
    await this.over();
    return mine === this.count;
  }

  /** Once nothing ends any more. */
  async over(): Promise<void> {
    let seen: Promise<unknown> | undefined;
    while (seen !== this.pending) await (seen = this.pending);
  }
}
