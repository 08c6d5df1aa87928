// openid-client proves who it is by assertion. `node assertions.mjs private-key-ALG | secret-HS256` runs one check.
import assert from 'node:assert/strict';
import * as jose from 'jose';
import * as openid from 'openid-client';

const { url, keyed, keys, secretive, secret } = JSON.parse(process.env.INTEROP);

const [, kind, algorithm] = process.argv[2].match(/^(private-key|secret)-(\w+)$/);

async function privateKey() {
  const jwk = keys[algorithm];
  const key = await jose.importJWK(jwk, algorithm);
  return openid.PrivateKeyJwt({ key, kid: jwk.kid });
}

const isKey = kind === 'private-key';
const discover = async () =>
  openid.discovery(new URL(url), isKey ? keyed : secretive, undefined, isKey ? await privateKey() : openid.ClientSecretJwt(secret), {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests],
  });

const config = await discover();
const token = await openid.clientCredentialsGrant(config, { scope: 'read' });
assert.equal(token.scope, 'read');
const answer = await openid.tokenIntrospection(config, token.access_token);
assert.equal(answer.active, true);
await openid.tokenRevocation(config, token.access_token);
assert.deepEqual({ ...(await openid.tokenIntrospection(config, token.access_token)) }, { active: false });
