//! The file that tells scripts where the server listens: there once clients can connect, gone
//! when the server has ended in order.

use crate::exit::{Exit, Failure};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A path at which the file can be written.
pub struct ReadyFile {
    path: PathBuf,
    beside: PathBuf,
}

/// The file in its place; removed when this is dropped.
pub struct Written {
    path: PathBuf,
    text: String,
}

impl ReadyFile {
    /// Checks that the file can be written, before anything else is begun. A file that is there
    /// stays: it may be another server's.
    pub fn check(path: PathBuf) -> Result<Self, Failure> {
        if path.is_dir() {
            return Err(failed(&path, "it is a directory"));
        }
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        std::fs::write(&beside, "")
            .and_then(|()| std::fs::remove_file(&beside))
            .map_err(|error| failed(&path, &error.to_string()))?;
        Ok(Self { path, beside })
    }

    /// Writes it beside and renames it, so that whoever sees it sees the whole address.
    pub fn write(self, address: SocketAddr) -> Result<Written, Failure> {
        let text = format!("{address}\n");
        std::fs::write(&self.beside, &text)
            .and_then(|()| std::fs::rename(&self.beside, &self.path))
            .map_err(|error| failed(&self.path, &error.to_string()))?;
        Ok(Written { path: self.path, text })
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // Another server may have put its own there since.
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _gone_already = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, why: &str) -> Failure {
    let text = format!("could not write the ready file {}: {why}", path.display());
    Failure::new(Exit::CannotCreate, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn it_holds_the_address_and_goes_with_the_server() {
        let dir = tempfile::tempdir().expect("a place for tests");
        let path = dir.path().join("ready");
        let file = ReadyFile::check(path.clone()).expect("can be written");
        assert!(!path.exists());
        let written = file.write(address("127.0.0.1:77")).expect("writes");
        assert_eq!(std::fs::read_to_string(&path).expect("is there"), "127.0.0.1:77\n");
        drop(written);
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }

    #[test]
    fn another_servers_file_stays() {
        let dir = tempfile::tempdir().expect("a place for tests");
        let path = dir.path().join("ready");
        let file = ReadyFile::check(path.clone()).expect("can be written");
        let written = file.write(address("127.0.0.1:77")).expect("writes");
        std::fs::write(&path, "127.0.0.1:78\n").expect("writes");
        drop(written);
        assert!(path.exists());
    }

    #[test]
    fn a_path_that_cannot_be_written_is_told_first() {
        let dir = tempfile::tempdir().expect("a place for tests");
        for path in [dir.path().join("missing/ready"), dir.path().to_owned()] {
            let failure = ReadyFile::check(path).err().expect("refused");
            assert_eq!(failure.exit, Exit::CannotCreate);
        }
    }
}
