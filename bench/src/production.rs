//! A server of our own as production has it: mutual TLS, a bearer token with every call, the audit
//! trail, figures. What it needs is made by the binary under test, as an operator would.

use crate::address::Address;
use anyhow::{Context, ensure};
use clap::ValueEnum;
use ducat_api::client::Credentials;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is asked of the settings of our own server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Plain text on loopback; everybody may do everything.
    #[default]
    Development,
    /// TLS 1.3 with client certificates, a token with every call, the audit trail, figures, data
    /// encrypted at rest.
    Production,
}

/// Who the harness is.
const NAME: &str = "spiffe://bench/harness";

/// Who issues its token.
const ISSUER: &str = "https://bench.example";

/// Who attacks, of those who have a certificate and a token: see [`crate::hostile`].
const INTRUDER: &str = "spiffe://bench/intruder";

/// What the intruder may do, so that its messages are read and not refused for who sends them.
const INTRUDERS_ROLES: [&str; 2] = ["gateway", "reader"];

/// The files of a server in production, and of its clients.
#[derive(Clone, Debug)]
pub struct Production {
    directory: PathBuf,
    intruded: bool,
}

impl Production {
    /// Makes certificates, a key, tokens and the configuration in a new directory; with `intruded`
    /// a second principal as well, whose reads of accounts are limited to a few a second.
    pub fn prepare(binary: &Path, directory: PathBuf, intruded: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(&directory).context("make a place for keys")?;
        let made = Self { directory, intruded };
        let path = |name: &str| made.path(name).display().to_string();
        let certs = path("certs");
        let mut dev = vec!["certs", "dev", "--dir", &certs, "--client", NAME];
        if intruded {
            dev.extend(["--client", INTRUDER]);
        }
        run(binary, &dev)?;
        let public = run(binary, &["key", "generate", "--key", &path("tokens.key")])?;
        fs::write(made.path("tokens.pub"), public).context("keep the public key")?;
        made.issue(binary, NAME, &ROLES, "token")?;
        if intruded {
            made.issue(binary, INTRUDER, &INTRUDERS_ROLES, "intruder.token")?;
        }
        fs::write(made.configuration(), made.settings()).context("write the configuration")?;
        Ok(made)
    }

    /// Has a token made, and keeps it.
    fn issue(&self, binary: &Path, name: &str, roles: &[&str], file: &str) -> anyhow::Result<()> {
        let key = self.path("tokens.key").display().to_string();
        let mut issue = vec!["token", "issue", "--key", &key, "--issuer", ISSUER, "--subject"];
        issue.extend([name, "--accounts", "*", "--lifetime-s", "3600"]);
        for role in roles {
            issue.extend(["--role", role]);
        }
        fs::write(self.path(file), run(binary, &issue)?).context("keep the token")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.path("ducat.toml")
    }

    fn settings(&self) -> String {
        let path = |name: &str| format!("{:?}", self.path(name).display().to_string());
        let principal = |name: &str, roles: &[&str]| {
            let roles: Vec<_> = roles.iter().map(|role| format!("{role:?}")).collect();
            let roles = roles.join(", ");
            format!("[[principals]]\nname = {name:?}\nroles = [{roles}]\naccounts = [\"*\"]\n")
        };
        let mut principals = principal(NAME, &ROLES);
        if self.intruded {
            principals += &principal(INTRUDER, &INTRUDERS_ROLES);
            principals += &format!(
                "[[rates]]\nprincipal = {INTRUDER:?}\nmethods = [\"ducat.v1.Ledger/GetAccounts\"]\n\
                 per_second = 10\nburst = 10\n"
            );
        }
        format!(
            "[server]\nprofile = \"production\"\n\
             [tls]\ncertificate_file = {}\nkey_file = {}\nclient_ca_file = {}\n\
             [tokens]\nkeys_file = {}\nissuer = {ISSUER:?}\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n{principals}",
            path("certs/server.pem"),
            path("certs/server.key"),
            path("certs/ca.pem"),
            path("tokens.pub")
        )
    }

    /// The server that listens at `address`, and what it is shown.
    pub fn address(&self, address: &str) -> Address {
        self.shown(address, "harness", "token")
    }

    /// The same for who attacks.
    pub fn intruders_address(&self, address: &str) -> Address {
        self.shown(address, "intruder", "intruder.token")
    }

    fn shown(&self, address: &str, name: &str, token: &str) -> Address {
        let credentials = Credentials {
            ca: Some(self.path("certs/ca.pem")),
            certificate: Some(self.path(&format!("certs/{name}.pem"))),
            key: Some(self.path(&format!("certs/{name}.key"))),
            token: Some(self.path(token)),
        };
        Address { url: format!("https://{address}"), credentials }
    }
}

/// What the harness does: transfers, accounts, status, history.
const ROLES: [&str; 3] = ["gateway", "operator", "auditor"];

/// What the command prints.
fn run(binary: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let done = Command::new(binary).args(arguments).output();
    let done = done.with_context(|| format!("run {}", binary.display()))?;
    ensure!(
        done.status.success(),
        "`ducat {}` ended with {}. It said:\n{}",
        arguments.join(" "),
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(done.stdout)
}
