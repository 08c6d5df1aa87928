// What openid-client and jose, both by nobody here, make of a running mintage. `node checks.mjs NAME` runs one check.
// What the server is and who its clients are comes as JSON in the variable INTEROP.
import assert from 'node:assert/strict';
import * as jose from 'jose';
import * as openid from 'openid-client';

const { url, nonceUrl, algorithms, audience, clients, awkward, introspector, jwtSecret, registrar } = JSON.parse(
  process.env.INTEROP,
);

const discover = ([id, secret], authentication = openid.ClientSecretBasic, algorithm = 'oauth2', at = url) =>
  openid.discovery(new URL(at), id, undefined, authentication(secret), {
    algorithm,
    execute: [openid.allowInsecureRequests],
  });

const methods = { basic: openid.ClientSecretBasic, post: openid.ClientSecretPost };

async function obtainAndIntrospect(credentials, method) {
  const config = await discover(credentials, methods[method]);
  const token = await openid.clientCredentialsGrant(config, { scope: 'read' });
  assert.equal(token.token_type, 'bearer'); // openid-client lower-cases it
  const answer = await openid.tokenIntrospection(config, token.access_token);
  assert.equal(answer.active, true);
  assert.equal(answer.client_id, credentials[0]);
  assert.equal(answer.scope, 'read');
}

async function obtainAndRevoke(credentials, method) {
  const config = await discover(credentials, methods[method]);
  const { access_token } = await openid.clientCredentialsGrant(config);
  const { access_token: other } = await openid.clientCredentialsGrant(config);
  await openid.tokenRevocation(config, access_token, { token_type_hint: 'access_token' });
  assert.deepEqual({ ...(await openid.tokenIntrospection(config, access_token)) }, { active: false });
  assert.equal((await openid.tokenIntrospection(config, other)).active, true);
  await openid.tokenRevocation(config, access_token);
}

async function register(method, authentication) {
  const registering = await discover(registrar);
  const { access_token: initialAccessToken } = await openid.clientCredentialsGrant(registering, {
    scope: 'mintage:register',
  });
  const metadata = {
    client_name: 'Registered',
    grant_types: ['client_credentials'],
    scope: 'read',
    token_endpoint_auth_method: method,
  };
  const config = await openid.dynamicClientRegistration(new URL(url), metadata, authentication, {
    algorithm: 'oauth2',
    initialAccessToken,
    execute: [openid.allowInsecureRequests],
  });
  const client = config.clientMetadata();
  assert.deepEqual(Object.fromEntries(Object.keys(metadata).map((name) => [name, client[name]])), metadata);
  const token = await openid.clientCredentialsGrant(config);
  assert.equal(token.scope, 'read');
  const answer = await openid.tokenIntrospection(config, token.access_token);
  assert.equal(answer.client_id, client.client_id);

  // What it is told it may do with its registration (RFC 7592), for which openid-client has nothing.
  const manage = (method) =>
    fetch(client.registration_client_uri, {
      method,
      headers: { authorization: `Bearer ${client.registration_access_token}` },
    });
  assert.equal((await (await manage('GET')).json()).client_id, client.client_id);
  assert.equal((await manage('DELETE')).status, 204);
  await assert.rejects(openid.clientCredentialsGrant(config));
  const observer = await discover(introspector);
  assert.deepEqual({ ...(await openid.tokenIntrospection(observer, token.access_token)) }, { active: false });
}

// RFC 9449. Where the server asks for a nonce, openid-client is refused once and repeats the request with it.
async function proveKey(at, algorithm) {
  const credentials = clients.ES256;
  const config = await discover(credentials, undefined, 'oidc', at);
  assert(config.serverMetadata().dpop_signing_alg_values_supported.includes(algorithm));
  const keyPair = await openid.randomDPoPKeyPair(algorithm, { extractable: true });
  const DPoP = openid.getDPoPHandle(config, keyPair);
  const token = await openid.clientCredentialsGrant(config, { scope: 'read' }, { DPoP });
  assert.equal(token.token_type, 'dpop');
  const jkt = await jose.calculateJwkThumbprint(await jose.exportJWK(keyPair.publicKey));
  assert.deepEqual(jose.decodeJwt(token.access_token).cnf, { jkt });
  const answer = await openid.tokenIntrospection(config, token.access_token);
  assert.equal(answer.token_type, 'DPoP');
  assert.deepEqual(answer.cnf, { jkt });

  // Twice, with a proof each.
  for (let n = 0; n < 2; n++) {
    const claims = await openid.fetchUserInfo(config, token.access_token, credentials[0], { DPoP });
    assert.equal(claims.fhirUser, 'Practitioner/7');
  }
  const other = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair(algorithm));
  for (const options of [{}, { DPoP: other }]) {
    await assert.rejects(openid.fetchUserInfo(config, token.access_token, credentials[0], options));
  }
}

async function verify(algorithm) {
  const config = await discover(clients[algorithm]);
  const { access_token } = await openid.clientCredentialsGrant(config);
  const key =
    algorithm === 'HS256'
      ? new TextEncoder().encode(jwtSecret)
      : jose.createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri));
  const expected = {
    algorithms: [algorithm],
    typ: 'at+jwt',
    issuer: url,
    audience,
    requiredClaims: ['exp', 'iat', 'nbf', 'jti', 'sub', 'client_id'],
  };
  const { payload } = await jose.jwtVerify(access_token, key, expected);
  assert.equal(payload.client_id, clients[algorithm][0]);
  await assert.rejects(
    jose.jwtVerify(access_token, key, { ...expected, audience: 'https://elsewhere.example' }),
    jose.errors.JWTClaimValidationFailed,
  );
}

const checks = {
  'discovery-oauth2': async () => {
    const metadata = (await discover(clients.RS256, undefined, 'oauth2')).serverMetadata();
    assert.equal(metadata.issuer, url);
    assert.equal(metadata.token_endpoint, `${url}/token`);
  },
  'discovery-oidc': async () => {
    const metadata = (await discover(clients.RS256, undefined, 'oidc')).serverMetadata();
    assert.equal(metadata.issuer, url);
    assert.equal(metadata.introspection_endpoint, `${url}/introspect`);
  },
  'grant-basic': () => obtainAndIntrospect(clients.RS256, 'basic'),
  'grant-post': () => obtainAndIntrospect(clients.ES256, 'post'),
  'grant-basic-form-encoded': () => obtainAndIntrospect(awkward, 'basic'),
  'grant-post-form-encoded': () => obtainAndIntrospect(awkward, 'post'),
  'resource-server-introspects': async () => {
    const { access_token } = await openid.clientCredentialsGrant(await discover(clients.PS256));
    const config = await discover(introspector);
    assert.equal((await openid.tokenIntrospection(config, access_token)).active, true);
    assert.deepEqual({ ...(await openid.tokenIntrospection(config, 'no.such.token')) }, { active: false });
  },
  refusal: async () => {
    const config = await discover([clients.RS256[0], 'wrong']);
    await assert.rejects(openid.clientCredentialsGrant(config), (error) => {
      // With a WWW-Authenticate header the library reports the challenge, without one the body.
      assert.equal(error.status ?? error.response?.status, 401);
      return true;
    });
  },
  userinfo: async () => {
    const config = await discover(clients.EdDSA, undefined, 'oidc');
    const { access_token } = await openid.clientCredentialsGrant(config);
    const claims = await openid.fetchUserInfo(config, access_token, clients.EdDSA[0]);
    assert.equal(claims.fhirUser, 'Practitioner/7');
  },
  'dpop-ES256': () => proveKey(url, 'ES256'),
  'dpop-PS256': () => proveKey(url, 'PS256'),
  'dpop-EdDSA': () => proveKey(url, 'EdDSA'),
  'dpop-nonce': () => proveKey(nonceUrl, 'ES256'),
  'revocation-basic': () => obtainAndRevoke(clients.ES384, 'basic'),
  'revocation-post': () => obtainAndRevoke(awkward, 'post'),
  // RFC 7009 section 2.2
  'revocation-of-nonsense': async () => openid.tokenRevocation(await discover(clients.RS256), 'no.such.token'),
  'revocation-of-another-clients-token': async () => {
    const config = await discover(clients.RS256);
    const { access_token } = await openid.clientCredentialsGrant(config);
    await assert.rejects(openid.tokenRevocation(await discover(clients.ES256), access_token), (error) => {
      assert.equal(error.error, 'unauthorized_client');
      return true;
    });
    assert.equal((await openid.tokenIntrospection(config, access_token)).active, true);
  },
  'registration-basic': () => register('client_secret_basic', openid.ClientSecretBasic()),
  'registration-post': () => register('client_secret_post', openid.ClientSecretPost()),
  'registration-without-a-token': async () => {
    const registering = openid.dynamicClientRegistration(new URL(url), { client_name: 'Nobody' }, undefined, {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    });
    await assert.rejects(registering, (error) => {
      assert.equal(error.status ?? error.response?.status, 401);
      return true;
    });
  },
  ...Object.fromEntries(algorithms.map((algorithm) => [`verify-${algorithm}`, () => verify(algorithm)])),
};

const name = process.argv[2];
if (name === 'list') {
  console.log(Object.keys(checks).join('\n'));
} else {
  assert(Object.hasOwn(checks, name), `there is no check ${name}`);
  await checks[name]();
}
