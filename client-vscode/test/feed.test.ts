import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Feed } from '../src/model/feed';
import type { RunEvent } from '../src/protocol';

const event = (seq: number, runId = 'r1'): RunEvent =>
  ({ type: 'phase', phase: 'thinking', runId, seq, at: '' }) as unknown as RunEvent;
const events = (...seqs: number[]): RunEvent[] => seqs.map((seq) => event(seq));

/** A feed with what it told and asked for; answers come when they are told. */
class Followed {
  readonly told: string[] = [];
  readonly asked: {
    since: number;
    answer: (events: RunEvent[]) => Promise<void>;
    fail: () => Promise<void>;
  }[] = [];
  known = 0;
  due = false;
  readonly feed = new Feed({
    follow: (_, since) =>
      new Promise((resolve, reject) => {
        const settled = (settle: () => void): Promise<void> => {
          settle();
          return new Promise(setImmediate);
        };
        const answer = (found: RunEvent[]): Promise<void> => settled(() => resolve(found));
        this.asked.push({ since, answer, fail: () => settled(() => reject(new Error('gone'))) });
      }),
    known: () => this.known,
    tell: (runId, found) => this.told.push(`${runId}: ${found.map(({ seq }) => seq).join(' ')}`),
    soon: () => (this.due = true),
    failed: () => this.told.push('failed'),
  });

  /** What was put off is done, where something was. */
  later(): void {
    if (!this.due) return;
    this.due = false;
    this.feed.flush();
  }
}

describe('the events of a run', () => {
  it('are told from the first on, and then as they come', async () => {
    const followed = new Followed();
    const { feed, told, asked } = followed;
    feed.begin('r1');
    await asked[0]?.answer(events(1, 2));
    feed.heard(event(4));
    feed.heard(event(3));
    feed.heard(event(9, 'r2'));
    followed.later();
    assert.deepEqual(told, ['r1: 1 2', 'r1: 3 4']);
    assert.equal(asked.length, 1);
  });
  it('that come while those before them are asked for are told when these are, be it the last ones', async () => {
    const followed = new Followed();
    const { feed, told, asked } = followed;
    feed.begin('r1');
    feed.heard(event(2));
    feed.heard(event(3));
    followed.later();
    await asked[0]?.answer(events(1, 2));
    followed.later();
    assert.deepEqual(told, ['r1: 1 2', 'r1: 3']);
  });
  it('are asked for where some are missing', async () => {
    const followed = new Followed();
    const { feed, told, asked } = followed;
    feed.begin('r1');
    await asked[0]?.answer(events(1));
    feed.heard(event(4));
    followed.later();
    assert.equal(asked[1]?.since, 1);
    await asked[1]?.answer(events(2, 3));
    followed.later();
    assert.deepEqual(told, ['r1: 1', 'r1: 2 3', 'r1: 4']);
    followed.known = 5;
    assert.ok(feed.isBehind());
    feed.flush();
    assert.equal(asked[2]?.since, 4);
  });
});

describe('the events of a run that were missed', () => {
  it('are asked for again with the next one, and not before, where nobody answers', async () => {
    const followed = new Followed();
    const { feed, told, asked } = followed;
    feed.begin('r1');
    await asked[0]?.answer(events(1));
    feed.heard(event(3));
    followed.later();
    await asked[1]?.fail();
    assert.deepEqual([told, followed.due], [['r1: 1', 'failed'], false]);
    feed.heard(event(4));
    followed.later();
    await asked[2]?.answer(events(2, 3, 4));
    followed.later();
    assert.deepEqual(told.slice(2), ['r1: 2 3 4']);
  });
  it('of a run that is begun again are told from the first on, whatever was asked for before', async () => {
    const followed = new Followed();
    const { feed, told, asked } = followed;
    feed.begin('r1');
    await asked[0]?.answer(events(1, 2));
    feed.heard(event(4));
    followed.later();
    feed.begin('r1');
    await asked[1]?.answer(events(3, 4));
    assert.equal(asked[2]?.since, 0);
    await asked[2]?.answer(events(1, 2, 3, 4));
    assert.deepEqual(told, ['r1: 1 2', 'r1: 1 2 3 4']);
    feed.begin(undefined);
    feed.heard(event(5));
    followed.later();
    assert.equal(told.length, 2);
  });
});
