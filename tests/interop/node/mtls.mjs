// openid-client (and oauth4webapi below it) proves who it is by the certificate of its connections. `node mtls.mjs`.
import assert from 'node:assert/strict';
import https from 'node:https';
import * as openid from 'openid-client';

const { url, clientId, ca, cert, key, thumbprint } = JSON.parse(process.env.INTEROP);

// The built-in fetch takes no certificate without another package; this one goes through node:https.
const fetchWith = (agent) => (resource, { method, headers, body }) =>
  new Promise((resolve, reject) => {
    const text = body === undefined || body === null ? undefined : body.toString();
    const request = https.request(resource, { method, headers, agent }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () =>
        resolve(
          new Response(response.statusCode === 204 ? null : Buffer.concat(parts), {
            status: response.statusCode,
            headers: response.headers,
          }),
        ),
      );
    });
    request.on('error', reject);
    request.end(text);
  });

const bound = fetchWith(new https.Agent({ ca, cert, key }));
const metadata = { use_mtls_endpoint_aliases: true };
const config = await openid.discovery(new URL(url), clientId, metadata, openid.TlsClientAuth(), {
  algorithm: 'oauth2',
  [openid.customFetch]: bound,
});
config[openid.customFetch] = bound;

assert.equal(config.serverMetadata().mtls_endpoint_aliases.token_endpoint, `${url}/token`);
const token = await openid.clientCredentialsGrant(config, { scope: 'read' });
assert.equal(token.token_type, 'bearer');
const answer = await openid.tokenIntrospection(config, token.access_token);
assert.equal(answer.active, true);
assert.deepEqual(answer.cnf, { 'x5t#S256': thumbprint });
const info = await openid.fetchUserInfo(config, token.access_token, clientId);
assert.equal(info.sub, clientId);

config[openid.customFetch] = fetchWith(new https.Agent({ ca }));
await assert.rejects(openid.fetchUserInfo(config, token.access_token, clientId), (error) => {
  assert.equal(error.status, 401);
  return true;
});
await assert.rejects(openid.clientCredentialsGrant(config), { error: 'invalid_client' });

config[openid.customFetch] = bound;
await openid.tokenRevocation(config, token.access_token);
assert.equal((await openid.tokenIntrospection(config, token.access_token)).active, false);
process.exit(0);
