// Accounts: by id, or by what is known of them.

import { call, CallError } from '../api.js';
import { card, el, field, select, table } from '../dom.js';
import { named, t } from '../i18n.js';
import { idHalves, idText, money } from '../values.js';

export const path = 'accounts';
export const title = 'nav.accounts';
export const needs = 'Ledger/GetAccounts';

const PAGE_SIZE = 50;
const STATUSES = ['ACTIVE', 'FROZEN', 'CLOSED', 'DEBITS_BLOCKED', 'CREDITS_BLOCKED'];
const KINDS = ['ASSET', 'LIABILITY', 'EQUITY', 'INCOME', 'EXPENSE'];

function byId(page) {
  const input = el('input', { name: 'id', required: true, autocomplete: 'off', spellcheck: 'false' });
  return el('form', {
    id: 'find-account',
    on: {
      submit: (event) => {
        event.preventDefault();
        if (idHalves(input.value) === null) page.say(t('id.malformed'), true);
        else location.hash = `#/accounts/${input.value.trim()}`;
      },
    },
  }, field(t('account.id'), input), el('button', { class: 'main', type: 'submit' }, t('show')));
}

/** The filter of ListAccounts that the form asks for. */
function filterOf(form) {
  const data = new FormData(form);
  const filter = {};
  const put = (name, value) => { if (value !== '') filter[name] = value; };
  put('owner', data.get('owner').trim());
  put('currency', data.get('currency').trim().toUpperCase());
  put('labelPrefix', data.get('label').trim());
  const key = data.get('metadataKey').trim();
  if (key !== '') filter.metadata = { [key]: data.get('metadataValue').trim() };
  if (data.get('kind')) filter.kind = `ACCOUNT_KIND_${data.get('kind')}`;
  if (data.get('status')) filter.status = `ACCOUNT_STATUS_${data.get('status')}`;
  if (data.get('external')) filter.external = data.get('external') === 'yes';
  return filter;
}

function row(account) {
  const id = idText(account.id, account.idHigh);
  return [
    el('a', { href: `#/accounts/${id}` }, id),
    account.label,
    account.owner,
    named('status', account.status.replace('ACCOUNT_STATUS_', '')),
    money(account.posted, account.currency),
    money(account.available, account.currency),
  ];
}

function byFilter(page) {
  const any = ['', t('any')];
  const results = el('div', { id: 'accounts-found' });
  const text = (name, attributes = {}) => el('input', { name, autocomplete: 'off', ...attributes });
  const columns = [
    { title: t('account') }, { title: t('label') }, { title: t('owner') }, { title: t('status') },
    { title: t('balance'), number: true }, { title: t('available'), number: true },
  ];
  const find = async (form) => {
    const filter = filterOf(form);
    const more = el('button', { type: 'button' }, t('more'));
    const list = table(t('nav.accounts'), columns, []);
    let cursor = '';
    const next = async () => {
      more.disabled = true;
      try {
        const found = await call('Ledger/ListAccounts', { filter, cursor, pageSize: PAGE_SIZE });
        list.add(found.accounts.map(row));
        cursor = found.nextCursor;
        if (cursor === '') more.remove();
        const listed = list.made.querySelectorAll('tbody tr').length;
        page.say(t('found', { count: listed }));
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        page.failed(error);
      }
      more.disabled = false;
    };
    more.addEventListener('click', next);
    results.replaceChildren(list.made, more);
    await next();
  };
  const form = el('form', {
    id: 'search-accounts',
    on: { submit: (event) => { event.preventDefault(); find(form); } },
  },
  field(t('owner'), text('owner')),
  field(t('label.prefix'), text('label')),
  field(t('currency'), text('currency', { size: 6, maxlength: 12 })),
  field(t('kind'), select('kind', [any, ...KINDS.map((kind) => [kind, named('kind', kind)])])),
  field(t('status'), select('status', [any, ...STATUSES.map((each) => [each, named('status', each)])])),
  field(t('external'), select('external', [any, ['yes', t('yes')], ['no', t('no')]])),
  field(t('metadata.key'), text('metadataKey')),
  field(t('metadata.value'), text('metadataValue')),
  el('button', { class: 'main', type: 'submit' }, t('search')));
  return [form, results];
}

export function show(main, rest, page) {
  main.append(el('h1', {}, t(title)), card(t('account.byId'), byId(page)));
  if (page.may('Ledger/ListAccounts')) main.append(card(t('account.search'), ...byFilter(page)));
}
