// Calls to the server. The token lives here, in memory, and nowhere else: it goes with the page.

let token = null;

/** Why a call was not answered; `code`, `reason`, `message` and `violations` are the server's. */
export class CallError extends Error {
  constructor(http, error) {
    super(error.message ?? '');
    Object.assign(this, { http, code: error.code ?? 'UNKNOWN', reason: error.reason ?? '' });
    this.violations = error.violations ?? [];
  }
}

/** Uses this token from now on; `null` for none. */
export function useToken(text) {
  token = text;
}

export function hasToken() {
  return token !== null;
}

async function ask(path, options) {
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

/** What whoever is here may do. */
export function access() {
  return ask('/api/access', { method: 'GET' });
}

/** Makes a call such as `Ledger/GetAccounts`. Numbers of 64 bits are texts, both ways. */
export function call(name, request = {}) {
  return ask(`/api/${name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
}
