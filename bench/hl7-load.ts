/** An MLLP sender for measuring: each connection sends ADT^A08 of about 1 KiB, one after the other, waiting for each acknowledgment. */
import net from 'node:net';

export interface Load { readonly messages: number; readonly perSecond: number; readonly p50: number; readonly p99: number; readonly refused: number }
export interface Address { readonly host?: string | undefined; readonly port: number }
export interface LoadOptions extends Address { readonly connections: number; readonly seconds: number }

const CONTROL_ID = 'CTRL00000000000';
const PATIENT = 'MRN0000000';
const PATIENTS = 5000;
const TEXT = [
  `MSH|^~\\&|REG|HOSP|MEDSCAN|AI|20260105101500+0000||ADT^A08^ADT_A01|${CONTROL_ID}|P|2.5.1`, 'EVN|A08|20260105101500+0000|||REG01^Clerk^Rita',
  `PID|1||${PATIENT}^^^HOSP^MR||Doe^Jane^Quinn^^Dr.^^L||19800517|F|||12 Long Street^Apt 4^Springfield^IL^62701^USA^H||+1-555-010-0000^PRN^PH~jane.doe@example.org^NET^Internet|+1-555-020-0000^WPN^PH|en|M|CHR|ACC-778899^^^HOSP^AN|||||Springfield|N|1|US||||N`,
  'PD1|||Central Clinic^^10012|1234^Primary^Paula^^^Dr.', 'NK1|1|Doe^John^^^^^L|SPO^Spouse|12 Long Street^Apt 4^Springfield^IL^62701^USA|+1-555-010-0001',
  'PV1|1|I|W3^301^2^HOSP^^^^3|R|||1001^Adams^Alice^^^Dr.|1002^Brown^Bob^^^Dr.|1003^Clark^Cora^^^Dr.|MED||||1|||1001^Adams^Alice^^^Dr.|IN|V2026000123^^^HOSP^VN|||||||||||||||||||||||||20260104080000+0000',
  'AL1|1|DA|70618^Penicillin^RXN|SV|Rash|20010301', 'GT1|1||Doe^John^^^^^L||12 Long Street^Apt 4^Springfield^IL^62701^USA|+1-555-010-0001', 'IN1|1|PLAN7|INS77|Mutual Health Company', 'DG1|1||I10^Essential hypertension^I10||20200101|A', '',
].join('\r');
const FRAME = Buffer.from(`\x0b${TEXT}\x1c\r`);
const CONTROL_ID_AT = FRAME.indexOf(CONTROL_ID);
const PATIENT_AT = FRAME.indexOf(PATIENT);
export const messageBytes = FRAME.length - 3;

let sequence = (Date.now() % 1_000_000_000) * 100;

/** Sends for `seconds` from now; a message that is out is waited for. Times are milliseconds from the write to the whole acknowledgment. */
export async function sendLoad({ host, port, connections, seconds }: LoadOptions): Promise<Load> {
  const times: number[] = [];
  let refused = 0;
  const until = performance.now() + seconds * 1000;
  const started = performance.now();
  await Promise.all(Array.from({ length: connections }, () => sendOn({ host, port }, until, (milliseconds, isAccepted) => {
    times.push(milliseconds);
    if (!isAccepted) refused += 1;
  })));
  const elapsed = (performance.now() - started) / 1000;
  times.sort((a, b) => a - b);
  return { messages: times.length, perSecond: times.length / elapsed, p50: times[Math.floor(times.length * 0.5)] ?? 0, p99: times[Math.floor(times.length * 0.99)] ?? 0, refused };
}

function sendOn({ host, port }: Address, until: number, told: (milliseconds: number, isAccepted: boolean) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: host ?? '127.0.0.1', noDelay: true });
    let answer = '';
    let sentAt = 0;
    let controlId = '';
    const send = (): void => {
      if (performance.now() >= until) { socket.end(); return; }
      sequence += 1;
      controlId = `CTRL${String(sequence).padStart(11, '0').slice(-11)}`;
      const frame = Buffer.from(FRAME);
      frame.write(controlId, CONTROL_ID_AT);
      frame.write(`MRN${String((sequence * 7919) % PATIENTS).padStart(7, '0')}`, PATIENT_AT);
      sentAt = performance.now();
      socket.write(frame);
    };
    socket.on('connect', send).on('error', reject).on('close', () => resolve());
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (!answer.includes('\x1c')) return;
      told(performance.now() - sentAt, /MSA\|[AC]A\|/.test(answer) && answer.includes(controlId));
      answer = '';
      send();
    });
  });
}
