// Calls to the server. What is told with them, a token or what a login has given, lives here, in memory,
// and nowhere else: it goes with the page.

/** After this share of its life a login's token is replaced. */
const RENEWED_AFTER = 2 / 3;

// `{token}` of one that was pasted; of a login also `{refresh, givenMs, lifetimeMs, touchedMs}`.
let held = null;
let renewing = null;

/** Why a call was not answered; `code`, `reason`, `message` and `violations` are the server's. */
export class CallError extends Error {
  constructor(http, error) {
    super(error.message ?? '');
    Object.assign(this, { http, code: error.code ?? 'UNKNOWN', reason: error.reason ?? '' });
    this.violations = error.violations ?? [];
    this.retryMs = Number(error.retryAfterMs ?? 0);
  }
}

/** Uses this token from now on. */
export function useToken(text) {
  held = { token: text };
}

export function hasToken() {
  return held !== null;
}

/** Forgets who is here; a login is ended at the server too. */
export function forget() {
  const refreshToken = held?.refresh;
  held = null;
  // Nobody waits for it: what is not ended now ends by itself, and its secret is gone from here.
  if (refreshToken !== undefined) post('Login/LogOut', { refreshToken }, null).catch(() => {});
}

async function ask(path, options, token) {
  const headers = { ...options.headers };
  if (token !== null) headers.authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, credentials: 'omit', redirect: 'error' });
  } catch (error) {
    throw new CallError(0, { code: 'UNAVAILABLE', reason: 'UNREACHABLE', message: '' });
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new CallError(answer.status, body.error ?? {});
  return body;
}

function post(name, request, token) {
  return ask(`/api/${name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  }, token);
}

/** How long a token lasts, by its own claims: the clock of this place may be another than the server's. */
function lifetimeMs(token) {
  const claims = JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
  return (claims.exp - claims.iat) * 1000;
}

function given(answer, touchedMs) {
  const { token, refreshToken: refresh } = answer;
  return { token, refresh, givenMs: Date.now(), lifetimeMs: lifetimeMs(token), touchedMs };
}

/** Logs in; what is given is used from now on. */
export async function logIn(name, password, code) {
  held = given(await post('Login/LogIn', { name, password, code }, null), Date.now());
}

async function renew(mine) {
  const next = given(await post('Login/Refresh', { refreshToken: mine.refresh }, null), mine.touchedMs);
  // Somebody may have signed out meanwhile.
  if (held === mine) held = next;
}

function isLeftAlone(login) {
  return Date.now() - login.touchedMs >= login.lifetimeMs;
}

/** The token to send. That of a login is replaced in time, as long as somebody uses the page. */
async function current() {
  const mine = held;
  if (mine === null || mine.refresh === undefined) return mine?.token ?? null;
  if (isLeftAlone(mine)) {
    forget();
    throw new CallError(401, { code: 'UNAUTHENTICATED', reason: 'LEFT_ALONE' });
  }
  const isDue = Date.now() - mine.givenMs >= mine.lifetimeMs * RENEWED_AFTER;
  if (isDue && mine.touchedMs > mine.givenMs) {
    // A refresh token is good once, so all who wait for the next one wait for the same.
    renewing ??= renew(mine).finally(() => { renewing = null; });
    await renewing;
  }
  return held?.token ?? null;
}

for (const event of ['pointerdown', 'keydown']) {
  window.addEventListener(event, () => {
    if (held?.refresh !== undefined && !isLeftAlone(held)) held.touchedMs = Date.now();
  }, { capture: true, passive: true });
}

/** How one signs in here: `{password, token}`. */
export function ways() {
  return ask('/api/sign-in', { method: 'GET' }, null);
}

/** What whoever is here may do. */
export async function access() {
  return ask('/api/access', { method: 'GET' }, await current());
}

/** Makes a call such as `Ledger/GetAccounts`. Numbers of 64 bits are texts, both ways. */
export async function call(name, request = {}) {
  return post(name, request, await current());
}
