//! The files of the page, as they are in `api/console/`. Found by their whole path in a table: no
//! path of a request is ever looked for on a disk.

/// A file: its path in requests, its type, its content.
pub struct File {
    /// What a browser asks for.
    pub path: &'static str,
    /// What it is told it gets.
    pub content_type: &'static str,
    /// The content.
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! file {
    ($path:literal, $content_type:expr) => {
        File {
            path: $path,
            content_type: $content_type,
            text: include_str!(concat!("../../console", $path)),
        }
    };
}

/// All of them; `/` is `/index.html`.
pub const FILES: &[File] = &[
    file!("/index.html", HTML),
    file!("/style.css", STYLE),
    file!("/icon.svg", IMAGE),
    file!("/js/app.js", SCRIPT),
    file!("/js/api.js", SCRIPT),
    file!("/js/charts.js", SCRIPT),
    file!("/js/dom.js", SCRIPT),
    file!("/js/i18n.js", SCRIPT),
    file!("/js/sign-in.js", SCRIPT),
    file!("/js/values.js", SCRIPT),
    file!("/js/views/account.js", SCRIPT),
    file!("/js/views/accounts.js", SCRIPT),
    file!("/js/views/audit.js", SCRIPT),
    file!("/js/views/overview.js", SCRIPT),
    file!("/js/views/storage.js", SCRIPT),
    file!("/js/views/transfer.js", SCRIPT),
    file!("/i18n/en.json", JSON),
    file!("/i18n/ja.json", JSON),
    file!("/i18n/ko.json", JSON),
    file!("/i18n/zh-Hans.json", JSON),
    file!("/i18n/zh-Hant.json", JSON),
];

/// The file of this path.
pub fn find(path: &str) -> Option<&'static File> {
    let path = if path == "/" { "/index.html" } else { path };
    FILES.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn below(dir: &Path, all: &mut BTreeSet<String>, root: &Path) {
        for entry in std::fs::read_dir(dir).expect("is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                below(&path, all, root);
            } else {
                let name = path.strip_prefix(root).expect("below").display().to_string();
                all.insert(format!("/{name}"));
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        let mut there = BTreeSet::new();
        below(&root, &mut there, &root);
        let served: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(served, there);
    }

    #[test]
    fn the_page_brings_all_it_needs_and_runs_nothing_inline() {
        for file in FILES.iter().filter(|file| file.content_type != JSON) {
            let other = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!other.contains("http://") && !other.contains("https://"), "{}", file.path);
            for inline in ["style=\"", "onclick", "onload=", "javascript:", "innerHTML", "eval("] {
                assert!(!file.text.contains(inline), "{}: {inline}", file.path);
            }
        }
        let page = find("/").expect("there is a page").text;
        for script in page.split("<script").skip(1) {
            assert!(script.split('>').next().expect("a tag").contains("src=\"/js/"), "{script}");
        }
        assert!(!page.contains("<style"));
    }

    #[test]
    fn every_translation_has_every_text() {
        let keys = |path: &str| {
            let text = find(path).expect(path).text;
            let texts: std::collections::BTreeMap<String, String> =
                serde_json::from_str(text).expect(path);
            for (key, text) in &texts {
                assert!(!text.trim().is_empty(), "{path}: {key}");
            }
            texts
        };
        let english = keys("/i18n/en.json");
        let places = |text: &str| {
            let names = text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
            names.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        for language in ["ja", "ko", "zh-Hans", "zh-Hant"] {
            let path = format!("/i18n/{language}.json");
            let other = keys(&path);
            let of = |texts: &std::collections::BTreeMap<String, String>| {
                texts.keys().cloned().collect::<BTreeSet<_>>()
            };
            assert_eq!(of(&other), of(&english), "{path}");
            for (key, text) in &other {
                assert_eq!(places(text), places(&english[key]), "{path}: {key}");
            }
        }
        // And every text that is asked for is there.
        for file in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            let asked = file.text.match_indices("t('").filter(|(at, _)| {
                // Not the end of another function's name.
                let before = file.text[..*at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '.' || c == '_')
            });
            let asked = asked.map(|(at, call)| &file.text[at + call.len()..]);
            for rest in asked.chain(file.text.split("export const title = '").skip(1)) {
                let key = rest.split('\'').next().expect("a key");
                assert!(english.contains_key(key), "{}: {key}", file.path);
            }
        }
        for attribute in find("/").expect("a page").text.split("data-i18n=\"").skip(1) {
            let key = attribute.split('"').next().expect("a key");
            assert!(english.contains_key(key), "{key}");
        }
    }
}
