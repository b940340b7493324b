// Texts in the language of whoever looks. Each language is a file of /i18n/ with the same keys.

export const LANGUAGES = [
  ['en', 'English'], ['zh-Hans', '简体中文'], ['zh-Hant', '繁體中文'], ['ja', '日本語'], ['ko', '한국어'],
];

let texts = {};
let language = 'en';

/** The text under a key, with `{name}` replaced by what is given under that name. */
export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A name of the interface, such as INSUFFICIENT_FUNDS, in words where the language has some. */
export function named(prefix, name, values = {}) {
  const key = `${prefix}.${name}`;
  return key in texts ? t(key, values) : name;
}

/** The language in use, as BCP 47 has it. */
export function current() {
  return language;
}

/** The same with the browser's region, where it names one: for times and numbers. */
export function locale() {
  return navigator.languages.find((tag) => preferred([tag]) === language && tag.toLowerCase().startsWith(language.slice(0, 2))) ?? language;
}

/** The language of the browser's list that there is, or English. */
export function preferred(wanted) {
  for (const tag of wanted) {
    const low = tag.toLowerCase();
    if (low.startsWith('zh')) return /hant|tw|hk|mo/.test(low) ? 'zh-Hant' : 'zh-Hans';
    const found = LANGUAGES.find(([code]) => low.split('-')[0] === code);
    if (found) return found[0];
  }
  return 'en';
}

/** Loads a language and puts its texts into the page's frame. */
export async function use(code) {
  const known = LANGUAGES.some(([each]) => each === code) ? code : 'en';
  const answer = await fetch(`/i18n/${known}.json`);
  texts = await answer.json();
  language = known;
  document.documentElement.lang = known;
  for (const each of document.querySelectorAll('[data-i18n]')) each.textContent = t(each.dataset.i18n);
  for (const each of document.querySelectorAll('[data-i18n-label]')) {
    each.setAttribute('aria-label', t(each.dataset.i18nLabel));
  }
}
