//! `FORMAT`: what a data directory is, which version, whose ledger, whether it is encrypted.

use super::{
    DataDirError, ENCRYPTED_LAYOUT_VERSION, LAYOUT_VERSION, SHARDS, failed, refuse_foreign,
};
use crate::files::sync_dir;
use crate::ledger_id::LedgerId;
use crate::origin::Origin;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

const TITLE: &str = "ducat data directory";
/// Its name.
pub(super) const FORMAT: &str = "FORMAT";
/// What it is called until it is whole.
pub(super) const FORMAT_NEW: &str = "FORMAT.new";
/// The line of an encrypted ledger.
const ENCRYPTED: &str = "encryption: aes-256-gcm\n";
/// More than `FORMAT` ever has; what is larger is not read.
const FORMAT_BYTES_MAX: u64 = 4096;

/// What `FORMAT` says.
#[derive(Debug, Clone)]
pub(super) struct Format {
    /// Whose ledger it is.
    pub ledger: LedgerId,
    /// Where it comes from, the oldest first.
    pub origins: Vec<Origin>,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// That of a directory which must be one.
pub(super) fn find_format(root: &Path) -> Result<Format, DataDirError> {
    let format = root.join(FORMAT);
    if !format.exists() {
        refuse_foreign(root)?;
        return Err(DataDirError::NotFound(root.to_owned()));
    }
    read_format(&format)
}

/// Replaces it, durably.
pub(super) fn write_format(root: &Path, format: &Format) -> Result<(), DataDirError> {
    let path = root.join(FORMAT_NEW);
    let mut file = File::create(&path).map_err(failed("create", &path))?;
    file.write_all(format_text(format).as_bytes()).map_err(failed("write", &path))?;
    file.sync_all().map_err(failed("sync", &path))?;
    fs::rename(&path, root.join(FORMAT)).map_err(failed("rename", &path))?;
    sync_dir(root).map_err(failed("sync", root))
}

fn format_text(format: &Format) -> String {
    let Format { ledger, origins, encrypted } = format;
    let version = if *encrypted { ENCRYPTED_LAYOUT_VERSION } else { LAYOUT_VERSION };
    let mut text = format!("{TITLE}\nversion: {version}\nledger: {ledger}\nshards: {SHARDS}\n");
    if *encrypted {
        text.push_str(ENCRYPTED);
    }
    for origin in origins {
        writeln!(text, "origin: {origin}").expect("writing to a string does not fail");
    }
    let crc = crc32c::crc32c(text.as_bytes());
    writeln!(text, "crc32c: {crc:08x}").expect("writing to a string does not fail");
    text
}

/// Accepts only what [`format_text`] writes: byte for byte.
pub(super) fn read_format(path: &Path) -> Result<Format, DataDirError> {
    let wrong = |what: &str| DataDirError::Format { path: path.to_owned(), what: what.to_owned() };
    let file = File::open(path).map_err(failed("open", path))?;
    let mut bytes = Vec::new();
    file.take(FORMAT_BYTES_MAX).read_to_end(&mut bytes).map_err(failed("read", path))?;
    let root = path.parent().unwrap_or(path).display();
    let damaged = || wrong(&format!("is damaged; restore it from a copy of {root}"));
    let text = String::from_utf8(bytes).map_err(|_| damaged())?;
    let body = text.rfind("crc32c: ").ok_or_else(damaged)?;
    let crc = format!("crc32c: {:08x}\n", crc32c::crc32c(&text.as_bytes()[..body]));
    if text[body..] != crc || !text.starts_with(TITLE) {
        return Err(damaged());
    }
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .ok_or_else(damaged)
    };
    let version = field("version")?;
    let encrypted = version == ENCRYPTED_LAYOUT_VERSION.to_string();
    if !encrypted && version != LAYOUT_VERSION.to_string() {
        return Err(wrong("was written by another version of Ducat"));
    }
    if field("shards")? != SHARDS.to_string() {
        return Err(wrong("names a number of shards this build does not know"));
    }
    let ledger = u128::from_str_radix(field("ledger")?, 16).map_err(|_| damaged())?;
    let ledger = LedgerId::from_bytes(ledger.to_be_bytes());
    let lines = text.lines().filter_map(|line| line.strip_prefix("origin: "));
    let origins: Result<Vec<Origin>, ()> = lines.map(str::parse).collect();
    let origins = origins.map_err(|()| damaged())?;
    let format = Format { ledger, origins, encrypted };
    if format_text(&format) != text {
        return Err(damaged());
    }
    Ok(format)
}
