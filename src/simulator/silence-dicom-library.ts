/** dcmjs-dimse and the dcmjs inside it print element values: never in a log of ours. */
import { createRequire } from 'node:module';
import dimse from 'dcmjs-dimse';

const requireBeside = createRequire(import.meta.resolve('dcmjs-dimse'));
(requireBeside('dcmjs') as { log: { setLevel(level: string): void } }).log.setLevel('silent');
dimse.log.setLevel('silent');
