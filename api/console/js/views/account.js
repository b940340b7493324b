// One account: its figures, its statement a page at a time, its open holds.

import { call, CallError } from '../api.js';
import { card, el, facts, field, table } from '../dom.js';
import { named, t } from '../i18n.js';
import { count, idHalves, idText, money, time } from '../values.js';

export const path = 'accounts';
export const title = 'account';
export const needs = 'Ledger/GetAccounts';

const PAGE_SIZE = 50;

function figures(account, lsn) {
  const amount = (text) => money(text, account.currency);
  return facts([
    [t('balance'), el('b', { id: 'posted' }, amount(account.posted))],
    [t('available'), amount(account.available)],
    [t('held'), amount(account.held)],
    [t('overdraft'), account.external ? null : amount(account.overdraftLimit)],
    [t('floor'), amount(account.floor)],
    [t('ceiling'), amount(account.ceiling)],
    [t('status'), [named('status', account.status.replace('ACCOUNT_STATUS_', '')), account.statusReason]
      .filter((part) => part !== '').join(': ')],
    [t('kind'), account.kind === 'ACCOUNT_KIND_UNSPECIFIED' ? null
      : named('kind', account.kind.replace('ACCOUNT_KIND_', ''))],
    [t('external'), account.external ? t('yes') : t('no')],
    [t('owner'), account.owner],
    [t('label'), account.label],
    ...Object.entries(account.metadata).map(([key, value]) => [key, value]),
    [t('lsn.opened'), count(account.openedLsn)],
    [t('lsn.last'), count(account.lastLsn)],
    [t('asOf'), count(lsn)],
  ]);
}

/** Midnight of a day of this place, in nanoseconds since 1970; with `next`, that of the day behind it. */
function midnight(day, next) {
  if (day === '') return '0';
  const [year, month, date] = day.split('-').map(Number);
  const at = new Date(year, month - 1, date + (next ? 1 : 0));
  return (BigInt(at.getTime()) * 1_000_000n - (next ? 1n : 0n)).toString();
}

function statement(id, page) {
  const columns = [
    { title: t('time') }, { title: t('kind') }, { title: t('amount'), number: true },
    { title: t('balance.after'), number: true }, { title: t('counterparty') }, { title: t('transfer') },
    { title: t('note') }, { title: t('lsn'), number: true },
  ];
  const results = el('div', { id: 'entries' });
  const row = (currency) => (entry) => {
    const other = idText(entry.counterparty, entry.counterpartyHigh);
    const transfer = idText(entry.transferId, entry.transferIdHigh);
    const said = [entry.note?.reference, entry.note?.description].filter((part) => part).join(' · ');
    return [
      time(entry.timeNs), named('transferKind', entry.kind.replace('TRANSFER_KIND_', '')),
      money(entry.amount, currency), money(entry.balanceAfter, currency),
      el('a', { href: `#/accounts/${other}` }, other), el('a', { href: `#/transfers/${transfer}` }, transfer),
      said, count(entry.lsn),
    ];
  };
  const find = async (form) => {
    const data = new FormData(form);
    const bounds = { fromTimeNs: midnight(data.get('from'), false), toTimeNs: midnight(data.get('to'), true) };
    const list = table(t('statement'), columns, []);
    const more = el('button', { type: 'button', id: 'more-entries' }, t('older'));
    let cursor = '';
    const next = async () => {
      more.disabled = true;
      try {
        const found = await call('Ledger/ListEntries', { ...id, ...bounds, cursor, pageSize: PAGE_SIZE });
        list.add(found.entries.map(row(found.currency)));
        cursor = found.nextCursor;
        if (cursor === '') more.remove();
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
  const form = el('form', { on: { submit: (event) => { event.preventDefault(); find(form); } } },
    field(t('from'), el('input', { type: 'date', name: 'from' })),
    field(t('to'), el('input', { type: 'date', name: 'to' })),
    el('button', { type: 'submit' }, t('show')));
  find(form);
  return [form, results];
}

async function holds(id, box, page) {
  const found = await call('Ledger/ListHolds', { ...id, pageSize: PAGE_SIZE });
  if (found.holds.length === 0) {
    box.replaceChildren(el('p', { class: 'faint' }, t('holds.none')));
    return;
  }
  const columns = [
    { title: t('hold') }, { title: t('counterparty') }, { title: t('amount'), number: true },
    { title: t('remaining'), number: true }, { title: t('expires') },
  ];
  const row = (hold) => {
    const other = idText(hold.creditAccount, hold.creditAccountHigh);
    const name = idText(hold.id, hold.idHigh);
    return [el('a', { href: `#/transfers/${name}` }, name), el('a', { href: `#/accounts/${other}` }, other),
      money(hold.amount, hold.currency), money(hold.remaining, hold.currency), time(hold.expiresNs)];
  };
  box.replaceChildren(table(t('holds.open'), columns, found.holds.map(row)).made);
}

export function show(main, [text], page) {
  const id = idHalves(text);
  main.append(el('p', {}, el('a', { href: '#/accounts' }, t('nav.accounts'))),
    el('h1', {}, t('account.named', { id: text })));
  if (id === null) {
    main.append(el('p', { class: 'bad' }, t('id.malformed')));
    return null;
  }
  let over = false;
  const look = async () => {
    try {
      const found = await call('Ledger/GetAccounts', { ids: [id] });
      if (over) return;
      if (found.accounts.length === 0) {
        main.append(el('p', { class: 'warn', id: 'unknown' }, t('account.unknown')));
        return;
      }
      main.append(card(t('account'), figures(found.accounts[0], found.lsn)));
      if (page.may('Ledger/ListEntries')) main.append(card(t('statement'), ...statement(id, page)));
      if (page.may('Ledger/ListHolds')) {
        const box = el('div');
        main.append(card(t('holds.open'), box));
        await holds(id, box, page);
      }
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (!over) page.failed(error);
    }
  };
  look();
  return () => { over = true; };
}
