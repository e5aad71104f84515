/**
 * What the gateway is measured against, as small as it can be: `node bench/hl7-reference.ts bare` acknowledges and stores nothing; `group` writes
 * message, patient and log row of all that waits in one statement and acknowledges after its commit. No tenants, no audit, no mapping.
 */
import net from 'node:net';
import pg from 'pg';

const [mode = 'bare'] = process.argv.slice(2);

const SCHEMA = `
  CREATE TABLE messages (message_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sender text NOT NULL, control_id text NOT NULL, message_type text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(), raw bytea NOT NULL, parsed jsonb, UNIQUE (sender, control_id));
  CREATE TABLE patients (patient_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number text NOT NULL, authority text NOT NULL, family text, given text, birth_date date, sex text,
    version int NOT NULL DEFAULT 1, updated_at timestamptz NOT NULL DEFAULT now(), UNIQUE (number, authority));
  CREATE TABLE log (log_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, message_id bigint REFERENCES messages, patient_id bigint, at timestamptz NOT NULL DEFAULT now())`;

const STORE = `
  WITH i AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::jsonb[], $6::text[], $7::text[], $8::text[], $9::text[], $10::date[], $11::text[])
    WITH ORDINALITY AS t(sender, control_id, message_type, raw, parsed, number, authority, family, given, birth_date, sex, n)),
  m AS (INSERT INTO messages (sender, control_id, message_type, raw, parsed) SELECT sender, control_id, message_type, raw, parsed FROM i ORDER BY n
    ON CONFLICT (sender, control_id) DO NOTHING RETURNING message_id, sender, control_id),
  latest AS (SELECT DISTINCT ON (number, authority) i.* FROM i JOIN m USING (sender, control_id) ORDER BY number, authority, n DESC),
  p AS (INSERT INTO patients (number, authority, family, given, birth_date, sex) SELECT number, authority, family, given, birth_date, sex FROM latest ORDER BY number, authority
    ON CONFLICT (number, authority) DO UPDATE SET family = excluded.family, given = excluded.given, birth_date = excluded.birth_date, sex = excluded.sex,
      version = patients.version + 1, updated_at = now() RETURNING patient_id, number, authority)
  INSERT INTO log (message_id, patient_id) SELECT message_id, patient_id FROM m JOIN i USING (sender, control_id) JOIN p USING (number, authority)`;

type Row = readonly [sender: string, controlId: string, type: string, raw: Buffer, parsed: string, number: string, authority: string, family: string, given: string, birthDate: string | null, sex: string];

function rowOf(raw: Buffer): Row {
  const segments = raw.toString('utf8').split('\r');
  const header = segments[0]!.split('|');
  const patient = segments.find((segment) => segment.startsWith('PID|'))!.split('|');
  const [number = '', , , authority = ''] = patient[3]!.split('^');
  const [family = '', given = ''] = patient[5]!.split('^');
  const birth = /^(\d{4})(\d{2})(\d{2})/.exec(patient[7] ?? '');
  return [`${header[2]}|${header[3]}`, header[9]!, header[8]!, raw, JSON.stringify({ number, family, given }), number, authority, family, given, birth ? birth.slice(1).join('-') : null, patient[8] ?? ''];
}

interface Waiting { readonly row: Row; done(): void }

async function groupCommit(): Promise<(raw: Buffer) => Promise<void>> {
  const client = new pg.Client({ connectionString: process.env['DATABASE_URL'] });
  await client.connect();
  await client.query(SCHEMA);
  let waiting: Waiting[] = [];
  let isBusy = false;
  const drain = async (): Promise<void> => {
    isBusy = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, 128);
      waiting = waiting.slice(128);
      await client.query({ name: 'store', text: STORE, values: batch[0]!.row.map((_, column) => batch.map(({ row }) => row[column])) });
      for (const { done } of batch) done();
    }
    isBusy = false;
  };
  return (raw) => new Promise((done) => {
    waiting.push({ row: rowOf(raw), done });
    if (!isBusy) void drain();
  });
}

const store: (raw: Buffer) => Promise<void> = mode === 'group' ? await groupCommit() : () => Promise.resolve();
let answers = 0;
const server = net.createServer({ noDelay: true }, (socket) => {
  let buffered = Buffer.alloc(0);
  socket.on('error', () => {}).on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    for (let end = buffered.indexOf('\x1c\r'); end >= 0; end = buffered.indexOf('\x1c\r')) {
      const raw = Buffer.from(buffered.subarray(1, end));
      buffered = buffered.subarray(end + 2);
      const controlId = raw.toString('latin1', 0, raw.indexOf('\r')).split('|')[9];
      void store(raw).then(() => socket.write(`\x0bMSH|^~\\&|REF|||||ACK|A${++answers}|P|2.5.1\rMSA|AA|${controlId}\r\x1c\r`));
    }
  });
});
server.listen(0, '127.0.0.1', () => { process.stdout.write(`${JSON.stringify({ ports: { hl7: (server.address() as net.AddressInfo).port } })}\n`); });
process.once('SIGTERM', () => process.exit(0));
