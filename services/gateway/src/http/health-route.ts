import type { Bus } from '@candlewire/bus';
import { type RequestHandler, Router } from 'express';
import type { Readiness } from '../health/readiness';
import { refuseOtherMethods } from './errors';

const READS = ['GET', 'HEAD', 'OPTIONS'] as const;

/** Whether the process lives, whether it should get requests, and the same for people to look at. */
export function healthRoutes(bus: Pick<Bus, 'kind'>, readiness: Readiness): Router {
  const health: RequestHandler = (_req, res) => {
    res.setHeader('Cache-Control', 'no-store');
    res.json({ status: 'ok', service: 'gateway', uptime_s: Math.floor(process.uptime()), bus: bus.kind });
  };
  const ready: RequestHandler = async (_req, res) => {
    const report = await readiness.report();
    res.setHeader('Cache-Control', 'no-store');
    res.status(report.ready ? 200 : 503).json({ status: report.ready ? 'ready' : 'not_ready', checks: report.checks });
  };
  const apiHealth: RequestHandler = async (_req, res) => {
    const { ready: isReady, checks, source } = await readiness.report();
    res.setHeader('Cache-Control', 'no-store');
    res.json({ status: isReady ? 'healthy' : 'degraded', checks, source });
  };
  const router = Router();
  router
    .route('/health')
    .get(health)
    .all(refuseOtherMethods(...READS));
  router
    .route('/ready')
    .get(ready)
    .all(refuseOtherMethods(...READS));
  router
    .route('/api/health')
    .get(apiHealth)
    .all(refuseOtherMethods(...READS));
  return router;
}
