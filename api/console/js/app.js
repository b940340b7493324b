// The page's frame: who is here, which view is shown, in which language and theme.
//
// A view is a module of views/ with `path`, `title` (a key of the texts), `needs` (the call without
// which it shows nothing) and `show(main, rest, page)`, which may return what is to be called when
// the view is left. A new one is a line in VIEWS.

import { access, CallError, forget, hasToken, ways } from './api.js';
import { el } from './dom.js';
import { current, LANGUAGES, named, preferred, t, use } from './i18n.js';
import * as signInForms from './sign-in.js';
import * as account from './views/account.js';
import * as accounts from './views/accounts.js';
import * as audit from './views/audit.js';
import * as overview from './views/overview.js';
import * as storage from './views/storage.js';
import * as transfer from './views/transfer.js';

const VIEWS = [overview, accounts, transfer, storage, audit];
// Shown from others, not from the navigation.
const DETAILS = [account];

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const status = document.getElementById('status');
const signOut = document.getElementById('sign-out');

let may = null;
let leave = null;
let asking = false;

/** What views use of the frame. */
const page = {
  /** Whether the call is granted. */
  may: (call) => may !== null && may.calls.includes(call),
  /** Whether all accounts are in scope. */
  get all() { return may !== null && may.all; },
  /** Says something to everybody, those who listen included. */
  say(text, bad = false) {
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle('bad', bad);
  },
  /** Says why something was not answered; somebody who is not known any more signs in again. */
  failed(error) {
    if (!(error instanceof CallError)) throw error;
    if (error.http === 401) {
      unknown(error);
      return;
    }
    page.say(page.why(error), true);
  },
  /** Why something was not answered, in words. */
  why(error) {
    const fields = error.violations.map((each) => `${each.field}: ${each.message}`).join('; ');
    const reason = error.reason ? named('reason', error.reason) : error.code;
    return [reason, fields || error.message].filter((part) => part).join(': ');
  },
};

function kept(name) {
  try { return localStorage.getItem(name); } catch (refused) { return null; }
}

function keep(name, value) {
  try { localStorage.setItem(name, value); } catch (refused) { /* The setting lasts for this visit. */ }
}

function settings() {
  const language = document.getElementById('language');
  language.replaceChildren(...LANGUAGES.map(([code, name]) => el('option', { value: code, lang: code }, name)));
  language.value = current();
  language.addEventListener('change', async () => {
    await use(language.value);
    keep('language', language.value);
    start();
  });
  const theme = document.getElementById('theme');
  const chosen = kept('theme');
  theme.value = ['auto', 'light', 'dark'].includes(chosen) ? chosen : 'auto';
  document.documentElement.dataset.theme = theme.value;
  theme.addEventListener('change', () => {
    document.documentElement.dataset.theme = theme.value;
    keep('theme', theme.value);
  });
  signOut.addEventListener('click', () => {
    forget();
    page.say('');
    start();
  });
  document.getElementById('skip').addEventListener('click', (event) => {
    // The fragment is the view's; only the focus moves.
    event.preventDefault();
    main.focus();
  });
}

function leaveView() {
  if (leave) leave();
  leave = null;
}

/** Asks who is here, then shows the view or the form to sign in. */
async function start() {
  asking = false;
  try {
    may = await access();
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    may = null;
    if (error.http === 401) {
      await unknown(error);
      return;
    }
    startLater(error);
    return;
  }
  signOut.hidden = !hasToken();
  route();
}

/** The server may be starting. */
function startLater(error) {
  leaveView();
  page.say(page.why(error), true);
  const again = setTimeout(start, 2000);
  leave = () => clearTimeout(again);
}

/** Whoever was here is not known, or not any more: why, and the forms to sign in. */
async function unknown(error) {
  // Of several calls that were refused at once the first has said why.
  if (asking) return;
  asking = true;
  const had = hasToken();
  forget();
  leaveView();
  may = null;
  nav.hidden = true;
  signOut.hidden = true;
  let how;
  try {
    how = await ways();
  } catch (failed) {
    if (!(failed instanceof CallError)) throw failed;
    startLater(failed);
    return;
  }
  document.title = `${t('signIn')} · Ducat`;
  signInForms.show(main, page, how, start);
  // Of a login that has ended in the page's words, of a token that was not taken in the server's.
  const words = named('reason', error.reason);
  if (words !== error.reason) page.say(words, true);
  else page.say(had ? error.message : '', true);
}

/** Shows what the fragment names: #/path/rest. */
function route() {
  if (may === null) return;
  leaveView();
  // What ids hold needs no encoding; what is no id is told so by its view.
  const [path, ...rest] = location.hash.replace(/^#\//, '').split('/');
  const allowed = VIEWS.filter((view) => page.may(view.needs));
  let view = VIEWS.find((each) => each.path === path) ?? allowed[0] ?? overview;
  const shown = view;
  if (rest.length > 0) view = DETAILS.find((each) => each.path === path) ?? view;
  nav.hidden = false;
  nav.replaceChildren(...allowed.map((each) =>
    el('a', { href: `#/${each.path}`, 'aria-current': each === shown ? 'page' : null }, t(each.title))));
  main.replaceChildren();
  page.say('');
  document.title = `${t(view.title)} · Ducat`;
  if (!page.may(view.needs)) {
    main.append(el('h1', {}, t(view.title)), el('p', { class: 'warn' }, t('notGranted')));
    return;
  }
  leave = view.show(main, rest, page) ?? null;
}

window.addEventListener('hashchange', () => {
  route();
  main.focus();
});
await use(kept('language') ?? preferred(navigator.languages));
settings();
await start();
document.documentElement.dataset.ready = 'yes';
