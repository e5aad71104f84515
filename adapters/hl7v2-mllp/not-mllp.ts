/** What a peer speaks that begins without a frame, in words for the log: peers that wait for an answer which never comes tell their people nothing. */
export type NotMllp = { readonly kind: 'unframed' } | { readonly kind: 'other'; readonly text: string };

/** Undefined: bytes that may stand between frames, or too few to tell. */
export function notMllp(head: Buffer): NotMllp | undefined {
  const text = head.toString('latin1').trimStart();
  if (text.startsWith('MSH')) return { kind: 'unframed' };
  if (head[0] === 0x16 && head[1] === 0x03) return { kind: 'other', text: 'the peer speaks TLS to the port without TLS: let it use the port of MEDSCAN_HL7_TLS_PORT, or no TLS' };
  if (/^(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT) /.test(text)) return { kind: 'other', text: 'the peer speaks HTTP to the MLLP port: messages by HTTP go to /hl7v2 of the HTTP port' };
  if (head[0] === 0x01 && head[1] === 0x00 && head.length >= 6) return { kind: 'other', text: 'the peer speaks DICOM to the MLLP port: let it use the DICOM port' };
  return undefined;
}
