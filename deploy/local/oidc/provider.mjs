// A certified OpenID Connect provider for one machine: a citizen, a viewer and an admin, and no other way in.
//
// Run as `node provider.mjs CONFIG.json`. PKCE is enforced, refresh tokens rotate, and using an old one ends the
// grant. SIGUSR2 rolls the signing key: a new Provider over the same (in-memory) adapter. Never for production: the
// passwords are in the configuration file.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider, { interactionPolicy } from 'oidc-provider';
import { createMemoryAdapter } from 'oidc-provider/lib/adapters/memory_adapter.js';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const adapter = createMemoryAdapter();
const people = new Map(config.people.map((person) => [person.sub, person]));

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

let keys = existsSync(config.keys_file) ? JSON.parse(readFileSync(config.keys_file, 'utf8')) : [newKey()];
const saveKeys = () => writeFileSync(config.keys_file, JSON.stringify(keys), { mode: 0o600 });
saveKeys();

const findAccount = async (ctx, sub) => {
  const person = people.get(sub);
  return person && { accountId: sub, claims: async () => ({ sub, ...person.claims }) };
};

function makeProvider() {
  // Our own client is first-party: it is granted what it asks for, without a consent page.
  const policy = interactionPolicy.base();
  policy.remove('consent');
  const provider = new Provider(config.issuer, {
    adapter,
    clients: config.clients,
    jwks: { keys },
    cookies: { keys: [config.cookie_secret] },
    findAccount,
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    scopes: ['openid', 'email', 'profile', 'offline_access'],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
    interactions: { policy, url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid email profile offline_access');
      await grant.save();
      return grant;
    },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    ttl: { AccessToken: 3600, IdToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
    // The default guards against requests to loopback, which is exactly where our own back-channel address is.
    fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  provider.on('backchannel.error', (ctx, error, client) => console.error(`back-channel to ${client.clientId}`, error));
  return provider;
}

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function page(uid, error) {
  const choices = [...people.values()]
    .map((p) => `<option value="${escape(p.sub)}">${escape(p.claims.name)} (${escape(p.claims.email)})</option>`)
    .join('');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Local eID</title><style>body{font:16px system-ui;max-width:24rem;margin:12vh auto;padding:0 1rem}
label{display:block;margin:1rem 0}select,input,button{font:inherit;padding:.5rem;width:100%;box-sizing:border-box}
[role=alert]{color:#a00}</style><h1>Local eID</h1><p>For this machine only; no real identities.</p>
${error ? `<p role="alert">${escape(error)}</p>` : ''}
<form method="post" action="/interaction/${escape(uid)}"><label>Person<select name="person">${choices}</select></label>
<label>Password<input name="password" type="password" autocomplete="off" required></label>
<button type="submit">Sign in</button></form></html>`;
}

async function readForm(request) {
  let body = '';
  for await (const chunk of request) {
    body += chunk;
    if (body.length > 10_000) throw new Error('form too long');
  }
  return new URLSearchParams(body);
}

async function interact(provider, request, response) {
  const { uid, prompt } = await provider.interactionDetails(request, response);
  const show = (status, error) => {
    response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    response.end(page(uid, error));
  };
  if (prompt.name !== 'login') throw new Error(`unexpected prompt ${prompt.name}`);
  if (request.method !== 'POST') return show(200);
  const form = await readForm(request);
  const person = people.get(form.get('person'));
  if (!person || form.get('password') !== person.password) return show(401, 'Wrong person or password.');
  return provider.interactionFinished(request, response, { login: { accountId: person.sub } });
}

let provider = makeProvider();
let handle = provider.callback();

process.on('SIGUSR2', () => {
  // The new key signs; the old one stays published, as it would while tokens signed by it live.
  keys = [newKey(), ...keys].slice(0, 2);
  saveKeys();
  provider = makeProvider();
  handle = provider.callback();
  console.log(`rolled to key ${keys[0].kid}`);
});

const server = createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return handle(request, response);
  return interact(provider, request, response).catch((error) => {
    console.error(error);
    response.writeHead(400, { 'content-type': 'text/plain' });
    response.end('This sign-in was lost; start again.');
  });
});
server.listen(config.port, '127.0.0.1', () => console.log(`listening on ${config.issuer}`));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
