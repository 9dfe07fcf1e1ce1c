import { CONNECTED, STREAM_ERRORS, type StreamErrorCode } from './messages';
import {
  authTimedOut,
  openSession,
  receive,
  type SessionRules,
  type SessionState,
  STOCK_CHANNELS,
  wants,
} from './session';

const AUTH = { action: 'auth', key: 'K', secret: 'S' };
const rules: SessionRules = {
  admit: ({ key, secret }) => (key === 'K' && secret === 'S' ? null : 402),
  channels: STOCK_CHANNELS,
  symbolsMax: 3,
};
const EMPTY = {
  T: 'subscription',
  trades: [],
  quotes: [],
  bars: [],
  updatedBars: [],
  dailyBars: [],
  statuses: [],
  lulds: [],
  corrections: [],
  cancelErrors: [],
};
const error = (code: StreamErrorCode) => ({ T: 'error', code, msg: STREAM_ERRORS[code] });

function authenticated(): SessionState {
  return receive(openSession(rules).state, AUTH, rules).state;
}

function after(...messages: readonly unknown[]): SessionState {
  return messages.reduce<SessionState>((state, message) => receive(state, message, rules).state, authenticated());
}

test('greets, then authenticates', () => {
  const opened = openSession(rules);
  expect(opened.replies).toEqual([{ T: 'success', msg: 'connected' }]);
  const step = receive(opened.state, AUTH, rules);
  expect(step.replies).toEqual([{ T: 'success', msg: 'authenticated' }]);
  expect(step.state.phase).toBe('authenticated');
  expect(step.end).toBe(false);
});

test('credentials in the headers authenticate right after the greeting', () => {
  const opened = openSession(rules, { key: 'K', secret: 'S' });
  expect(opened.replies).toEqual([CONNECTED, { T: 'success', msg: 'authenticated' }]);
  expect(opened.state.phase).toBe('authenticated');
});

test('wrong credentials end the connection', () => {
  expect(receive(openSession(rules).state, { ...AUTH, secret: 'x' }, rules)).toMatchObject({
    replies: [error(402)],
    end: true,
  });
});

test('a full account may try again on the same connection', () => {
  const full = { ...rules, admit: () => 406 as const };
  const step = receive(openSession(full).state, AUTH, full);
  expect(step).toMatchObject({ replies: [error(406)], end: false });
  expect(receive(step.state, AUTH, rules).state.phase).toBe('authenticated');
});

test('who does not authenticate in time is sent away, others stay', () => {
  expect(authTimedOut(openSession(rules).state)).toMatchObject({ replies: [error(404)], end: true });
  expect(authTimedOut(authenticated())).toMatchObject({ replies: [], end: false });
});

test.each([
  ['undecodable', undefined, 400],
  ['text', 'auth', 400],
  ['no action', {}, 400],
  ['an unknown action', { action: 'listen' }, 400],
  ['auth without a secret', { action: 'auth', key: 'K' }, 400],
  ['subscribing before authentication', { action: 'subscribe', bars: ['AAPL'] }, 401],
  ['unsubscribing before authentication', { action: 'unsubscribe', bars: ['AAPL'] }, 401],
] as const)('%s is refused', (_, message, code) => {
  const { state } = openSession(rules);
  expect(receive(state, message, rules)).toEqual({ state, replies: [error(code)], end: false });
});

test.each([
  ['authenticating twice', AUTH, 403],
  ['a symbol that cannot be one', { action: 'subscribe', bars: ['AAPL', 'A B'] }, 400],
  ['a text for a list', { action: 'subscribe', bars: 'AAPL' }, 400],
  ['a channel of another feed', { action: 'subscribe', orderbooks: ['AAPL'] }, 410],
  ['more symbols than allowed', { action: 'subscribe', bars: ['B', 'C'], trades: ['D'] }, 405],
  ['all symbols where they are limited', { action: 'subscribe', bars: ['*'] }, 405],
] as const)('%s is refused and changes nothing', (_, message, code) => {
  const state = after({ action: 'subscribe', bars: ['A'] });
  const step = receive(state, message, rules);
  expect(step).toEqual({ state, replies: [error(code)], end: false });
});

test('subscriptions add up, and each answer tells the whole set', () => {
  const first = receive(authenticated(), { action: 'subscribe', bars: ['MSFT', 'aapl'] }, rules);
  expect(first.replies).toEqual([{ ...EMPTY, bars: ['AAPL', 'MSFT'] }]);
  const second = receive(first.state, { action: 'subscribe', bars: ['AAPL'], trades: ['TSLA'] }, rules);
  expect(second.replies).toEqual([
    { ...EMPTY, bars: ['AAPL', 'MSFT'], trades: ['TSLA'], corrections: ['TSLA'], cancelErrors: ['TSLA'] },
  ]);
  expect(Object.keys(second.replies[0]!)).toEqual(Object.keys(EMPTY));
  const third = receive(second.state, { action: 'unsubscribe', bars: ['MSFT', 'NVDA'], trades: ['*'] }, rules);
  expect(third.replies).toEqual([{ ...EMPTY, bars: ['AAPL'] }]);
});

test('the limit counts a symbol once, on however many channels', () => {
  const all = { bars: ['A', 'B', 'C'], updatedBars: ['A', 'B', 'C'], trades: ['A', 'B', 'C'] };
  expect(receive(authenticated(), { action: 'subscribe', ...all }, rules).replies).toMatchObject([
    { T: 'subscription' },
  ]);
});

test('repeating what was acknowledged is no error', () => {
  const ack = receive(authenticated(), { action: 'subscribe', trades: ['A'] }, rules).replies[0]!;
  const again = receive(authenticated(), { action: 'subscribe', ...ack }, rules);
  expect(again.replies).toEqual([ack]);
});

test('data reaches who subscribed its channel and symbol', () => {
  const unlimited = { ...rules, symbolsMax: Number.POSITIVE_INFINITY };
  const { state } = receive(
    authenticated(),
    { action: 'subscribe', bars: ['A'], trades: ['B'], dailyBars: ['*'] },
    unlimited,
  );
  expect(wants(state, { T: 'b', S: 'A' })).toBe(true);
  expect(wants(state, { T: 'b', S: 'B' })).toBe(false);
  expect(wants(state, { T: 'u', S: 'A' })).toBe(false);
  expect(wants(state, { T: 'd', S: 'ANY' })).toBe(true);
  expect(wants(state, { T: 'c', S: 'B' })).toBe(true);
  expect(wants(state, { T: 'x', S: 'A' })).toBe(false);
});
