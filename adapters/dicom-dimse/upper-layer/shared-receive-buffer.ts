/**
 * One receive buffer for all plain TCP associations. Node allocates 64 KiB for every read of a socket, which for 13 MB objects was a seventh of the
 * processor's work; what is read here is copied before the next read, so that one buffer that stays in the cache does for everybody.
 *
 * Node has this for connections that a program opens (`onread` of net.connect) and not for those that it accepts. The socket of an accepted
 * connection is brought to the same state here, by the names that net.connect uses; where they are not found the socket is read as any other.
 */
import type { Socket } from 'node:net';

const sharedByteLength = 256 * 1024;
let shared: Buffer | undefined;

/** `taken` sees each read's bytes until it returns. False: nothing was changed, listen to 'data'. Pausing and resuming stay as they are. */
export function receiveShared(socket: Socket, taken: (bytes: Buffer) => void): boolean {
  const { _handle: handle } = socket as unknown as { _handle?: { useUserBuffer?: (buffer: Buffer) => void } };
  const [buffer, callback] = ['kBuffer', 'kBufferCb'].map((name) => Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === name));
  if (buffer === undefined || callback === undefined || typeof handle?.useUserBuffer !== 'function' || socket.readableLength > 0) return false;
  shared ??= Buffer.allocUnsafeSlow(sharedByteLength);
  Object.assign(socket, { [buffer]: shared, [callback]: (byteLength: number, bytes: Buffer) => { taken(bytes.subarray(0, byteLength)); } });
  handle.useUserBuffer(shared);
  return true;
}
