import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isTaskFilePath } from '../src/model/task_files';

describe('a task file is known by its name', () => {
  for (const path of [
    '/p/.kiro/specs/a/tasks.md',
    '/p/TODO.md',
    '/p/Task List.markdown',
    '/p/kitty-specs/1/tasks/WP01-x.md',
    '/p/backlog/tasks/task-1.md',
  ]) {
    it(path, () => assert.ok(isTaskFilePath(path)));
  }
  for (const path of [
    '/p/mytasks.md',
    '/p/tasks.txt',
    '/p/node_modules/x/tasks.md',
    '/p/.specify/templates/tasks.md',
  ]) {
    it(`and not ${path}`, () => assert.ok(!isTaskFilePath(path)));
  }
});
