//! The real `ducat serve` as a process on an address of its own, killed and started again.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A start that takes longer is a hang.
const HANG: Duration = Duration::from_secs(120);

/// A server that is killed when dropped.
pub struct Process {
    child: Child,
    directory: PathBuf,
    pub address: String,
}

impl Process {
    /// Starts one on a free port, with its data below `directory`.
    pub fn start(directory: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound").to_string();
        drop(free);
        let child = spawn(directory, &address);
        Self { child, directory: directory.to_owned(), address }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Keeps a copy of the data of a server that is not running.
    pub fn keep_copy(&self) {
        copy(&self.directory.join("ledger"), &self.directory.join("copy"));
    }

    /// Puts the copy in the place of the data.
    pub fn take_copy(&self) {
        let data = self.directory.join("ledger");
        std::fs::remove_dir_all(&data).expect("removed");
        copy(&self.directory.join("copy"), &data);
    }

    /// Starts it again at the same address on the same data.
    pub fn restart(&mut self) {
        self.child = spawn(&self.directory, &self.address);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn spawn(directory: &Path, address: &str) -> Child {
    let ready = directory.join("ready");
    let _none_yet = std::fs::remove_file(&ready);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ducat"))
        .args(["serve", "--listen", address, "--data-dir"])
        .arg(directory.join("ledger"))
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the server starts");
    let since = Instant::now();
    while !ready.exists() {
        if let Some(status) = child.try_wait().expect("a child") {
            panic!("the server ended with {status}");
        }
        assert!(since.elapsed() < HANG, "the server is not ready");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}
