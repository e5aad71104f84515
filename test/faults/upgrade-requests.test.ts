/** Requests that want another protocol: they end their own connection at most, never the process. An error that nothing handles fails this file. */
import net from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => { gateway = await testGateway(); }, 60_000);
afterAll(() => gateway?.stop());

const upgrade = (path: string, protocol = 'websocket'): string => `GET ${path} HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;

/** What comes back until the gateway ends the connection, or the peer does after `answered`. */
function exchange(text: string, answered: (socket: net.Socket) => void = () => undefined): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    const socket = net.connect(gateway.ports.http!, '127.0.0.1', () => socket.write(text));
    socket.on('data', (chunk) => { heard += String(chunk); answered(socket); }).on('error', () => undefined).on('close', () => resolve(heard));
  });
}
const isAlive = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/metadata`)).ok;

test.each(['//', '///', '//x:y', '/fhir/r4//', '/elsewhere', '*', 'http://['])('an upgrade of %s is answered 404 and ended', async (path) => {
  expect(await exchange(upgrade(path))).toMatch(/^HTTP\/1\.1 40[04] /);
  expect(await isAlive()).toBe(true);
});

test('a peer that resets its connection in the middle of an upgrade ends nothing else', async () => {
  await Promise.all(['/elsewhere', '/fhir/r4/subscriptions/websocket', '//'].flatMap((path) => Array.from({ length: 20 }, () => new Promise<void>((resolve) => {
    const socket = net.connect(gateway.ports.http!, '127.0.0.1', () => { socket.write(upgrade(path), () => socket.resetAndDestroy()); });
    socket.on('error', () => undefined).on('close', () => resolve());
  }))));
  expect(await isAlive()).toBe(true);
});

test('a client that offers HTTP/2 in passing is answered like any other', async () => {
  expect(await exchange(upgrade('/fhir/r4/metadata', 'h2c'), (socket) => socket.end())).toMatch(/^HTTP\/1\.1 200 /);
});
