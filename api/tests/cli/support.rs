//! Running the real binary: a server in a directory of its own, commands against it, and the
//! data sets where they are present.
//!
//! `DUCAT_BIN` names another binary to test, such as an optimized one.

use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// A running server, killed when it is dropped.
pub struct Server {
    child: RefCell<Child>,
    /// Where clients find it.
    pub url: String,
}

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("DUCAT_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ducat")), PathBuf::from)
}

impl Server {
    /// Starts a server on `dir`/ledger and waits until clients can connect.
    pub fn start(dir: &Path, partitions: u32) -> Self {
        Self::start_with(dir, partitions, &[])
    }

    /// The same with more flags.
    pub fn start_with(dir: &Path, partitions: u32, flags: &[&str]) -> Self {
        let ready = dir.join("ready");
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.join("ledger"));
        command.arg("--partitions").arg(partitions.to_string()).arg("--ready-file").arg(&ready);
        command.args(flags).stdout(Stdio::null()).env("DUCAT_LOG", "warn");
        let mut child = command.spawn().expect("the server starts");
        let since = Instant::now();
        loop {
            if let Ok(address) = std::fs::read_to_string(&ready) {
                let child = RefCell::new(child);
                return Self { child, url: format!("http://{}", address.trim()) };
            }
            if let Some(status) = child.try_wait().expect("a child") {
                panic!("the server ended with {status}");
            }
            assert!(since.elapsed() < Duration::from_secs(60), "the server is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it as SIGKILL does and waits until it is gone.
    pub fn kill(self) {
        let mut child = self.child.borrow_mut();
        child.kill().expect("killed");
        child.wait().expect("gone");
    }

    /// Sends it a signal and waits until it has ended.
    pub fn signal(self, signal: i32) -> ExitStatus {
        let mut child = self.child.borrow_mut();
        send_signal(&child, signal);
        child.wait().expect("ended")
    }

    /// Sends it a signal and does not wait.
    pub fn tell(&self, signal: i32) {
        send_signal(&self.child.borrow(), signal);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.borrow().id()
    }

    /// Runs a client command.
    pub fn run(&self, args: &[&str]) -> Output {
        run(&[&["--server", &self.url][..], args].concat())
    }

    /// Runs a client command that must end with 0 and gives its JSON lines.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        self.assert_alive();
        let output = self.run(&[args, &["--json"]].concat());
        if !output.status.success() {
            self.assert_alive();
        }
        json_lines(args, &output)
    }

    /// The same of a command that may end with 1, having been refused.
    pub fn json_of_any(&self, args: &[&str]) -> Vec<Value> {
        self.assert_alive();
        let output = self.run(&[args, &["--json"]].concat());
        assert!(code(&output) <= 1, "{args:?}: {}", stderr(&output));
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Fails with the server's own exit status when it has ended.
    fn assert_alive(&self) {
        let ended = self.child.borrow_mut().try_wait().expect("a child");
        assert!(ended.is_none(), "the server has ended with {}", ended.unwrap_or_default());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Sends a signal to a child that has not been waited for.
pub fn send_signal(child: &Child, signal: i32) {
    let id = libc::pid_t::try_from(child.id()).expect("an id of a process");
    // SAFETY: kill(2) touches no memory, and the child's id is not reused before it is reaped.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0, "the signal was sent");
}

/// Runs a command to its end.
pub fn run(args: &[&str]) -> Output {
    Command::new(binary()).args(args).output().expect("the binary runs")
}

/// Runs a command that must end with 0 and gives its JSON lines.
pub fn json(args: &[&str]) -> Vec<Value> {
    json_lines(args, &run(&[args, &["--json"]].concat()))
}

fn json_lines(args: &[&str], output: &Output) -> Vec<Value> {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} ended with {}: {errors}", output.status);
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A mapping that ships with the project.
pub fn mapping(name: &str) -> String {
    path_text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings").join(name))
}

/// A file of the data sets, or a printed reason for skipping.
pub fn data(name: &str) -> Option<String> {
    let root = match std::env::var_os("DUCAT_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    let path = root.join(name);
    if !path.exists() {
        // Past the harness, which swallows what passing tests print.
        let _ = writeln!(std::io::stderr(), "skipped: no {} (set DUCAT_DATA)", path.display());
        return None;
    }
    Some(path_text(&path))
}

/// A path as an argument.
pub fn path_text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// With what a command ended.
pub fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Copies a directory and all below it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
