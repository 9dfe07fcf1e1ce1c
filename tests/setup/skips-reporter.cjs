/** Names what was skipped, before the counts: nobody shall take a skipped suite for a passed one. */
module.exports = class {
  constructor({ testNamePattern }) {
    this.isFiltered = Boolean(testNamePattern);
  }

  onRunComplete(_contexts, { testResults }) {
    // What the caller left out by a pattern is no news.
    if (this.isFiltered) return;
    const skipped = new Map();
    for (const { testResults: tests } of testResults) {
      for (const { status, ancestorTitles, title } of tests) {
        const name = ancestorTitles[0] ?? title;
        if (status === 'pending') skipped.set(name, (skipped.get(name) ?? 0) + 1);
      }
    }
    for (const [name, count] of skipped)
      process.stderr.write(`SKIPPED ${count} test${count > 1 ? 's' : ''}: ${name}\n`);
  }
};
