// jsforce against the emulator, one section a run: jsforce_client.mjs SECTION. Every section meets an empty organisation.

import fs from 'node:fs';
import assert from 'node:assert/strict';
import jsforce from 'jsforce';

const line = JSON.parse(fs.readFileSync(process.env.EMULATOR_LINE, 'utf8'));
const username = process.env.EMULATOR_USERNAME;
const password = process.env.EMULATOR_PASSWORD;
const version = '60.0';
const oauth2 = { loginUrl: line.url, clientId: line.clientId, clientSecret: line.clientSecret, redirectUri: 'http://localhost:1717/OauthRedirect' };
let checks = 0;
const check = (name, actual, expected) => {
  checks += 1;
  assert.deepEqual(actual, expected, name);
};
const refused = async (name, promise, pattern) => {
  checks += 1;
  await assert.rejects(promise, pattern, name);
};
const inject = async (rule) => {
  const answer = await fetch(`${line.url}/emulator/faults`, { method: 'POST', body: JSON.stringify(rule) });
  assert.equal(answer.status, 201);
};
const connect = async () => {
  const conn = new jsforce.Connection({ instanceUrl: line.url, oauth2, version });
  await conn.authorize({ grant_type: 'client_credentials' });
  conn.bulk2.pollInterval = 100;
  conn.bulk2.pollTimeout = 60000;
  return conn;
};
const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);
const load = (conn, options, input) => conn.bulk2.loadAndWaitForResults({ ...options, input, pollInterval: 100, pollTimeout: 60000 });

// SOAP, username-password, client credentials, web server flow with PKCE and refresh; logout and revocation end them.
async function login() {
  const soap = new jsforce.Connection({ loginUrl: line.url, version });
  check('soap login', (await soap.login(username, password)).organizationId.length, 18);
  check('identity', (await soap.identity()).username, username);
  await refused('wrong password', new jsforce.Connection({ loginUrl: line.url, version }).login(username, 'wrong'), /INVALID_LOGIN/);
  const spent = soap.accessToken;
  await soap.logout();
  const after = new jsforce.Connection({ instanceUrl: line.url, accessToken: spent, version });
  await refused('after logout', after.query('SELECT Id FROM Account'), /INVALID_SESSION_ID|Session expired/);

  const byPassword = new jsforce.Connection({ oauth2, version });
  await byPassword.login(username, password);
  check('username-password', (await byPassword.identity()).username, username);
  await byPassword.logout();
  const conn = await connect();
  check('client credentials', (await conn.identity()).username, username);

  const web = new jsforce.OAuth2({ ...oauth2, useVerifier: true });
  const page = await fetch(web.getAuthorizationUrl({ scope: 'api refresh_token', state: 's 1' }), { redirect: 'manual' });
  const landed = new URL(page.headers.get('location'));
  check('state comes back', landed.searchParams.get('state'), 's 1');
  const tokens = await web.requestToken(landed.searchParams.get('code'));
  const renewed = await web.refreshToken(tokens.refresh_token);
  assert.notEqual(renewed.access_token, tokens.access_token);
  await web.revokeToken(tokens.refresh_token);
  await refused('after revoke', web.refreshToken(tokens.refresh_token), /expired access\/refresh token/);
}

async function describe() {
  const conn = await connect();
  const global = await conn.describeGlobal();
  check('describe global', [global.maxBatchSize, global.sobjects.some((object) => object.name === 'Account')], [200, true]);
  const { fields } = await conn.describe('Account');
  const field = fields.find((field) => field.name === 'icao__c');
  check('field', [field.externalId, field.type, field.length, field.createable], [true, 'string', 4, true]);
}

async function paging() {
  const conn = await connect();
  await load(conn, { object: 'Account', operation: 'insert' }, range(0, 4100).map((n) => ({ Name: `Airport ${n}` })));
  const all = await conn.query('SELECT Id, Name FROM Account', { autoFetch: true, maxFetch: 10000 });
  check('every row once', new Set(all.records.map((row) => row.Name)), new Set(range(0, 4100).map((n) => `Airport ${n}`)));
  const first = await conn.query('SELECT Id FROM Account LIMIT 2300');
  check('first page', [first.done, first.records.length, first.totalSize], [false, 2000, 2300]);
  const second = await conn.queryMore(first.nextRecordsUrl);
  check('second page', [second.done, second.records.length], [true, 300]);
  check('pages do not overlap', new Set([...first.records, ...second.records].map((row) => row.Id)).size, 2300);
  check('count', (await conn.query('SELECT COUNT() FROM Account')).totalSize, 4100);
  await refused('bad query', conn.query('SELECT Nope FROM Account'), /No such column 'Nope'/);
  check('limits', conn.limitInfo.apiUsage.limit, 5000000);
}

async function row() {
  const conn = await connect();
  const accounts = conn.sobject('Account');
  const one = await accounts.create({ Name: 'Frankfurt', icao__c: 'EDDF' });
  check('create', one.success, true);
  check('update', (await accounts.update({ Id: one.id, Phone: '069' })).success, true);
  const read = await accounts.retrieve(one.id);
  check('read', [read.Name, read.icao__c, read.Phone], ['Frankfurt', 'EDDF', '069']);
  check('upsert of a known key', (await accounts.upsert({ icao__c: 'EDDF', Name: 'Main' }, 'icao__c')).success, true);
  check('upserted', (await accounts.retrieve(one.id)).Name, 'Main');
  const made = await accounts.upsert({ icao__c: 'YSSY', Name: 'Sydney' }, 'icao__c');
  check('upsert of a new key', [made.success, (await accounts.retrieve(made.id)).Name], [true, 'Sydney']);
  await refused('missing field', accounts.create({ Phone: '1' }), /Required fields are missing: \[Name\]/);
  check('delete', (await accounts.destroy(one.id)).success, true);
  await refused('read deleted', accounts.retrieve(one.id), /ENTITY_IS_DELETED|deleted/);
}

async function collections() {
  const accounts = (await connect()).sobject('Account');
  const many = await accounts.create([{ Name: 'A' }, { Phone: '1' }, { Name: 'B' }], { allOrNone: false });
  check('create', many.map((result) => result.success), [true, false, true]);
  check('create says why', many[1].errors[0].statusCode ?? many[1].errors[0].errorCode, 'REQUIRED_FIELD_MISSING');
  const [a, b] = [many[0].id, many[2].id];
  check('read', (await accounts.retrieve([a, b])).map((row) => row.Name), ['A', 'B']);
  const updated = await accounts.update([{ Id: a, Name: 'A2' }, { Id: '0015e0000000zzz', Name: 'nobody' }], { allOrNone: false });
  check('update', updated.map((result) => result.success), [true, false]);
  await accounts.update([{ Id: a, Name: 'A3' }, { Id: b, Elevation__c: 40000 }], { allOrNone: true }).catch(() => undefined);
  check('all or none', (await accounts.retrieve([a, b])).map((row) => row.Name), ['A2', 'B']);
  const upserted = await accounts.upsert([{ icao__c: 'EDDF', Name: 'F' }, { icao__c: 'EDDM', Name: 'M' }], 'icao__c');
  check('upsert', upserted.map((result) => result.success), [true, true]);
  const gone = await accounts.destroy([a, b]);
  check('delete', gone.map((result) => result.success), [true, true]);
  await refused('read deleted', accounts.retrieve(a), /ENTITY_IS_DELETED|deleted/);
}

// A job whose second batch runs out of retries: rows written, rows refused and rows never tried in one job.
async function torn(conn, options, input) {
  await inject({ action: 'retryBatch', object: 'Account', retries: 20, skip: 1 });
  const job = conn.bulk2.createJob({ object: 'Account', ...options });
  await job.open();
  await job.uploadData(input);
  await job.close();
  await refused(`${options.operation} ends failed`, job.poll(100, 60000), /Too many lock failures/);
  const { successfulResults, failedResults, unprocessedRecords } = await job.getAllResults();
  check(`${options.operation} counts`, [successfulResults.length, failedResults.length, unprocessedRecords.length], [9999, 1, 1]);
  return { successfulResults, failedResults, unprocessedRecords };
}

async function bulk() {
  const conn = await connect();
  const rows = range(0, 10001).map((n) => ({ Name: n === 5 ? null : `Airport ${n}`, External_Id__c: `K${n}` }));
  const inserted = await torn(conn, { operation: 'insert' }, rows);
  check('insert error', inserted.failedResults[0].sf__Error, 'REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --');
  check('insert failed', inserted.failedResults[0].External_Id__c, 'K5');
  check('insert unprocessed', inserted.unprocessedRecords, [{ Name: 'Airport 10000', External_Id__c: 'K10000' }]);
  check('insert created', new Set(inserted.successfulResults.map((row) => row.sf__Created)), new Set(['true']));

  const changed = rows.map((row, n) => ({ Name: `Renamed ${n}`, External_Id__c: row.External_Id__c, Elevation__c: n === 7 ? 40000 : 10 }));
  const upserted = await torn(conn, { operation: 'upsert', externalIdFieldName: 'External_Id__c' }, changed);
  check('upsert error', upserted.failedResults[0].sf__Error.split(':')[0], 'FIELD_CUSTOM_VALIDATION_EXCEPTION');
  check('upsert failed', upserted.failedResults[0].External_Id__c, 'K7');
  check('upsert unprocessed', upserted.unprocessedRecords.map((row) => row.External_Id__c), ['K10000']);
  const created = upserted.successfulResults.filter((row) => row.sf__Created === 'true');
  check('upsert created', created.map((row) => row.External_Id__c), ['K5']);

  const ids = Object.fromEntries([...inserted.successfulResults, ...created].map((row) => [row.External_Id__c, row.sf__Id]));
  const known = [...range(0, 9999).map((n) => ids[`K${n}`]), '0015e0000000zzz', ids.K9999];
  const updated = await torn(conn, { operation: 'update' }, known.map((Id) => ({ Id, Phone: '123' })));
  check('update error', updated.failedResults[0].sf__Error.split(':')[0], 'INVALID_CROSS_REFERENCE_KEY');
  check('update unprocessed', updated.unprocessedRecords, [{ Id: ids.K9999, Phone: '123' }]);
  check('update created', new Set(updated.successfulResults.map((row) => row.sf__Created)), new Set(['false']));
  const phones = async (key) => (await conn.sobject('Account').retrieve(ids[key])).Phone;
  check('updated', [await phones('K2'), await phones('K9999')], ['123', null]);

  const deleted = await torn(conn, { operation: 'delete' }, known.map((Id) => ({ Id })));
  check('delete error', deleted.failedResults[0].sf__Id, '0015e0000000zzz');
  check('delete unprocessed', deleted.unprocessedRecords, [{ Id: ids.K9999 }]);
  check('deleted', new Set(deleted.successfulResults.map((row) => row.sf__Id)), new Set(known.slice(0, 9999)));
  check('left', (await conn.query('SELECT External_Id__c FROM Account')).records.map((row) => row.External_Id__c), ['K9999']);

  // One that completes, one that is refused as a whole, one that is aborted before it is processed.
  const complete = await load(conn, { object: 'Account', operation: 'insert' }, [{ Name: 'A' }, { Name: null, Phone: '1' }]);
  check('complete', [complete.successfulResults.length, complete.failedResults.length, complete.unprocessedRecords.length], [1, 1, 0]);
  await refused('unknown column', load(conn, { object: 'Account', operation: 'insert' }, [{ Name: 'A', Nope__c: 'B' }]), /Field name not found : Nope__c/);
  const job = conn.bulk2.createJob({ object: 'Account', operation: 'insert' });
  await job.open();
  await job.uploadData([{ Name: 'never' }]);
  await job.close();
  await job.abort();
  check('aborted', (await job.getUnprocessedRecords()).map((row) => row.Name), ['never']);
}

async function bulkQuery() {
  const conn = await connect();
  await load(conn, { object: 'Account', operation: 'insert' }, range(0, 2500).map((n) => ({ Name: `Airport "${n}",\nGate`, External_Id__c: `K${n}` })));
  const stream = await conn.bulk2.query("SELECT Id, Name, External_Id__c FROM Account WHERE External_Id__c LIKE 'K%'", { pollInterval: 100, pollTimeout: 60000 });
  const exported = await stream.toArray();
  check('every row once', new Set(exported.map((row) => row.External_Id__c)), new Set(range(0, 2500).map((n) => `K${n}`)));
  check('text', exported.find((row) => row.External_Id__c === 'K7').Name, 'Airport "7",\nGate');
}

const section = process.argv[2];
await { login, describe, paging, row, collections, bulk, 'bulk-query': bulkQuery }[section]();
console.log(`jsforce ${section}: ${checks} checks passed`);
process.exit(0);
