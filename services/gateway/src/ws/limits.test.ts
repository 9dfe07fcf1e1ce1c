import { type ConfigError, parseConfig } from '@candlewire/runtime';
import { wsConfig } from '../config';
import { wsLimits } from './limits';

test('limits are those of the contract where nothing is set', () => {
  expect(wsLimits(parseConfig(wsConfig, {}))).toEqual({
    messageBytesMax: 16_384,
    subscriptionsMax: 500,
    inboundPerS: 20,
    inboundBurst: 100,
    connectionsPerIpMax: 256,
    connectionsMax: 20_000,
    authMs: 10_000,
    pingMs: 25_000,
    heartbeatMs: 15_000,
    queueSoftBytes: 262_144,
    queueHardBytes: 1_048_576,
    stallMs: 10_000,
    drainMs: 5_000,
    flushMs: 0,
  });
});

test('each can be set, and a value that is none is told by name', () => {
  const names = Object.keys(wsConfig);
  const set = parseConfig(wsConfig, Object.fromEntries(names.map((name, i) => [name, `${5_000 + i}`])));
  expect(Object.values(set)).toEqual(names.map((_, i) => 5_000 + i));
  const wrong = Object.fromEntries(names.map((name) => [name, '-1']));
  const problems = (() => {
    try {
      parseConfig(wsConfig, wrong);
      return [];
    } catch (err) {
      return (err as ConfigError).problems;
    }
  })();
  expect(problems.map((problem) => problem.split(':')[0])).toEqual(names);
});
