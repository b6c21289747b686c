// Inserts a CSV with jsforce and writes all results to a file: load.mjs FILE RESULTS. Prints the library's version.

import fs from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.CLIENTS}/`);
const jsforce = require('jsforce');
const [file, results] = process.argv.slice(2);
const conn = new jsforce.Connection({ instanceUrl: process.env.ORG_URL, accessToken: process.env.ORG_TOKEN, version: '66.0' });
// Looks as often as we do: the library's own second would be its loss.
const loaded = await conn.bulk2.loadAndWaitForResults({
  object: 'Account',
  operation: 'insert',
  lineEnding: 'LF',
  input: fs.createReadStream(file),
  pollInterval: 100,
  pollTimeout: 600_000,
});
if (loaded.failedResults.length + loaded.unprocessedRecords.length > 0) {
  throw new Error(`${loaded.failedResults.length} rows failed, ${loaded.unprocessedRecords.length} were not processed`);
}
const out = fs.createWriteStream(results);
const columns = Object.keys(loaded.successfulResults[0]);
out.write(`${columns.join(',')}\n`);
for (const row of loaded.successfulResults) {
  const cells = columns.map((column) => (/[",\n]/.test(row[column]) ? `"${row[column].replaceAll('"', '""')}"` : row[column]));
  if (!out.write(`${cells.join(',')}\n`)) await new Promise((drained) => out.once('drain', drained));
}
await new Promise((ended) => out.end(ended));
console.log('jsforce', require('jsforce/package.json').version);
process.exit(0);
