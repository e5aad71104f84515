/**
 * What a compressed frame says about itself: size and depth from SOF (JPEG, ITU-T T.81 B.2.2; JPEG-LS, T.87 C.2.2) or SIZ (JPEG 2000, T.800 A.5.1).
 * Read before the codec runs, because codecs allocate by the codestream, not by the DICOM header.
 */
export interface Codestream { readonly width: number; readonly height: number; readonly components: number; readonly precision: number; readonly signed: boolean }

export function readCodestream(frame: Uint8Array): Codestream | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  try {
    if (view.getUint16(0) === 0xffd8) return readFrameHeader(view);
    // A JP2 file wrapper is not allowed (PS3.5 A.4.4) but occurs: the codestream starts in its jp2c box.
    const start = view.getUint32(0) === 0xff4fff51 ? 0 : findCodestream(frame);
    return start < 0 ? undefined : readImageSize(view, start + 2);
  } catch {
    return undefined;
  }
}

function findCodestream(frame: Uint8Array): number {
  return Buffer.from(frame.buffer, frame.byteOffset, Math.min(frame.byteLength, 65536)).indexOf(Buffer.from([0xff, 0x4f, 0xff, 0x51]));
}

function readFrameHeader(view: DataView): Codestream | undefined {
  for (let at = 2; at + 4 < view.byteLength; ) {
    if (view.getUint8(at) !== 0xff) { at += 1; continue; }
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) { at += 1; continue; }
    const isFrame = (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) || marker === 0xf7;
    if (isFrame) return { precision: view.getUint8(at + 4), height: view.getUint16(at + 5), width: view.getUint16(at + 7), components: view.getUint8(at + 9), signed: false };
    if (marker === 0xda) return undefined;
    at += 2 + (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8) ? 0 : view.getUint16(at + 2));
  }
  return undefined;
}

function readImageSize(view: DataView, at: number): Codestream {
  const depth = view.getUint8(at + 40);
  return {
    width: view.getUint32(at + 6) - view.getUint32(at + 14), height: view.getUint32(at + 10) - view.getUint32(at + 18),
    components: view.getUint16(at + 38), precision: (depth & 127) + 1, signed: depth > 127,
  };
}
