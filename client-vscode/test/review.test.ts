import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressOf,
  fileAt,
  hasMarkers,
  hunkAt,
  isMeant,
  isOpen,
  isSettledText,
  linesOf,
  movedOn,
  neighbour,
  obstacle,
  pending,
  placeOf,
  protectedFiles,
  serverUri,
  sidesOf,
  size,
} from '../src/model/review';
import type { Hunk, Review, ReviewFile } from '../src/protocol';

type Lines = [number, number];

function hunk(id: string, base: Lines, proposed: Lines, more: Partial<Hunk> = {}): Hunk {
  const range = ([from, to]: Lines): Hunk['baseRange'] => ({
    start: { line: from, character: 0 },
    end: { line: to, character: 0 },
  });
  return {
    id,
    status: 'pending',
    baseRange: range(base),
    proposedRange: range(proposed),
    protected: false,
    mine: false,
    ...more,
  };
}

function file(path: string, hunks: Hunk[], more: Partial<ReviewFile> = {}): ReviewFile {
  return {
    path,
    uri: `file:///p/${path}`,
    action: 'modify',
    binary: false,
    status: 'pending',
    baseUri: `kiro-review:/r/4/base/${encodeURIComponent(path)}`,
    proposedUri: `kiro-review:/r/4/proposed/${encodeURIComponent(more.to ?? path)}`,
    hunks,
    ...more,
  };
}

function review(files: ReviewFile[], more: Partial<Review> = {}): Review {
  return { runId: 'r', revision: 4, state: 'review', verify: null, cost: null, files, ...more };
}

const A = file('a.py', [hunk('a1', [2, 4], [2, 5]), hunk('a2', [8, 10], [9, 9]), hunk('a3', [20, 20], [19, 22])]);
const B = file('old.txt', [hunk('b1', [0, 3], [0, 3], { protected: true })], { action: 'rename', to: 'new.txt' });

test('a document keeps its name while the review moves on', () => {
  const place = { runId: 'r-1', side: 'proposed', path: 'src/ä b.py' } as const;
  assert.deepEqual(placeOf(addressOf(place)), place);
  const others = [{ path: '/' }, { query: 'elsewhere' }, { query: '' }, { authority: '' }];
  for (const other of others) assert.equal(placeOf({ ...addressOf(place), ...other }), undefined);
});

test('the server is asked for the revision that is known, and for the side', () => {
  const both = review([A, B]);
  assert.equal(serverUri(both, { runId: 'r', side: 'base', path: 'a.py' }), 'kiro-review:/r/4/base/a.py');
  assert.equal(serverUri(both, { runId: 'r', side: 'proposed', path: 'new.txt' }), 'kiro-review:/r/4/proposed/new.txt');
  assert.equal(serverUri(both, { runId: 'r', side: 'merged', path: 'a.py' }), 'kiro-review:/r/4/merged/a.py');
  assert.equal(serverUri(both, { runId: 'r', side: 'suggested', path: 'a.py' }), 'kiro-review:/r/4/suggested/a.py');
  assert.equal(serverUri(both, { runId: 'r', side: 'base', path: 'gone' }), undefined);
  assert.equal(fileAt(both, 'new.txt'), B);
});

test('the hunk that is meant is the one at the cursor, else the next, else the last', () => {
  assert.deepEqual(
    [0, 2, 4, 5, 8, 9, 21, 99].map((line) => hunkAt(A, 'proposed', line)?.id),
    ['a1', 'a1', 'a1', 'a2', 'a2', 'a3', 'a3', 'a3'],
  );
  assert.equal(hunkAt(A, 'base', 9)?.id, 'a2');
  assert.equal(hunkAt(file('x', [hunk('x', [0, 1], [0, 1], { status: 'accepted' })]), 'base', 0), undefined);
});

test('where lines are only taken away the line above stands for them', () => {
  const [first, second] = A.hunks as [Hunk, Hunk];
  assert.deepEqual(linesOf(first, 'proposed'), [2, 4]);
  assert.deepEqual(linesOf(second, 'proposed'), [8, 8]);
  assert.deepEqual(linesOf(hunk('top', [0, 2], [0, 0]), 'proposed'), [0, 0]);
  assert.deepEqual(size(second), { added: 0, removed: 2 });
});

test('the next one may be in another file, what is decided is passed over, and the ends meet', () => {
  const decided = file('a.py', [
    hunk('a1', [2, 4], [2, 5]),
    hunk('a2', [8, 10], [9, 9], { status: 'rejected' }),
    hunk('a3', [20, 20], [19, 22]),
  ]);
  const both = review([decided, B]);
  const walk = (from: string | undefined, step: 1 | -1): (string | undefined)[] => {
    const found: (string | undefined)[] = [];
    for (let at = from, count = 0; count < 4; count++) found.push((at = neighbour(both, at, step)?.hunk));
    return found;
  };
  assert.deepEqual(walk(undefined, 1), ['a1', 'a3', 'b1', 'a1']);
  assert.deepEqual(walk(undefined, -1), ['b1', 'a3', 'a1', 'b1']);
  assert.deepEqual(walk('a2', 1)[0], 'a3');
  assert.equal(neighbour(review([file('x', [hunk('x', [0, 1], [0, 1], { status: 'accepted' })])]), 'x', 1), undefined);
});

test('where keys have led is meant until it is decided, or another file is in front', () => {
  const both = review([A, B]);
  const led = { runId: 'r', path: 'old.txt', hunk: 'b1' };
  const inFront = (shown?: string): boolean => isMeant(both, led, shown);
  assert.deepEqual([inFront(), inFront('old.txt'), inFront('new.txt')], [true, true, true], 'both names of the file');
  assert.deepEqual([inFront('a.py'), inFront('not in it')], [false, false]);
  const decided = review([A, file('old.txt', [hunk('b1', [0, 3], [0, 3], { status: 'accepted' })])]);
  assert.equal(isMeant(decided, led, undefined), false);
  assert.equal(isMeant(both, { ...led, path: 'a.py' }, undefined), false);
});

test('what was created or deleted has one side, and a review that is over shows what was changed', () => {
  const created = file('new.py', [hunk('n', [0, 0], [0, 2])], { action: 'create' });
  const deleted = file('old.py', [hunk('d', [0, 2], [0, 0])], { action: 'delete' });
  const open = review([created, deleted, B]);
  assert.equal(isOpen(open), true);
  assert.deepEqual(
    open.files.map((one) => {
      const { left, right } = sidesOf(open, one);
      return [left && `${left.side} ${left.path}`, right && `${right.side} ${right.path}`];
    }),
    [
      [undefined, 'proposed new.py'],
      ['base old.py', undefined],
      ['base old.txt', 'proposed new.txt'],
    ],
  );
  const applied = review([A], { state: 'applied' });
  const rejected = review([A], { state: 'rejected' });
  assert.deepEqual(
    [applied, rejected].map((one) => [isOpen(one), sidesOf(one, A).left?.side, sidesOf(one, A).right?.side]),
    [
      [false, 'original', 'proposed'],
      [false, 'original', 'suggested'],
    ],
  );
});

test('what needs a yes of its own is named once, by its new name', () => {
  assert.deepEqual(protectedFiles(review([A, B])), ['new.txt']);
  assert.equal(pending(review([A, B])).length, 4);
  assert.equal(pending(review([A, B]), 'new.txt').length, 1);
});

test('a merge that is not done has the marks of git', () => {
  assert.equal(hasMarkers('a\n<<<<<<< yours\nb\n=======\nc\n>>>>>>> proposed\n'), true);
  assert.equal(hasMarkers('a\n<<<<<<<< no\n=======\n'), false);
});

test('a file that moved on is compared as it is now, with its hunks where they are there', () => {
  const place = (from: number, to: number): Hunk['baseRange'] => hunk('x', [from, to], [0, 0]).baseRange;
  const moved = { baseRange: place(12, 14), proposedRange: place(12, 15), conflict: false };
  const own = 'kiro-review:/r/4/now/a.py';
  const now = { baseUri: own, proposedUri: 'kiro-review:/r/4/result/a.py' };
  const file2 = file('a.py', [hunk('a1', [2, 4], [2, 5], { now: moved })], { now });
  const found = review([file2, B, file('logo', [hunk('l1', [0, 0], [0, 0])], { now: { conflict: 'it changed' } })]);
  assert.equal(serverUri(found, { runId: 'r', side: 'base', path: 'a.py' }), own);
  assert.equal(serverUri(found, { runId: 'r', side: 'proposed', path: 'a.py' }), now.proposedUri);
  assert.equal(serverUri(found, { runId: 'r', side: 'before', path: 'a.py' }), 'kiro-review:/r/4/base/a.py');
  assert.equal(serverUri(found, { runId: 'r', side: 'change', path: 'a.py' }), 'kiro-review:/r/4/proposed/a.py');
  const [one] = file2.hunks;
  assert.ok(one);
  assert.deepEqual(linesOf(one, 'base'), [12, 13]);
  assert.deepEqual(linesOf(one, 'original'), [2, 3], 'what the run saw has its own lines');
  assert.deepEqual(movedOn(found), { merged: 1, blocked: 1 });
  assert.deepEqual(found.files.map(obstacle), [undefined, undefined, 'it changed']);
});

test('a text is asked for again only where it may be another one', () => {
  const before = review([A, B]);
  assert.ok(isSettledText(before, review([A, B]), 'a.py'));
  const after = review([{ ...A, now: {} }, B]);
  assert.ok(!isSettledText(before, after, 'a.py'));
  assert.ok(!isSettledText(after, before, 'a.py'), 'it is again what the run read');
  assert.ok(isSettledText(before, after, 'old.txt'));
  assert.ok(!isSettledText(before, review([A, B], { revision: 5 }), 'old.txt'));
});

test('the way through the changes does not end at a file that cannot be looked at', () => {
  const found = review([A, file('logo.bin', [hunk('l1', [0, 0], [0, 0])], { binary: true }), B]);
  assert.equal(neighbour(found, 'a3', 1)?.path, 'old.txt');
  assert.equal(neighbour(found, 'b1', -1)?.hunk, 'a3');
});
