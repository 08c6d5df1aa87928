// Verifies tokens with jose, one JSON line on standard input each, and says "ok", "unknown kid" or what is wrong. The key set
// is read when it is older than the server allows, never because a kid is unknown.
import { createInterface } from 'node:readline';
import * as jose from 'jose';

const { jwksUri, maxAge, issuer, audience } = JSON.parse(process.env.INTEROP);
const keys = jose.createRemoteJWKSet(new URL(jwksUri), {
  cacheMaxAge: maxAge * 1000,
  cooldownDuration: Number.MAX_SAFE_INTEGER,
});

for await (const line of createInterface({ input: process.stdin })) {
  const { token, algorithm } = JSON.parse(line);
  try {
    await jose.jwtVerify(token, keys, { algorithms: [algorithm], typ: 'at+jwt', issuer, audience });
    console.log('ok');
  } catch (error) {
    console.log(error instanceof jose.errors.JWKSNoMatchingKey ? 'unknown kid' : `${error.code}: ${error.message}`);
  }
}
