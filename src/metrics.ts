/** Counters and gauges of this process, read by Prometheus at /metrics. Labels are names of ours, never a patient's or a message's values. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export const metrics = new Registry();
collectDefaultMetrics({ register: metrics, prefix: 'medscan_' });

const registers = [metrics];

export const exchangesTotal = new Counter({
  name: 'medscan_exchanges_total', help: 'Exchanges with other systems by what became of them', labelNames: ['adapter', 'direction', 'interaction', 'status'], registers,
});
export const exchangeSeconds = new Histogram({
  name: 'medscan_exchange_duration_seconds', help: 'From the first byte to the commit (inbound) or to the answer (outbound)', labelNames: ['adapter', 'direction'],
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60], registers,
});
export const exchangeBytesTotal = new Counter({ name: 'medscan_exchange_bytes_total', help: 'Bytes of messages', labelNames: ['adapter', 'direction'], registers });
export const analysesTotal = new Counter({ name: 'medscan_analyses_total', help: 'AI analyses by outcome', labelNames: ['model', 'status'], registers });
export const analysisSeconds = new Histogram({
  name: 'medscan_analysis_duration_seconds', help: 'Processing time of completed analyses', labelNames: ['model'], buckets: [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900], registers,
});
export const queueLength = new Gauge({ name: 'medscan_queue_jobs', help: 'Jobs of a queue by state', labelNames: ['queue', 'state'], registers });
export const openDeliveries = new Gauge({ name: 'medscan_deliveries_open', help: 'Reports that wait to be delivered', registers });
export const auditUnsealed = new Gauge({ name: 'medscan_audit_unsealed_rows', help: 'Audit rows that wait for their seal', registers });
export const httpRequestSeconds = new Histogram({
  name: 'medscan_http_request_duration_seconds', help: 'API requests by route', labelNames: ['method', 'route', 'status'], buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 10], registers,
});
