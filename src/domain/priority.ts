/** How an order's priority ranks a scan in the queue, and how long its result may take. */
import type { ScanPriority } from '#gateway/normalized.ts';

const TABLE: Record<ScanPriority, { score: number; slaMinutes: number }> = {
  stat: { score: 100, slaMinutes: 15 },
  emergency: { score: 90, slaMinutes: 30 },
  urgent: { score: 60, slaMinutes: 60 },
  routine: { score: 20, slaMinutes: 24 * 60 },
};

export const priorityScore = (priority: ScanPriority): number => TABLE[priority].score;
export const slaDueAt = (priority: ScanPriority, from: Date): Date => new Date(from.getTime() + TABLE[priority].slaMinutes * 60_000);
