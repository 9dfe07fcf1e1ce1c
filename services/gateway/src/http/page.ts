import { createHash } from 'node:crypto';
import { type RequestHandler, Router } from 'express';
import { refuseOtherMethods } from './errors';

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .2em .8em .2em 0; border-bottom: 1px solid #ddd; }
code { font-family: ui-monospace, monospace; }
`;

/** Everything that comes from outside is set as text. */
const SCRIPT = `
const element = (id) => document.getElementById(id);
let key = sessionStorage.getItem('key') ?? '';
const call = async (path) => {
  const response = await fetch(path, key === '' ? {} : { headers: { 'X-API-Key': key } });
  element('login').hidden = response.status !== 401;
  if (response.status === 401) throw 'this gateway asks for an API key';
  return response.json();
};
const cell = (text) => { const td = document.createElement('td'); td.textContent = text; return td; };
async function show() {
  try {
    const health = await call('/api/health');
    const checks = Object.entries(health.checks).map(([name, check]) => name + (check.ok ? ' ok' : ' NOT ok'));
    element('status').textContent =
      health.status + '. Source: ' + (health.source.kind ?? 'not known yet') + ', ' + health.source.state + '. Checks: ' + checks.join(', ') + '.';
    const { symbols } = await call('/api/symbols');
    element('symbols').replaceChildren(...symbols.map((row) => {
      const tr = document.createElement('tr');
      const link = document.createElement('a');
      link.href = '/api/symbols/' + encodeURIComponent(row.symbol) + '/historical';
      link.textContent = row.symbol;
      const first = document.createElement('td');
      first.append(link);
      tr.append(first, cell(row.name ?? ''), cell(row.last_price ?? '–'), cell(row.last_timestamp ?? '–'), cell(row.active ? 'yes' : 'no'));
      return tr;
    }));
  } catch (problem) {
    element('status').textContent = typeof problem === 'string' ? problem : 'the gateway does not answer';
  }
  setTimeout(show, 5000);
}
element('key').addEventListener('change', () => {
  key = element('key').value.trim();
  sessionStorage.setItem('key', key);
});
show();
`;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Candlewire</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Candlewire</h1>
<p>Market data: candles and prices over HTTP and WebSocket.</p>
<h2>Status</h2>
<p id="status">…</p>
<p id="login" hidden><label>API key: <input id="key" type="password" autocomplete="off" size="40"></label></p>
<h2>Symbols</h2>
<table>
<thead><tr><th>symbol</th><th>name</th><th>last price</th><th>minute (UTC)</th><th>active</th></tr></thead>
<tbody id="symbols"></tbody>
</table>
<h2>Calls</h2>
<table>
<tbody>
<tr><td><a href="/health">GET /health</a></td><td>whether the process lives</td></tr>
<tr><td><a href="/ready">GET /ready</a></td><td>whether it should get requests</td></tr>
<tr><td><a href="/api/health">GET /api/health</a></td><td>the same for people, and the source</td></tr>
<tr><td><a href="/api/symbols">GET /api/symbols</a></td><td>every symbol</td></tr>
<tr><td>POST /api/symbols</td><td>register one: <code>{"symbol":"AAPL","name":"Apple"}</code></td></tr>
<tr><td>DELETE /api/symbols/{symbol}</td><td>stop its delivery; its history stays</td></tr>
<tr><td><a href="/api/candles/AAPL?interval=5m&amp;limit=10">GET /api/candles/{symbol}</a></td><td>candles, a page at a time</td></tr>
<tr><td><a href="/api/symbols/AAPL/historical?timeframe=1Min&amp;limit=100">GET /api/symbols/{symbol}/historical</a></td><td>the newest candles in New York time</td></tr>
<tr><td><a href="/api/symbols/AAPL/latest">GET /api/symbols/{symbol}/latest</a></td><td>the newest minute</td></tr>
<tr><td>WebSocket /ws</td><td>prices: send <code>{"type":"subscribe","symbols":["AAPL"]}</code></td></tr>
<tr><td>WebSocket /ws/candles/{symbol}</td><td>history, then every change of a candle</td></tr>
</tbody>
</table>
<script>${SCRIPT}</script>
</body>
</html>
`;

const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** The page's own style and script and nothing else, and calls to this gateway alone. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src ${hash(STYLE)}`,
  `script-src ${hash(SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join(';');

/** `GET /`: what there is to call and how it does, for people. */
export function pageRoute(): Router {
  const page: RequestHandler = (_req, res) => {
    res.setHeader('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    res.setHeader('Cache-Control', 'no-cache');
    res.type('html').send(PAGE);
  };
  const router = Router();
  router
    .route('/')
    .get(page)
    .all(refuseOtherMethods('GET', 'HEAD', 'OPTIONS'));
  return router;
}
