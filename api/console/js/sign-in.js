// The forms by which somebody becomes known: name, password and one-time code, or a token. Which of
// them are shown says the server.

import { CallError, logIn, useToken } from './api.js';
import { card, el, field } from './dom.js';
import { named, t } from './i18n.js';

/** Why a login was refused, in words: nothing of it says which of the three was wrong. */
function why(error) {
  const minutes = Math.max(1, Math.ceil(error.retryMs / 60_000));
  const known = named('reason', error.reason, { minutes });
  return known === error.reason || known === '' ? error.message || error.code : known;
}

function passwordForm(page, done) {
  const input = (id, attributes) => el('input', { id, required: true, spellcheck: 'false', ...attributes });
  const name = input('name', { autocomplete: 'username', autocapitalize: 'none' });
  const password = input('password', { type: 'password', autocomplete: 'current-password' });
  const code = input('code', { autocomplete: 'one-time-code', inputmode: 'numeric', maxlength: 8 });
  const button = el('button', { class: 'main', type: 'submit' }, t('signIn'));
  const submit = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    page.say('');
    try {
      // As authenticators show it: 123 456.
      await logIn(name.value.trim(), password.value, code.value.replaceAll(/\s/g, ''));
      password.value = '';
      done();
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      page.say(why(error), true);
      const isCodeWanted = error.reason === 'SECOND_FACTOR_NEEDED';
      // A code is good once, whatever was wrong beside it.
      code.value = '';
      (isCodeWanted ? code : password).focus();
      if (!isCodeWanted) password.select();
    } finally {
      button.disabled = false;
    }
  };
  // What is missing is told in the page's own language, by the server's answer.
  const form = el('form', { id: 'log-in', novalidate: true, on: { submit } },
    field(t('name'), name), field(t('password'), password), field(t('code'), code), button);
  return { form, first: name };
}

function tokenForm(page, done) {
  const input = el('input', {
    id: 'token', type: 'password', autocomplete: 'off', required: true, spellcheck: 'false',
  });
  const submit = (event) => {
    event.preventDefault();
    useToken(input.value.trim());
    page.say('');
    done();
  };
  const form = el('form', { id: 'use-token', on: { submit } },
    field(t('token'), input), el('button', { class: 'main', type: 'submit' }, t('signIn')));
  return { form, first: input };
}

/** Shows the forms that there are; `done` is called when there is something to try. */
export function show(main, page, { password, token }, done) {
  const cards = [];
  let first = null;
  if (password) {
    const made = passwordForm(page, done);
    first = made.first;
    cards.push(card(t('signIn.password'), el('p', {}, t('signIn.password.how')), made.form));
  }
  if (token) {
    const made = tokenForm(page, done);
    first ??= made.first;
    cards.push(card(t('signIn.token'), el('p', {}, t('signIn.how')), made.form));
  }
  if (cards.length === 0) cards.push(card(t('signIn.certificate'), el('p', {}, t('signIn.certificate.how'))));
  main.replaceChildren(el('div', { class: 'sign-in' }, el('h1', {}, t('signIn')), ...cards,
    el('p', { class: 'faint' }, t('signIn.kept'))));
  first?.focus();
}
