//! The program as it is operated: configuration by file, variable and flag, the profiles,
//! certificates and tokens of its own making, and what SIGHUP reads again.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

fn binary() -> PathBuf {
    std::env::var_os("DUCAT_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ducat")), PathBuf::from)
}

pub fn ducat(args: &[&str]) -> Output {
    ducat_with(args, &[])
}

fn ducat_with(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.args(args).envs(variables.iter().copied());
    command.output().expect("the binary runs")
}

pub fn stdout(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What a command says that ends with wrong usage.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

pub fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a place for tests")
}

/// A server of its own, killed when it is dropped.
pub struct Server {
    child: Child,
    pub address: String,
    log: PathBuf,
}

impl Server {
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        Self::start_by(Command::new(binary()), dir, args)
    }

    /// The same in a directory of its own, which may leave as large a core there as the system lets it.
    pub fn start_with_cores(dir: &Path, cwd: &Path, args: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c \"$(ulimit -H -c)\"; exec \"$0\" \"$@\""]);
        command.arg(binary()).current_dir(cwd);
        Self::start_by(command, dir, args)
    }

    /// `command` runs the binary with the arguments that are added to it.
    fn start_by(mut command: Command, dir: &Path, args: &[&str]) -> Self {
        let (ready, log) = (dir.join("ready"), dir.join("log"));
        command.args(["serve", "--data-dir"]).arg(dir.join("ledger"));
        command.args(["--listen", "127.0.0.1:0", "--ready-file"]).arg(&ready).args(args);
        let out = fs::File::create(dir.join("out")).expect("made");
        let log_file = fs::File::create(&log).expect("made");
        let child = command.stdout(out).stderr(Stdio::from(log_file)).spawn();
        let mut child = child.expect("the server starts");
        let address = wait_for("the server is ready", || {
            if let Some(status) = child.try_wait().expect("a child") {
                panic!(
                    "the server ended with {status}: {}",
                    fs::read_to_string(&log).expect("a log")
                );
            }
            fs::read_to_string(&ready).ok()
        });
        Self { child, address: address.trim().to_owned(), log }
    }

    /// Memory of the process, MiB.
    pub fn memory_mib(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") / 1024
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: libc::c_int) {
        let id = libc::pid_t::try_from(self.child.id()).expect("an id of a process");
        // SAFETY: kill(2) touches no memory, and the child's id is not reused before it is reaped.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0, "the signal was sent");
    }

    fn hang_up(&self) {
        self.signal(libc::SIGHUP);
    }

    /// Ends it as a crash would; how it ended.
    pub fn abort(&mut self) -> ExitStatus {
        self.signal(libc::SIGABRT);
        self.child.wait().expect("a child")
    }

    /// Has it come to its end; with which code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(libc::SIGTERM);
        self.child.wait().expect("a child").code()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    /// Hangs up, and waits until the log says this.
    pub fn reload(&self, says: &str) {
        let before = self.log().len();
        self.hang_up();
        wait_for(says, || self.log()[before..].contains(says).then_some(()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(since.elapsed() < Duration::from_secs(120), "not within two minutes: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn flags_are_stronger_than_variables_and_these_than_the_file() {
    let dir = place();
    let file = dir.path().join("ducat.toml");
    fs::write(&file, "[limits]\ncalls_max = 11\nrequests_mib = 21\nanswers_mib = 31\n")
        .expect("writes");
    let args = ["config", "print", "--config", text(&file), "--answers-mib", "33"];
    let printed =
        stdout(&ducat_with(&args, &[("DUCAT_REQUESTS_MIB", "22"), ("DUCAT_ANSWERS_MIB", "32")]));
    for line in [
        "calls_max = 11   # the file",
        "requests_mib = 22   # DUCAT_REQUESTS_MIB",
        "answers_mib = 33   # --answers-mib",
        "connections_max = 1024   # default",
        "profile = \"development\"   # default",
        "# threads =   # not set",
    ] {
        assert!(printed.lines().any(|found| found == line), "{line} is not in\n{printed}");
    }
    // The file may be named by a variable too.
    let named = ducat_with(&["config", "print"], &[("DUCAT_CONFIG", text(&file))]);
    assert!(stdout(&named).contains("calls_max = 11   # the file"));
}

#[test]
fn what_is_printed_is_a_configuration_that_says_the_same() {
    let dir = place();
    let file = dir.path().join("ducat.toml");
    let own = "[limits]\ncalls_max = 11\n[[principals]]\nname = \"spiffe://bank/a\"\n\
               roles = [\"reader\"]\naccounts = [\"1..9\"]\n";
    fs::write(&file, own).expect("writes");
    let first = stdout(&ducat(&["config", "print", "--config", text(&file), "--development"]));
    fs::write(&file, &first).expect("writes");
    let second = stdout(&ducat(&["config", "print", "--config", text(&file)]));
    let values = |text: &str| text.parse::<toml::Table>().expect("TOML");
    assert_eq!(values(&first), values(&second));
    assert_eq!(values(&first)["server"]["development"], toml::Value::Boolean(true));
    let checked = stdout(&ducat(&["config", "check", "--config", text(&file)]));
    assert!(checked.contains("is sound") && checked.contains("1 principals"), "{checked}");
}

#[test]
fn mistakes_are_named_by_their_place() {
    let dir = place();
    let file = dir.path().join("ducat.toml");
    for (toml, says) in [
        ("[server]\nlistn = \"127.0.0.1:1\"", "did you mean `listen`?"),
        ("[server]\nlisten = \"localhost\"", "`server.listen`: invalid value 'localhost'"),
        ("[limits]\ncalls_max = 0", "`limits.calls_max`: invalid value '0'"),
        ("[journal]\ndurability = \"maybe\"", "`journal.durability`"),
        ("[journal]\ndurability = \"none\"", "--development"),
        ("[snapshots]\nevery = 10", "`snapshots.every`"),
        ("[checkpoints]\ndir = \"/elsewhere\"", "no key is named"),
        ("[tokens]\nalgorithms = [\"HS256\"]", "`tokens.algorithms`"),
        ("[tokens]\nkeys_file = \"/nowhere\"\nissuer = \"a\"", "could not read the keys"),
        ("[tokens]\nkeys_file = \"/nowhere\"", "--token-issuer"),
        ("[tls]\ncertificate_file = \"/nowhere\"", "go together"),
        ("[logs]\nfilter = \"a=b=c\"", "--log-filter"),
        ("[[principals]]\nname = \"a\"\nroles = [\"root\"]", "`root` is no role"),
        ("[server", "TOML"),
    ] {
        fs::write(&file, toml).expect("writes");
        for command in [&["config", "check"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let args = [command, &["--config", text(&file)]].concat();
            // A flag would hide the file's own mistake.
            if command[0] == "serve" && toml.contains("listen") {
                continue;
            }
            let data = dir.path().join("ledger");
            let said = refusal(&ducat_with(&args, &[("DUCAT_DATA_DIR", text(&data))]));
            assert!(said.contains(says), "{toml}: {said}");
            assert!(!data.exists(), "nothing was begun");
        }
    }
    let missing = ducat(&["config", "check", "--config", "/nowhere/ducat.toml"]);
    assert!(refusal(&missing).contains("/nowhere/ducat.toml"));
}

#[test]
fn production_says_all_that_it_refuses() {
    let refused = ducat(&[
        "config",
        "check",
        "--profile",
        "production",
        "--development",
        "--durability",
        "none",
        "--listen",
        "0.0.0.0:4600",
        "--console-listen",
        "0.0.0.0:4680",
        "--insecure-listen",
    ]);
    let said = refusal(&refused);
    assert!(said.contains("refuses 7 settings"), "{said}");
    for setting in [
        "server.development",
        "journal.durability",
        "server.insecure_listen",
        "server.listen",
        "console.listen",
        "encryption.mode",
        "principals",
    ] {
        assert!(said.contains(setting), "{setting}: {said}");
    }
    let dir = place();
    let certs = dir.path().join("certs");
    stdout(&ducat(&["certs", "dev", "--dir", text(&certs)]));
    let file = dir.path().join("ducat.toml");
    let sound = format!(
        "[server]\nprofile = \"production\"\nlisten = \"0.0.0.0:4600\"\n\
         [encryption]\nmode = \"disk\"\n[tls]\n\
         certificate_file = \"{0}/server.pem\"\nkey_file = \"{0}/server.key\"\n\
         client_ca_file = \"{0}/ca.pem\"\n[[principals]]\nname = \"spiffe://dev/gateway\"\n\
         roles = [\"gateway\"]\naccounts = [\"*\"]\n",
        text(&certs)
    );
    fs::write(&file, &sound).expect("writes");
    let checked = stdout(&ducat(&["config", "check", "--config", text(&file)]));
    assert!(checked.contains("tls 1.3, client certificates required"), "{checked}");
    for (insecure, says) in [
        (sound.replace("[tls]", "[tls]\nclients = \"off\""), "tls.clients"),
        (sound.replace("[tls]", "[tls]\nclients = \"optional\""), "tls.clients"),
        (sound.replace("\"disk\"", "\"auto\""), "encryption.mode"),
        (sound.replace("[server]", "[server]\ninsecure_listen = true"), "server.insecure_listen"),
        (sound.replace("[server]", "[server]\ndevelopment = true"), "server.development"),
    ] {
        fs::write(&file, insecure).expect("writes");
        let said = refusal(&ducat(&["config", "check", "--config", text(&file)]));
        assert!(said.contains("refuses 1 settings") && said.contains(says), "{said}");
    }
    fs::write(&file, &sound).expect("writes");
    let key = certs.join("server.key");
    let mut permissions = fs::metadata(&key).expect("there").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(&key, permissions).expect("changed");
    let said = refusal(&ducat(&["config", "check", "--config", text(&file)]));
    assert!(said.contains("others than its owner can read this key"), "{said}");
}

#[test]
fn the_schema_names_every_setting() {
    let schema: Value = serde_json::from_str(&stdout(&ducat(&["config", "schema"]))).expect("JSON");
    let printed: toml::Table = stdout(&ducat(&["config", "print"])).parse().expect("TOML");
    for (section, keys) in &printed {
        for key in keys.as_table().expect("a table").keys() {
            let property = &schema["properties"][section]["properties"][key];
            assert!(property["description"].is_string(), "{section}.{key}: {property}");
        }
        assert_eq!(schema["properties"][section]["additionalProperties"], false);
    }
    assert_eq!(schema["properties"]["principals"]["type"], "array");
}

#[test]
fn a_server_in_production_asks_who_is_there_and_reads_again_what_is_granted() {
    let dir = place();
    let certs = dir.path().join("certs");
    let clients = ["--client", "spiffe://bank/gateway", "--client", "spiffe://bank/operator"];
    let made = ["certs", "dev", "--dir", text(&certs)];
    stdout(&ducat(&[&made[..], &clients].concat()));
    assert_eq!(ducat(&made).status.code(), Some(73), "nothing is written over");
    let key = dir.path().join("tokens.key");
    let public = stdout(&ducat(&["key", "generate", "--key", text(&key)]));
    let keys = dir.path().join("tokens.pub");
    fs::write(&keys, public).expect("writes");
    let file = dir.path().join("ducat.toml");
    let config = |accounts: &str| {
        format!(
            "[server]\nprofile = \"production\"\n[encryption]\nmode = \"disk\"\n[tls]\ncertificate_file = \"{0}/server.pem\"\n\
             key_file = \"{0}/server.key\"\nclient_ca_file = \"{0}/ca.pem\"\n[tokens]\n\
             keys_file = \"{1}\"\nissuer = \"https://bank.example\"\n[logs]\nformat = \"json\"\n\
             [[principals]]\nname = \"spiffe://bank/operator\"\nroles = [\"operator\", \"admin\"]\n\
             accounts = [\"*\"]\n[[principals]]\nname = \"spiffe://bank/gateway\"\n\
             roles = [\"gateway\"]\naccounts = [{accounts}]\n",
            text(&certs),
            text(&keys)
        )
    };
    fs::write(&file, config("\"2\"")).expect("writes");
    let server = Server::start(dir.path(), &["--config", text(&file)]);
    let url = format!("https://{}", server.address);
    let ca = certs.join("ca.pem");
    let as_client = |name: &str, args: &[&str]| {
        let (pem, key) = (certs.join(format!("{name}.pem")), certs.join(format!("{name}.key")));
        let who = ["--server", &url, "--tls-ca", text(&ca), "--tls-cert", text(&pem)];
        let who = [&who[..], &["--tls-key", text(&key)]].concat();
        ducat(&[&who[..], args].concat())
    };
    for account in ["1 --external", "2", "3"] {
        let create = format!("account create {account} --currency GBP");
        stdout(&as_client("operator", &create.split(' ').collect::<Vec<_>>()));
    }
    for to in ["2", "3"] {
        let line =
            format!("transfer --from 1 --to {to} --amount 100.00 --currency GBP --kind deposit");
        stdout(&as_client("operator", &line.split(' ').collect::<Vec<_>>()));
    }
    let pay = |from: &str, to: &str| {
        let line = format!("transfer --from {from} --to {to} --amount 1.00 --currency GBP");
        as_client("gateway", &line.split(' ').collect::<Vec<_>>())
    };
    stdout(&pay("2", "3"));
    let denied = pay("3", "2");
    assert_eq!(denied.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&denied.stderr).contains("account 3 is not in the scope of"));
    assert_eq!(
        as_client("gateway", &["account", "create", "9", "--currency", "GBP"]).status.code(),
        Some(1)
    );

    // Without a certificate, and in plain text, nobody comes in.
    let without = ducat(&["--server", &url, "--tls-ca", text(&ca), "status"]);
    assert!(!without.status.success());
    let plain = ducat(&["--server", &format!("http://{}", server.address), "status"]);
    assert!(!plain.status.success());

    // More is granted, and a mistake grants nothing.
    fs::write(&file, config("\"2\", \"3\"")).expect("writes");
    server.reload("were read again");
    stdout(&pay("3", "2"));
    fs::write(&file, config("\"nonsense\"")).expect("writes");
    server.reload("everything stays as it was");
    stdout(&pay("3", "2"));
    fs::write(&file, config("\"2\"").replace("[logs]", "[limits]\ncalls_max = 7\n[logs]"))
        .expect("writes");
    server.reload("limits.calls_max");
    assert_eq!(pay("3", "2").status.code(), Some(1), "what was taken away is gone");

    // A token beside the certificate: what both grant.
    let token = dir.path().join("token");
    let issue = ["token", "issue", "--key", text(&key), "--issuer", "https://bank.example"];
    let whom = ["--subject", "anna", "--role", "reader", "--accounts", "*"];
    let issued = stdout(&ducat(&[&issue[..], &whom].concat()));
    fs::write(&token, &issued).expect("writes");
    let both = as_client("gateway", &["--token-file", text(&token), "account", "show", "2"]);
    stdout(&both);
    let moves = as_client(
        "operator",
        &["--token-file", text(&token), "account", "create", "8", "--currency", "GBP"],
    );
    assert_eq!(moves.status.code(), Some(1), "readers open no accounts");
    let log = server.log();
    assert!(!log.contains(issued.trim()), "the token is in the log");
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
}

#[test]
fn tokens_are_enough_in_plain_text_on_loopback() {
    let dir = place();
    let key = dir.path().join("tokens.key");
    let keys = dir.path().join("tokens.pub");
    fs::write(&keys, stdout(&ducat(&["key", "generate", "--key", text(&key)]))).expect("writes");
    let args = ["--profile", "production", "--token-keys", text(&keys), "--token-issuer", "me"];
    let args = [&args[..], &["--encryption", "disk"]].concat();
    let server =
        Server::start(dir.path(), &[&args[..], &["--metrics-listen", "127.0.0.1:0"]].concat());
    let url = format!("http://{}", server.address);
    assert_eq!(ducat(&["--server", &url, "status"]).status.code(), Some(1), "nobody");
    let token = dir.path().join("token");
    let issue = ["token", "issue", "--key", text(&key), "--issuer", "me", "--subject", "anna"];
    let issued = stdout(&ducat(&[&issue[..], &["--role", "operator"]].concat()));
    fs::write(&token, issued).expect("writes");
    let status = ["--server", &url, "--token-file", text(&token), "status"];
    stdout(&ducat(&status));
    stdout(&ducat_with(&["--server", &url, "status"], &[("DUCAT_TOKEN_FILE", text(&token))]));
    let said = fs::read_to_string(dir.path().join("out")).expect("a banner");
    assert!(said.contains("plain text; everyone is asked who they are"), "{said}");
    assert!(said.contains("metrics:        http://127.0.0.1:"), "{said}");
}
