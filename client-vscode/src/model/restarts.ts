/** How often a server that ended by itself is started again: a crash is nothing to bother a person with, a habit is. */
export class Restarts {
  private readonly at: number[] = [];

  constructor(
    private readonly most = 3,
    private readonly withinMilliseconds = 180_000,
  ) {}

  /** Counts a crash. @returns whether the server is to be started again */
  again(now: number): boolean {
    while (this.at.length > 0 && now - (this.at[0] ?? 0) > this.withinMilliseconds) this.at.shift();
    this.at.push(now);
    return this.at.length <= this.most;
  }

  /** A person has started it: what was before does not count. */
  forget(): void {
    this.at.length = 0;
  }
}
