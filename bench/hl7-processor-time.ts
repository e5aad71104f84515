/** Processor time and memory of other processes, as Linux counts them; undefined elsewhere. */
import { readFile } from 'node:fs/promises';

const TICKS_PER_SECOND = 100;

/** Seconds of processor time of one process; with `name`, only if that is what runs under this id. */
export async function processorSeconds(processId: number, name?: string): Promise<number | undefined> {
  const stat = await readFile(`/proc/${processId}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined || (name !== undefined && !stat.includes(`(${name})`))) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export async function residentMebibytes(processId: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${processId}/status`, 'utf8').catch(() => '');
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) / 1024;
}
