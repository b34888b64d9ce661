// Takes the place of @vscode/spdlog's index.js, whose compiled half is not installed: without it VS Code writes no log
// files, and its output channels stay empty.
const fs = require('fs');
const path = require('path');

const LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'];

class Logger {
  constructor(_kind, _name, file) {
    this.file = file;
    this.level = 2;
    this.bare = false;
  }

  write(level, text) {
    if (level < this.level || this.file === undefined) return;
    const line = this.bare ? text : `${new Date().toISOString().replace('T', ' ').slice(0, 23)} [${LEVELS[level]}] ${text}\n`;
    fs.appendFileSync(this.file, line);
  }

  getLevel() {
    return this.level;
  }

  setLevel(level) {
    this.level = level;
  }

  clearFormatters() {
    this.bare = true;
  }

  setPattern() {}

  flush() {}

  drop() {
    this.file = undefined;
  }
}
['trace', 'debug', 'info', 'warn', 'error', 'critical'].forEach((name, level) => {
  Logger.prototype[name] = function (text) {
    this.write(level, text);
  };
});

async function created(name, file) {
  await fs.promises.mkdir(path.dirname(file), { recursive: true });
  return new Logger('plain', name, file);
}

// One by one: only names that are assigned so can be imported by a module.
exports.version = 0;
exports.setLevel = () => {};
exports.setFlushOn = () => {};
exports.Logger = Logger;
exports.createRotatingLogger = created;
exports.createAsyncRotatingLogger = created;
