// jsforce against the emulator: logins, describe, query with paging, rows, Collections, Bulk 2.0.

import fs from 'node:fs';
import assert from 'node:assert/strict';
import jsforce from 'jsforce';

const line = JSON.parse(fs.readFileSync(process.env.EMULATOR_LINE, 'utf8'));
const username = process.env.EMULATOR_USERNAME;
const password = process.env.EMULATOR_PASSWORD;
let checks = 0;
const check = (name, actual, expected) => {
  checks += 1;
  assert.deepEqual(actual, expected, name);
};
const refused = async (name, promise, pattern) => {
  checks += 1;
  await assert.rejects(promise, pattern, name);
};

// Logins: SOAP, username-password, client credentials.
const soap = new jsforce.Connection({ loginUrl: line.url, version: '60.0' });
check('soap login', (await soap.login(username, password)).organizationId.length, 18);
check('identity', (await soap.identity()).username, username);
await refused('wrong password', new jsforce.Connection({ loginUrl: line.url, version: '60.0' }).login(username, 'wrong'), /INVALID_LOGIN/);
const spent = soap.accessToken;
await soap.logout();
const after = new jsforce.Connection({ instanceUrl: line.url, accessToken: spent, version: '60.0' });
await refused('after logout', after.query('SELECT Id FROM Account'), /INVALID_SESSION_ID|Session expired/);

const oauth2 = { loginUrl: line.url, clientId: line.clientId, clientSecret: line.clientSecret, redirectUri: 'http://localhost:1717/OauthRedirect' };
const byPassword = new jsforce.Connection({ oauth2, version: '60.0' });
await byPassword.login(username, password);
await byPassword.logout();

const conn = new jsforce.Connection({ instanceUrl: line.url, oauth2, version: '60.0' });
await conn.authorize({ grant_type: 'client_credentials' });

// Web server flow with PKCE and refresh.
const web = new jsforce.OAuth2({ ...oauth2, useVerifier: true });
const page = await fetch(web.getAuthorizationUrl({ scope: 'api refresh_token', state: 's 1' }), { redirect: 'manual' });
const landed = new URL(page.headers.get('location'));
check('state comes back', landed.searchParams.get('state'), 's 1');
const tokens = await web.requestToken(landed.searchParams.get('code'));
const renewed = await web.refreshToken(tokens.refresh_token);
assert.notEqual(renewed.access_token, tokens.access_token);
await web.revokeToken(tokens.refresh_token);
await refused('after revoke', web.refreshToken(tokens.refresh_token), /expired access\/refresh token/);

// Describe.
check('describe global', (await conn.describeGlobal()).maxBatchSize, 200);
const described = await conn.describe('Account');
check('external id', described.fields.find((field) => field.name === 'icao__c').externalId, true);

// Rows, one and many.
const one = await conn.sobject('Account').create({ Name: 'Frankfurt', icao__c: 'EDDF' });
check('create', one.success, true);
check('update', (await conn.sobject('Account').update({ Id: one.id, Phone: '069' })).success, true);
check('retrieve', (await conn.sobject('Account').retrieve(one.id)).Phone, '069');
check('upsert', (await conn.sobject('Account').upsert({ icao__c: 'EDDF', Name: 'Main' }, 'icao__c')).success, true);
const many = await conn.sobject('Account').create([{ Name: 'A' }, { Phone: '1' }, { Name: 'B' }], { allOrNone: false });
check('collections', many.map((result) => result.success), [true, false, true]);
check('collections error', many[1].errors[0].statusCode ?? many[1].errors[0].errorCode, 'REQUIRED_FIELD_MISSING');
const both = await conn.sobject('Account').retrieve([many[0].id, many[2].id]);
check('retrieve many', both.map((row) => row.Name), ['A', 'B']);
const gone = await conn.sobject('Account').destroy([many[0].id, many[2].id]);
check('delete many', gone.map((result) => result.success), [true, true]);
await refused('read deleted', conn.sobject('Account').retrieve(many[0].id), /ENTITY_IS_DELETED|deleted/);

// Bulk 2.0.
conn.bulk2.pollInterval = 100;
conn.bulk2.pollTimeout = 60000;
const rows = Array.from({ length: 2500 }, (_, n) => ({ Name: `Airport ${n}`, External_Id__c: `K${n}` }));
const load = (options, input) => conn.bulk2.loadAndWaitForResults({ ...options, input, pollInterval: 100, pollTimeout: 60000 });
const inserted = await load({ object: 'Account', operation: 'insert' }, [...rows, { Name: null, External_Id__c: 'NONAME' }]);
check('insert', [inserted.successfulResults.length, inserted.failedResults.length, inserted.unprocessedRecords.length], [2500, 1, 0]);
check('insert error', inserted.failedResults[0].sf__Error, 'REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --');
check('insert created', new Set(inserted.successfulResults.map((row) => row.sf__Created)), new Set(['true']));
const ids = Object.fromEntries(inserted.successfulResults.map((row) => [row.External_Id__c, row.sf__Id]));
const upserted = await load(
  { object: 'Account', operation: 'upsert', externalIdFieldName: 'External_Id__c' },
  [{ Name: 'Renamed', External_Id__c: 'K1' }, { Name: 'New', External_Id__c: 'KNEW' }],
);
check('upsert', upserted.successfulResults.map((row) => row.sf__Created).sort(), ['false', 'true']);
const updated = await load({ object: 'Account', operation: 'update' }, [{ Id: ids.K2, Phone: '123' }, { Id: '0015e0000000zzz', Phone: '1' }]);
check('update', [updated.successfulResults.length, updated.failedResults.length], [1, 1]);
const deleted = await load({ object: 'Account', operation: 'delete' }, [{ Id: ids.K3 }]);
check('delete', deleted.successfulResults.map((row) => row.sf__Id), [ids.K3]);
await refused('unknown column', load({ object: 'Account', operation: 'insert' }, [{ Name: 'A', Nope__c: 'B' }]), /Field name not found : Nope__c/);

// A job aborted before it is processed keeps its rows unprocessed.
const job = conn.bulk2.createJob({ object: 'Account', operation: 'insert' });
await job.open();
await job.uploadData([{ Name: 'never' }]);
await job.close();
await job.abort();
check('unprocessed', (await job.getUnprocessedRecords()).map((row) => row.Name), ['never']);

const stream = await conn.bulk2.query("SELECT Id, Name FROM Account WHERE External_Id__c LIKE 'K%'", { pollInterval: 100, pollTimeout: 60000 });
const exported = await stream.toArray();
check('bulk query', [exported.length, exported.some((row) => row.Name === 'Renamed')], [2500, true]);

// Query with paging.
const all = await conn.query('SELECT Id, Name FROM Account', { autoFetch: true, maxFetch: 10000 });
check('all pages', all.records.length, 2501);
const first = await conn.query('SELECT Id FROM Account LIMIT 2300');
check('first page', [first.done, first.records.length, first.totalSize], [false, 2000, 2300]);
check('second page', (await conn.queryMore(first.nextRecordsUrl)).records.length, 300);
check('count', (await conn.query('SELECT COUNT() FROM Account')).totalSize, 2501);
await refused('bad query', conn.query('SELECT Nope FROM Account'), /No such column 'Nope'/);
check('limits', conn.limitInfo.apiUsage.limit, 5000000);
console.log(`jsforce: ${checks} checks passed`);
process.exit(0);
