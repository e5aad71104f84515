/** Certificates made by openssl for one test file: a CA and what it signs. `haveOpenssl` is false where there is none. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface Certificate { readonly certificateFile: string; readonly keyFile: string; readonly cert: string; readonly key: string }
export interface Authority extends Certificate {
  /** For 127.0.0.1 and localhost, or as `names` says, for two days. `days` below 0: expired. */
  sign(name: string, kind?: 'rsa' | 'ec', days?: number, names?: string): Certificate;
}

export const haveOpenssl = (() => { try { execFileSync('openssl', ['version'], { stdio: 'ignore' }); return true; } catch { return false; } })();

/** Everything is in a directory of its own; remove() takes it away. */
export function certificateDirectory(): { authority(name: string): Authority; readonly directory: string; remove(): void } {
  const directory = mkdtempSync(path.join(tmpdir(), 'medscan-certificates-'));
  let made = 0;
  const openssl = (...args: string[]): void => { execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: directory }); };
  const files = (name: string): { certificateFile: string; keyFile: string } => {
    made += 1;
    return { certificateFile: path.join(directory, `${made}-${name}.crt`), keyFile: path.join(directory, `${made}-${name}.key`) };
  };
  const read = ({ certificateFile, keyFile }: { certificateFile: string; keyFile: string }): Certificate =>
    ({ certificateFile, keyFile, cert: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8') });
  const newKey = (kind: 'rsa' | 'ec', file: string): void => openssl('genpkey', ...(kind === 'rsa' ? ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'] : ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']), '-out', file);
  return {
    directory,
    authority(name) {
      const own = files(name);
      newKey('ec', own.keyFile);
      openssl('req', '-x509', '-key', own.keyFile, '-days', '2', '-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE', '-out', own.certificateFile);
      return {
        ...read(own),
        sign(subject, kind = 'rsa', days = 2, names = 'IP:127.0.0.1,DNS:localhost') {
          const leaf = files(subject);
          newKey(kind, leaf.keyFile);
          const request = `${leaf.certificateFile}.csr`, extensions = `${leaf.certificateFile}.ext`;
          writeFileSync(extensions, `subjectAltName=${names}\n`);
          openssl('req', '-new', '-key', leaf.keyFile, '-subj', `/CN=${subject}`, '-out', request);
          openssl('x509', '-req', '-in', request, '-CA', own.certificateFile, '-CAkey', own.keyFile, '-CAcreateserial', '-days', String(days), '-extfile', extensions, '-out', leaf.certificateFile);
          return read(leaf);
        },
      };
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
