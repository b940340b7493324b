// A transfer, or whatever else was asked for under an id: what became of it and why.

import { call, CallError } from '../api.js';
import { card, el, facts, field } from '../dom.js';
import { named, t } from '../i18n.js';
import { count, fromMinor, idHalves, idText, money, time } from '../values.js';

export const path = 'transfers';
export const title = 'nav.transfer';
export const needs = 'Ledger/GetTransfers';

function lookUp(page, text) {
  const input = el('input', { name: 'id', required: true, autocomplete: 'off', spellcheck: 'false', value: text ?? null });
  return el('form', {
    id: 'find-transfer',
    on: {
      submit: (event) => {
        event.preventDefault();
        if (idHalves(input.value) === null) page.say(t('id.malformed'), true);
        else location.hash = `#/transfers/${input.value.trim()}`;
      },
    },
  }, field(t('transfer.id'), input), el('button', { class: 'main', type: 'submit' }, t('show')));
}

/** What is asked about: with how its accounts stood then, where that is granted; else without. */
async function ask(id, page) {
  if (page.may('Ledger/Explain')) return call('Ledger/Explain', id);
  const found = await call('Ledger/GetTransfers', { ids: [id] });
  if (found.transfers.length === 0) return null;
  return { record: found.transfers[0], currency: '', digits: null, debit: null, credit: null };
}

/** The currency's digits, where the answer does not tell: those of its account. */
async function digitsOf(answer) {
  if (answer.currency !== '') return { digits: answer.digits, currency: answer.currency };
  const { debitAccount, debitAccountHigh, currency } = answer.record.transfer;
  try {
    const ids = [{ id: debitAccount, idHigh: debitAccountHigh }];
    const { accounts } = await call('Ledger/GetAccounts', { ids });
    if (accounts.length > 0) return { digits: accounts[0].digits, currency: accounts[0].currency };
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
  }
  return { digits: null, currency };
}

function accountLink(low, high) {
  if (BigInt(low) === 0n && BigInt(high) === 0n) return null;
  const id = idText(low, high);
  return el('a', { href: `#/accounts/${id}` }, id);
}

function asked(transfer, unit) {
  const minor = (text) => {
    if (text === '0') return null;
    if (unit.digits === null) return t('minorUnits', { count: count(text) });
    return money(fromMinor(text, unit.digits), unit.currency);
  };
  const other = (low, high) => (BigInt(low) === 0n && BigInt(high) === 0n ? null
    : el('a', { href: `#/transfers/${idText(low, high)}` }, idText(low, high)));
  return facts([
    [t('operation'), named('operation', transfer.operation.replace('OPERATION_', ''))],
    [t('kind'), named('transferKind', transfer.kind.replace('TRANSFER_KIND_', ''))],
    [t('debit'), accountLink(transfer.debitAccount, transfer.debitAccountHigh)],
    [t('credit'), accountLink(transfer.creditAccount, transfer.creditAccountHigh)],
    [t('amount'), transfer.amount ? money(transfer.amount, transfer.currency) : minor(transfer.amountMinor)],
    [t('hold'), other(transfer.holdId, transfer.holdIdHigh)],
    [t('original'), other(transfer.originalId, transfer.originalIdHigh)],
    [t('linked'), transfer.linked ? t('yes') : null],
    [t('reference'), transfer.note?.reference],
    [t('description'), transfer.note?.description],
    [t('valueDate'), transfer.note?.valueDate],
  ]);
}

function became(record) {
  const { outcome } = record;
  const posted = outcome.code === 'CODE_POSTED';
  const reason = outcome.code.replace('CODE_', '');
  return facts([
    [t('outcome'), el('b', { id: 'outcome', class: posted ? 'good' : 'bad' }, named('reason', reason))],
    [t('because'), outcome.explanation],
    [t('status'), record.status === 'TRANSFER_STATUS_UNSPECIFIED' ? null
      : named('transferStatus', record.status.replace('TRANSFER_STATUS_', ''))],
    [t('decided'), time(outcome.timeNs)],
    [t('lsn'), count(outcome.lsn)],
  ]);
}

function stood(name, then, currency) {
  if (!then) return null;
  const amount = (text) => money(text, currency);
  return card(name, facts([
    [t('account'), accountLink(then.id, then.idHigh)],
    [t('status'), named('status', then.status.replace('ACCOUNT_STATUS_', ''))],
    [t('balance'), amount(then.posted)],
    [t('held'), amount(then.held)],
    [t('available'), amount(then.available)],
    [t('overdraft'), amount(then.overdraftLimit)],
    [t('floor'), amount(then.floor)],
    [t('ceiling'), amount(then.ceiling)],
  ]));
}

export function show(main, [text], page) {
  main.append(el('h1', {}, text ? t('transfer.named', { id: text }) : t(title)),
    card(t('transfer.byId'), lookUp(page, text)));
  if (!text) return null;
  const id = idHalves(text);
  if (id === null) {
    page.say(t('id.malformed'), true);
    return null;
  }
  let over = false;
  const look = async () => {
    try {
      const answer = await ask(id, page);
      if (answer === null) {
        if (!over) page.say(t('transfer.unknown'), true);
        return;
      }
      const unit = await digitsOf(answer);
      if (over) return;
      const then = [stood(t('debit.then'), answer.debit, answer.currency),
        stood(t('credit.then'), answer.credit, answer.currency)].filter((each) => each !== null);
      main.append(el('div', { class: 'grid' }, card(t('became'), became(answer.record)),
        card(t('asked'), asked(answer.record.transfer, unit)), ...then),
      el('details', { class: 'card' }, el('summary', {}, t('whole')),
        el('pre', { tabindex: '0' }, JSON.stringify(answer, null, 2))));
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      if (!over) page.failed(error);
    }
  };
  look();
  return () => { over = true; };
}
