import { channelsOf } from './channels';

test('channels have the names that the contract promises', () => {
  const channels = channelsOf();
  expect(channels.bars('AAPL')).toBe('md:v1:bars:AAPL');
  expect(channels.candles('5m', 'BRK.B')).toBe('md:v1:candles:5m:BRK.B');
  expect(channels.prices('AAPL')).toBe('md:v1:prices:AAPL');
  expect(channels.ticks(15)).toBe('md:v1:ticks:15');
  expect(channels.ticks(3)).toBe('md:v1:ticks:3');
  expect(channels.feedStatus).toBe('md:v1:status:feed');
  expect(channels.symbols).toBe('md:v1:symbols');
  expect(channels.journal(15)).toBe('md:v1:journal:15');
  expect(channels.journalHead(15)).toBe('md:v1:journal:15:head');
  expect(channels.leader).toBe('md:v1:leader');
  expect(channels.leaderCount).toBe('md:v1:leader:count');
  expect(channels.demand).toBe('md:v1:demand');
  expect(channels.demandOrder).toBe('md:v1:demand:order');
});

test('another prefix moves all of them', () => {
  const { bars, candles, prices, ticks, feedStatus, journal, journalHead, leader, leaderCount, demand, demandOrder } =
    channelsOf('staging:md');
  const perSymbol = [bars('A'), candles('1m', 'A'), prices('A')];
  const perPartition = [ticks(0), journal(0), journalHead(0)];
  const names = [...perSymbol, ...perPartition, feedStatus, leader, leaderCount, demand, demandOrder];
  for (const name of names) expect(name).toMatch(/^staging:md:/);
  expect(new Set(names).size).toBe(names.length);
});
