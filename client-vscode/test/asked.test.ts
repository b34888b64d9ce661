import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askedOnce } from '../src/model/asked';

const KEY = 'greeter.py';

test('what is answered is asked for once, also while the answer is awaited', async () => {
  const held = new Map<string, Promise<string>>();
  let asked = 0;
  const ask = (): Promise<string> => Promise.resolve(`answer ${++asked}`);
  const both = [askedOnce(held, KEY, ask), askedOnce(held, KEY, ask)];
  assert.deepEqual(await Promise.all(both), ['answer 1', 'answer 1']);
  assert.equal(await askedOnce(held, KEY, ask), 'answer 1');
  assert.equal(asked, 1);
});

test('what could not be answered is asked for again', async () => {
  const held = new Map<string, Promise<string>>();
  const refused = [1, 2].map(() => askedOnce(held, KEY, () => Promise.reject(new Error('the server is gone'))));
  for (const one of refused) await assert.rejects(one, /the server is gone/);
  assert.equal(await askedOnce(held, KEY, () => Promise.resolve('here')), 'here');
});

test('an older question that fails late leaves the newer answer alone', async () => {
  const held = new Map<string, Promise<string>>();
  let reject: (error: Error) => void = () => undefined;
  const older = askedOnce(held, KEY, () => new Promise<string>((_, no) => (reject = no)));
  held.delete(KEY);
  assert.equal(await askedOnce(held, KEY, () => Promise.resolve('newer')), 'newer');
  reject(new Error('too late'));
  await assert.rejects(older);
  assert.equal(await held.get(KEY), 'newer');
});
