/** A STOW-RS request tells which objects it brought and how it ended, as an association does: a study is not complete while its sender is at it. */
import { expect, test } from 'vitest';
import type { Receive } from '#gateway/adapter.ts';
import { receiveStow } from './receive-stow.ts';
import { asking } from './testing/asking.ts';
import { multipartOf, relatedType } from './testing/client.ts';
import { object } from './testing/objects.ts';

function hall(): { told: string[]; store(body: Uint8Array<ArrayBuffer> | ReadableStream, type?: string): Promise<Response> } {
  const told: string[] = [];
  const { integration, context, receive } = asking({}, {
    context: { arrivals: { begin: (_integration, peer) => ({ brought: (receipt) => { told.push(`${peer}: ${receipt.kind}`); }, ended: (how) => { told.push(how); } }) } },
    settle: () => ({ kind: 'accepted', links: { scans: 'scan-1' } }),
  });
  const caller = { integration, principal: { organizationId: 'o', userId: 'u', role: 'service', name: 'archive' } };
  return {
    told,
    store: (body, type = relatedType) => receiveStow(new Request('http://127.0.0.1/dicom-web/studies', { method: 'POST', headers: { 'content-type': type }, body, duplex: 'half' } as RequestInit),
      { caller, study: undefined, peer: { address: '127.0.0.1', port: 1 }, receive: receive as Receive, context }, 'http://127.0.0.1/dicom-web'),
  };
}

test('one that is read to its end is over', async () => {
  const { told, store } = hall();
  expect((await store(new Uint8Array(multipartOf([object().file, object().file])))).status).toBe(200);
  expect(told).toEqual(['Archive: accepted', 'Archive: accepted', 'released']);
});

test('one whose sender goes away in the middle broke off', async () => {
  const { told, store } = hall();
  const whole = multipartOf([object().file, object().file, object().file]);
  let sent = false;
  const body = new ReadableStream({
    pull(controller) {
      if (sent) return controller.error(new Error('gone'));
      sent = true;
      controller.enqueue(new Uint8Array(whole.subarray(0, Math.floor(whole.length * 0.8))));
    },
  });
  await expect(store(body)).rejects.toThrow();
  expect(told.at(-1)).toBe('broken');
  expect(told[0]).toBe('Archive: accepted');
});

test('one whose body is cut is answered, and may come again', async () => {
  const { told, store } = hall();
  const whole = multipartOf([object().file, object().file]);
  expect((await store(new Uint8Array(whole.subarray(0, whole.length - 20)))).status).toBe(202);
  expect(told.at(-1)).toBe('broken');
});
