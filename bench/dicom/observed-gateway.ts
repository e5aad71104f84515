/** bench/gateway.ts with a watch on its event loop: prints the delay since the last SIGUSR2, and its resident memory, at each SIGUSR2. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
process.on('SIGUSR2', () => {
  const milliseconds = (value: number): number => Math.round(value / 1e4) / 100;
  process.stdout.write(`${JSON.stringify({ eventLoop: { p50: milliseconds(delay.percentile(50)), p99: milliseconds(delay.percentile(99)), max: milliseconds(delay.max) }, residentBytes: process.memoryUsage().rss })}\n`);
  delay.reset();
});
await import('../gateway.ts');
