// What openid-client and jose, both by nobody here, make of a running mintage. `node checks.mjs NAME` runs one check.
// What the server is and who its clients are comes as JSON in the variable INTEROP.
import assert from 'node:assert/strict';
import * as jose from 'jose';
import * as openid from 'openid-client';

const { url, algorithms, audience, clients, awkward, introspector, jwtSecret } = JSON.parse(process.env.INTEROP);

const discover = ([id, secret], authentication = openid.ClientSecretBasic, algorithm = 'oauth2') =>
  openid.discovery(new URL(url), id, undefined, authentication(secret), {
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
  ...Object.fromEntries(algorithms.map((algorithm) => [`verify-${algorithm}`, () => verify(algorithm)])),
};

const name = process.argv[2];
if (name === 'list') {
  console.log(Object.keys(checks).join('\n'));
} else {
  assert(Object.hasOwn(checks, name), `there is no check ${name}`);
  await checks[name]();
}
