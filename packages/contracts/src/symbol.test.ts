import { PARTITIONS, parseSymbol, partitionOf } from './symbol';

describe('parseSymbol', () => {
  test('takes letters, digits and dots after a letter, and raises them', () => {
    expect(['AAPL', 'brk.b', 'A', 'X2.', 'ABCDEFGHIJKLMNO'].map(parseSymbol)).toEqual([
      'AAPL',
      'BRK.B',
      'A',
      'X2.',
      'ABCDEFGHIJKLMNO',
    ]);
  });

  test('refuses everything else', () => {
    for (const value of [
      '',
      '1A',
      '.A',
      'A B',
      ' A',
      'A\n',
      'A/B',
      'A-B',
      'A:B',
      'A*',
      'ABCDEFGHIJKLMNOP',
      7,
      null,
      undefined,
    ])
      expect([value, parseSymbol(value)]).toEqual([value, null]);
  });

  test('refuses letters that only become ASCII when they are raised', () => {
    expect(['ſpy', 'ıbm', 'aß', 'ﬁx'].map(parseSymbol)).toEqual([null, null, null, null]);
  });
});

describe('partitionOf', () => {
  // Written into every store and journal: a change here would let two owners write one symbol.
  test.each([
    ['A', 12],
    ['AAPL', 11],
    ['AMZN', 15],
    ['BRK.B', 10],
    ['GOOGL', 7],
    ['META', 8],
    ['MSFT', 3],
    ['NVDA', 6],
    ['QQQ', 2],
    ['SPY', 13],
    ['TSLA', 15],
    ['ABCDEFGHIJKLMNO', 7],
  ])('%s stays in partition %i', (symbol, partition) => {
    expect(partitionOf(symbol)).toBe(partition);
  });

  test('is FNV-1a, 32 bit', () => {
    // Published test vectors of the hash: "a" 0xe40c292c, "foobar" 0xbf9cf968.
    expect(partitionOf('a', 2 ** 32)).toBe(0xe40c292c);
    expect(partitionOf('foobar', 2 ** 32)).toBe(0xbf9cf968);
  });

  test('spreads symbols evenly', () => {
    const counts = new Array<number>(PARTITIONS).fill(0);
    const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];
    for (const a of letters) for (const b of letters) for (const c of letters) counts[partitionOf(a + b + c)]!++;
    const mean = letters.length ** 3 / PARTITIONS;
    for (const count of counts) expect(Math.abs(count / mean - 1)).toBeLessThan(0.1);
  });
});
