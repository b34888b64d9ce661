/** The events of one run, told in their order and without a gap while new ones come. Pure. */
import type { RunEvent } from '../protocol';

export interface Ends {
  /** The events of a run after the one of that number. */
  follow(runId: string, since: number): Promise<readonly RunEvent[]>;
  /** The number of the run's last event, as far as it is known elsewhere. */
  known(runId: string): number;
  tell(runId: string, events: readonly RunEvent[]): void;
  /** Has `flush` called a little later, once for all that comes meanwhile. */
  soon(): void;
  failed(runId: string, error: unknown): void;
}

interface Told {
  runId: string;
  /** The last event that was told. */
  seq: number;
  queue: RunEvent[];
  /** Whether events are asked for. */
  isFilling: boolean;
}

export class Feed {
  private told: Told | undefined;

  constructor(private readonly ends: Ends) {}

  /** Tells a run from its beginning; `undefined` for none. */
  begin(runId: string | undefined): void {
    this.told = runId === undefined ? undefined : { runId, seq: 0, queue: [], isFilling: false };
    if (this.told) void this.fill(this.told);
  }

  /** An event has come, of whichever run. */
  heard(event: RunEvent): void {
    if (event.runId !== this.told?.runId) return;
    this.told.queue.push(event);
    this.ends.soon();
  }

  /** Whether more is known of the run than was told. */
  isBehind(): boolean {
    return this.told !== undefined && this.ends.known(this.told.runId) > this.told.seq;
  }

  /** Tells what is new; what is missing before it is asked for first. */
  flush(): void {
    const { told } = this;
    if (!told || told.isFilling) return;
    told.queue = told.queue.filter((event) => event.seq > told.seq).sort((one, other) => one.seq - other.seq);
    const [first] = told.queue;
    if (first ? first.seq > told.seq + 1 : this.isBehind()) void this.fill(told);
    else this.tell(told, told.queue.splice(0));
  }

  /** Asks for the events that were not told; those that come meanwhile wait. */
  private async fill(told: Told): Promise<void> {
    told.isFilling = true;
    try {
      const events = await this.ends.follow(told.runId, told.seq);
      if (told !== this.told) return;
      this.tell(told, events);
      if (told.queue.length > 0) this.ends.soon();
    } catch (error) {
      this.ends.failed(told.runId, error);
    } finally {
      told.isFilling = false;
    }
  }

  private tell(told: Told, events: readonly RunEvent[]): void {
    const last = events.at(-1);
    if (!last) return;
    told.seq = last.seq;
    this.ends.tell(told.runId, events);
  }
}
