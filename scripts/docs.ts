/** `npm run docs`: brings the generated tables of the documents up to date. */
import { generatedDocs } from './generated-docs.ts';
import { writeChanged } from './write-changed.ts';

await writeChanged(await generatedDocs());
