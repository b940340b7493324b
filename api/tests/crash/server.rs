//! The real `ducat serve` as a child process: started, awaited, killed, asked to stop. A child
//! never outlives its `Server`.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A start or an end that takes longer is a hang.
const HANG: Duration = Duration::from_secs(90);

/// A running server.
pub struct Server {
    child: Child,
    address: String,
    stderr: std::fs::File,
}

/// A server that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it said.
    pub stderr: String,
}

impl Ended {
    /// Ended with an exit code other than 0: neither silently nor by a signal.
    pub fn refused(&self) -> bool {
        self.status.signal().is_none() && self.status.code() != Some(0)
    }
}

/// How to start one.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// More arguments of `serve`.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
}

impl Launch {
    /// `serve` with these arguments.
    pub fn with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { arguments, variables: Vec::new() }
    }

    /// Starts it; does not wait for anything.
    pub fn spawn(&self, data_dir: &Path) -> Starting {
        let stderr = tempfile::tempfile().expect("a temporary file");
        let child = Command::new(env!("CARGO_BIN_EXE_ducat"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().expect("a second handle"))
            .spawn()
            .expect("the server was built");
        Starting { child: Some(child), stderr: Some(stderr) }
    }

    /// Starts it and waits until clients can connect, or until it ends.
    pub fn start(&self, data_dir: &Path) -> Result<Server, Ended> {
        self.spawn(data_dir).ready()
    }
}

/// A server that was started and may not listen yet.
pub struct Starting {
    child: Option<Child>,
    stderr: Option<std::fs::File>,
}

impl Starting {
    /// Kills it at once.
    pub fn kill(mut self) {
        if let Some(mut child) = self.child.take() {
            kill(&mut child);
        }
    }

    /// Waits until clients can connect, or until it ends.
    pub fn ready(mut self) -> Result<Server, Ended> {
        let mut child = self.child.take().expect("taken once");
        let mut stderr = self.stderr.take().expect("taken once");
        let stdout = child.stdout.take().expect("piped");
        let (tell, told) = mpsc::channel();
        // Reads on after the first line, so that the server never writes into a closed pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _nobody_waits = tell.send(line);
            }
        });
        match told.recv_timeout(HANG) {
            Ok(line) => {
                let Some(address) = line.strip_prefix("listening on ") else {
                    kill(&mut child);
                    panic!("the first line is `{line}`");
                };
                Ok(Server { address: address.to_owned(), child, stderr })
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = wait(&mut child);
                Err(Ended { status, stderr: text(&mut stderr) })
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                kill(&mut child);
                panic!("the server hangs while starting: {}", text(&mut stderr));
            }
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            kill(child);
        }
    }
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(mut self) {
        kill(&mut self.child);
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: a plain system call on a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let status = wait(&mut self.child);
        Ended { status, stderr: text(&mut self.stderr) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

fn kill(child: &mut Child) {
    // Both fail only when it has ended already.
    let _ended = child.kill();
    let _status = child.wait();
}

fn wait(child: &mut Child) -> ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        if since.elapsed() > HANG {
            kill(child);
            panic!("the server does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn text(file: &mut std::fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut text)).expect("a file of ours");
    String::from_utf8_lossy(&text).into_owned()
}
