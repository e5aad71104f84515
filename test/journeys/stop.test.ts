/** SIGTERM while peers hold half an exchange open on every port: all ports refuse new peers at once, and wait for what can still end together, once. */
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startJourney, type Journey } from '../support/journey.ts';
import { BytePeer, ctDataset, storePdus } from '../../adapters/dicom-dimse/testing/peer.ts';

const STOP_SECONDS = 2;
let journey: Journey;
const peers: net.Socket[] = [];
beforeAll(async () => { journey = await startJourney({ MEDSCAN_STOP_SECONDS: String(STOP_SECONDS) }); });
afterAll(async () => {
  for (const peer of peers) peer.destroy();
  await journey?.hospital.stop();
});

test('stop() takes one grace period for all ports together, and none of them accepts a new peer meanwhile', async () => {
  const { gateway } = journey;
  const ports = { dicom: gateway.ports.dicom!, hl7: gateway.ports.hl7!, http: gateway.ports.http! };
  const opened = [await halfCStore(ports.dicom), await halfBody(ports.http)], frame = await halfFrame(ports.hl7);
  peers.push(...opened, frame);

  const frameClosed = once(frame, 'close'), closedAt: number[] = [];
  for (const peer of opened) peer.once('close', () => { closedAt.push(performance.now()); });
  const begun = performance.now();
  const stopped = gateway.stop();
  expect(await Promise.all(Object.values(ports).map(connecting))).toEqual(['ECONNREFUSED', 'ECONNREFUSED', 'ECONNREFUSED']);
  expect(opened.map((peer) => peer.closed), 'exchanges that have begun may still end').toEqual([false, false]);
  await frameClosed; // what is whole is answered; of half a frame nothing was said, and its sender sends it again
  await stopped;
  await Promise.all(opened.map(async (peer) => peer.closed || once(peer, 'close')));
  expect(Math.min(...closedAt) - begun).toBeGreaterThan(STOP_SECONDS * 900);
  expect(Math.max(...closedAt) - Math.min(...closedAt), 'one after the other they would end a grace period apart').toBeLessThan(STOP_SECONDS * 900);
});

/** An association with the command and the first fragment of a data set. */
async function halfCStore(port: number): Promise<net.Socket> {
  const peer = await BytePeer.associate(port, { calling: journey.hospital.pacs.aeTitle });
  const whole = storePdus('1.2.3.1.1.1', ctDataset('1.2.3.1.1.1', 64_000));
  peer.send(whole.subarray(0, whole.length / 2));
  return peer.socket;
}

async function halfFrame(port: number): Promise<net.Socket> {
  const socket = await connected(port);
  socket.write('\x0bMSH|^~\\&|RIS|NORTH|');
  return socket;
}

/** The headers are through when the gateway says 100 Continue; the body never is. */
async function halfBody(port: number): Promise<net.Socket> {
  const socket = await connected(port);
  socket.write(`POST /api/v1/auth/login HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n`);
  await once(socket, 'data');
  socket.write('{"email":');
  return socket;
}

async function connected(port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  return socket.on('error', () => undefined);
}

/** 'connected', or the code of the refusal. */
function connecting(port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = net.connect({ port, host: '127.0.0.1' }, () => { peers.push(socket); resolve('connected'); }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  return promise;
}
